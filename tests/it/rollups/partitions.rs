//! Groups that several partitions of the source make together.

use super::fixture::plan;
use crate::preflight::fixture::look;
use crate::support::Server;

/// Rows of every hour from August to November, and a roll-up of them by this interval.
fn with(interval: &str, partition_key: &str) -> (Server, String) {
    let server = Server::shared();
    server.query("CREATE TABLE raw (t DateTime('UTC'), c UInt64) ENGINE = MergeTree PARTITION BY toYYYYMM(t) ORDER BY (c, t)");
    server.query("INSERT INTO raw SELECT toDateTime('2026-08-01 00:00:00', 'UTC') + number * 3600, number % 3 FROM numbers(2900)");
    let kind =
        server.text(&format!("SELECT toTypeName({interval}) FROM raw LIMIT 1 FORMAT TSVRaw"));
    server.query(&format!(
        "CREATE TABLE rollup (p {kind}, c UInt64, n SimpleAggregateFunction(sum, UInt64)) ENGINE = AggregatingMergeTree {partition_key} ORDER BY (c, p)"
    ));
    let expression = interval.replace("(t", "(source.t");
    let job = format!(
        "name = 'j'\n[source]\ntable = 'raw'\n[target]\ntable = 'rollup'\npublish = 'replace'\n[group]\np = \"{expression}\"\nc = 'source.c'\n[columns]\nn = 'count()'\n"
    );
    (server, job)
}

#[test]
fn hours_and_days_of_the_months_zone_are_whole() {
    for interval in ["toStartOfHour(t)", "toDate(t)"] {
        let (server, job) = with(interval, "PARTITION BY toYYYYMM(p)");
        look(plan(&server, &job), 0).assert("groups", "ok", &["with no row of another partition"]);
    }
}

#[test]
fn one_statement_replaces_one_partition() {
    let (server, job) = with("toDate(t)", "PARTITION BY p");
    let looked = look(plan(&server, &job), 3);
    looked.assert("groups", "ok", &["more than 10 partitions"]);
    looked.assert("publish", "blocked", &["which no single statement replaces"]);
}

#[test]
fn weeks_that_cross_months_are_refused() {
    // The Monday of the week of 1 October 2026 is 28 September.
    let (server, job) = with("toMonday(t)", "PARTITION BY toYYYYMM(p)");
    look(plan(&server, &job), 3).assert(
        "groups",
        "blocked",
        &[
            "lie in partition 202609, 202610 of",
            "rows of partition 202609, 202611",
            "the partition key toYYYYMM(p)",
            "not weeks",
        ],
    );
}

#[test]
fn hours_of_a_zone_whose_months_begin_elsewhere_are_refused() {
    let (server, job) = with("toStartOfHour(t, 'Asia/Kolkata')", "PARTITION BY toYYYYMM(p)");
    look(plan(&server, &job), 3).assert("groups", "blocked", &["of partition 202609, 202611"]);
}

#[test]
fn a_target_without_partitions_is_refused_unless_the_source_has_one() {
    let (server, job) = with("toStartOfHour(t)", "");
    look(plan(&server, &job), 3).assert("groups", "blocked", &["no partition key"]);
    server.query(
        "ALTER TABLE raw DROP PARTITION 202608, DROP PARTITION 202609, DROP PARTITION 202611",
    );
    look(plan(&server, &job), 0).assert("groups", "ok", &["lie in partition all of"]);
}
