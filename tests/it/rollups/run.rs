//! Filling roll-ups by replacing their partitions.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::{Value, json};

use super::fixture::{COST, ROLLUPS, Rollup, by_the_server, tool};
use super::live::while_writers_write;
use crate::faults::fixture::held_at;
use crate::preflight::fixture::look;
use crate::support::{Binary, Direction, Proxy, Server, assert_text_snapshot};

/// `run` of a roll-up in chunks of about 500 rows.
pub fn run(server: &Server, rollup: &Rollup) -> Binary {
    by_the_server(tool(server, "run", &rollup.job_file()))
}

/// Tables beside the roll-up.
pub fn left_behind(server: &Server, rollup: &Rollup) -> String {
    server.text(&format!(
        "SELECT groupArray(name) FROM system.tables WHERE database = currentDatabase() AND name != '{0}_mv' AND (startsWith(name, '{0}_') OR startsWith(name, '{1}_'))",
        rollup.hourly, rollup.raw
    ))
}

#[test]
fn a_run_another_and_a_restart_give_the_direct_aggregation() {
    let server = Server::shared();
    for rollup in ROLLUPS {
        rollup.create_raw(&server);
        rollup.create_hourly(&server);
        rollup.insert(&server, 3, 500);
        // What stood there before is replaced, and other months stay.
        server.query(&format!(
            "INSERT INTO {0} (hour) VALUES ('2026-10-05 00:00:00'), ('2026-09-01 00:00:00')",
            rollup.hourly
        ));
        let output = run(&server, &rollup).run().expect(0);
        assert_eq!(rollup.differences(&server), [0; 3], "{}\n{output}", rollup.hourly);
        let output = run(&server, &rollup).run().expect(0);
        assert!(output.stderr.contains("there is nothing to do"), "{output}");
        let output = run(&server, &rollup).arg("--restart").run().expect(0);
        assert_eq!(rollup.differences(&server), [0; 3], "{}\n{output}", rollup.hourly);
        server.query(&format!("OPTIMIZE TABLE {} FINAL", rollup.hourly));
        assert_eq!(rollup.differences(&server), [0; 3], "{}", rollup.hourly);
        let september = server
            .text(&format!("SELECT count() FROM {} WHERE toYYYYMM(hour) = 202609", rollup.hourly));
        assert_eq!(september, "1");
        assert_eq!(left_behind(&server, &rollup), "[]");
        tool(&server, "verify", &rollup.job_file()).run().expect(0);
    }
}

#[test]
#[ignore = "slow: about 8 s"]
fn a_roll_up_of_a_snapshot_is_of_the_moment_at_which_it_was_made() {
    let server = Server::shared();
    COST.create_raw(&server);
    COST.create_hourly(&server);
    COST.insert(&server, 3, 500);
    let job = COST.job_file().replace("\n\n[target]", "\nsnapshot = true\n\n[target]");
    let run = || by_the_server(tool(&server, "run", &job));
    let proxy = Proxy::start(server.port());
    let running = held_at(&proxy, "-chunk2-", Direction::ToServer, run());
    COST.write(&server, 10, 100).unwrap();
    server.query("ALTER TABLE cost_metrics_ts DELETE WHERE cityHash64(timestamp) % 3 = 0 SETTINGS mutations_sync = 2");
    running.signal("KILL");
    running.wait();
    let output = run().run().expect(0);
    let rows = "SELECT sum(sample_count) FROM cost_metrics_hourly WHERE toYYYYMM(hour) = 202610";
    assert_eq!(server.text(rows), "1500", "{output}");
    assert_eq!(left_behind(&server, &COST), "[]", "{output}");
    // The copy of a load with live writers is followed by what they write.
    COST.create_view(&server);
    let (output, late) = while_writers_write(&server, &COST, 100, || run().arg("--restart").run());
    let output = output.expect(0);
    assert!(late > 0);
    assert_eq!(COST.differences(&server), [0; 3], "{output}");
    assert_eq!(left_behind(&server, &COST), "[]", "{output}");
}

