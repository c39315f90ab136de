//! Servers of a cluster.

use crate::orders::Orders;
use crate::preflight::fixture::{look, tool};
use crate::support::{Server, ServerOptions};

/// This machine in two clusters, whose other servers are not there.
fn clusters() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let (here, there) = (format!("<host>{}</host>", name.trim()), "<host>192.0.2.1</host>");
    let replica = |host: &str| format!("<replica>{host}<port>9000</port></replica>");
    let (here, there) = (replica(&here), replica(there));
    let local = format!("<shard>{}</shard>", replica("<host>127.0.0.1</host>"));
    format!(
        "<clickhouse><remote_servers><pair><shard>{here}</shard><shard>{there}</shard></pair><twins><shard>{here}{there}</shard></twins>
        <others><shard>{there}</shard><shard>{there}</shard></others><test>{local}{local}</test></remote_servers></clickhouse>"
    )
}

#[test]
fn one_of_several_shards_has_only_its_own_rows() {
    let orders = Orders::on(
        Server::isolated_with(ServerOptions { config_xml: Some(clusters()), ..Default::default() }),
        100,
    );
    let looked = look(tool(&orders), 0);
    looked.assert(
        "cluster",
        "warning",
        &[
            "cluster pair: 2 shards, 2 servers; cluster twins: 1 shard, 2 servers",
            "only the tables of this server",
        ],
    );
    let names = looked.plan["topology"]["clusters"]
        .as_array()
        .map(|clusters| clusters.iter().map(|cluster| cluster["name"].to_string()).collect());
    assert_eq!(names, Some(vec!["\"pair\"".to_owned(), "\"twins\"".to_owned()]));
    let text = tool(&orders).run().expect(0).stdout;
    assert!(
        text.contains("  topology    one server for source and target, ")
            && text.contains("cluster twins: 1 shard, 2 servers"),
        "{text}"
    );
}
