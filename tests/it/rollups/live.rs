//! Roll-ups that a view fills while their partitions are replaced.
// A test fails by a panic.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::fixture::{COST, Rollup, plan, tool};
use super::run::{left_behind, run};
use crate::faults::fixture::held_at;
use crate::preflight::fixture::look;
use crate::support::{Direction, Proxy, Server};

/// Raw rows from before the view, of which the roll-up has none.
fn prepared(rollup: &Rollup, rows: u64) -> Server {
    let server = Server::shared();
    rollup.create_raw(&server);
    rollup.create_hourly(&server);
    rollup.insert(&server, 3, rows);
    rollup.create_view(&server);
    server
}

/// Does something while writers insert, each `percent` of its inserts into the month that is filled and
/// the others into the next one. Returns the inserts into that month. None fails.
pub fn while_writers_write<T>(
    server: &Server,
    rollup: &Rollup,
    percent: u64,
    act: impl FnOnce() -> T,
) -> (T, u64) {
    let (ends, late) = (AtomicBool::new(false), AtomicU64::new(0));
    let write = |writer: u64| {
        let mut number = writer;
        while !ends.load(Ordering::Relaxed) {
            number += 37;
            let is_late = number % 100 < percent;
            rollup.write(server, if is_late { 10 } else { 11 }, 100).unwrap();
            late.fetch_add(u64::from(is_late), Ordering::Relaxed);
            thread::sleep(Duration::from_millis(20));
        }
    };
    let done = thread::scope(|scope| {
        let writers = [0, 50].map(|writer| scope.spawn(move || write(writer)));
        thread::sleep(Duration::from_millis(200));
        let done = act();
        thread::sleep(Duration::from_millis(200));
        ends.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().unwrap();
        }
        done
    });
    (done, late.into_inner())
}

#[test]
fn rows_of_writers_that_never_pause_are_published_once() {
    rows_that_come_in_are_published_once(100);
}

#[test]
#[ignore = "slow: about 15 s"]
fn rows_that_come_in_meanwhile_are_published_once() {
    for percent in [0, 10, 30] {
        rows_that_come_in_are_published_once(percent);
    }
}

fn rows_that_come_in_are_published_once(percent: u64) {
    let server = prepared(&COST, 1_000);
    let (output, late) = while_writers_write(&server, &COST, percent, || run(&server, &COST).run());
    let output = output.expect(0);
    assert!(late > 0 || percent == 0);
    assert_eq!(COST.differences(&server), [0; 3], "{percent} %\n{output}");
    assert_eq!(left_behind(&server, &COST), "[]", "{output}");
    // The view has gone on.
    COST.write(&server, 10, 100).unwrap();
    assert_eq!(COST.differences(&server), [0; 3], "{percent} %");
}

/// Kills a run whose statement of this label has not arrived, or is not answered, and runs again, while
/// writers write.
#[track_caller]
fn killed_at(label: &str, direction: Direction) {
    let server = prepared(&COST, 500);
    let proxy = Proxy::start(server.port());
    let (output, late) = while_writers_write(&server, &COST, 50, || {
        let running = held_at(&proxy, label, direction, run(&server, &COST));
        running.signal("KILL");
        running.wait();
        run(&server, &COST).run()
    });
    let output = output.expect(0);
    assert!(late > 0);
    assert_eq!(COST.differences(&server), [0; 3], "{label} {direction:?}\n{output}");
    assert_eq!(left_behind(&server, &COST), "[]", "{label} {direction:?}\n{output}");
}

#[test]
#[ignore = "slow: about 9 s"]
fn a_run_that_is_killed_at_the_cut_cuts_again() {
    killed_at("-attach-", Direction::ToClient);
}

#[test]
#[ignore = "slow: about 10 s"]
fn a_run_that_is_killed_when_the_partition_is_replaced_replaces_it_again() {
    killed_at("-replace-", Direction::ToClient);
}

#[test]
#[ignore = "slow: about 22 s"]
fn a_run_that_is_killed_before_its_chunks_ends_right() {
    for label in ["-create-", "-pause-close-", "-pause-drain-", "-alive-"] {
        killed_at(label, Direction::ToServer);
    }
}

#[test]
#[ignore = "slow: about 22 s"]
fn a_run_that_is_killed_after_its_first_chunk_ends_right() {
    for label in ["-chunk2-", "-replace-"] {
        killed_at(label, Direction::ToServer);
    }
    for label in ["-counts-", "-drop-"] {
        killed_at(label, Direction::ToClient);
    }
}

