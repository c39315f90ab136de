//! What is missing between partitions, for a user who may not read `system.parts`.

use crate::history::fixture::Months;
use crate::support::{Server, ServerOptions};

#[test]
fn without_the_right_to_read_parts_the_table_tells_its_partitions() {
    let config = "<clickhouse><access_control_improvements><select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>\
        </access_control_improvements></clickhouse>";
    let users = "<clickhouse><users><looker><password>secret</password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>\
        <grants><query>GRANT SELECT ON default.*</query></grants></looker></users></clickhouse>";
    let options = ServerOptions {
        config_xml: Some(config.to_owned()),
        users_xml: Some(users.to_owned()),
        ..Default::default()
    };
    let months = Months::on(Server::isolated_with(options));
    let as_looker = |command| {
        months.tool(command).env("CLICKHOUSE_USER", "looker").env("CLICKHOUSE_PASSWORD", "secret")
    };
    let listed = as_looker("history").run().expect(0);
    assert_eq!(listed.stdout.lines().nth(1), Some("202503–202506 not started"), "{listed}");
    assert!(!listed.stderr.contains("WARN"), "{listed}");
}
