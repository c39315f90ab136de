//! Ledgers that cannot be written.

use super::fixture::{Chunked, SOON};
use crate::support::{Direction, assert_text_snapshot, process};

#[test]
#[ignore = "slow: about 8 s"]
fn a_run_whose_ledger_is_gone_stops_and_says_what_is_safe() {
    let chunked = Chunked::start();
    let server = chunked.server();
    let ranges = chunked.ranges();
    let running = chunked.stalled_at(&ranges[3], |tool| tool);
    assert!(process::wait_until(SOON, || chunked.completed() > 0));
    server.query("RENAME TABLE load_state_chunks TO elsewhere");
    chunked.proxy.pass();
    // From now on, the only way to an end is to stop.
    let last = format!("AND ({}", ranges[ranges.len() - 1]);
    chunked.proxy.after_request_with(last.as_bytes()).stall_at(Direction::ToClient, 100_000, 1);
    let output = running.wait().expect(1);
    for words in [
        "the ledger cannot be written, trying again",
        "could not be recorded",
        "UNKNOWN_TABLE",
        "inserted rows stay",
        "are read again",
    ] {
        assert!(output.stderr.contains(words), "{words}\n{output}");
    }
    chunked.proxy.pass();
    server.query("RENAME TABLE elsewhere TO load_state_chunks");
    chunked.tool().run().expect(0);
    assert!(chunked.orders.figure("chunks_before") > 0, "{}", chunked.orders.summary());
    chunked.assert_completed();
}

#[test]
fn a_ledger_that_is_back_in_time_is_written() {
    let chunked = Chunked::start();
    let server = chunked.server();
    let ranges = chunked.ranges();
    let running = chunked.stalled_at(&ranges[3], |tool| tool.args(&["--log-file", "run.log"]));
    assert!(process::wait_until(SOON, || chunked.completed() > 0));
    // A table without room for more parts: the server refuses for now.
    server.query(
        "ALTER TABLE load_state_chunks MODIFY SETTING parts_to_throw_insert = 1, parts_to_delay_insert = 1, max_delay_to_insert = 1",
    );
    server.query("SYSTEM STOP MERGES load_state_chunks");
    chunked.proxy.pass();
    running.wait_for_log("TOO_MANY_PARTS");
    server.query("ALTER TABLE load_state_chunks RESET SETTING parts_to_throw_insert, parts_to_delay_insert, max_delay_to_insert");
    let output = running.wait().expect(0);
    assert!(output.stderr.contains("the ledger cannot be written, trying again"), "{output}");
    chunked.assert_completed();
}

#[test]
#[ignore = "slow: about 9 s"]
fn files_that_cannot_be_written_stop_the_run() {
    let chunked = Chunked::start();
    let folder = tempfile::tempdir().unwrap();
    let place = format!("file:{}", folder.path().display());
    let ranges = chunked.ranges();
    let running = chunked.stalled_at(&ranges[3], |tool| tool.args(&["--ledger", &place]));
    let (chunks, aside) = (folder.path().join("chunks"), folder.path().join("aside"));
    std::fs::rename(&chunks, &aside).unwrap();
    std::fs::write(&chunks, "no folder").unwrap();
    chunked.proxy.pass();
    let output = running.wait().expect(1);
    assert!(
        output.stderr.contains("could not be recorded")
            && output.stderr.contains("the ledger's file "),
        "{output}"
    );
    std::fs::remove_file(&chunks).unwrap();
    std::fs::rename(&aside, &chunks).unwrap();
    chunked.tool().args(&["--ledger", &place]).run().expect(0);
    chunked.orders.assert_complete();

    let nowhere = chunked.tool().args(&["--ledger", "file:/proc/nowhere"]).run();
    assert_text_snapshot!(nowhere.failure(), @"
    exit code 2
    error: creating the ledger's file /proc/nowhere failed
      because: No such file or directory (os error 2)
    hint: --ledger file:DIR names a directory that this user can write to
    ");
}
