//! A user who may do the work, and see no more of the server: what cannot be checked blocks
//! nothing.

use crate::orders::Orders;
use crate::preflight::fixture::{look, tool};
use crate::support::{Server, ServerOptions};

const CONFIG: &str = "<clickhouse><access_control_improvements><select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>\
    </access_control_improvements></clickhouse>";

#[test]
fn checks_that_need_more_rights_say_which() {
    let grant = |what: &str| format!("<query>GRANT {what}</query>");
    let grants: String = [
        "SELECT ON default.*",
        "INSERT ON default.*",
        "CREATE TABLE ON default.*",
        "TABLE ENGINE ON *",
    ]
    .map(grant)
    .concat();
    let users = format!(
        "<clickhouse><users><poor><password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>\
         <grants>{grants}</grants></poor></users></clickhouse>"
    );
    let options = ServerOptions {
        config_xml: Some(CONFIG.to_owned()),
        users_xml: Some(users),
        ..Default::default()
    };
    let orders = Orders::on(Server::isolated_with(options), 1_000);
    let looked = look(tool(&orders).env("CLICKHOUSE_USER", "poor"), 0);
    for (check, table) in [
        ("views", "merge_tree_settings"),
        ("parts", "parts"),
        ("merges", "merges"),
        ("mutations", "mutations"),
        ("disk", "parts"),
        ("live-writes", "parts"),
        ("cluster", "clusters"),
        ("memory", "server_settings"),
    ] {
        let words = format!(" ON system.{table} TO poor");
        looked.assert(check, "unknown", &["the user poor lacks a grant: GRANT SELECT", &words]);
    }
    for check in ["version", "insert", "repeats", "limits", "replicas", "time-zones"] {
        looked.assert(check, "ok", &[]);
    }
    let run = orders.tool().env("CLICKHOUSE_USER", "poor").run().expect(0);
    assert!(!run.stderr.contains("note: "), "{run}");
    orders.assert_complete();
}
