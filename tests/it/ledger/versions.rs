//! Versions of a load: which one readers may trust, and which one a run continues.

use serde_json::Value;

use super::fixture::Chunked;
use crate::orders::{JOB, PARTITION};
use crate::support::{Binary, binary};

/// Where the ledger is, as an argument.
fn with_ledger(tool: Binary, place: &str) -> Binary {
    tool.args(&["--ledger", place])
}

#[track_caller]
fn json(chunked: &Chunked, arguments: &[&str], place: &str) -> Value {
    let tool = binary().file("job.toml", JOB).envs(&chunked.server().environment());
    let tool = tool.args(arguments).args(&["--job", "job.toml", "--json"]);
    let output = with_ledger(tool, place).run().expect(0);
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

/// The versions in `history`, from the newest: run, state, and whether readers may trust it.
#[track_caller]
fn versions(chunked: &Chunked, place: &str) -> Vec<(String, String, bool)> {
    let history = json(chunked, &["history"], place);
    let loads = history[0]["partitions"][0]["loads"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    loads
        .iter()
        .map(|load| {
            let is_current = load["is_current"].as_bool().unwrap();
            (text(&load["run_id"]), text(&load["status"]), is_current)
        })
        .collect()
}

/// A completed load stays current while `--restart` fills the partition again, whatever becomes of
/// that, until the new version is completed.
#[track_caller]
fn assert_current_moves_at_completion(place: &str) {
    let chunked = Chunked::start();
    let ranges = chunked.ranges();
    with_ledger(chunked.tool(), place).run().expect(0);
    let first = chunked.orders.summary()["run_id"].as_str().unwrap().to_owned();
    let trusted = |run_id: &str| (run_id.to_owned(), "completed".to_owned(), true);
    assert_eq!(versions(&chunked, place), [trusted(&first)]);

    let half = &ranges[ranges.len() / 2];
    let running = chunked.stalled_at(half, |tool| with_ledger(tool, place).arg("--restart"));
    running.signal("KILL");
    running.wait();
    chunked.proxy.pass();
    let status = json(&chunked, &["status", "--partition", PARTITION], place);
    let second = status["run_id"].as_str().unwrap().to_owned();
    assert!(status["state"] == "interrupted" && second != first, "{status}");
    assert_eq!(status["current_run_id"], first.as_str(), "{status}");
    assert_eq!(
        versions(&chunked, place),
        [(second.clone(), "interrupted".to_owned(), false), trusted(&first)]
    );

    // The next run continues the version that was killed.
    with_ledger(chunked.tool(), place).run().expect(0);
    assert_eq!(chunked.orders.summary()["run_id"], second.as_str());
    assert_eq!(
        versions(&chunked, place),
        [trusted(&second), (first, "completed".to_owned(), false)]
    );
    chunked.orders.assert_complete();
    let status = json(&chunked, &["status", "--partition", PARTITION], place);
    assert_eq!(status["current_run_id"], second.as_str(), "{status}");
}

#[test]
#[ignore = "slow: about 9 s"]
fn a_completed_version_stays_current_until_the_next_is_completed() {
    assert_current_moves_at_completion("tables");
}

#[test]
#[ignore = "slow: about 7 s"]
fn a_completed_version_in_files_stays_current_until_the_next_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    assert_current_moves_at_completion(&format!("file:{}", folder.path().display()));
}

#[test]
#[ignore = "slow: about 13 s"]
fn readers_of_the_table_always_find_one_trusted_version() {
    let chunked = Chunked::start();
    let server = chunked.server();
    let current =
        || server.text("SELECT groupArray(load_version) FROM load_state FINAL WHERE is_current");
    chunked.killed_half_way();
    assert_eq!(current(), "[]", "nothing is completed");
    chunked.tool().run().expect(0);
    assert_eq!(current(), "[1]");
    let ranges = chunked.ranges();
    let running = chunked.stalled_at(&ranges[1], |tool| tool.arg("--restart"));
    assert_eq!(current(), "[1]");
    chunked.proxy.pass();
    running.wait().expect(0);
    assert_eq!(current(), "[2]");
    // A version that is begun over one that is not completed has the next number as well.
    for _ in 0..2 {
        let running = chunked.stalled_at(&ranges[1], |tool| tool.arg("--restart"));
        running.signal("INT");
        running.wait().expect(130);
        chunked.proxy.pass();
    }
    assert_eq!(
        server.text("SELECT groupArray((load_version, status, is_current)) FROM (SELECT * FROM load_state FINAL ORDER BY load_version)"),
        "[(1,'completed',0),(2,'completed',1),(3,'interrupted',0),(4,'interrupted',0)]"
    );
}
