//! A load goes on where it was stopped: nothing is lost, and only what is missing is read.

use rand::Rng;

use super::fixture::{Chunked, ROWS, SOON};
use crate::support::{Direction, assert_text_snapshot, process};

#[test]
#[ignore = "slow: about 9 s"]
fn a_killed_run_goes_on_with_what_is_missing() {
    let chunked = Chunked::start();
    let server = chunked.server();
    let before = chunked.killed_half_way();
    let state = |column: &str| server.text(&format!("SELECT {column} FROM load_state FINAL"));
    assert_eq!(state("status, is_current"), "started\t0");
    let run_id = state("run_id");
    let read_before: u64 =
        server.text("SELECT sum(rows_read) FROM load_state_chunks FINAL").parse().unwrap();
    let ranges = server.text(
        "SELECT groupArray(range) FROM (SELECT * FROM load_state_chunks FINAL ORDER BY chunk)",
    );

    // Merges between the two change the statistics from which chunks are made, and not the chunks.
    server.query("OPTIMIZE TABLE orders FINAL");
    let output = chunked.tool().run().expect(0);
    assert!(output.stderr.contains(&format!("resumed     {before} of ")), "{output}");
    chunked.assert_completed();
    assert_eq!(state("run_id"), run_id, "it is the same load");
    assert_eq!(
        server.text(
            "SELECT groupArray(range) FROM (SELECT * FROM load_state_chunks FINAL ORDER BY chunk)"
        ),
        ranges
    );
    let figure = |name: &str| chunked.orders.figure(name);
    assert_eq!(
        (figure("chunks_before"), figure("chunks_before") + figure("chunks_now")),
        (before, figure("chunks"))
    );
    let live: u64 = server.text("SELECT count() FROM expected").parse().unwrap();
    assert_eq!(figure("source_rows"), live - read_before, "what was completed is not read again");
    assert_eq!(chunked.orders.summary()["run_id"].as_str(), Some(run_id.as_str()));

    // The query ids tell the processes of a load apart.
    server.query("SYSTEM FLUSH LOGS");
    let claim =
        server.text("SELECT claim_id FROM load_claims FINAL ORDER BY claimed_at DESC LIMIT 1");
    let streams = format!(
        "SELECT uniqExact(query_id) FROM system.query_log WHERE startsWith(query_id, 'clickhouse-backfill-{run_id}-{claim}-source-')"
    );
    assert_eq!(server.text(&streams), figure("chunks_now").to_string());
    assert_eq!(
        server.text("SELECT arraySort(groupArray(status)) FROM load_claims FINAL"),
        "['released','taken_over']"
    );
}

#[test]
#[ignore = "slow: about 9 s"]
fn a_run_that_is_killed_at_any_moment_loses_nothing() {
    let chunked = Chunked::start();
    for round in 0..5 {
        let running = chunked.tool().spawn();
        let moment = std::time::Duration::from_millis(rand::rng().random_range(0..1500));
        std::thread::sleep(moment);
        running.signal("KILL");
        let output = running.wait();
        assert!(
            matches!(output.status, None | Some(0)),
            "round {round}, killed after {moment:?}\n{output}"
        );
    }
    chunked.tool().run().expect(0);
    chunked.assert_completed();
}

#[test]
fn a_chunk_that_was_read_and_not_acknowledged_is_not_completed() {
    let chunked = Chunked::start();
    let server = chunked.server();
    chunked.proxy.after_request_with(b"-insert-").stall_at(Direction::ToClient, 0, 1);
    let running = chunked.stalling_tool().args(&["--drain-timeout", "1s"]).spawn();
    // There is one reader: who begins the third chunk has read the first two, of which one has
    // rows.
    let reading = "SELECT uniqExact(query_id) > 2 FROM system.query_log WHERE query_id LIKE 'clickhouse-backfill-%-source-%' AND current_database = currentDatabase()";
    let third_begun = || {
        server.query("SYSTEM FLUSH LOGS");
        server.text(reading) == "1"
    };
    assert!(process::wait_until(SOON, third_begun), "no chunk with rows is read");
    assert!(
        process::wait_until(SOON, || chunked.proxy.fired() > 0),
        "no acknowledgement was held back"
    );
    running.signal("TERM");
    let output = running.wait().expect(130);
    assert!(output.stderr.contains("inserts in flight were not acknowledged in time"), "{output}");
    let completed = "SELECT sum(rows_read) FROM load_state_chunks FINAL WHERE status = 'completed'";
    assert_eq!(server.text(completed), "0", "{output}");
    chunked.proxy.pass();
    chunked.tool().run().expect(0);
    chunked.assert_completed();
}

