"""What promtool says of the configuration, the rules and their tests."""

import subprocess

import pytest
from binaries import find
from queries import MONITORING

RULES = sorted(str(path) for path in MONITORING.glob("rules/*.yml"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "--lint-fatal", *RULES],
        ["test", "rules", "tests/alerts.yml"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_promtool_is_content(arguments: list[str]):
    done = subprocess.run([find("promtool"), *arguments], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
