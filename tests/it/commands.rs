//! The `natter` command as an operator meets it: a real process, its exit code, what it prints.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::{Instant, timeout};

use crate::support::http;

const SOON: Duration = Duration::from_secs(20);

/// `natter` with nothing in its environment but `variables`, in a folder of its own.
pub(crate) fn natter(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_natter"));
    command.args(arguments).env_clear().envs(variables.iter().copied()).current_dir(folder);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let output = natter(folder.path(), arguments, variables).output();
    timeout(SOON, output).await.expect("it should have ended by now").unwrap()
}

/// A server that has said where it listens.
pub(crate) struct Serving {
    process: Child,
    log: Lines<BufReader<ChildStderr>>,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Serving {
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
        let mut command = natter(folder.path(), &arguments, variables);
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let listening = next_line(&mut log, "listening").await;
        let address = listening["address"].as_str().unwrap().parse().unwrap();
        Self { process, log, address, _folder: folder }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes of memory that the process has now.
    pub(crate) fn resident(&self) -> u64 {
        let status = format!("/proc/{}/status", self.process.id().unwrap());
        let status = std::fs::read_to_string(status).unwrap();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        kib.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    fn signal(&self, name: &str) {
        let id = self.process.id().unwrap().to_string();
        let sent = std::process::Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success());
    }

    async fn exit_code(&mut self) -> Option<i32> {
        timeout(SOON, self.process.wait()).await.expect("it should have ended").unwrap().code()
    }
}

/// The next log line with this message; every line must be JSON.
async fn next_line(log: &mut Lines<BufReader<ChildStderr>>, message: &str) -> serde_json::Value {
    loop {
        let line = timeout(SOON, log.next_line()).await.expect("a log line").unwrap();
        let line = line.unwrap_or_else(|| panic!("the log ended without {message:?}"));
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        if line["message"] == message {
            return line;
        }
    }
}

#[tokio::test]
async fn a_wrong_configuration_is_one_sentence_and_exit_code_2() {
    for command in ["serve", "check-config"] {
        for (variable, value) in [
            ("NATTER_LISTEN", "nowhere"),
            ("NATTER_AUTH_BCRYPT_COST", "17"),
            ("NATTER_STORE_URL", "mongo://u:hunter2@db"),
            ("NATTER_BUS_URL", "nats://u:hunter2@bus"),
            ("NATTER_TYPO", "x"),
            ("SECRET_KEY", "hunter2"),
            ("NATTER_AUTH_ADMIN_EMAIL", "ann@example.org"),
        ] {
            let output = run(&[command], &[(variable, value)]).await;
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            let names_it = said.contains(variable) || said.starts_with("natter: auth.admin_");
            assert!(names_it && !said.contains("hunter2"), "{said}");
        }
    }
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_made_is_a_wrong_configuration() {
    let variables = [("NATTER_LISTEN", "127.0.0.1:0"), ("NATTER_DATA_DIR", "/dev/null/data")];
    for command in ["serve", "migrate"] {
        let output = run(&[command], &variables).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("data_dir: cannot make /dev/null/data"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[tokio::test]
async fn a_first_administrator_that_can_be_no_account_is_a_wrong_configuration() {
    for (email, name) in [("no address", "ann"), ("ann@example.org", "all")] {
        let variables = [
            ("NATTER_LISTEN", "127.0.0.1:0"),
            ("NATTER_METRICS_LISTEN", "off"),
            ("NATTER_AUTH_ADMIN_EMAIL", email),
            ("NATTER_AUTH_ADMIN_USERNAME", name),
            ("NATTER_AUTH_ADMIN_PASSWORD", "a password"),
        ];
        let output = run(&["serve"], &variables).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("auth.admin_"), "{said}");
    }
}

#[tokio::test]
async fn wrong_flags_and_arguments_are_exit_code_2() {
    let wrong: [&[&str]; 4] =
        [&["--listen", "nowhere"], &["--no-such-flag"], &["no-such-command"], &["--config", "/no"]];
    for arguments in wrong {
        let output = run(arguments, &[]).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(arguments[0].trim_start_matches('-')), "{said}");
    }
}

#[tokio::test]
async fn the_commands_that_only_tell_something_do() {
    let version = run(&["version"], &[]).await;
    assert_eq!(version.stdout, concat!("natter ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
    let defaults = run(&["default-config"], &[("NATTER_TYPO", "x")]).await;
    assert_eq!(defaults.stdout, natter::config::DEFAULT_FILE.as_bytes());
    let folder = tempfile::tempdir().unwrap();
    let fine = natter(folder.path(), &["check-config"], &[]).output().await.unwrap();
    assert!(fine.status.success());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "checking makes nothing");
}

#[tokio::test]
async fn a_healthcheck_tells_in_a_sentence_whether_the_node_is_well() {
    let mut server = Serving::start(&[("NATTER_DRAIN_GRACE", "1h")]).await;
    let address = server.address.to_string();
    let url = format!("http://{address}");
    let check = async |arguments: &[&str]| {
        let arguments = [&["healthcheck"], arguments].concat();
        let output = run(&arguments, &[("NATTER_LISTEN", &address)]).await;
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        (output.status.code(), said)
    };
    for arguments in [&[][..], &["--live"], &[&url], &["--live", &url]] {
        let (code, said) = check(arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
    }

    server.signal("TERM");
    next_line(&mut server.log, "draining").await;
    let (code, said) = check(&[]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("/readyz: This node is shutting down (503)"), "{said}");
    assert_eq!(check(&["--live"]).await.0, Some(0), "what drains lives");

    server.signal("INT");
    assert_eq!(server.exit_code().await, Some(0));
    let (code, said) = check(&[]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&address) && said.contains("no connection"), "{said}");
    for (wrong, named) in [("nowhere", "NATTER_LISTEN"), ("127.0.0.1:0", "name a URL")] {
        let output = run(&["healthcheck"], &[("NATTER_LISTEN", wrong)]).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(named), "{said}");
    }
}

#[tokio::test]
async fn sigterm_drains_within_its_share_of_the_grace_and_exits_0() {
    let mut server = Serving::start(&[("NATTER_DRAIN_GRACE", "4s")]).await;
    let ready = format!("http://{}/readyz", server.address);
    assert_eq!(http::get(&ready).await.unwrap().status(), 200);
    let began = Instant::now();
    server.signal("TERM");
    next_line(&mut server.log, "draining").await;
    let while_leaving = http::get(&ready).await.unwrap();
    assert_eq!(while_leaving.status(), 503, "still served, but not ready");
    assert_eq!(while_leaving.json::<serde_json::Value>().await.unwrap()["code"], "draining");
    assert_eq!(server.exit_code().await, Some(0));
    let took = began.elapsed();
    assert!((Duration::from_millis(500)..Duration::from_millis(3_500)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn ctrl_c_skips_the_waits() {
    let mut server = Serving::start(&[("NATTER_DRAIN_GRACE", "1h")]).await;
    server.signal("INT");
    assert_eq!(server.exit_code().await, Some(0));
}

#[tokio::test]
async fn ctrl_c_cuts_a_drain_short() {
    let mut server = Serving::start(&[("NATTER_DRAIN_GRACE", "1h")]).await;
    server.signal("TERM");
    next_line(&mut server.log, "draining").await;
    server.signal("INT");
    assert_eq!(server.exit_code().await, Some(0));
}

/// Runs `natter admin` on a folder with `stdin`, and answers what it printed.
async fn admin(folder: &Path, arguments: &[&str], stdin: &str) -> Result<String, String> {
    let arguments: Vec<&str> = [&["admin"], arguments, &["--data-dir", "data"]].concat();
    let mut command = natter(folder, &arguments, &[("NATTER_AUTH_BCRYPT_COST", "4")]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    process.stdin.take().unwrap().write_all(stdin.as_bytes()).await.unwrap();
    let output = timeout(SOON, process.wait_with_output()).await.unwrap().unwrap();
    let (told, failure) = (output.stdout, output.stderr);
    match output.status.success() {
        true => Ok(String::from_utf8(told).unwrap()),
        false => Err(String::from_utf8(failure).unwrap()),
    }
}

#[tokio::test]
async fn accounts_are_administered_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let missing = admin(folder.path(), &["list-users"], "").await.unwrap_err();
    assert!(missing.contains("there is no store"), "{missing}");
    let create = |name: &'static str, email: &'static str| {
        ["create-user", "--username", name, "--email", email]
    };
    let first = admin(folder.path(), &create("ann", "ann@example.org"), "a password\n").await;
    assert!(first.unwrap().ends_with("an administrator\n"));
    let second = admin(folder.path(), &create("bob", "bob@example.org"), "another\n").await;
    assert!(second.unwrap().starts_with("made bob"));
    for (taken, email, password) in [
        ("ann", "new@example.org", "fine"),
        ("new", "ANN@example.org", "fine"),
        ("new", "no address", "fine"),
        ("new", "new@example.org", ""),
    ] {
        let refused = admin(folder.path(), &create(taken, email), password).await.unwrap_err();
        assert_eq!(refused.lines().count(), 1, "{refused}");
    }
    let listed = admin(folder.path(), &["list-users"], "").await.unwrap();
    let names: Vec<_> = listed.lines().map(|line| line.split('\t').nth(1).unwrap()).collect();
    assert_eq!(names, ["ann", "bob"]);
    assert!(!listed.contains("$2"), "no hash is told: {listed}");
    let file = folder.path().join("password");
    std::fs::write(&file, "from a file\n").unwrap();
    let reset = ["reset-password", "bob@example.org", "--password-file", "password"];
    assert!(admin(folder.path(), &reset, "").await.unwrap().starts_with("bob"));
    assert!(admin(folder.path(), &["revoke-sessions", "ann"], "").await.is_ok());
    let nobody = admin(folder.path(), &["revoke-sessions", "nobody"], "").await.unwrap_err();
    assert!(nobody.contains("not found"), "{nobody}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_plainly() {
    let server = Serving::start(&[]).await;
    let output = run(&["--listen", &server.address.to_string()], &[]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains(&server.address.to_string()), "{said}");
}
