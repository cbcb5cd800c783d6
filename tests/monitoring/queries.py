"""The queries of dashboards and rules."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "monitoring"


@dataclass(frozen=True)
class Query:
    """One query, and where it stands."""

    place: str
    text: str

    def __str__(self) -> str:
        return self.place

    @property
    def evaluated(self) -> str:
        """The query as Grafana would send it, for all nodes. Its interval is short, for so is the test."""
        return self.text.replace("$__rate_interval", "30s").replace("$instance", ".*")

    @property
    def selectors(self) -> set[str]:
        """What it asks Prometheus for, without the time."""
        return set(re.findall(r"\b(?:natter|process|up)[a-z0-9_:]*(?:\{[^}]*\})?", self.text))


def panels() -> list[Query]:
    found = []
    for path in sorted(MONITORING.glob("dashboards/*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                place = f"{path.stem}: {panel['title']}, {target['refId']}"
                found.append(Query(place, target["expr"]))
    return found


def rules(kind: str) -> list[str]:
    """The names of rules that are each an `alert` or a `record`."""
    text = "".join(path.read_text() for path in sorted(MONITORING.glob("rules/*.yml")))
    return re.findall(rf"^ +- {kind}: (\S+)$", text, re.MULTILINE)
