#!/usr/bin/env python3
"""What the chart holds of what stands elsewhere: `make chart` writes it, and tests compare.

- `config` in values.schema.json: the settings of config.default.toml, but for those that the chart has values for;
- the table in README.md: values.yaml, told by values.schema.json;
- `files/`: rules for Prometheus, for a chart reads only what is in its folder.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/natter"
SETTINGS = ROOT / "config.default.toml"
SCHEMA = CHART / "values.schema.json"
README = CHART / "README.md"
RULES = ROOT / "monitoring/rules"
BEGIN, END = "<!-- values: begin -->\n", "<!-- values: end -->\n"

# Settings that the chart sets itself, most of them from values of its own.
OWN = {
    "listen", "internal_listen", "advertise_url", "metrics.listen", "data_dir", "drain_grace",
    "secret_key_file", "secret_key_previous_file",
    "store.url", "store.user", "store.user_file", "store.password_file",
    "bus.url", "bus.user", "bus.password_file", "bus.token_file", "bus.nkey_file", "bus.credentials_file",
    "bus.ca_file", "bus.certificate_file", "bus.key_file",
    "media.url", "media.endpoint", "media.public_endpoint", "media.region", "media.addressing", "media.serve",
    "auth.admin_email", "auth.admin_username", "auth.admin_password_file",
}  # fmt: skip


def settings() -> dict:
    """Every setting of config.default.toml with its default, in tables as there."""
    return tomllib.loads(re.sub(r"(?m)^#(?=[a-z\[])", "", SETTINGS.read_text()))


def config_schema(table: dict | None = None, prefix: str = "") -> dict:
    """What `config` may hold: the type of each setting is that of its default."""
    properties = {}
    for name, default in (settings() if table is None else table).items():
        if isinstance(default, dict):
            inner = config_schema(default, f"{name}.")
            if inner["properties"]:
                properties[name] = inner
        elif prefix + name not in OWN:
            properties[name] = setting_schema(default)
    return {"type": "object", "additionalProperties": False, "properties": properties}


def setting_schema(default: object) -> dict:
    match default:
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer", "minimum": 0}
        case list():
            return {"type": "array", "items": {"type": "string"}}
        case str():
            return {"type": "string"}
    raise TypeError(f"no value of the chart can hold {default!r}")


def schema() -> str:
    """values.schema.json with the newest `config`."""
    whole = json.loads(SCHEMA.read_text())
    description = whole["properties"]["config"]["description"]
    whole["properties"]["config"] = {"description": description} | config_schema()
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def rows(properties: dict, values: dict, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Name, default and meaning of each value that is set as one."""
    for name, told in properties.items():
        path = prefix + name
        if "description" in told:
            if name in values:
                yield path, shown(values[name]), told["description"]
        else:
            yield from rows(told["properties"], values[name], f"{path}.")


def shown(default: object) -> str:
    if isinstance(default, dict) and set(default) == {"name", "key"}:
        return ""
    return "" if default == "" else f"`{json.dumps(default)}`"


def table() -> str:
    import yaml

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    found = rows(json.loads(schema())["properties"], values)
    lines = [f"| `{name}` | {default} | {meaning} |\n" for name, default, meaning in found]
    return "| value | default | |\n| --- | --- | --- |\n" + "".join(lines)


def readme() -> str:
    """README.md with the newest table."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table() + END + after


def rules() -> dict[Path, str]:
    return {CHART / "files/rules" / path.name: path.read_text() for path in sorted(RULES.glob("*.yml"))}


def documents() -> dict[Path, str]:
    return {SCHEMA: schema(), README: readme()} | rules()


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


if __name__ == "__main__":
    for path, text in documents().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
