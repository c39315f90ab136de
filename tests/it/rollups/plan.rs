//! What `plan` shows of a job with groups.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::json;

use super::fixture::{COST, PARTITION, PERFORMANCE, ROLLUPS, by_the_server, plan, tool};
use crate::preflight::fixture::look;
use crate::support::shown::from_line;
use crate::support::{Server, assert_text_snapshot};

#[test]
fn the_printed_aggregation_gives_what_a_direct_one_gives() {
    let server = Server::shared();
    for rollup in ROLLUPS {
        rollup.create_raw(&server);
        rollup.create_hourly(&server);
        rollup.insert(&server, 3, 1_500);
        let tool = by_the_server(tool(&server, "plan", &rollup.job_file()));
        let output = tool.arg("--sql").run().expect(0);
        let (_, sql) = output.stdout.split_once("-- direct aggregation\n").unwrap();
        let columns =
            rollup.job.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name);
        let columns: Vec<_> = columns.collect();
        let sql = sql.trim().trim_end_matches(';');
        server.query(&format!("INSERT INTO {} ({}) {sql}", rollup.hourly, columns.join(", ")));
        assert_eq!(rollup.differences(&server), [0; 3], "{}\n{sql}", rollup.hourly);
        assert!(output.stdout.contains("-- groups of chunk 1 of "), "{output}");
        assert!(!output.stdout.contains("FORMAT"), "no row passes through the client\n{output}");
    }
}

#[test]
fn groups_chunks_and_the_view_are_shown() {
    let server = Server::shared();
    for rollup in ROLLUPS {
        rollup.create_raw(&server);
        rollup.create_hourly(&server);
        rollup.create_view(&server);
        rollup.insert(&server, 3, 1_500);
        let looked = look(plan(&server, &rollup.job_file()), 0);
        looked.assert("publish", "ok", &["writes into"]);
        let groups = &looked.plan["groups"];
        let (raw, keys) = (rollup.raw, rollup.keys);
        let exact = server.text(&format!(
            "SELECT uniqExact({}) FROM {raw} WHERE toYYYYMM(timestamp) = {PARTITION}",
            keys.replace("hour", "toStartOfHour(timestamp)")
        ));
        assert_eq!(groups["estimated_groups"].to_string(), exact, "{raw}");
        let along: Vec<_> = rollup.raw_key.split(", ").take(2).collect();
        assert_eq!(groups["chunks_along"], json!(along));
        assert_eq!(groups["chunks_cut_groups"], json!(false));
        assert!(looked.plan["chunks"].as_array().unwrap().len() > 3, "{}", looked.output);
        looked.assert("view-query", "ok", &["fills", "as the job does"]);
        looked.assert("groups", "ok", &["lie in partition 202610 of"]);
    }
}

#[test]
fn the_text_has_a_block_of_the_groups() {
    let server = Server::shared();
    COST.create_raw(&server);
    COST.create_hourly(&server);
    COST.insert(&server, 1, 1_500);
    let output = plan(&server, &COST.job_file()).run().expect(0);
    let block = from_line(&output.stdout, "groups");
    let block = block.split("\n\n").next().unwrap();
    assert_text_snapshot!(block, @r"
    groups
      by          hour, customer_id, cloud_provider, service_name
      number      about 1,500 groups
      chunks      cut along customer_id, cloud_provider, so that no chunk cuts a group
    ");
}

#[test]
fn a_view_that_fills_the_target_otherwise_is_named_with_the_column() {
    let server = Server::shared();
    COST.create_raw(&server);
    COST.create_hourly(&server);
    COST.insert(&server, 1, 500);
    server.query(
        "CREATE MATERIALIZED VIEW other TO cost_metrics_hourly AS SELECT toStartOfHour(timestamp) AS hour, customer_id, cloud_provider, service_name,
            sum(cost_per_hour * 2) AS total_cost, avgState(utilization_percent) AS avg_utilization
        FROM cost_metrics_ts WHERE is_spot = 0 GROUP BY hour, customer_id, cloud_provider, service_name",
    );
    let looked = look(plan(&server, &COST.job_file()), 3);
    looked.assert(
        "view-query",
        "blocked",
        &[
            "other: it has a WHERE, and the job has none",
            "total_cost is sum(cost_per_hour * 2) in the view and sum(source.cost_per_hour) in the job",
            "it does not fill sample_count",
        ],
    );
    let (_, said) = looked.check("view-query");
    assert!(!said.contains("avg_utilization"), "{said}");
}

#[test]
fn groups_whose_parts_merge_may_be_cut_by_chunks_and_others_lie_in_one() {
    let server = Server::shared();
    server.query(
        "CREATE TABLE raw (t DateTime('UTC'), c UInt64, v Float64) ENGINE = MergeTree PARTITION BY toYYYYMM(t) ORDER BY t SETTINGS index_granularity = 64",
    );
    server.query("INSERT INTO raw SELECT toDateTime('2026-10-01 00:00:00', 'UTC') + number, number % 10, number FROM numbers(5000)");
    server.query(
        "CREATE TABLE merged (hour DateTime('UTC'), c UInt64, v AggregateFunction(avg, Float64)) ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(hour) ORDER BY (c, hour)",
    );
    server.query("CREATE TABLE plain (hour DateTime('UTC'), c UInt64, v Float64) ENGINE = MergeTree PARTITION BY toYYYYMM(hour) ORDER BY (c, hour)");
    let job = |target: &str, function: &str| {
        format!(
            "name = 'j'\n[source]\ntable = 'raw'\n[target]\ntable = '{target}'\npublish = 'replace'\n[group]\nhour = 'toStartOfHour(source.t)'\nc = 'source.c'\n[columns]\nv = '{function}(source.v)'\n"
        )
    };
    let looked = look(plan(&server, &job("merged", "avgState")), 0);
    assert_eq!(looked.plan["groups"]["chunks_along"], json!(["t"]));
    assert_eq!(looked.plan["groups"]["chunks_cut_groups"], json!(true));
    assert!(looked.plan["chunks"].as_array().unwrap().len() > 3);
    let looked = look(plan(&server, &job("plain", "avg")), 0);
    assert_eq!(looked.plan["chunks"].as_array().unwrap().len(), 1, "{}", looked.output);
    assert_eq!(looked.plan["groups"]["chunks_cut_groups"], json!(false));
}

#[test]
fn only_the_server_engine_makes_groups() {
    let server = Server::shared();
    PERFORMANCE.create_raw(&server);
    PERFORMANCE.create_hourly(&server);
    let plan = || tool(&server, "plan", &PERFORMANCE.job_file());
    let looked = look(plan().args(&["--engine", "auto"]), 0);
    assert_eq!(looked.plan["engine"]["name"], "server");
    let output = plan().args(&["--engine", "stream"]).run();
    assert_text_snapshot!(output.expect(3).failure(), @r"
    exit code 3
    error: performance_metrics_hourly has [group], and the server makes the groups, not rows that pass through this process
    hint: --engine server lets the server aggregate each chunk
    ");
}
