//! What lies between the two ends, where one is set up in another way.

use crate::orders::{JOB, Orders};
use crate::preflight::fixture::{look, tool, tool_with};
use crate::support::{Server, ServerOptions};

#[test]
fn ends_in_different_time_zones_are_said() {
    let orders = Orders::on(Server::shared(), 100);
    look(tool(&orders), 0).assert("time-zones", "ok", &["on both servers"]);
    let job = format!("{JOB}\n[settings.insert]\nsession_timezone = \"Asia/Kathmandu\"\n");
    look(tool_with(&orders, &job), 0).assert(
        "time-zones",
        "warning",
        &["the target server Asia/Kathmandu"],
    );
    // A profile moves no times: statements set the zone back to the server's.
    let users = "<clickhouse><profiles><default><session_timezone>Europe/Berlin</session_timezone></default></profiles></clickhouse>";
    let other = Server::isolated_with(ServerOptions {
        users_xml: Some(users.to_owned()),
        ..Default::default()
    });
    let create = orders
        .server
        .text("SHOW CREATE TABLE shipments FORMAT TSVRaw")
        .replace(&format!("{}.shipments", orders.server.database()), "shipments");
    other.query(&create);
    let apart = tool(&orders)
        .envs(&other.environment())
        .env("SOURCE_URL", orders.server.url())
        .env("SOURCE_DB", orders.server.database());
    let looked = look(
        apart
            .env("SOURCE_USER", orders.server.user())
            .env("SOURCE_PASSWORD", orders.server.password()),
        0,
    );
    looked.assert("time-zones", "ok", &["on both servers"]);
    assert_eq!(looked.plan["servers"]["one"], false);
}

#[test]
fn writes_are_seen_in_the_log_of_parts_as_well() {
    let config = "<clickhouse><part_log><database>system</database><table>part_log</table></part_log></clickhouse>";
    let orders = Orders::on(
        Server::isolated_with(ServerOptions {
            config_xml: Some(config.to_owned()),
            ..Default::default()
        }),
        100,
    );
    let server = &orders.server;
    server.query("SYSTEM FLUSH LOGS");
    let before = look(tool(&orders), 0);
    before.assert("live-writes", "warning", &["2 inserts of 110 rows"]);
    // The parts themselves are gone, and what this program inserts is no live write.
    server.query("OPTIMIZE TABLE orders FINAL");
    server.query_with(
        "INSERT INTO orders SELECT * FROM orders LIMIT 1",
        &[("query_id", "clickhouse-backfill-of-another-run-insert-1")],
    );
    server.query("SYSTEM FLUSH LOGS");
    look(tool(&orders), 0).assert("live-writes", "warning", &["2 inserts of 110 rows"]);
}