#[test]
fn a_killed_run_goes_on_after_a_rollback_that_has_nothing_to_put_back() {
    let server = prepared(&COST, 500);
    let proxy = Proxy::start(server.port());
    let running = held_at(&proxy, "-replace-", Direction::ToServer, run(&server, &COST));
    running.signal("KILL");
    running.wait();
    let refused = tool(&server, "rollback", &COST.job_file()).arg("--yes").run().expect(3);
    assert!(refused.stderr.contains("`history` lists the versions"), "{refused}");
    let output = run(&server, &COST).run().expect(0);
    assert!(output.stderr.contains("resumed     "), "{output}");
    assert_eq!(COST.differences(&server), [0; 3], "{output}");
    assert_eq!(left_behind(&server, &COST), "[]", "{output}");
}

#[test]
#[ignore = "slow: about 7 s"]
fn groups_before_the_horizon_keep_the_rows_that_come_in_meanwhile() {
    let server = Server::shared();
    server.query(
        "CREATE TABLE raw (t DateTime('UTC'), k UInt8, v UInt64) ENGINE = MergeTree PARTITION BY tuple() ORDER BY (k, t) TTL t + INTERVAL 10 DAY SETTINGS index_granularity = 64",
    );
    server.query(
        "CREATE TABLE rollup (hour DateTime('UTC'), k UInt8, v SimpleAggregateFunction(sum, UInt64), n SimpleAggregateFunction(sum, UInt64))
        ENGINE = AggregatingMergeTree PARTITION BY tuple() ORDER BY (k, hour)",
    );
    // 100 hours of which the raw rows are gone, and 100 of which they are there.
    server.query("INSERT INTO rollup SELECT toStartOfHour(now('UTC')) - 86400 * 30 + 3600 * number, 1, 7, 2 FROM numbers(100)");
    server.query("INSERT INTO raw SELECT toStartOfHour(now('UTC')) - 3600 * (1 + number % 100), number % 8, number FROM numbers(5000)");
    server.query(
        "CREATE MATERIALIZED VIEW rollup_mv TO rollup AS SELECT toStartOfHour(t) AS hour, k, sum(v) AS v, count() AS n FROM raw GROUP BY hour, k",
    );
    let ends = AtomicBool::new(false);
    let (output, old) = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut old = 0;
            while !ends.load(Ordering::Relaxed) {
                // A row that is older than the TTL, and one that is not.
                server.query("INSERT INTO raw SELECT toStartOfHour(now('UTC')) - if(number = 0, 86400 * 29, 3600), 1, 5 FROM numbers(2)");
                old += 1;
                thread::sleep(Duration::from_millis(20));
            }
            old
        });
        thread::sleep(Duration::from_millis(200));
        let output = crate::support::binary()
            .file("job.toml", super::run::TTL_JOB)
            .envs(&server.environment())
            .args(&["run", "--job", "job.toml", "--partition", "id:all", "--engine", "server"])
            .run();
        ends.store(true, Ordering::Relaxed);
        (output, writer.join().unwrap())
    });
    let output = output.expect(0);
    let old: u64 = old;
    let before = "SELECT sum(n) FROM rollup WHERE hour < now('UTC') - INTERVAL 20 DAY";
    assert_eq!(server.text(before), (200 + old).to_string(), "{output}");
    let differing = "SELECT countIf(n != m) FROM (SELECT hour, k, sum(a) AS n, sum(b) AS m FROM (
            SELECT toStartOfHour(t) AS hour, k, 1 AS a, 0 AS b FROM raw
            UNION ALL SELECT hour, k, 0, n FROM rollup
        ) WHERE hour > now('UTC') - INTERVAL 7 DAY GROUP BY hour, k)";
    assert_eq!(server.text(differing), "0", "{output}");
    let left = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND (name LIKE 'rollup\\_%' OR name LIKE 'raw\\_%')";
    assert_eq!(server.text(left), "1", "{output}");
}

#[test]
fn plan_and_status_tell_what_becomes_of_rows_that_come_in_meanwhile() {
    let server = prepared(&COST, 500);
    let looked = look(plan(&server, &COST.job_file()), 0);
    looked.assert(
        "publish",
        "ok",
        &[
            "cost_metrics_hourly_mv writes into",
            "are caught in",
            "cost_metrics_hourly_late_RUN",
            "are paused twice, for 10 s at most",
        ],
    );
    looked.assert("view-query", "ok", &["as the job does"]);
    let (output, _) = while_writers_write(&server, &COST, 100, || run(&server, &COST).run());
    output.expect(0);
    let status = tool(&server, "status", &COST.job_file()).run().expect(0);
    let words = status.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("late rows caught in 1 replacement, writers paused for"), "{status}");
}
