//! Comparing roll-ups with their raw rows.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::{Value, json};

use super::fixture::{COST, PARTITION, PERFORMANCE, ROLLUPS, Rollup, tool};
use crate::support::shown::from_line;
use crate::support::{Output, Server, assert_text_snapshot};

/// The tables of a roll-up, filled by its view from three inserts.
fn filled(rollup: &Rollup) -> Server {
    let server = Server::shared();
    rollup.create_raw(&server);
    rollup.create_hourly(&server);
    rollup.create_view(&server);
    rollup.insert(&server, 3, 1_500);
    server
}

#[track_caller]
fn verify(server: &Server, rollup: &Rollup, code: i32) -> (Value, Output) {
    let output = tool(server, "verify", &rollup.job_file()).arg("--json").run().expect(code);
    (serde_json::from_str(&output.stdout).unwrap(), output)
}

#[test]
fn what_the_views_have_summed_up_is_equal_before_and_after_merges() {
    for rollup in ROLLUPS {
        let server = filled(&rollup);
        assert_eq!(rollup.differences(&server), [0; 3], "{}", rollup.hourly);
        let (report, output) = verify(&server, &rollup, 0);
        let groups = server.text(&format!(
            "SELECT uniqExact({}) FROM {} WHERE toYYYYMM(hour) = {PARTITION}",
            rollup.keys, rollup.hourly
        ));
        assert_eq!(report["expected_rows"].to_string(), groups, "{output}");
        assert_eq!(report["target_rows"].to_string(), groups, "{output}");
        assert_eq!(report["tolerances"], json!({"floats": 1e-9, "estimates": 0.05}));
        server.query(&format!("OPTIMIZE TABLE {} FINAL", rollup.hourly));
        let rows = server.text(&format!(
            "SELECT count() FROM {} WHERE toYYYYMM(hour) = {PARTITION}",
            rollup.hourly
        ));
        assert_eq!(rows, groups, "merges make one row of a group");
        assert_eq!(rollup.differences(&server), [0; 3], "{}", rollup.hourly);
        verify(&server, &rollup, 0);
    }
}