#[test]
fn a_chunk_that_nobody_recorded_is_not_taken_for_completed() {
    let chunked = Chunked::start();
    let server = chunked.server();
    let ranges = chunked.ranges();
    let running = chunked.stalled_at(&ranges[ranges.len() - 1], |tool| tool);
    let first = || {
        server.text(
            "SELECT count() FROM load_state_chunks FINAL WHERE chunk = 0 AND status = 'completed'",
        ) == "1"
    };
    assert!(process::wait_until(SOON, first), "the first chunk is not completed");
    server.query("ALTER TABLE load_state_chunks DELETE WHERE chunk = 0 AND status = 'completed' SETTINGS mutations_sync = 2");
    chunked.proxy.pass();
    assert_text_snapshot!(running.wait().failure(), @"
    exit code 1
    error: 1 of 8 chunks failed; the first of them, chunk 1, with: it is not known to be completed
    hint: run the same command again to continue with the missing chunks; inserted rows stay, and rows inserted twice collapse in default.shipments by its sorting key
    ");
    assert_eq!(server.text("SELECT status FROM load_state FINAL"), "failed");
    chunked.tool().run().expect(0);
    chunked.assert_completed();
}

#[test]
#[ignore = "slow: about 8 s"]
fn an_interrupted_run_says_so_and_goes_on() {
    let chunked = Chunked::start();
    let ranges = chunked.ranges();
    let running = chunked.stalled_at(&ranges[3], |tool| tool);
    assert!(process::wait_until(SOON, || chunked.completed() > 0));
    running.signal("TERM");
    let output = running.wait().expect(130);
    assert!(output.stderr.contains("continue with the missing chunks"), "{output}");
    chunked.proxy.pass();
    let state = "SELECT status, chunks_completed, rows_read > 0, isNull(completed_at) FROM load_state FINAL";
    assert_eq!(chunked.server().text(state), format!("interrupted\t{}\t1\t1", chunked.completed()));
    assert_eq!(chunked.server().text("SELECT status FROM load_claims FINAL"), "released");
    chunked.tool().run().expect(0);
    chunked.assert_completed();
}

#[test]
fn a_completed_partition_says_so() {
    let chunked = Chunked::start();
    chunked.tool().run().expect(0);
    chunked.assert_completed();
    assert!(chunked.orders.figure("source_rows") > ROWS / 2);
    chunked.server().query("TRUNCATE TABLE shipments");
    let run = |worker| chunked.tool().args(&["--worker", worker]).run().everything();
    assert_text_snapshot!(run("1/1"), @"
    exit code 0
    --- stderr
    partition 202506 of default.orders into default.shipments by shipments was completed at [TIME] by run [RUN], with 58,800 rows: there is nothing to do
    hint: --restart fills it again
    ");
    assert_text_snapshot!(run("2/3"), @"
    exit code 0
    --- stderr
    partition 202506 of default.orders into default.shipments by shipments was completed at [TIME] by run [RUN], with 58,800 rows: there is nothing to do
    hint: --restart fills it again
    ");
    let figure = |name: &str| chunked.orders.figure(name);
    assert!(
        figure("chunks_before") == figure("chunks")
            && figure("chunks") > 5
            && figure("source_rows") == 0,
        "{}",
        chunked.orders.summary()
    );
    assert_eq!(chunked.orders.target_rows(), 0);
}

#[test]
#[ignore = "slow: about 9 s"]
fn a_load_whose_chunks_are_all_done_is_only_counted() {
    let chunked = Chunked::start();
    chunked.tool().run().expect(0);
    let server = chunked.server();
    // As if the process had died between the last chunk and the count.
    server.query("ALTER TABLE load_state UPDATE status = 'started', completed_at = NULL WHERE 1 SETTINGS mutations_sync = 2");
    chunked.tool().run().expect(0);
    assert_eq!(chunked.orders.figure("source_rows"), 0);
    chunked.assert_completed();
    // A chunk that gave too few rows shows in the count, and the load is not completed.
    server.query("ALTER TABLE load_state UPDATE status = 'started', completed_at = NULL WHERE 1 SETTINGS mutations_sync = 2");
    server.query("ALTER TABLE load_state_chunks UPDATE rows_read = rows_read - 1 WHERE chunk = 2 SETTINGS mutations_sync = 2");
    assert_text_snapshot!(chunked.tool().run().failure(), @"
    exit code 1
    error: the chunks gave 58799 rows, and default.orders counts 58800 rows before and 58800 after the run; the partition is not completely filled
    hint: --restart reads all chunks again, for example after writes to the source during the run; inserted rows stay, and rows inserted twice collapse in default.shipments by its sorting key
    ");
    assert_eq!(server.text("SELECT status, error != '' FROM load_state FINAL"), "failed\t1");
}
