//! The launcher and the harness themselves: other tests trust that they start, kill and restart
//! what they say.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Launch, Launcher, Server, ServerOptions, process};

const SOON: Duration = Duration::from_secs(10);

fn table() -> &'static str {
    "CREATE TABLE numbers_seen (number UInt64) ENGINE = MergeTree ORDER BY number"
}

#[test]
fn starts_and_answers() {
    let server = Server::shared();
    assert!(server.answers());
    assert_eq!(server.text("SELECT 40 + 2"), "42");
    assert_eq!(server.text("SELECT currentDatabase()"), server.database());
    assert_eq!(
        String::from_utf8(server.query_with("SELECT {x: String}", &[("param_x", "a b&c'")]))
            .unwrap(),
        "a b&c\\'\n"
    );
    let words = server.try_query("SELECT nothing_of_this_name").unwrap_err();
    assert!(words.starts_with("Code: 47."), "{words}");
}

#[test]
fn default_database_is_atomic_and_inserts_in_a_format_arrive() {
    let server = Server::shared();
    let engine = "SELECT engine FROM system.databases WHERE name = currentDatabase()";
    assert_eq!(server.text(engine), "Atomic");
    server.script(&format!(
        "{};\n--;;\nINSERT INTO numbers_seen VALUES (1), (2);\n--;;\n\nSELECT ';' /* ; */ -- ;\n",
        table()
    ));
    server.insert("INSERT INTO numbers_seen FORMAT RowBinary", &3_u64.to_le_bytes());
    assert_eq!(
        server.text(
            "SELECT groupArray(number) FROM (SELECT number FROM numbers_seen ORDER BY number)"
        ),
        "[1,2,3]"
    );
}

#[test]
fn query_log_can_be_read() {
    let server = Server::isolated();
    server.query_with("SELECT 1", &[("query_id", "seen-in-the-log")]);
    server.query("SYSTEM FLUSH LOGS");
    let logged = "SELECT count() FROM system.query_log WHERE query_id = 'seen-in-the-log' AND type = 'QueryFinish'";
    assert_eq!(server.text(logged), "1");
}

#[test]
fn acknowledged_data_survives_kill_9_on_the_same_port() {
    let mut server = Server::isolated();
    server.query(table());
    server.query("INSERT INTO numbers_seen SELECT number FROM numbers(1000)");
    let (port, first) = (server.port(), server.process());
    server.kill9();
    assert!(!process::is_alive(first));
    assert!(!server.answers());
    server.restart();
    assert_ne!(server.process(), first);
    assert_eq!(server.port(), port);
    assert_eq!(server.text("SELECT count(), sum(number) FROM numbers_seen"), "1000\t499500");
}

#[test]
fn a_stopped_listener_refuses_and_opens_again() {
    let mut server =
        Server::isolated_with(ServerOptions { fixed_port: true, ..Default::default() });
    server.stop_listening();
    assert!(server.try_query("SELECT 1").is_err());
    server.start_listening();
    assert_eq!(server.text("SELECT 1"), "1");
}

#[test]
fn configuration_and_users_are_heeded() {
    let server = Server::isolated_with(ServerOptions {
        config_xml: Some(
            "<clickhouse><max_concurrent_queries>77</max_concurrent_queries></clickhouse>".into(),
        ),
        users_xml: Some(
            "<clickhouse>
                <profiles><reading><readonly>1</readonly></reading></profiles>
                <users><reader>
                    <password>secret</password>
                    <networks><ip>::/0</ip></networks>
                    <profile>reading</profile>
                    <quota>default</quota>
                    <grants><query>GRANT SELECT ON default.numbers_seen</query></grants>
                </reader></users>
            </clickhouse>"
                .into(),
        ),
        ..Default::default()
    });
    let limit = "SELECT value FROM system.server_settings WHERE name = 'max_concurrent_queries'";
    assert_eq!(server.text(limit), "77");
    server.query(table());
    server.query("CREATE TABLE hidden (x UInt8) ENGINE = Memory");

    let code = |password: &str, sql: &str| match server
        .as_user("reader", password)
        .try_query_with(sql.as_bytes(), &[])
    {
        Ok(_) => "no error".to_owned(),
        Err(words) => words.split('.').next().unwrap_or_default().to_owned(),
    };
    assert_eq!(code("secret", "SELECT count() FROM numbers_seen"), "no error");
    assert_eq!(code("wrong", "SELECT 1"), "Code: 516");
    assert_eq!(code("secret", "SELECT * FROM hidden"), "Code: 497");
    assert_eq!(code("secret", "INSERT INTO numbers_seen VALUES (1)"), "Code: 497");
}

