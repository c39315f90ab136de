//! Processes that were stopped for longer than their claims last.

use std::time::{Duration, Instant};

use clickhouse_backfill::internals::ledger::{ClaimOptions, LedgerError, WorkerPart};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::fixture::{Chunked, SOON};
use super::slow_claims::{delay, key, ledger};
use crate::support::{Direction, Server, process};

/// Customers as nobody had read them when the first run was stopped.
const MOVE: &str = "INSERT INTO customers SELECT id, concat(coalesce(city, 'x'), ', moved again'), tags, 9, 0, letter FROM customers FINAL";

/// Runs the command elsewhere until the claim of the stopped process has expired, and the load is
/// complete.
fn completed_elsewhere(chunked: &Chunked, place: &str) {
    let completed = || {
        let output = chunked.tool().args(&["--ledger", place, "--claim-timeout", "3s"]).run();
        assert!(matches!(output.status, Some(0 | 3)), "{output}");
        output.status == Some(0)
    };
    assert!(process::wait_until(SOON, completed), "{place}: the claim does not expire");
    chunked.orders.assert_complete();
}

/// A run whose inserts wait for an answer is stopped beyond its claim, while another one completes
/// the load with newer attributes.
fn resumed_too_late(place: &str) {
    let chunked = Chunked::start();
    // The server has the rows of the first batch; all others are in the queue.
    chunked.proxy.after_request_with(b"-insert-").stall_at(Direction::ToClient, 0, 1);
    let first = chunked.stalling_tool().args(&["--ledger", place, "--claim-timeout", "3s"]).spawn();
    assert!(process::wait_until(SOON, || chunked.proxy.fired() > 0), "no insert was sent");
    first.signal("STOP");
    chunked.server().query(MOVE);
    completed_elsewhere(&chunked, place);
    let written = chunked.orders.target_rows();

    chunked.proxy.pass();
    first.signal("CONT");
    let output = first.wait().expect(1);
    for words in [
        "this process was taken for dead after ",
        " s without a confirmed heartbeat, and its work was taken over by process ",
        "hint: the other process does the rest; this process dropped the rows that it had queued",
    ] {
        assert!(output.stderr.contains(words), "{place}: {words}\n{output}");
    }
    assert!(!output.stderr.contains("run the same command again"), "{output}");
    chunked.orders.assert_complete();
    // Merges may take rows away, but nothing adds any.
    assert!(chunked.orders.target_rows() <= written, "{place}: rows were inserted");
}

#[test]
#[ignore = "slow: about 12 s"]
fn a_run_that_was_stopped_beyond_its_claim_inserts_nothing_of_its_queue() {
    resumed_too_late("tables");
}

#[test]
#[ignore = "slow: about 9 s"]
fn the_same_with_a_ledger_in_files() {
    let folder = tempfile::tempdir().unwrap();
    resumed_too_late(&format!("file:{}", folder.path().display()));
}

/// The rows of an insert that is half sent must not come after those of the process that takes over.
#[test]
#[ignore = "slow: the server waits 30 s for the rest of an insert"]
fn an_insert_that_was_half_sent_is_killed_before_another_process_writes() {
    let chunked = Chunked::start();
    chunked.proxy.after_request_with(b"-insert-").stall_at(Direction::ToServer, 200_000, 1);
    let first = chunked.stalling_tool().args(&["--claim-timeout", "3s"]).spawn();
    assert!(process::wait_until(SOON, || chunked.proxy.fired() > 0), "no insert was sent");
    first.signal("STOP");
    let claim = chunked.server().text("SELECT claim_id FROM load_claims FINAL");
    let left = format!(
        "SELECT count() FROM system.processes WHERE position(query_id, '-{claim}-insert-') > 0"
    );
    let waits = || chunked.server().text(&left) == "1";
    assert!(process::wait_until(SOON, waits), "the server does not wait for the rest");
    chunked.server().query(MOVE);
    completed_elsewhere(&chunked, "tables");
    assert_eq!(chunked.server().text(&left), "0", "it is waited for");
    chunked.proxy.pass();
    first.signal("CONT");
    first.wait().expect(1);
    chunked.orders.assert_complete();
}

