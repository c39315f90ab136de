//! Two runs of one partition at once, and what a dead one leaves behind.

use std::time::{Duration, Instant};

use super::fixture::{Chunked, SOON};
use crate::support::shown::titled;
use crate::support::{Direction, assert_text_snapshot, process};

/// As another process does that takes this one for dead.
const TAKE_OVER: &str =
    "INSERT INTO load_claims SELECT * REPLACE ('superseded' AS status) FROM load_claims FINAL";

#[test]
#[ignore = "slow: about 11 s"]
fn the_second_of_two_runs_is_refused_and_told_of_the_first() {
    let chunked = Chunked::start();
    let ranges = chunked.ranges();
    let first = chunked.stalled_at(&ranges[2], |tool| tool);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let mut refused = Vec::new();
    for extra in [&[][..], &["--worker", "1/2"], &["--restart"]] {
        let second = chunked.tool().args(extra).run().expect(3);
        let who = format!(
            "is being filled by process {} on {}, whose last heartbeat came",
            first.process(),
            host.trim()
        );
        assert!(second.stderr.contains(&who), "{extra:?}\n{second}");
        refused.push(([&["run"], extra].concat().join(" "), second.failure()));
    }
    assert_text_snapshot!(titled(refused), @"
    # run
    exit code 3
    error: partition 202506 of default.orders into default.shipments by shipments is being filled by process [PID] on [HOST], whose last heartbeat came [DURATION] ago, at [TIME]
    hint: wait for the other process, or stop it
    hint: --worker I/N shares a load among several processes

    # run --worker 1/2
    exit code 3
    error: partition 202506 of default.orders into default.shipments by shipments is being filled by process [PID] on [HOST], whose last heartbeat came [DURATION] ago, at [TIME]
    hint: wait for the other process, or stop it
    hint: --worker I/N shares a load among several processes

    # run --restart
    exit code 3
    error: partition 202506 of default.orders into default.shipments by shipments is being filled by process [PID] on [HOST], whose last heartbeat came [DURATION] ago, at [TIME]
    hint: wait for the other process, or stop it
    hint: --worker I/N shares a load among several processes
    ");
    // Whoever looks sees what it works on.
    let run = "SELECT run_id = (SELECT run_id FROM load_state FINAL) FROM load_claims FINAL WHERE status = 'held'";
    assert_eq!(chunked.server().text(run), "1");
    assert_eq!(
        chunked.server().text("SELECT uniqExact(claim_id) FROM load_claims"),
        "1",
        "who is refused claims nothing"
    );
    // A dry run writes nothing, and is in nobody's way.
    chunked.tool().arg("--dry-run").run().expect(0);
    chunked.proxy.pass();
    first.wait().expect(0);
    chunked.assert_completed();
}

/// In tables and in files.
#[test]
#[ignore = "slow: about 12 s"]
fn of_runs_that_begin_at_the_same_moment_one_works() {
    let folder = tempfile::tempdir().unwrap();
    let files = format!("file:{}", folder.path().join("ledger").display());
    for place in ["tables", &files] {
        let chunked = Chunked::start();
        // Whoever wins stays until the others have given up.
        chunked.proxy.after_request_with(b"-source-").stall_at(Direction::ToClient, 100_000, 1);
        let runs = (0..4).map(|_| chunked.stalling_tool().args(&["--ledger", place]).spawn());
        let mut runs: Vec<_> = runs.collect();
        let one_is_left =
            || runs.iter_mut().filter_map(|run| run.is_running().then_some(())).count() == 1;
        assert!(process::wait_until(SOON, one_is_left), "{place}: one is left");
        let (winner, losers): (Vec<_>, Vec<_>) = runs
            .into_iter()
            .map(|mut run| (run.is_running(), run))
            .partition(|(running, _)| *running);
        let (_, winner) = winner.into_iter().next().expect("one is left");
        for (_, loser) in losers {
            let output = loser.wait().expect(3);
            assert!(output.stderr.contains("is being filled by process "), "{place}\n{output}");
        }
        assert!(
            process::wait_until(SOON, || chunked.proxy.fired() > 0),
            "{place}: the winner works"
        );
        chunked.proxy.pass();
        winner.wait().expect(0);
        chunked.orders.assert_complete();
    }
}

#[test]
#[ignore = "slow: about 9 s"]
fn a_run_says_again_and_again_that_it_lives() {
    let chunked = Chunked::start();
    let ranges = chunked.ranges();
    let running = chunked.stalled_at(&ranges[2], |tool| tool.args(&["--claim-timeout", "3s"]));
    // Longer than a claim lasts without a heartbeat.
    let beats = "SELECT heartbeat_at > claimed_at + INTERVAL 5 SECOND FROM load_claims FINAL";
    assert!(
        process::wait_until(SOON, || chunked.server().text(beats) == "1"),
        "its heartbeats stopped"
    );
    assert_eq!(
        chunked.server().text("SELECT uniqExact(claimed_at) FROM load_claims"),
        "1",
        "it is the same claim"
    );
    chunked.proxy.pass();
    running.wait().expect(0);
    chunked.assert_completed();
}

#[test]
#[ignore = "slow: about 10 s"]
fn what_a_dead_run_left_is_killed() {
    let chunked = Chunked::start();
    let server = chunked.server();
    // One chunk, which is more than what fits between the server and its client.
    chunked.proxy.after_request_with(b"-source-").stall_at(Direction::ToClient, 1_000_000, 1);
    let running = chunked.orders.resuming_tool_at(&chunked.proxy.url()).spawn();
    assert!(process::wait_until(SOON, || chunked.proxy.fired() > 0), "the source was not stopped");
    let claim = server.text("SELECT claim_id FROM load_claims FINAL");
    // The server does not notice that its client is gone: the proxy holds the connection.
    let left = format!(
        "SELECT count() FROM system.processes WHERE position(query_id, '-{claim}-source-') > 0"
    );
    assert_eq!(server.text(&left), "1");
    running.signal("KILL");
    running.wait();
    let began = Instant::now();
    chunked.orders.resuming_tool_at(server.url()).run().expect(0);
    let took = began.elapsed();
    // It ends when its next write does, which the proxy holds up until the server has waited for 30
    // s; the run does not wait for that. query_log has the KILL only then, since the server logs it
    // when it has ended.
    let told = format!(
        "SELECT is_cancelled FROM system.processes WHERE position(query_id, '-{claim}-source-') > 0"
    );
    assert!(matches!(server.text(&told).as_str(), "1" | ""), "the dead run's query goes on");
    assert!(took < Duration::from_secs(20), "the run waited for the dead one's query: {took:?}");
    chunked.assert_completed();
}

#[test]
#[ignore = "slow: about 12 s"]
fn the_claim_of_another_host_expires() {
    let chunked = Chunked::start();
    let server = chunked.server();
    let ranges = chunked.ranges();
    let running = chunked.stalled_at(&ranges[2], |tool| tool.args(&["--claim-timeout", "3s"]));
    running.signal("KILL");
    running.wait();
    chunked.proxy.pass();
    // The last of its heartbeats, which came every second, may be under way still.
    let silent = || {
        server.text("SELECT max(heartbeat_at) < now64(6) - INTERVAL 2 SECOND FROM load_claims")
            == "1"
    };
    assert!(process::wait_until(SOON, silent), "a dead process says that it lives");
    // A long silence is allowed: the process elsewhere may live.
    server.query(
        "ALTER TABLE load_claims UPDATE host = 'elsewhere' WHERE 1 SETTINGS mutations_sync = 2",
    );
    let refused = chunked.tool().args(&["--claim-timeout", "1h"]).run().expect(3);
    assert!(refused.stderr.contains("on elsewhere, whose last heartbeat came"), "{refused}");
    let taken_over = || chunked.tool().args(&["--claim-timeout", "1s"]).run().status == Some(0);
    assert!(process::wait_until(SOON, taken_over), "the claim does not expire");
    chunked.assert_completed();
}

#[test]
#[ignore = "slow: about 13 s"]
fn a_run_whose_claim_was_taken_over_stops() {
    let chunked = Chunked::start();
    let server = chunked.server();
    let ranges = chunked.ranges();
    let running = chunked.stalled_at(&ranges[2], |tool| tool.args(&["--claim-timeout", "3s"]));
    server.query(TAKE_OVER);
    let output = running.wait();
    assert_text_snapshot!(output.failure(), @"
    exit code 1
    error: this process was taken for dead: its claim on the load is gone from the ledger
    hint: the other process does the rest; this process dropped the rows that it had queued, and chunks that it recorded are kept
    ");
    assert_eq!(
        server.text("SELECT status FROM load_state FINAL"),
        "started",
        "the record is another's"
    );
    chunked.proxy.pass();
    chunked.tool().run().expect(0);
    chunked.orders.assert_complete();
}

#[test]
#[ignore = "slow: about 14 s"]
fn nobody_completes_a_load_that_was_taken_over() {
    let chunked = Chunked::start();
    let server = chunked.server();
    let ranges = chunked.ranges();
    // Between two heartbeats, which are ten seconds apart, it can do what is left.
    let running = chunked.stalled_at(&ranges[ranges.len() - 1], |tool| tool);
    server.query(TAKE_OVER);
    chunked.proxy.pass();
    let output = running.wait();
    assert_text_snapshot!(output.failure(), @"
    exit code 1
    error: this process was taken for dead: its claim on the load is gone from the ledger
    hint: the other process does the rest; this process dropped the rows that it had queued, and chunks that it recorded are kept
    ");
    assert_eq!(
        server.text("SELECT status FROM load_state FINAL"),
        "started",
        "the record is another's"
    );
    chunked.tool().run().expect(0);
    chunked.orders.assert_complete();
}

/// Both write the rows of the load: what one inserts from older attributes could come last.
#[test]
#[ignore = "slow: about 25 s"]
fn a_repair_and_a_run_do_not_work_on_a_load_at_once() {
    let chunked = Chunked::start();
    let server = chunked.server();
    let (running, _) = chunked.stalled_half_way();
    let refused = chunked.repair_at(server.url()).run().expect(3);
    assert_text_snapshot!(refused.failure(), @"
    exit code 3
    error: partition 202506 of default.orders into default.shipments by shipments is being filled by process [PID] on [HOST], whose last heartbeat came [DURATION] ago, at [TIME]
    hint: wait for the other process, or stop it: no two processes write the rows of a load at once
    ");
    chunked.proxy.pass();
    running.wait().expect(0);
    chunked.assert_completed();

    server.query("DELETE FROM shipments WHERE order_id = 5");
    let before = chunked.proxy.fired();
    chunked.proxy.after_request_with(b"-insert-").stall_at(Direction::ToClient, 0, 1);
    let repair = chunked.repair_at(&chunked.proxy.url()).spawn();
    assert!(process::wait_until(SOON, || chunked.proxy.fired() > before), "it inserts nothing");
    let refused = chunked.tool().arg("--restart").run().expect(3);
    let other = chunked.repair_at(server.url()).run().expect(3);
    let cases = [("run", refused), ("repair", other)];
    let cases = cases.map(|(case, output)| (case, output.failure()));
    assert_text_snapshot!(titled(cases), @"
    # run
    exit code 3
    error: partition 202506 of default.orders into default.shipments by shipments is being filled by process [PID] on [HOST], whose last heartbeat came [DURATION] ago, at [TIME]
    hint: wait for the other process, or stop it
    hint: --worker I/N shares a load among several processes

    # repair
    exit code 3
    error: partition 202506 of default.orders into default.shipments by shipments is being filled by process [PID] on [HOST], whose last heartbeat came [DURATION] ago, at [TIME]
    hint: wait for the other process, or stop it: no two processes write the rows of a load at once
    ");
    chunked.proxy.pass();
    repair.wait().expect(0);
    chunked.assert_completed();
    // It has given the load back.
    chunked.tool().arg("--restart").run().expect(0);
    chunked.assert_completed();
}

#[test]
#[ignore = "slow: about 20 s"]
fn a_repair_whose_claim_was_taken_over_removes_nothing() {
    let chunked = Chunked::start();
    let server = chunked.server();
    chunked.tool().run().expect(0);
    server.script(
        "DELETE FROM shipments WHERE order_id = 5
         --;;
         INSERT INTO shipments (order_id, placed, version) VALUES (5000000, '2025-06-15 00:00:00', 1)",
    );
    chunked.proxy.after_request_with(b"-insert-").stall_at(Direction::ToClient, 0, 1);
    let repair = chunked.repair_at(&chunked.proxy.url()).arg("--remove").spawn();
    assert!(process::wait_until(SOON, || chunked.proxy.fired() > 0), "it inserts nothing");
    server.query(TAKE_OVER);
    let output = repair.wait();
    assert_text_snapshot!(output.failure(), @"
    exit code 1
    error: this process was taken for dead, and its work was taken over by process [PID] on [HOST], whose last heartbeat came [DURATION] ago, at [TIME]
    hint: the rows that this process had queued were dropped; `clickhouse-backfill verify` compares the partition
    ");
    let surplus = "SELECT count() FROM shipments WHERE order_id = 5000000";
    assert_eq!(server.text(surplus), "1", "{output}");
    chunked.proxy.pass();
    chunked.repair_at(server.url()).arg("--remove").run().expect(0);
    assert_eq!(server.text(surplus), "0");
    chunked.orders.assert_complete();
}