#[test]
fn dropping_the_server_ends_it() {
    let server = Server::isolated();
    let (launcher, child) = (server.launcher_process(), server.process());
    assert!(process::is_alive(child));
    let started = Instant::now();
    drop(server);
    assert!(!process::is_alive(child) && !process::is_alive(launcher));
    assert!(started.elapsed() < SOON, "it took force to end the server: {:?}", started.elapsed());
}

#[test]
fn a_killed_launcher_takes_its_server_with_it() {
    let server = Server::isolated();
    let child = server.process();
    process::signal(server.launcher_process(), "KILL");
    assert!(process::wait_until(SOON, || !process::is_alive(child)));
}

/// The owner is a process of its own that starts a launcher as a test does, and is killed as a test
/// run may be.
#[test]
fn a_killed_owner_leaves_no_server_behind() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready");
    let owner = "import subprocess, sys, time\nsubprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)\ntime.sleep(600)";
    let mut owner = Command::new("python3")
        .args(["-c", owner, "python3"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/clickhouse"))
        .args(["serve", "--dir"])
        .arg(folder.path().join("server"))
        .arg("--ready-file")
        .arg(&ready)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let started = process::wait_until(Duration::from_secs(900), || ready.exists());
    let state = std::fs::read_to_string(&ready).unwrap_or_default();
    let processes: Vec<u32> = ["server_pid=", "launcher_pid="]
        .iter()
        .filter_map(|key| state.lines().find_map(|line| line.strip_prefix(key))?.parse().ok())
        .collect();
    let alive_before = processes.iter().filter(|&&id| process::is_alive(id)).count();
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(started, "the server did not start");
    assert_eq!(alive_before, 2, "{state}");
    assert!(
        process::wait_until(SOON, || !processes.iter().any(|&id| process::is_alive(id))),
        "{state}"
    );
}

/// As the server that all tests share: neither its parent nor its standard input says how long it
/// is needed.
#[test]
fn a_server_with_an_owner_ends_with_it_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, ready) = (folder.path().join("server"), folder.path().join("ready"));
    let mut owner = Command::new("sleep").arg("600").spawn().unwrap();
    let mut launcher = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/clickhouse"))
        .args(["serve", "--owner", &owner.id().to_string(), "--dir"])
        .arg(&directory)
        .arg("--ready-file")
        .arg(&ready)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let started = process::wait_until(Duration::from_secs(900), || ready.exists());
    let state = std::fs::read_to_string(&ready).unwrap_or_default();
    let server = state.lines().find_map(|line| line.strip_prefix("server_pid=")?.parse().ok());
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(started, "the server did not start");
    let ended = process::wait_until(SOON, || launcher.try_wait().unwrap().is_some());
    if !ended {
        launcher.kill().unwrap();
    }
    assert!(ended && !process::is_alive(server.unwrap()), "{state}");
    assert!(!directory.exists(), "its folder is left");
}

fn failure(port: u16, config: Option<&Path>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch {
        directory: &folder.path().join("server"),
        port,
        config,
        users: None,
        disk_mib: None,
    };
    Launcher::start(&launch).expect_err("the server must not start")
}

#[test]
fn a_busy_port_is_a_start_failure_that_says_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let words = failure(taken.local_addr().unwrap().port(), None);
    assert!(
        words.starts_with("error: the server did not start")
            && words.contains("Address already in use"),
        "{words}"
    );
}

#[test]
fn a_busy_folder_is_a_start_failure_that_says_so() {
    let server = Server::isolated();
    let launch = Launch {
        directory: &server.directory(),
        port: 0,
        config: None,
        users: None,
        disk_mib: None,
    };
    let words = Launcher::start(&launch).expect_err("the server must not start");
    assert!(words.starts_with("error: a server already runs in"), "{words}");
    assert!(server.answers());
}

#[test]
fn a_configuration_file_that_is_missing_or_malformed_is_an_error() {
    let words = failure(0, Some(Path::new("/nonexistent/config.xml")));
    assert!(
        words.starts_with("error: no such configuration file: /nonexistent/config.xml"),
        "{words}"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.xml");
    std::fs::write(&path, "<clickhouse><a>").unwrap();
    let words = failure(0, Some(&path));
    assert!(words.contains("config.xml is not well-formed XML"), "{words}");
}
