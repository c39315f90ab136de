//! Roll-ups that are partitioned by day, of raw rows that are partitioned by month.
// A test fails by a panic.
#![allow(clippy::unwrap_used)]

use super::fixture::{COST, plan, tool};
use super::live::while_writers_write;
use super::run::{TTL_JOB, left_behind, run};
use crate::faults::fixture::held_at;
use crate::preflight::fixture::look;
use crate::support::{Binary, Direction, Proxy, Server, binary};

/// Raw rows of 1 and 2 October, of which the roll-up has none.
fn prepared() -> Server {
    let server = Server::shared();
    COST.create_raw(&server);
    COST.create_hourly_by_day(&server);
    COST.insert(&server, 3, 1_000);
    server
}

/// A row of another day, which the view sees if there is one.
fn insert_on(server: &Server, day: u32) {
    server.query(&format!(
        "INSERT INTO cost_metrics_ts SELECT toDateTime('2026-10-{day:02} 07:30:00', 'UTC'), {} FROM (SELECT 1 AS r)",
        COST.values
    ));
}

fn days(server: &Server) -> String {
    server.text("SELECT arraySort(groupUniqArray(toDayOfMonth(hour))) FROM cost_metrics_hourly WHERE toYYYYMM(hour) = 202610")
}

/// Inserts a row of this day when the run sends a statement of this label, and ends the run.
#[track_caller]
fn a_row_that_comes_at(label: &str, day: u32) -> Server {
    let server = prepared();
    COST.create_view(&server);
    let proxy = Proxy::start(server.port());
    let running = held_at(&proxy, label, Direction::ToServer, run(&server, &COST));
    insert_on(&server, day);
    proxy.pass();
    let output = running.wait().expect(0);
    assert_eq!(COST.differences(&server), [0; 3], "{output}");
    assert_eq!(left_behind(&server, &COST), "[]", "{output}");
    server
}

#[test]
#[ignore = "slow: about 7 s"]
fn days_of_the_open_month_are_replaced_while_writers_write() {
    let server = prepared();
    COST.create_view(&server);
    let looked = look(plan(&server, &COST.job_file()), 0);
    looked.assert("publish", "ok", &["replace 2 partitions (20261001 to 20261002) of"]);
    looked.assert("groups", "ok", &["partition 20261001, 20261002 of"]);
    let (output, late) = while_writers_write(&server, &COST, 100, || run(&server, &COST).run());
    let output = output.expect(0);
    assert!(late > 0);
    assert_eq!(COST.differences(&server), [0; 3], "{output}");
    assert_eq!(days(&server), "[1,2,3,4]", "{output}");
    assert_eq!(left_behind(&server, &COST), "[]", "{output}");
    tool(&server, "verify", &COST.job_file()).run().expect(0);
}

#[test]
fn a_day_whose_first_row_comes_before_the_cut_is_replaced_too() {
    let server = a_row_that_comes_at("-create-", 20);
    let status = tool(&server, "status", &COST.job_file()).run().expect(0);
    assert!(status.stdout.contains("3 partitions (20261001 to 20261020)"), "{status}");
}

#[test]
fn a_day_whose_first_row_comes_after_the_cut_is_left_to_the_view() {
    let server = a_row_that_comes_at("-chunk1-", 20);
    let status = tool(&server, "status", &COST.job_file()).run().expect(0);
    assert!(status.stdout.contains("2 partitions (20261001 to 20261002)"), "{status}");
}

#[test]
fn a_statement_that_was_killed_between_two_days_is_completed() {
    let server = prepared();
    // One of the days has rows, the other has none.
    server.query("INSERT INTO cost_metrics_hourly (hour) VALUES ('2026-10-01 00:00:00')");
    let proxy = Proxy::start(server.port());
    let running = held_at(&proxy, "-replace-", Direction::ToServer, run(&server, &COST));
    running.signal("KILL");
    running.wait();
    let built = server.text("SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE 'cost_metrics_hourly_publish_%'");
    server.query(&format!(
        "ALTER TABLE cost_metrics_hourly REPLACE PARTITION ID '20261001' FROM {built}"
    ));
    assert_eq!(days(&server), "[1]");
    let output = run(&server, &COST).run().expect(0);
    assert_eq!(COST.differences(&server), [0; 3], "{output}");
    assert_eq!(left_behind(&server, &COST), "[]", "{output}");
}