#[test]
fn groups_that_chunks_cut_are_merged() {
    let server = Server::shared();
    server.query(
        "CREATE TABLE cost_metrics_ts (timestamp DateTime('UTC'), customer_id UUID, cloud_provider String, service_name String, cost_per_hour Float64,
            utilization_percent Float32) ENGINE = MergeTree PARTITION BY toYYYYMM(timestamp) ORDER BY timestamp SETTINGS index_granularity = 64",
    );
    COST.create_hourly(&server);
    server.query(
        "INSERT INTO cost_metrics_ts SELECT toDateTime('2026-10-01 00:00:00', 'UTC') + number, toUUID('00000000-0000-0000-0000-000000000001'), 'aws',
            toString(number % 3), number / 7, number % 101 FROM numbers(5000)",
    );
    let output = run(&server, &COST).run().expect(0);
    let rows = server.text(
        "SELECT count() > uniqExact(hour, service_name) OR count() = 6 FROM cost_metrics_hourly",
    );
    assert_eq!(rows, "1", "{output}");
    assert_eq!(COST.differences(&server), [0; 3], "{output}");
}

#[test]
#[ignore = "slow: about 8 s"]
fn a_repair_builds_the_partition_again() {
    let server = Server::shared();
    COST.create_raw(&server);
    COST.create_hourly(&server);
    COST.insert(&server, 3, 1_500);
    run(&server, &COST).run().expect(0);
    server.query("INSERT INTO cost_metrics_hourly SELECT * FROM cost_metrics_hourly WHERE toYYYYMM(hour) = 202610 ORDER BY customer_id, cloud_provider, service_name, hour LIMIT 1");
    assert_eq!(COST.differences(&server), [0, 1, 0]);
    let output = tool(&server, "verify", &COST.job_file()).run().expect(4);
    assert!(output.stderr.contains("clickhouse-backfill repair"), "{output}");
    let repair = by_the_server(tool(&server, "repair", &COST.job_file())).arg("--json");
    let output = repair.run().expect(0);
    let repaired: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(repaired["before"]["differences"], json!({"differing": 1}), "{output}");
    assert_eq!(repaired["after"]["equal"], json!(true), "{output}");
    assert_eq!(COST.differences(&server), [0; 3], "{output}");
    tool(&server, "verify", &COST.job_file()).run().expect(0);
    let again = by_the_server(tool(&server, "repair", &COST.job_file())).arg("--json");
    let output = again.run().expect(0);
    let repaired: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(repaired["after"], Value::Null, "{output}");
    assert_eq!(left_behind(&server, &COST), "[]");
}

/// Hours of two months until now, of which a roll-up has all and the raw table those of the last days.
fn with_a_ttl(server: &Server) {
    server.query(
        "CREATE TABLE raw (t DateTime('UTC'), k UInt8, v UInt64) ENGINE = MergeTree PARTITION BY tuple() ORDER BY (k, t) SETTINGS index_granularity = 64",
    );
    server.query(
        "CREATE TABLE rollup (hour DateTime('UTC'), k UInt8, v SimpleAggregateFunction(sum, UInt64), n SimpleAggregateFunction(sum, UInt64))
        ENGINE = AggregatingMergeTree PARTITION BY tuple() ORDER BY (k, hour)",
    );
    // 10,000 groups of two rows: 1,250 hours of 8 keys, until an hour ago.
    server.query(
        "INSERT INTO raw SELECT toStartOfHour(now('UTC')) - 3600 * (1 + intDiv(number, 16)) + number % 2, intDiv(number, 2) % 8, number FROM numbers(20000)",
    );
    server.query(
        "INSERT INTO rollup SELECT toStartOfHour(t), k, sum(v), count() FROM raw GROUP BY ALL",
    );
    server.query("CREATE TABLE expected AS rollup");
    server.query("INSERT INTO expected SELECT * FROM rollup");
    server.query(
        "ALTER TABLE raw MODIFY TTL t + INTERVAL 10 DAY SETTINGS materialize_ttl_after_modify = 0",
    );
    server.query("OPTIMIZE TABLE raw FINAL");
}

