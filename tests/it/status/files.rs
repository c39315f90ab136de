//! A ledger in files is read where no server is, and left as it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use super::fixture::{standing, tool};
use crate::ledger::fixture::{Chunked, SOON};
use crate::support::process;

/// Every file and folder, with the time of its last change.
fn contents(folder: &Path) -> BTreeMap<String, SystemTime> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        }
        found.insert(path.display().to_string(), path.metadata().unwrap().modified().unwrap());
    }
    found
}

#[test]
fn files_tell_the_same_without_a_server() {
    let chunked = Chunked::start();
    let folder = tempfile::tempdir().unwrap();
    let place = format!("file:{}", folder.path().display());
    let look = || {
        standing(
            tool(&chunked).env("CLICKHOUSE_URL", "http://127.0.0.1:1").args(&["--ledger", &place]),
        )
    };
    assert_eq!(look()["state"], "not_started");
    assert!(contents(folder.path()).is_empty(), "nothing was made");

    let ranges = chunked.ranges();
    let running = chunked.stalled_at(&ranges[4], |tool| tool.args(&["--ledger", &place]));
    assert!(
        process::wait_until(SOON, || look()["chunks_completed"].as_u64().unwrap() > 0),
        "no chunk is completed"
    );
    let under_way = look();
    assert!(
        under_way["state"] == "started" && under_way["processes"][0]["pid"] == running.process(),
        "{under_way}"
    );
    assert_eq!(
        under_way["next_command"]
            .as_str()
            .unwrap()
            .split(" --ledger ")
            .nth(1)
            .unwrap()
            .split(' ')
            .next(),
        Some(place.as_str())
    );
    running.signal("KILL");
    running.wait();
    chunked.proxy.pass();
    let before = contents(folder.path());
    assert_eq!(look()["state"], "interrupted");
    assert_eq!(contents(folder.path()), before, "it only reads");
    chunked.tool().args(&["--ledger", &place]).run().expect(0);
    let done = look();
    let target: u64 = chunked.server().text("SELECT count() FROM shipments FINAL").parse().unwrap();
    assert!(done["state"] == "completed" && done["rows_inserted"] == target, "{done}");
}
