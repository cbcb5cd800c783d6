"""Each known way to attack a chat server has tests that show that it fails here, or a reason why it does not apply yet."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEDGER = tomllib.loads((ROOT / "tests/security-cases.toml").read_text())
# How a test is named in its file.
NAMED = {
    ".rs": r"fn {}\(",
    ".py": r"def {}\(",
    ".mjs": r"test\([\"`]{}[\"`]",
    "": r"^{}:",
}


def is_there(test: str) -> bool:
    file, _, name = test.partition("::")
    path = ROOT / file
    pattern = NAMED[path.suffix].format(re.escape(name))
    return path.is_file() and re.search(pattern, path.read_text(), re.MULTILINE) is not None


@pytest.mark.parametrize("case", LEDGER)
def test_a_security_case_is_tested_or_says_why_not(case: str):
    entry = LEDGER[case]
    assert set(entry) <= {"case", "tests", "not_yet"} and entry["case"]
    assert entry.get("tests") or entry.get("not_yet"), f"{case} has neither tests nor a reason"
    missing = [test for test in entry.get("tests", []) if not is_there(test)]
    assert not missing, f"{case} names tests that are not there: {missing}"
