//! Looking again and again.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::fixture::{parsed, tool};
use crate::ledger::fixture::{Chunked, SOON};
use crate::orders::{JOB, PARTITION};
use crate::support::process;

#[test]
fn a_watch_ends_when_the_load_is_completed() {
    let chunked = Chunked::start();
    let ranges = chunked.ranges();
    let running = chunked.stalled_at(&ranges[2], |tool| tool);
    let watch = tool(&chunked).args(&["--json", "--watch", "1"]).spawn();
    let plain = tool(&chunked).args(&["--watch"]).spawn();
    assert!(process::wait_until(SOON, || chunked.completed() > 0), "no chunk is completed");
    chunked.proxy.pass();
    running.wait().expect(0);
    let output = watch.wait().expect(0);
    let states: Vec<_> = output
        .stdout
        .lines()
        .map(|line| parsed(line)["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states.last().map(String::as_str), Some("completed"), "{output}");
    assert!(states[..states.len() - 1].iter().all(|state| state == "started"), "{output}");
    let output = plain.wait().expect(0);
    assert!(
        output.stdout.contains("completed: partition ") && !output.stdout.contains('\x1b'),
        "{output}"
    );
}

/// A watch has no end of its own, where a test has failed before the load is completed.
struct Watch(Child);

impl Drop for Watch {
    fn drop(&mut self) {
        process::signal(self.0.id(), "TERM");
        let _ = self.0.wait();
    }
}

#[test]
fn on_a_terminal_one_screen_takes_the_place_of_the_one_before() {
    let chunked = Chunked::start();
    let ranges = chunked.ranges();
    let running = chunked.stalled_at(&ranges[2], |tool| tool);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("job.toml"), JOB).unwrap();
    let mut command = Command::new("python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/screen/in_terminal.py"));
    command.args([
        "200",
        "40",
        env!("CARGO_BIN_EXE_clickhouse-backfill"),
        "status",
        "--job",
        "job.toml",
    ]);
    command.args(["--partition", PARTITION, "--watch", "1"]).current_dir(folder.path());
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("TERM", "xterm-256color");
    command.envs(chunked.server().environment()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut watch = Watch(command.spawn().expect("python3 can be run"));
    let mut output = watch.0.stdout.take().unwrap();
    // The first screen has come when its last line has.
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&bytes).contains("--watch\x1b[K") {
        let count = output.read(&mut buffer).unwrap();
        assert!(count > 0 && bytes.len() < 20_000, "{}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&buffer[..count]);
    }
    chunked.proxy.pass();
    running.wait().expect(0);
    output.read_to_end(&mut bytes).unwrap();
    assert!(watch.0.wait().unwrap().success());
    let text = String::from_utf8_lossy(&bytes);
    let screens: Vec<_> = text.split("\x1b[H").skip(1).collect();
    assert!(screens.len() >= 2 && screens[0].starts_with("started: "), "{text:?}");
    assert!(
        screens[screens.len() - 1].starts_with("completed: ")
            && screens.iter().all(|screen| screen.ends_with("\x1b[J")),
        "{text:?}"
    );
    // Every line clears what is left of the one that it covers; nothing is cleared beforehand,
    // which would flicker.
    assert!(
        text.matches('\n').count() == text.matches("\x1b[K").count() && !text.contains("\x1b[2J"),
        "{text:?}"
    );
}