#[test]
fn a_group_changed_by_one_row_is_named_with_its_hour_and_columns() {
    let server = filled(&COST);
    // One row more than the raw table has, in a group that there is.
    server.query(
        "INSERT INTO cost_metrics_hourly SELECT toDateTime('2026-10-01 00:00:00', 'UTC'), customer_id, cloud_provider, service_name, 1, avgState(toFloat32(200)), 1
        FROM (SELECT * FROM cost_metrics_ts WHERE timestamp >= '2026-10-01 00:00:00' AND timestamp < '2026-10-01 01:00:00' ORDER BY customer_id, cloud_provider, service_name LIMIT 1)
        GROUP BY ALL SETTINGS enable_positional_arguments = 0"
    );
    let (report, output) = verify(&server, &COST, 4);
    assert_eq!(report["differences"], json!({"differing": 1}), "{output}");
    let row = &report["rows"][0];
    assert_eq!(row["key"]["hour"], "2026-10-01 00:00:00", "{output}");
    assert_eq!(row["key"]["customer_id"], "00000000-0000-0000-0000-000000000000", "{output}");
    assert_eq!(row["columns"], json!(["total_cost", "avg_utilization", "sample_count"]));
    let text = tool(&server, "verify", &COST.job_file()).run().expect(4);
    assert_text_snapshot!(from_line(&text.stdout, "expected groups"), @r"
    expected groups                     3,868
    target groups                       3,868
    compared                            counts, integers and texts exactly, floats within 1e-9, estimates such as quantiles within 0.05 (relative)
    differing groups                    1
      differs                           1
    columns that differ                 total_cost, avg_utilization, sample_count

    differs  cloud_provider=aws customer_id=00000000-0000-0000-0000-000000000000 hour='[TIME]' service_name='service 0'  in total_cost, avg_utilization, sample_count
        total_cost
          target    '1' (1 byte)
          expected  '0' (1 byte)
        avg_utilization
          target    '100' (3 bytes)
          expected  '0' (1 byte)
        sample_count
          target    '2' (1 byte)
          expected  '1' (1 byte)

    different ([DURATION])
    ");
}

#[test]
fn groups_that_only_one_side_has_are_missing_or_extra() {
    let server = filled(&PERFORMANCE);
    // Read first: a mutation reads the table of its own condition again for each part, while others have changed.
    let first = server.text(
        "SELECT toString(tuple(toString(hour), toString(customer_id), toString(service_id), service_type)) FROM performance_metrics_hourly
        WHERE toYYYYMM(hour) = 202610 ORDER BY hour, customer_id, service_id, service_type LIMIT 1 FORMAT TSVRaw",
    );
    server.query(&format!(
        "ALTER TABLE performance_metrics_hourly DELETE WHERE (toString(hour), toString(customer_id), toString(service_id), service_type) = {first}
        SETTINGS mutations_sync = 2",
    ));
    server.query(
        "INSERT INTO performance_metrics_hourly (hour, customer_id, service_type, request_count) VALUES ('2026-10-20 05:00:00', generateUUIDv4(), 'unknown', 3)",
    );
    let (report, output) = verify(&server, &PERFORMANCE, 4);
    assert_eq!(report["differences"], json!({"missing": 1, "extra": 1}), "{output}");
    let kinds: Vec<_> = report["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["missing", "extra"], "{output}");
}

#[test]
fn a_difference_beyond_the_tolerance_is_found_and_one_within_is_not() {
    let server = Server::shared();
    server.query("CREATE TABLE raw (t DateTime('UTC'), v Float64, n UInt64) ENGINE = MergeTree PARTITION BY toYYYYMM(t) ORDER BY t");
    server.query("INSERT INTO raw SELECT toDateTime('2026-10-01 00:00:00', 'UTC') + number, 1, 1 FROM numbers(1000)");
    server.query(
        "CREATE TABLE rollup (hour DateTime('UTC'), v SimpleAggregateFunction(sum, Float64), n SimpleAggregateFunction(sum, UInt64))
        ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(hour) ORDER BY hour",
    );
    let job = "name = 'j'\n[source]\ntable = 'raw'\n[target]\ntable = 'rollup'\npublish = 'replace'\n[group]\nhour = 'toStartOfHour(source.t)'\n[columns]\nv = 'sum(source.v)'\nn = 'sum(source.n)'\n";
    let columns = |value: &str, number: u64, code: i32| -> Value {
        server.query("TRUNCATE TABLE rollup");
        server.query(&format!(
            "INSERT INTO rollup VALUES ('2026-10-01 00:00:00', {value}, {number})"
        ));
        let output = tool(&server, "verify", job).arg("--json").run().expect(code);
        let report: Value = serde_json::from_str(&output.stdout).unwrap();
        report["columns"].as_array().unwrap().iter().map(|column| column["name"].clone()).collect()
    };
    assert_eq!(columns("1000.0000005", 1000, 0), json!([]));
    assert_eq!(columns("1000.000002", 1000, 4), json!(["v"]));
    assert_eq!(columns("1000", 1001, 4), json!(["n"]));
    assert_eq!(columns("nan", 1000, 4), json!(["v"]));
}

#[test]
fn a_table_that_merges_nothing_must_have_each_group_once() {
    let server = Server::shared();
    server.query("CREATE TABLE raw (t DateTime('UTC'), k Nullable(String), v Float64) ENGINE = MergeTree PARTITION BY toYYYYMM(t) ORDER BY t");
    server.query("INSERT INTO raw SELECT toDateTime('2026-10-01 00:00:00', 'UTC') + number, if(number % 3 = 0, NULL, 'a'), number FROM numbers(1000)");
    server.query(
        "CREATE TABLE rollup (hour DateTime('UTC'), k Nullable(String), v Float64) ENGINE = MergeTree PARTITION BY toYYYYMM(hour) ORDER BY hour",
    );
    let job = "name = 'j'\n[source]\ntable = 'raw'\n[target]\ntable = 'rollup'\npublish = 'replace'\n[group]\nhour = 'toStartOfHour(source.t)'\nk = 'source.k'\n[columns]\nv = 'avg(source.v)'\n";
    let fill =
        "INSERT INTO rollup SELECT toStartOfHour(t) AS hour, k, avg(v) FROM raw GROUP BY hour, k";
    server.query(fill);
    tool(&server, "verify", job).run().expect(0);
    server.query(fill);
    let output = tool(&server, "verify", job).arg("--json").run().expect(4);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report["differences"], json!({"repeated": 2}), "{output}");
    assert_eq!(report["rows"][1]["key"]["k"], "NULL", "{output}");
}

#[test]
fn a_sample_of_groups_is_refused() {
    let server = filled(&COST);
    let output =
        tool(&server, "verify", &COST.job_file()).args(&["--sample", "1/10"]).run().expect(2);
    assert_text_snapshot!(output.failure(), @"
    exit code 2
    error: --sample compares rows, and the job has [group]
    hint: without --sample all groups are compared
    ");
}
