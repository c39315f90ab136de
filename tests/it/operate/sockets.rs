//! The file of the socket: whose it is, how it is found, and what becomes of it.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use tempfile::TempDir;

use super::fixture::{SLOWLY, ctl, orders, socket, tool, try_say, try_status, wait_for};
use crate::orders::Orders;
use crate::support::{Binary, Output, Running, assert_text_snapshot, binary, process};

/// A dry run, of which several may go on at once, that takes its time.
fn dry_run(orders: &Orders) -> Binary {
    tool(orders).args(&["--dry-run"]).envs(&[SLOWLY])
}

/// `ctl` of somebody who has this run directory.
fn ctl_in(folder: &Path, arguments: &[&str]) -> Output {
    binary().arg("ctl").args(arguments).env("XDG_RUNTIME_DIR", folder).run()
}

fn listens(path: &Path) -> bool {
    process::wait_until(super::fixture::SOON, || {
        try_status(path).is_some_and(|status| status.is_object())
    })
}

#[test]
fn the_socket_is_for_its_owner_and_goes_with_the_run() {
    let orders = orders();
    let running = dry_run(&orders).spawn();
    let path = socket(&running);
    assert!(listens(&path));
    let file = std::fs::symlink_metadata(&path).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    ctl(&path, &["set", "max-rows-per-second=none"]).expect(0);
    watched_to_its_end(running, &path);

    // Beside the log file, where there is one.
    let logs = TempDir::with_prefix("logs-").unwrap();
    let running = dry_run(&orders).arg("--log-file").arg(logs.path().join("backfill.log")).spawn();
    let path = logs.path().join(format!("clickhouse-backfill-{}.sock", running.process()));
    assert!(listens(&path));
    let found = binary()
        .args(&["ctl", "stop"])
        .env("LOG_FILE", logs.path().join("backfill.log"))
        .run()
        .expect(0);
    assert!(found.stdout.starts_with("stopping"), "{found}");
    running.wait().expect(130);
    assert!(!path.exists());
}

/// The socket is looked at while the working folder, which goes with the run's output, is still
/// there.
fn watched_to_its_end(mut running: Running, path: &Path) {
    assert!(process::wait_until(super::fixture::SOON, || !running.is_running()), "the run ends");
    assert!(!path.exists(), "the socket goes with the run");
    running.wait().expect(0);
}

#[test]
fn of_several_runs_one_has_to_be_named() {
    let orders = orders();
    let folder = TempDir::with_prefix("run-").unwrap();
    assert_text_snapshot!(ctl_in(folder.path(), &["status"]).failure(), @"
    exit code 2
    error: no run in progress found in [PATH], the current directory
    hint: --socket names the control socket of the run, clickhouse-backfill-PID.sock
    hint: --log-file names the run's log file; the socket is in the same directory
    ");
    let start = || dry_run(&orders).env("XDG_RUNTIME_DIR", folder.path()).spawn();
    let path = |running: &Running| {
        folder.path().join(format!("clickhouse-backfill-{}.sock", running.process()))
    };
    let first = start();
    assert!(listens(&path(&first)));
    // What is named otherwise, or is no socket, is not taken for one.
    std::fs::write(folder.path().join("clickhouse-backfill-1.sock"), "no socket").unwrap();
    let status = ctl_in(folder.path(), &["status"]).expect(0);
    assert!(status.stdout.starts_with("dry run"), "{status}");
    let second = start();
    assert!(listens(&path(&second)));
    let several = ctl_in(folder.path(), &["stop"]).expect(2);
    for path in [path(&first), path(&second)] {
        let hint = format!("hint: --socket {}: dry run", path.display());
        assert!(several.stderr.contains(&hint), "{hint:?} is not in\n{several}");
    }
    ctl(&path(&first), &["stop"]).expect(0);
    first.wait().expect(130);
    ctl_in(folder.path(), &["stop"]).expect(0);
    second.wait().expect(130);
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "only what is no socket is left"
    );
}

#[test]
fn the_place_of_a_killed_run_is_taken_and_that_of_a_live_one_is_not() {
    let orders = orders();
    let folder = TempDir::with_prefix("run-").unwrap();
    let path = folder.path().join("control.sock");
    let start = || dry_run(&orders).arg("--control-socket").arg(&path);
    let first = start().spawn();
    assert!(listens(&path));
    assert_text_snapshot!(start().run().failure(), @"
    exit code 2
    error: another run listens on the control socket [PATH]
    hint: --control-socket names another path
    ");
    assert!(
        try_status(&path).is_some_and(|status| status["process"] == first.process()),
        "the first one is still there"
    );

    first.signal("KILL");
    assert_eq!(first.wait().status, None);
    assert!(path.exists() && UnixStream::connect(&path).is_err());
    assert_text_snapshot!(ctl(&path, &["status"]).failure(), @"
    exit code 1
    error: no run listens on [PATH]
      because: Connection refused (os error 111)
    hint: `clickhouse-backfill status` reads the state of a load from the ledger, also after its run
    ");
    let third = start().spawn();
    assert!(listens(&path), "the place is taken");
    ctl(&path, &["stop"]).expect(0);
    third.wait().expect(130);

    std::fs::write(&path, "precious").unwrap();
    assert_text_snapshot!(start().run().failure(), @"
    exit code 2
    error: [PATH] is there already, and is no socket
    hint: --control-socket names another path
    ");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    // A place that was not asked for may fail.
    let long = folder.path().join("x".repeat(120));
    std::fs::create_dir(&long).unwrap();
    let without = tool(&orders).arg("--dry-run").env("XDG_RUNTIME_DIR", &long).run().expect(0);
    assert!(without.stderr.contains("ctl cannot reach this run"), "{without}");
}

#[test]
fn what_is_no_request_is_answered_and_does_no_harm() {
    let orders = orders();
    let running = tool(&orders).envs(&[SLOWLY]).spawn();
    let path = socket(&running);
    assert!(listens(&path));
    let long = vec![b'x'; 200_000];
    for words in [
        &b"\n"[..],
        b"stop\n",
        b"{\"command\":\"explode\"}\n",
        b"\xff\xfe\x00\n",
        b"{\"command\":\"stop\"",
        &long,
    ] {
        let mut stream = UnixStream::connect(&path).unwrap();
        std::io::Write::write_all(&mut stream, words).ok();
        drop(stream);
    }
    for words in [&b"\n"[..], b"stop\n", b"{\"command\":\"explode\"}\n", b"[]\n", b"\xff\xfe\x00\n"]
    {
        let answer = try_say(&path, words).unwrap();
        assert!(answer.starts_with("{\"ok\":false,\"error\":\"this is no request"), "{answer}");
    }
    let answer = try_say(&path, &long).unwrap();
    assert!(answer.contains("a line has at most 65536 bytes"), "{answer}");
    // Whoever keeps connections open keeps nobody else away for ever; some are enough for others.
    let _idle: Vec<_> = (0..8).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let status = wait_for(&path, "it goes on", |status| status["stopping"] == false);
    assert!(status["limits"]["inserters"].as_u64() >= Some(1));
    ctl(&path, &["set", "max-rows-per-second=none"]).expect(0);
    running.wait().expect(0);
    orders.assert_complete();
}
