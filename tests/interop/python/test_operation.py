"""The operator's side: commands, settings in their three spellings, what is said when one is wrong, start and stop."""

import json
import re
import signal
import subprocess

import httpx
import pytest

from support.node import Node, free_port, keeps_a_folder, natter
from support.people import PASSWORD, Person, log_in


def test_version_and_defaults_are_told():
    assert re.search(r"\d+\.\d+\.\d+", natter("version").stdout)
    defaults = natter("default-config")
    assert defaults.returncode == 0 and "[limits]" in defaults.stdout


def test_the_defaults_are_a_good_configuration(tmp_path):
    file = tmp_path / "natter.toml"
    file.write_text(re.sub(r"(?m)^#(?=[a-z\[])", "", natter("default-config").stdout))
    checked = natter("check-config", "--config", str(file), "--data-dir", str(tmp_path))
    assert checked.returncode == 0, checked.stderr


WRONG = [
    ({"NATTER_LISTEN": "nowhere"}, "NATTER_LISTEN"),
    ({"NATTER_STORE_URL": "redis://x"}, "NATTER_STORE_URL"),
    ({"NATTER_AUTH_BCRYPT_COST": "3"}, "NATTER_AUTH_BCRYPT_COST"),
    ({"NATTER_AUTH_BCRYPT_COST": "17"}, "NATTER_AUTH_BCRYPT_COST"),
    ({"NATTER_UPLOAD_LIMIT": "lots"}, "NATTER_UPLOAD_LIMIT"),
    ({"NATTER_DRAIN_GRACE": "30"}, "NATTER_DRAIN_GRACE"),
    ({"NATTER_SIGNUP": "maybe"}, "NATTER_SIGNUP"),
    ({"NATTER_CORS_ORIGINS": "*"}, "NATTER_CORS_ORIGINS"),
    ({"NATTER_TRUSTED_PROXIES": "x"}, "NATTER_TRUSTED_PROXIES"),
    ({"NATTER_NO_SUCH_SETTING": "x"}, "NATTER_NO_SUCH_SETTING"),
    ({"NATTER_CONFIG": "/does/not/exist.toml"}, "/does/not/exist.toml"),
    ({"SECRET_KEY_FILE": "/does/not/exist"}, "/does/not/exist"),
]


@pytest.mark.parametrize("command", ["check-config", "serve"])
@pytest.mark.parametrize(("environment", "named"), WRONG, ids=str)
def test_a_wrong_setting_is_named_with_its_source_in_one_sentence_and_exit_code_2(tmp_path, command, environment, named):
    answer = natter(command, "--data-dir", str(tmp_path), **environment)
    assert answer.returncode == 2, answer.stderr
    said = (answer.stderr + answer.stdout).strip()
    assert named in said and len(said.splitlines()) == 1 and "panicked" not in said


@pytest.mark.parametrize("line", ["no_such_key = 1", "listen = 5", "[limits]\nmessages_per_second = -1", "[no_such_table]\nx = 1", "listen = ", "[auth]\nissuer = 5"])
def test_a_wrong_file_is_named_with_its_key(tmp_path, line):
    file = tmp_path / "wrong.toml"
    file.write_text(line)
    answer = natter("check-config", "--config", str(file))
    assert answer.returncode == 2 and "wrong.toml" in answer.stderr, answer.stderr


def test_a_flag_wins_over_a_variable_over_the_file(tmp_path):
    file = tmp_path / "natter.toml"
    file.write_text('listen = "127.0.0.1:1"\nsignup = "closed"\n')
    node = Node(NATTER_CONFIG=str(file), NATTER_LISTEN="127.0.0.1:2")
    try:
        answer = httpx.post(f"{node.url}/signup", json={"email": "a@example.org", "username": "someone", "password": PASSWORD})
        assert answer.json()["code"] == "signup_closed"
    finally:
        node.stop()


def test_natter_alone_serves_and_a_taken_port_is_said_plainly(node, tmp_path):
    taken = natter(NATTER_LISTEN=f"127.0.0.1:{node.port}", NATTER_METRICS_LISTEN="off", NATTER_DATA_DIR=str(tmp_path))
    assert taken.returncode not in (0, 101) and str(node.port) in taken.stderr + taken.stdout


def test_a_second_node_on_the_same_folder_is_refused_or_harmless(node):
    keeps_a_folder()
    data = node.directory / "data"
    second = node.command("serve", "--listen", f"127.0.0.1:{free_port()}", "--metrics-listen", "off", "--data-dir", str(data))
    try:
        assert second.wait(20) not in (0, 101)
    except subprocess.TimeoutExpired:
        pytest.fail("two nodes served one folder: each would number the same rooms")
    finally:
        if second.poll() is None:
            second.kill()
    assert node.is_alive()


def test_accounts_are_administered_from_the_command_line():
    node = Node()
    try:
        person = Person.sign_up(node)
        data = str(node.directory / "data")

        def admin(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess:
            return natter("admin", *arguments, "--data-dir", data, stdin=stdin, **node.environment)

        listed = admin("list-users")
        assert listed.returncode == 0 and person.name in listed.stdout and "$2" not in listed.stdout
        assert admin("revoke-sessions", person.name).returncode == 0
        assert person.call("GET", "/users/me").status_code == 401
    finally:
        node.stop()


def test_the_probes_tell_what_they_should(node):
    assert httpx.get(f"{node.url}/livez").status_code == 200
    ready = httpx.get(f"{node.url}/readyz")
    assert ready.status_code == 200 and "no-store" in ready.headers["cache-control"]


def test_logs_are_json_with_the_request_id_when_nobody_watches(node):
    answer = httpx.get(f"{node.url}/users/me", headers={"User-Agent": "the log test"})
    lines = [json.loads(line) for line in node.log.splitlines() if line.startswith("{")]
    assert lines, node.log[:500]
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_with_0_and_everything_is_there_after_it(how):
    node = Node(NATTER_DRAIN_GRACE="2s")
    try:
        person = Person.sign_up(node)
        room = person.create_room()
        message = person.post(room, "before the stop")
        node.process.send_signal(how)
        assert node.process.wait(20) == 0
        node.run()
        assert person.ask("GET", f"/chat-rooms/{room}/messages") == [message]
        assert log_in(node, person.name).status_code == 200
    finally:
        node.stop()
