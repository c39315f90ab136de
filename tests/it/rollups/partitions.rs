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
fn days_of_a_month_are_replaced_by_one_statement() {
    let (server, job) = with("toDate(t)", "PARTITION BY p");
    let looked = look(plan(&server, &job), 0);
    looked.assert("groups", "ok", &["more than 10 partitions"]);
    looked.assert("publish", "ok", &["replace 31 partitions (20261001 to 20261031) of"]);
}

#[test]
fn hours_of_a_month_are_too_many() {
    let (server, job) = with("toStartOfHour(t)", "PARTITION BY p");
    look(plan(&server, &job), 3).assert(
        "publish",
        "blocked",
        &["the rows lie in 744 partitions (", "and at most 100 are replaced at once"],
    );
}

#[test]
fn weeks_that_cross_months_are_refused_in_partitions_of_their_own() {
    let (server, job) = with("toMonday(t)", "PARTITION BY p");
    let looked = look(plan(&server, &job), 3);
    looked.assert("groups", "blocked", &["partition 20260928, 20261005,", "not weeks"]);
    let shared = "rows of other partitions of the source lie in its partition 20260928 too";
    looked.assert("publish", "blocked", &[shared]);
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
