//! A target that its user may only read.

use crate::orders::Orders;
use crate::preflight::fixture::{look, tool};
use crate::support::{Server, ServerOptions, assert_text_snapshot};

/// May see all of it, and write nothing.
const READER: &str = "<clickhouse><users><reader><password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>\
    <default_database>default</default_database><grants><query>GRANT SELECT ON *.*</query></grants></reader></users></clickhouse>";

#[test]
fn a_target_that_may_not_be_written_to_forbids_it() {
    let orders = Orders::on(
        Server::isolated_with(ServerOptions {
            users_xml: Some(READER.to_owned()),
            ..Default::default()
        }),
        100,
    );
    look(tool(&orders), 0).assert("insert", "ok", &["the server accepts the insert"]);
    let looked = look(tool(&orders).env("CLICKHOUSE_USER", "reader"), 3);
    looked.assert(
        "insert",
        "blocked",
        &["Not enough privileges", "INSERT", "GRANT INSERT ON `default`.`shipments`"],
    );
    assert_text_snapshot!(looked.output.failure(), @"
    exit code 3
    error: the check insert blocks the run
      because: insert: the server refuses the insert, tested without rows: Code: 497. [WORDS OF THE SERVER] (ACCESS_DENIED)
    hint: correct what the server names, often GRANT INSERT ON `default`.`shipments`
    ");
}