pub const TTL_JOB: &str = "name = 'rollup'\n[source]\ntable = 'raw'\n[target]\ntable = 'rollup'\npublish = 'replace'\n[group]\nhour = 'toStartOfHour(source.t)'\nk = 'source.k'\n[columns]\nv = 'sum(source.v)'\nn = 'count()'\n";

#[test]
fn groups_before_the_horizon_of_the_ttl_keep_what_the_target_has() {
    let server = Server::shared();
    with_a_ttl(&server);
    let left: u64 = server.text("SELECT uniqExact(toStartOfHour(t), k) FROM raw").parse().unwrap();
    assert!((1_000..3_000).contains(&left), "{left} groups have raw rows");
    // Wrong and missing groups on the near side of the horizon.
    server.query("INSERT INTO rollup SELECT max(hour), 3, 100, 1 FROM rollup");
    server.query("ALTER TABLE rollup DELETE WHERE hour > now('UTC') - INTERVAL 3 DAY AND k = 2 SETTINGS mutations_sync = 2");
    let run = || {
        let tool = crate::support::binary().file("job.toml", TTL_JOB).envs(&server.environment());
        tool.args(&["run", "--job", "job.toml", "--partition", "id:all", "--engine", "server"])
    };
    let plan = crate::support::binary().file("job.toml", TTL_JOB).envs(&server.environment());
    let looked = look(
        plan.args(&[
            "plan",
            "--job",
            "job.toml",
            "--partition",
            "id:all",
            "--engine",
            "server",
            "--measure",
            "0s",
        ]),
        0,
    );
    looked.assert("horizon", "ok", &["of groups whose rows the TTL", "stay as they are"]);
    let output = run().run().expect(0);
    let differing = server.text(
        "SELECT count() FROM (SELECT hour, k, sum(v) AS v, sum(n) AS n FROM rollup GROUP BY hour, k) AS a
        FULL JOIN (SELECT hour, k, sum(v) AS v, sum(n) AS n FROM expected GROUP BY hour, k) AS b USING (hour, k)
        WHERE a.v != b.v OR a.n != b.n",
    );
    assert_eq!(differing, "0", "{output}");
    assert_eq!(server.text("SELECT uniqExact(hour, k) FROM rollup"), "10000", "{output}");
    let verify = crate::support::binary().file("job.toml", TTL_JOB).envs(&server.environment());
    verify.args(&["verify", "--job", "job.toml", "--partition", "id:all"]).run().expect(0);
    let output = run().run().expect(0);
    assert!(output.stderr.contains("there is nothing to do"), "{output}");
}

#[test]
fn groups_that_time_does_not_tell_apart_are_refused_where_the_source_has_a_ttl() {
    let server = Server::shared();
    with_a_ttl(&server);
    server.query(
        "CREATE TABLE by_key (k UInt8, n SimpleAggregateFunction(sum, UInt64)) ENGINE = AggregatingMergeTree ORDER BY k",
    );
    let job = TTL_JOB
        .replace("table = 'rollup'", "table = 'by_key'")
        .replace("hour = 'toStartOfHour(source.t)'\n", "")
        .replace("v = 'sum(source.v)'\n", "");
    let tool = crate::support::binary().file("job.toml", &job).envs(&server.environment());
    let output = tool
        .args(&["run", "--job", "job.toml", "--partition", "id:all", "--engine", "server"])
        .run()
        .expect(3);
    assert_text_snapshot!(output.failure(), @"
    exit code 3
    error: the source table default.raw cannot be used: its TTL removes rows, and no column of [group] is the begin of an interval of t, such as toStartOfHour(source.t): groups that have lost rows cannot be told from whole ones, and replacing their partition would lose them
    ");
    assert_eq!(server.text("SELECT count() FROM by_key"), "0");
}
