//! The ledger in files: the same, without a table.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::fixture::{Chunked, SOON};
use crate::support::{assert_text_snapshot, process};

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The records of a folder.
pub fn records(folder: &Path) -> Vec<Value> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(|path| read(&path))
        .collect()
}

#[test]
#[ignore = "slow: about 14 s"]
fn a_load_is_resumed_from_files() {
    let chunked = Chunked::start();
    let folder = tempfile::tempdir().unwrap();
    let place = format!("file:{}", folder.path().join("ledger").display());
    let ranges = chunked.ranges();
    let running = chunked.stalled_at(&ranges[4], |tool| tool.args(&["--ledger", &place]));
    let files = folder.path().join("ledger");
    let run_id = records(&files.join("loads"))[0]["run_id"].as_str().unwrap().to_owned();
    // The file of all pending chunks is an array; the others are one chunk each. Some chunks have
    // no rows.
    let done = || {
        let chunks = records(&files.join("chunks").join(&run_id))
            .into_iter()
            .filter(|chunk| chunk["status"] == "completed");
        chunks.map(|chunk| chunk["rows_read"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert!(process::wait_until(SOON, || done().iter().sum::<u64>() > 0), "no chunk is completed");
    let refused = chunked.tool().args(&["--ledger", &place]).run().expect(3);
    assert!(refused.stderr.contains(&format!("process {} on ", running.process())), "{refused}");
    running.signal("KILL");
    running.wait();
    chunked.proxy.pass();
    let before = done();

    chunked.server().query("OPTIMIZE TABLE orders FINAL");
    let output = chunked.tool().args(&["--ledger", &place, "-v"]).run().expect(0);
    assert!(output.stderr.contains("ledger      files in "), "{output}");
    chunked.orders.assert_complete();
    assert_eq!(chunked.orders.figure("chunks_before"), before.len() as u64);
    assert_eq!(chunked.orders.summary()["run_id"], run_id.as_str());
    let live: u64 = chunked.server().text("SELECT count() FROM expected").parse().unwrap();
    assert_eq!(
        chunked.orders.figure("source_rows"),
        live - before.iter().sum::<u64>(),
        "what was completed is not read again"
    );
    let load = &records(&files.join("loads"))[0];
    assert!(
        load["status"] == "completed"
            && load["chunks"] == load["chunks_completed"]
            && load["completed_at"].is_string(),
        "{load}"
    );
    let completed = chunked.tool().args(&["--ledger", &place]).run();
    assert_text_snapshot!(completed.everything(), @"
    exit code 0
    --- stderr
    partition 202506 of default.orders into default.shipments by shipments was completed at [TIME] by run [RUN], with 58,800 rows: there is nothing to do
    hint: --restart fills it again
    ");
    chunked.tool().args(&["--ledger", &place, "--restart"]).run().expect(0);
    let versions = records(&files.join("loads"));
    let current: Vec<_> = versions
        .iter()
        .filter(|load| load["is_current"] == true)
        .map(|load| &load["run_id"])
        .collect();
    assert_eq!((versions.len(), current), (2, vec![&chunked.orders.summary()["run_id"]]));
    assert!(
        chunked.orders.figure("source_rows") == live
            && chunked.orders.summary()["run_id"] != run_id.as_str(),
        "all is read anew"
    );
    let statuses: Vec<_> = records(&files.join("claims"))
        .iter()
        .map(|claim| claim["status"].as_str().unwrap().to_owned())
        .collect();
    assert!(!statuses.contains(&"held".to_owned()), "{statuses:?}");
    assert_eq!(chunked.server().text("SHOW TABLES LIKE 'load\\_%'"), "", "no table was made");
}

#[test]
fn workers_share_files() {
    let chunked = Chunked::start();
    let folder = tempfile::tempdir().unwrap();
    let place = format!("file:{}", folder.path().display());
    let tool = |part: String| chunked.tool().args(&["--ledger", &place, "--worker", &part]);
    let workers: Vec<_> = (1..=3).map(|number| tool(format!("{number}/3")).spawn()).collect();
    for worker in workers {
        worker.wait().expect(0);
    }
    chunked.orders.assert_complete();
    let current: Vec<_> = records(&folder.path().join("loads"))
        .into_iter()
        .filter(|load| load["is_current"] == true)
        .collect();
    assert!(current.len() == 1 && current[0]["status"] == "completed", "{current:?}");
}

/// While another process writes, a claim waits: what that one writes is older, and has to be seen.
#[test]
#[ignore = "slow: about 10 s"]
fn claims_in_files_are_written_one_after_another() {
    let chunked = Chunked::start();
    let folder = tempfile::tempdir().unwrap();
    let place = format!("file:{}", folder.path().display());
    let lock = File::create(folder.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let mut running = chunked.tool().args(&["--ledger", &place]).spawn();
    assert!(
        process::wait_until(SOON, || folder.path().join("claims").exists()),
        "the ledger is not made"
    );
    // Long enough to claim, to fill the table and to end.
    process::wait_until(Duration::from_secs(3), || !running.is_running());
    assert_eq!(
        (records(&folder.path().join("claims")).len(), running.is_running()),
        (0, true),
        "it does not wait"
    );
    lock.unlock().unwrap();
    running.wait().expect(0);
    chunked.orders.assert_complete();
}

/// Writes a file of the ledger that no program understands, as if that had been a while ago.
fn damage(path: &Path) {
    std::fs::write(path, "{\"format_version\": 2, \"job\": \"shi").unwrap();
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(300)).unwrap();
}

/// The files of a ledger's folder.
fn paths(folder: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
#[ignore = "slow: about 10 s"]
fn a_damaged_file_stops_only_its_own_load() {
    let chunked = Chunked::start();
    let folder = tempfile::tempdir().unwrap();
    let place = format!("file:{}", folder.path().display());
    let run = || chunked.tool().args(&["--ledger", &place]);
    run().run().expect(0);
    let load = paths(&folder.path().join("loads")).remove(0);
    let before = std::fs::read(&load).unwrap();

    damage(&load);
    let refused = run().run().expect(3);
    let named = refused.failure().replace(&load.display().to_string(), "[FILE]");
    assert_text_snapshot!(named, @"
    exit code 3
    error: the ledger's file [FILE] is damaged: EOF while parsing a string at line 1 column 33
    hint: nothing was written; put the file back from a backup, or move it away: then the load starts from its beginning
    ");

    // Other loads are not stopped by it, nor by a claim that is no longer written.
    let claim = folder.path().join("claims").join("damaged.json");
    damage(&claim);
    chunked.server().query("CREATE TABLE elsewhere AS shipments");
    let other = run().args(&["--target-table", "elsewhere"]).run().expect(0);
    for path in [&load, &claim] {
        assert!(other.stderr.contains(&path.display().to_string()), "{}\n{other}", path.display());
    }
    let rows = |table: &str| chunked.server().text(&format!("SELECT count() FROM {table} FINAL"));
    assert_eq!(rows("elsewhere"), rows("shipments"));

    std::fs::write(&load, before).unwrap();
    assert!(run().run().expect(0).stderr.contains("was completed at"));
}

#[test]
#[ignore = "slow: about 7 s"]
fn a_damaged_file_of_a_chunk_is_named_with_what_is_safe() {
    let chunked = Chunked::start();
    let folder = tempfile::tempdir().unwrap();
    let place = format!("file:{}", folder.path().display());
    let ranges = chunked.ranges();
    let running = chunked.stalled_at(&ranges[4], |tool| tool.args(&["--ledger", &place]));
    let chunks = || {
        let runs = paths(&folder.path().join("chunks"));
        let files = runs.iter().flat_map(|run| paths(run));
        // A file that is being written has another name.
        let is_record = |path: &PathBuf| path.extension().is_some_and(|end| end == "json");
        files.filter(is_record).filter(|path| !path.ends_with("pending.json")).collect::<Vec<_>>()
    };
    assert!(process::wait_until(SOON, || !chunks().is_empty()), "no chunk is completed");
    running.signal("KILL");
    running.wait();
    chunked.proxy.pass();
    let chunk = chunks().remove(0);
    damage(&chunk);
    let refused = chunked.tool().args(&["--ledger", &place]).run().expect(3);
    let named = refused.failure().replace(&chunk.display().to_string(), "[FILE]");
    assert_text_snapshot!(named, @"
    exit code 3
    error: the ledger's file [FILE] is damaged: EOF while parsing a string at line 1 column 33
    hint: inserted rows stay; move the file away, and the chunks that it records are read again
    ");
    std::fs::remove_file(&chunk).unwrap();
    chunked.tool().args(&["--ledger", &place]).run().expect(0);
    chunked.orders.assert_complete();
}

/// A dead host whose clock is an hour ahead.
#[test]
#[ignore = "slow: about 13 s"]
fn a_claim_from_the_future_ends_when_its_heartbeat_does_not_change() {
    let chunked = Chunked::start();
    let folder = tempfile::tempdir().unwrap();
    let place = format!("file:{}", folder.path().display());
    let tool = || chunked.tool().args(&["--ledger", &place, "--claim-timeout", "3s"]);
    let ranges = chunked.ranges();
    let running = chunked
        .stalled_at(&ranges[2], |tool| tool.args(&["--ledger", &place, "--claim-timeout", "3s"]));
    running.signal("KILL");
    running.wait();
    chunked.proxy.pass();
    let claim = paths(&folder.path().join("claims")).remove(0);
    let rewrite = |heartbeat: &str| {
        let mut record = read(&claim);
        for (field, value) in
            [("host", "elsewhere"), ("machine", "another"), ("heartbeat_at", heartbeat)]
        {
            record[field] = value.into();
        }
        // By a rename, as a process does it, so that no reader sees half a record.
        let whole = folder.path().join("rewritten");
        std::fs::write(&whole, record.to_string()).unwrap();
        std::fs::rename(whole, &claim).unwrap();
    };
    // A process whose clock is ahead, and that lives.
    rewrite("2100-01-01T00:00:00.000000Z");
    let mut waiting = tool().spawn();
    let mut beats = 0;
    assert!(
        process::wait_until(SOON, || {
            beats += 1;
            rewrite(&format!("2100-01-01T00:00:00.{beats:06}Z"));
            !waiting.is_running()
        }),
        "it waits for ever"
    );
    let refused = waiting.wait().expect(3);
    assert!(refused.stderr.contains("is being filled by process "), "{refused}");
    // It is dead.
    let output = tool().run().expect(0);
    assert!(output.stderr.contains("waiting to see whether it changes"), "{output}");
    chunked.orders.assert_complete();
}