#[test]
fn what_stood_in_the_days_is_put_back() {
    let server = prepared();
    // Of the second day there are no raw rows.
    server.query("INSERT INTO cost_metrics_hourly (hour) VALUES ('2026-10-01 00:00:00'), ('2026-10-15 00:00:00')");
    let job = COST.job_file().replace("\"replace\"", "\"replace\"\nkeep_versions = 1");
    let with = |tool: Binary| tool.file("job.toml", &job);
    let output = with(run(&server, &COST)).run().expect(0);
    assert_eq!(days(&server), "[1,2,15]", "{output}");
    // One group of the 15th, which no job makes.
    assert_eq!(COST.differences(&server), [1, 0, 0], "{output}");
    let output = tool(&server, "rollback", &job).arg("--yes").run().expect(0);
    assert!(
        output.stdout.starts_with("rolled back: 2 partitions (20261001 to 20261002) of"),
        "{output}"
    );
    assert_eq!(days(&server), "[1,15]", "{output}");
    let rows = "SELECT count(), sum(sample_count) FROM cost_metrics_hourly FORMAT TSV";
    assert_eq!(server.text(rows), "2\t0", "{output}");
    assert_eq!(left_behind(&server, &COST), "[]", "{output}");
}

#[test]
fn a_day_whose_raw_rows_are_gone_is_emptied_by_the_next_version() {
    let server = prepared();
    run(&server, &COST).run().expect(0);
    assert_eq!(days(&server), "[1,2]");
    // What the job has never made stays.
    server.query("INSERT INTO cost_metrics_hourly (hour) VALUES ('2026-10-15 00:00:00')");
    server.query("ALTER TABLE cost_metrics_ts DELETE WHERE toDayOfMonth(timestamp) = 2 SETTINGS mutations_sync = 2");
    tool(&server, "verify", &COST.job_file()).run().expect(4);
    let output = run(&server, &COST).arg("--restart").run().expect(0);
    assert_eq!(days(&server), "[1,15]", "{output}");
    tool(&server, "verify", &COST.job_file()).run().expect(0);
    assert_eq!(left_behind(&server, &COST), "[]", "{output}");
}

#[test]
fn days_before_the_horizon_keep_what_they_have() {
    let server = Server::shared();
    server.query(
        "CREATE TABLE raw (t DateTime('UTC'), k UInt8, v UInt64) ENGINE = MergeTree PARTITION BY tuple() ORDER BY (k, t) TTL t + INTERVAL 10 DAY SETTINGS index_granularity = 64",
    );
    server.query(
        "CREATE TABLE rollup (hour DateTime('UTC'), k UInt8, v SimpleAggregateFunction(sum, UInt64), n SimpleAggregateFunction(sum, UInt64))
        ENGINE = AggregatingMergeTree PARTITION BY toYYYYMMDD(hour) ORDER BY (k, hour)",
    );
    // A row a group is left, of 7 that the roll-up stands for; of the newest days there are all.
    server.query("INSERT INTO rollup SELECT toStartOfHour(now('UTC')) - 3600 * number, 1, 7, 7 FROM numbers(24 * 12)");
    server.query("INSERT INTO raw SELECT toStartOfHour(now('UTC')) - 3600 * number, 1, 1 FROM numbers(24 * 9 + 20)");
    let output = binary()
        .file("job.toml", TTL_JOB)
        .envs(&server.environment())
        .args(&["run", "--job", "job.toml", "--partition", "id:all", "--engine", "server"])
        .run()
        .expect(0);
    let of = |condition: &str| {
        server.text(&format!(
            "SELECT count(), uniqExact(n), any(n) FROM rollup WHERE {condition} FORMAT TSV"
        ))
    };
    assert!(of("hour >= toStartOfHour(now('UTC')) - 86400 * 7").ends_with("\t1\t1"), "{output}");
    assert!(
        of("hour < toStartOfHour(now('UTC')) - 86400 * 9 - 3600").ends_with("\t1\t7"),
        "{output}"
    );
    assert_eq!(
        server.text("SELECT uniqExact(hour), count() FROM rollup FORMAT TSV"),
        "288\t288",
        "{output}"
    );
}
