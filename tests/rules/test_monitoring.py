"""What Prometheus is not needed for: that alerts, their paragraphs, their cases and the metrics know of each other."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ALERTS = (ROOT / "monitoring/rules/alerts.yml").read_text()
RECORDING = (ROOT / "monitoring/rules/recording.yml").read_text()
CASES = (ROOT / "monitoring/tests/alerts.yml").read_text()
OPERATIONS = (ROOT / "docs/OPERATIONS.md").read_text()
DASHBOARDS = sorted((ROOT / "monitoring/dashboards").glob("*.json"))
NAMES = re.findall(r"^ *- alert: (\w+)$", ALERTS, re.MULTILINE)
METRICS = set(re.findall(r"^\| `(\w+)` ", (ROOT / "docs/METRICS.md").read_text(), re.MULTILINE))
RECORDED = set(re.findall(r"^ *- record: (\S+)$", RECORDING, re.MULTILINE))


@pytest.mark.parametrize("alert", NAMES)
def test_an_alert_leads_to_a_paragraph_and_has_a_case_in_which_it_fires(alert: str):
    rule = ALERTS.partition(f"- alert: {alert}\n")[2].partition("- alert:")[0]
    assert f"runbook_url: docs/OPERATIONS.md#{alert.lower()}\n" in rule
    paragraph = re.search(rf"^#### {alert}\n+(.+?)(?=\n\n|\Z)", OPERATIONS, re.MULTILINE | re.DOTALL)
    assert paragraph and len(paragraph[1]) > 150, f"docs/OPERATIONS.md does not say what to do about {alert}"
    assert re.search(rf"- alertname: {alert}\n +eval_time: \w+\n +exp_alerts:\n +- exp_labels:", CASES)


def test_no_paragraph_is_of_an_alert_that_is_not_there():
    assert re.findall(r"^#### (Natter\w+)$", OPERATIONS, re.MULTILINE) == NAMES


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_can_be_imported(path: Path):
    board = json.loads(path.read_text())
    assert board["uid"] == f"natter-{path.stem}"
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}" and panel["fieldConfig"]["defaults"]["unit"], panel["title"]


@pytest.mark.parametrize("path", [*DASHBOARDS, ROOT / "monitoring/rules/alerts.yml", ROOT / "monitoring/rules/recording.yml"], ids=lambda path: path.stem)
def test_what_is_asked_for_is_a_metric(path: Path):
    text = path.read_text()
    if path.suffix == ".json":
        text = " ".join(target["expr"] for panel in json.loads(text)["panels"] for target in panel.get("targets", []))
    assert METRICS
    for name in re.findall(r"\b(?:natter|process)_[a-z_]+(?=[{\[])", text):
        assert name in METRICS or re.sub("_(bucket|sum|count)$", "", name) in METRICS, f"{name} is not in docs/METRICS.md"
    for name in re.findall(r"(?<!record: )\bnatter:\S+?(?=[\s\")]|$)", text):
        assert name in RECORDED, f"{name} is not recorded"
