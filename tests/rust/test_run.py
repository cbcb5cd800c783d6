"""What `tests/rust/run` makes of tests that pass, fail, pass at the second try, and hang."""

import os
import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).with_name("run")

BINARY = """#!{python}
import sys, time, pathlib
names = {names!r}
if "--list" in sys.argv:
    print("\\n".join(f"{{name}}: test" for name in names))
    sys.exit()
tried = pathlib.Path({tried!r})
alone = sys.argv[sys.argv.index("--exact") + 1] if "--exact" in sys.argv else None
code = 0
for name in [alone] if alone else names:
    is_first = not (tried / name).exists()
    (tried / name).touch()
    if name.startswith("hangs") and (is_first or name.endswith("for_ever")):
        time.sleep(60)
    fails = name.startswith("fails") or name.startswith("flaky") and is_first
    print(f"test {{name}} ... {{'FAILED' if fails else 'ok'}}", flush=True)
    code |= fails * 101
sys.exit(code)
"""


def outcome(folder: Path, *names: str) -> tuple[int, str]:
    (folder / "tried").mkdir()
    binary = folder / "binary"
    binary.write_text(BINARY.format(python=sys.executable, names=list(names), tried=str(folder / "tried")))
    binary.chmod(0o755)
    environment = os.environ | {"NATTER_TEST_EXECUTABLES": str(binary), "NATTER_TEST_STALL_SECONDS": "3"}
    done = subprocess.run([RUN], env=environment, capture_output=True, text=True, timeout=50)
    return done.returncode, done.stdout


def test_all_that_passes_is_fine(tmp_path: Path):
    code, said = outcome(tmp_path, "one", "two")
    assert code == 0 and "FLAKY" not in said and "once more" not in said


def test_what_fails_twice_is_a_failure(tmp_path: Path):
    code, said = outcome(tmp_path, "one", "fails")
    assert code == 1 and "FAILED: fails" in said and "FAILED: one" not in said


def test_what_passes_alone_is_told_as_flaky(tmp_path: Path):
    code, said = outcome(tmp_path, "flaky", "one")
    assert code == 0 and "FLAKY: flaky" in said


def test_many_failures_are_not_tried_again(tmp_path: Path):
    code, said = outcome(tmp_path, *(f"flaky_{nth}" for nth in range(9)))
    assert code == 1 and "once more" not in said


def test_what_hangs_is_ended_and_tried_again(tmp_path: Path):
    code, said = outcome(tmp_path, "one", "hangs_once")
    assert code == 0 and "FLAKY: hangs_once" in said and "nothing was said" in said


def test_what_hangs_for_ever_is_a_failure(tmp_path: Path):
    code, said = outcome(tmp_path, "one", "hangs_for_ever")
    assert code == 1 and "FAILED: hangs_for_ever" in said
