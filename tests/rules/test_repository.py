"""Rules of the repository that no compiler knows: links lead somewhere, lock files name no host, files stay small."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
TRACKED = [ROOT / name for name in TRACKED if name and (ROOT / name).is_file()]


def tracked(*suffixes: str) -> list[Path]:
    return [path for path in TRACKED if path.suffix in suffixes]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def headings(text: str) -> set[str]:
    """The anchors that a forge makes of a document's headings."""
    found = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("document", tracked(".md"), ids=name)
def test_links_between_documents_lead_somewhere(document: Path):
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        linked = (document.parent / file).resolve() if file else document
        assert linked.exists(), f"{name(document)} links to {target}, which is not there"
        if anchor and linked.suffix == ".md":
            assert anchor in headings(linked.read_text()), f"{name(document)}: no heading for {target}"


@pytest.mark.parametrize("lock", [path for path in TRACKED if path.name == "package-lock.json"], ids=name)
def test_npm_lock_files_pin_hashes_and_name_no_registry(lock: Path):
    for package, entry in json.loads(lock.read_text())["packages"].items():
        assert "resolved" not in entry, f"{package}: set omit-lockfile-registry-resolved=true and lock again"
        assert not package or entry.get("link") or "integrity" in entry, f"{package} has no integrity hash"


@pytest.mark.parametrize("lock", [path for path in TRACKED if path.name == "Cargo.lock"], ids=name)
def test_cargo_lock_names_the_public_registry_only(lock: Path):
    sources = set(re.findall(r'^source = "(.*)"$', lock.read_text(), re.MULTILINE))
    assert sources == {"registry+https://github.com/rust-lang/crates.io-index"}


@pytest.mark.parametrize("requirements", [path for path in TRACKED if path.name == "requirements.txt"], ids=name)
def test_python_requirements_are_pinned_by_hash(requirements: Path):
    text = requirements.read_text()
    assert "://" not in text and not text.startswith("-")
    for block in re.split(r"\n(?=\w)", text.strip()):
        assert "==" in block and "--hash=sha256:" in block, block


def test_the_chart_knows_every_setting_and_rule():
    sys.path.insert(0, str(ROOT / "tests/chart"))
    import documents

    copies = {path for path in documents.rules() if not path.is_file() or path.read_text() != documents.rules()[path]}
    assert not copies, "run `make chart`"
    known = json.loads(documents.SCHEMA.read_text())["properties"]["config"]["properties"]
    assert known == documents.config_schema()["properties"], "run `make chart`"


@pytest.mark.parametrize("source", tracked(".rs", ".ts", ".svelte", ".py", ".mjs"), ids=name)
def test_no_source_file_grows_past_500_lines(source: Path):
    lines = len(source.read_text().splitlines())
    assert lines <= 500, f"{name(source)} has {lines} lines: split it by noun"


@pytest.mark.parametrize("source", tracked(".rs"), ids=name)
def test_sources_hold_no_todo_and_no_allow(source: Path):
    text = source.read_text()
    assert not re.search(r"\b(TODO|FIXME|XXX)\b|\b(todo|unimplemented)!\(", text), name(source)
    allowed = re.findall(r"^\s*#!?\[allow\(.*", text, re.MULTILINE)
    # Clippy's allow-unwrap-in-tests does not reach helper functions, so each test binary has one at its head.
    at_most = 1 if name(source) in ("tests/it/main.rs", "tests/faults/main.rs") else 0
    assert len(allowed) <= at_most, f"{name(source)}: #[expect(.., reason = \"..\")] says why, #[allow] does not"
