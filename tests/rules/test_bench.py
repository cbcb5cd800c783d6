"""What the documents say of measurements is what was measured, and bench/ shows it as it is."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import report  # noqa: E402


@pytest.mark.parametrize("path", report.DOCUMENTS, ids=lambda path: path.name)
def test_the_documents_have_the_tables_of_the_newest_results(path: Path):
    text = path.read_text()
    assert report.renewed(text, report.tables(report.newest())) == text, "run bench/report.py"


def chat(arm: str, number: int, messages: int, cpu: float) -> dict:
    measured = {
        "seconds": 2.0, "messages": messages, "deliveries": messages * 10, "cpu_seconds": {"server": cpu},
        "ack_ms": {"p50": 1.0, "p99": 2.0}, "orders_in_one_room": 1,
    }  # fmt: skip
    return {"scenario": "one room", "arm": arm, "round": number, "measured": measured}


def test_ratios_are_of_rounds_that_ran_side_by_side():
    """The machine was three times as slow in the second round, and the ratio is the same."""
    rounds = [chat("ours", 1, 600, 0.6), chat(report.PEER, 1, 300, 0.9), chat("ours", 2, 200, 0.6), chat(report.PEER, 2, 100, 0.9)]
    table = report.table({"rounds": rounds}, "one room", report.CHAT)
    rows = {title: cells for title, *cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())}
    assert rows["messages/s"] == ["200", "100", "2"]
    assert rows["µs of server a message"] == ["2,000", "6,000", "0.333"]
    assert rows["µs of mongod a message"] == ["", "", ""]


def test_numbers_have_three_digits():
    for value, text in ((None, ""), (0.01234, "0.0123"), (2.5, "2.5"), (99.96, "100"), (123.4, "123"), (12_345.0, "12,300")):
        assert report.shown(value) == text
