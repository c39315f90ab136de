//! Targets whose rows do not collapse, on servers that die or whose profile forgets blocks.

use crate::faults::fixture::{INSERT, SOON, wait_for_fault};
use crate::faults::repeats::Plain;
use crate::support::{Direction, Output, Server, ServerOptions, process};

#[test]
#[ignore = "slow: about 16 s"]
fn a_server_that_is_killed_during_an_insert_leaves_not_one_row_too_many() {
    let mut plain = Plain::isolated();
    for (direction, offset) in [(Direction::ToServer, 500_000), (Direction::ToClient, 0)] {
        plain.behind.orders.server.query("TRUNCATE TABLE plain");
        let before = plain.behind.proxy.fired();
        plain.behind.proxy.after_request_with(INSERT).stall_at(direction, offset, 1);
        let running = plain.tool().spawn();
        wait_for_fault(&plain.behind.proxy, before);
        plain.behind.orders.server.kill9();
        plain.behind.proxy.pass();
        plain.behind.orders.server.restart();
        let output = running.wait().expect(0);
        plain.assert_exactly_once(&output);
    }
}

/// Profiles in which blocks are not recognized. A block that the target has and one of its views
/// has not is recognized by the one, and still goes to the other.
#[test]
#[ignore = "slow: about 13 s"]
fn profiles_that_forget_blocks_are_not_followed() {
    let settings = ["insert_deduplicate", "deduplicate_blocks_in_dependent_materialized_views"];
    let settings: String = settings.map(|name| format!("<{name}>0</{name}>")).concat();
    let newer = ["deduplicate_insert", "deduplicate_insert_select"]
        .map(|name| format!("<{name}>disable</{name}>"))
        .concat();
    let profile = format!(
        "<clickhouse><profiles><default>{settings}{newer}</default></profiles></clickhouse>"
    );
    let plain = Plain::on(Server::isolated_with(ServerOptions {
        users_xml: Some(profile),
        ..Default::default()
    }));
    let server = &plain.behind.orders.server;
    server.script(
        "CREATE TABLE sums (customer String, orders UInt64) ENGINE = SummingMergeTree ORDER BY customer
             SETTINGS non_replicated_deduplication_window = 1000
         --;;
         CREATE MATERIALIZED VIEW adding TO sums AS SELECT customer, count() AS orders FROM plain GROUP BY customer",
    );
    let assert_sums = |output: &Output| {
        assert_eq!(
            server.text("SELECT sum(orders) FROM sums"),
            plain.count("count()").to_string(),
            "{output}"
        );
    };
    let output = plain
        .survives(|proxy| proxy.after_request_with(INSERT).reset_at(Direction::ToClient, 0, 1));
    assert_sums(&output);

    // A table without room for more parts: the server refuses for now, when the target has the
    // block already.
    server.query("TRUNCATE TABLE plain");
    server.query("TRUNCATE TABLE sums");
    server.query("SYSTEM STOP MERGES sums");
    server.query("ALTER TABLE sums MODIFY SETTING parts_to_throw_insert = 1, parts_to_delay_insert = 1, max_delay_to_insert = 1");
    let running = plain.tool().spawn();
    let refused =
        || server.text("SELECT sum(value) FROM system.errors WHERE name = 'TOO_MANY_PARTS'") != "0";
    assert!(process::wait_until(SOON, refused), "the view was not refused");
    server.query("ALTER TABLE sums RESET SETTING parts_to_throw_insert, parts_to_delay_insert, max_delay_to_insert");
    let output = running.wait().expect(0);
    plain.assert_exactly_once(&output);
    assert_sums(&output);
}