/// Within its claim, a run that was stopped goes on.
#[test]
#[ignore = "slow: about 11 s"]
fn a_run_that_was_stopped_for_a_shorter_time_goes_on() {
    let chunked = Chunked::start();
    chunked.proxy.after_request_with(b"-insert-").stall_at(Direction::ToClient, 0, 1);
    let run = chunked.stalling_tool().args(&["--claim-timeout", "3s"]).spawn();
    assert!(process::wait_until(SOON, || chunked.proxy.fired() > 0), "no insert was sent");
    // Longer than the lease: it must find out that no other process has come.
    run.signal("STOP");
    std::thread::sleep(Duration::from_secs(4));
    run.signal("CONT");
    chunked.proxy.pass();
    run.wait().expect(0);
    chunked.assert_completed();
}

/// A heartbeat that takes longer than a claim lasts does not count where another one has won
/// meanwhile.
#[test]
fn of_a_slow_heartbeat_and_a_claim_that_was_made_meanwhile_the_claim_wins() {
    let server = Server::shared();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ledger = ledger(&server);
    runtime.block_on(ledger.create()).unwrap();
    server.query("ALTER TABLE load_claims ADD COLUMN slow UInt8");
    let soon =
        ClaimOptions { part: WorkerPart::WHOLE, timeout: Duration::from_secs(1), patience: SOON };
    // On a machine on which the claim is slower than the heartbeat, a slower one is tried.
    let raced = [2, 6, 16].into_iter().zip(0..).any(|(terms, round)| {
        let key = key(round);
        let first = runtime.block_on(ledger.claim(&key, "first", soon)).unwrap();
        // The row has its time at once, and is there when the claim has expired.
        // Equal terms would be computed once, and none may take more than 3 s.
        let terms = (0..terms).map(|term| format!("sleepEachRow(2.{})", 95 - term));
        delay(&server, &terms.collect::<Vec<_>>().join(" + "));
        let beating = runtime.spawn(async move {
            let beaten = first.beat().await;
            (first, beaten)
        });
        let begun = "SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO%load_claims%' AND current_database = currentDatabase()";
        let has_begun = || beating.is_finished() || server.text(begun) == "1";
        assert!(process::wait_until(SOON, has_begun), "no heartbeat is written");
        delay(&server, "0");
        let (mut second, mut claimed_at) = (None, Instant::now());
        let won = process::wait_until(SOON, || {
            claimed_at = Instant::now();
            second = runtime.block_on(ledger.claim(&key, "second", soon)).ok();
            second.is_some()
        });
        assert!(won, "the claim does not expire");
        let second = second.unwrap();
        if beating.is_finished() {
            return false;
        }
        let beat = async || second.beat().await.is_ok();
        let Some((first, beaten)) = runtime.block_on(kept_alive(beat, claimed_at, beating))
        else {
            return false;
        };
        let lost = |beaten: &Result<(), LedgerError>| matches!(beaten, Err(LedgerError::ClaimLost { by: Some(by), silence: Some(_) }) if by.claim.claim_id == "second");
        assert!(lost(&beaten), "{beaten:?}");
        // The server may have judged the heartbeat to be in time: whoever won keeps on.
        runtime.block_on(second.beat()).unwrap();
        runtime.block_on(second.end_dead_claims(SOON)).unwrap();
        assert!(lost(&runtime.block_on(first.beat())));
        runtime.block_on(second.release()).unwrap();
        true
    });
    assert!(raced, "the claim was slower than the heartbeat each time");
}

/// Lets the holder of a claim live until another task has ended; `None` where the machine is so slow
/// that the claim may have expired meanwhile.
async fn kept_alive<T>(
    beat: impl AsyncFn() -> bool,
    mut confirmed_at: Instant,
    mut other: JoinHandle<T>,
) -> Option<T> {
    let mut is_late = false;
    loop {
        let sent_at = Instant::now();
        is_late |= !beat().await;
        let ended = timeout(Duration::from_millis(200), &mut other).await;
        is_late |= confirmed_at.elapsed() > Duration::from_secs(2);
        confirmed_at = sent_at;
        if let Ok(ended) = ended {
            return (!is_late).then(|| ended.unwrap());
        }
    }
}
