//! A server whose places for merges are taken.

use std::time::Duration;

use crate::orders::Orders;
use crate::preflight::fixture::{look, tool};
use crate::support::{Server, ServerOptions, process};

/// One place for merges and mutations, and each of them may have it.
const ONE_PLACE: &str = "<clickhouse><background_pool_size>1</background_pool_size>\
    <background_merges_mutations_concurrency_ratio>1</background_merges_mutations_concurrency_ratio>\
    <merge_tree><number_of_free_entries_in_pool_to_execute_mutation>0</number_of_free_entries_in_pool_to_execute_mutation>\
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>0</number_of_free_entries_in_pool_to_lower_max_size_of_merge>\
    <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>0</number_of_free_entries_in_pool_to_execute_optimize_entire_partition></merge_tree></clickhouse>";

/// A mutation may sleep for longer than the 3 s that are usual.
const SLEEPS: &str = "<clickhouse><profiles><default><function_sleep_max_microseconds_per_block>60000000</function_sleep_max_microseconds_per_block>\
    </default></profiles></clickhouse>";

#[test]
fn a_server_without_room_for_merges_is_said() {
    let options = ServerOptions {
        config_xml: Some(ONE_PLACE.to_owned()),
        users_xml: Some(SLEEPS.to_owned()),
        ..Default::default()
    };
    let mut orders = Orders::on(Server::isolated_with(options), 100);
    let server = &orders.server;
    look(tool(&orders), 0).assert("merges", "ok", &["no merge is running in", "of 1 slots"]);
    // It sleeps for each of 50 rows: longer than a plan takes on a busy machine.
    server.query("INSERT INTO shipments (order_id) SELECT number FROM numbers(50)");
    server.query("ALTER TABLE shipments UPDATE note = toString(sleepEachRow(0.6)) WHERE 1 SETTINGS mutations_sync = 0");
    let begun =
        || server.text("SELECT count() FROM system.merges WHERE table = 'shipments'") == "1";
    assert!(process::wait_until(Duration::from_secs(20), begun), "the mutation does not begin");
    let looked = look(tool(&orders), 0);
    looked.assert(
        "merges",
        "warning",
        &[
            "1 merge of ",
            "all 1 slots",
            "SELECT database, table, elapsed, progress FROM system.merges",
        ],
    );
    looked.assert("mutations", "warning", &["default.shipments"]);
    // It would wait for the mutation.
    orders.server.kill9();
}
