//! `--engine auto` on a server with little memory, and for users without rights.

use serde_json::Value;

use crate::orders::{Orders, PARTITION};
use crate::support::{Server, ServerOptions, binary};

fn plan_of(orders: &Orders, arguments: &[&str]) -> Value {
    let tool = binary().envs(&orders.server.environment()).file("job.toml", crate::orders::JOB);
    let tool = tool.args(&["plan", "--json", "--measure", "0s", "--job", "job.toml"]);
    let tool = tool.args(&["--partition", PARTITION, "--engine", "auto"]);
    serde_json::from_str(&tool.args(arguments).run().expect(0).stdout).unwrap()
}

#[test]
fn auto_streams_where_the_server_has_too_little_memory_for_its_chunks() {
    let config =
        "<clickhouse><max_server_memory_usage>900000000</max_server_memory_usage></clickhouse>";
    let server = Server::isolated_with(ServerOptions {
        config_xml: Some(config.to_owned()),
        ..ServerOptions::default()
    });
    let orders = Orders::on(server, 20_000);
    let plan = plan_of(&orders, &["--inserters", "8"]);
    assert_eq!(plan["engine"]["name"], "stream", "{:#}", plan["engine"]);
    let reason = plan["engine"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("8 chunks at once need about "), "{reason}");
    assert!(reason.contains("more than half of the "), "{reason}");
    assert_eq!(plan["engine"]["other"], Value::Null);
    let plan = plan_of(&orders, &["--inserters", "1", "--batch-size", "1000"]);
    assert_eq!(plan["engine"]["name"], "server", "{:#}", plan["engine"]);
}
