//! Users with the rights that docs/reference/grants.md lists for replacing partitions and for snapshots, and a
//! snapshot on a server of its own.

use std::path::Path;

use crate::publish::snapshot::{JOB_OF_ORDERS, MEANWHILE, ORDERS};
use crate::rollups::fixture::{COST, by_the_server};
use crate::rollups::run::left_behind;
use crate::support::{Binary, Server, ServerOptions, assert_text_snapshot, binary};

/// As the packages of ClickHouse configure it.
const CONFIG: &str = "<clickhouse><access_control_improvements><select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>\
    <table_engines_require_grant>true</table_engines_require_grant></access_control_improvements></clickhouse>";

/// The grants of the user `publisher` of that page, for the roll-up.
fn grants() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/grants.md");
    let page = std::fs::read_to_string(page).unwrap();
    let grants = page.lines().filter_map(|line| {
        let grant = line.trim().strip_prefix("GRANT ")?.strip_suffix(" TO publisher;")?;
        Some(grant.replace("default.sales", COST.hourly).replace("default.raw", COST.raw))
    });
    grants.map(|grant| grant.replace("ON cost", "ON default.cost")).collect()
}

/// A user with each of these lists of grants.
fn server(users: &[(String, Vec<String>)]) -> Server {
    let user = |(name, grants): &(String, Vec<String>)| {
        let granted = grants.iter().map(|grant| format!("<query>GRANT {grant}</query>"));
        let granted = granted.collect::<Vec<_>>().concat();
        format!(
            "<{name}><password>secret</password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota><grants>{granted}</grants></{name}>"
        )
    };
    let users = users.iter().map(user).collect::<Vec<_>>().concat();
    let server = Server::isolated_with(ServerOptions {
        config_xml: Some(CONFIG.to_owned()),
        users_xml: Some(format!("<clickhouse><users>{users}</users></clickhouse>")),
        ..Default::default()
    });
    COST.create_raw(&server);
    COST.create_hourly(&server);
    COST.insert(&server, 2, 500);
    COST.create_view(&server);
    server
}

fn tool(server: &Server, user: &str, command: &str, job: &str) -> Binary {
    let tool = binary().file("job.toml", job).env("CLICKHOUSE_URL", server.url());
    let tool = tool.env("CLICKHOUSE_USER", user).env("CLICKHOUSE_PASSWORD", "secret");
    let arguments = [command, "--job", "job.toml", "--partition", "202610", "--ledger"];
    by_the_server(tool.args(&arguments).arg("file:ledger"))
}

#[test]
#[ignore = "slow: about 12 s"]
fn the_listed_rights_are_enough_and_missing_ones_are_named() {
    let grants = grants();
    let mut users = vec![("publisher".to_owned(), grants.clone())];
    for lacking in 0..grants.len() {
        let mut kept = grants.clone();
        kept.remove(lacking);
        users.push((format!("publisher{lacking}"), kept));
    }
    let server = server(&users);
    let mut named = Vec::new();
    for (lacking, grant) in grants.iter().enumerate() {
        if grant.contains("ON default.cost") {
            // Those of the whole database include it.
            continue;
        }
        let output = tool(&server, &format!("publisher{lacking}"), "run", &COST.job_file());
        let output = output.run().expect(3);
        let named_grants = output.stderr.lines().filter_map(|line| {
            let grant = line.strip_prefix("hint: GRANT ")?.rsplit_once(" TO publisher")?;
            Some(grant.0.to_owned())
        });
        let named_grants: Vec<_> = named_grants.collect();
        let found = if named_grants.is_empty() {
            let words = "hint: grant the right that the server names";
            assert!(output.stderr.contains(words), "{output}");
            output
                .stderr
                .split("the grant ")
                .nth(1)
                .unwrap()
                .split(". (")
                .next()
                .unwrap()
                .to_owned()
        } else {
            named_grants.join("; ")
        };
        named.push(format!("{grant} -> {found}"));
    }
    assert_text_snapshot!(named.join("\n"), @"
    CREATE TABLE, DROP TABLE, SELECT, INSERT, ALTER DELETE ON default.* -> CREATE TEMPORARY TABLE ON *.*
    TABLE ENGINE ON MergeTree -> TABLE ENGINE ON MergeTree
    TABLE ENGINE ON AggregatingMergeTree -> TABLE ENGINE ON AggregatingMergeTree
    SELECT ON system.parts -> SELECT ON system.parts
    CREATE VIEW, DROP VIEW, TRUNCATE, ALTER TTL, SYSTEM MERGES ON default.* -> CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, SELECT, INSERT, TRUNCATE, ALTER DELETE, ALTER TTL, SYSTEM MERGES ON `default`.*
    TABLE ENGINE ON Memory -> TABLE ENGINE ON Memory
    SELECT ON system.processes -> SELECT ON system.processes
    ");
    assert_eq!(left_behind(&server, &COST), "[]");
    let output = tool(&server, "publisher", "run", &COST.job_file()).run().expect(0);
    assert!(!output.stderr.contains("WARN"), "{output}");
    assert_eq!(COST.differences(&server), [0; 3], "{output}");
    assert_eq!(left_behind(&server, &COST), "[]", "{output}");
}

#[test]
fn a_snapshot_without_the_rights_for_it_is_refused_with_the_grants() {
    let grants = [
        "SELECT ON *.*",
        "CREATE TABLE, DROP TABLE, INSERT, ALTER DELETE ON default.cost_metrics_hourly*",
        "CREATE TEMPORARY TABLE ON *.*",
        "TABLE ENGINE ON MergeTree",
        "TABLE ENGINE ON AggregatingMergeTree",
    ];
    let server = server(&[("reader".to_owned(), grants.map(str::to_owned).to_vec())]);
    server.query("DROP VIEW cost_metrics_hourly_mv SYNC");
    let job = COST.job_file().replace("\n\n[target]", "\nsnapshot = true\n\n[target]");
    let output = tool(&server, "reader", "run", &job).run().expect(3);
    assert_text_snapshot!(output.failure(), @"
    exit code 3
    error: the check snapshot blocks the run
      because: snapshot: the user reader lacks rights that a copy of default.cost_metrics_ts needs
    hint: GRANT CREATE TABLE, DROP TABLE, SELECT, INSERT, ALTER TTL, SYSTEM MERGES ON `default`.* TO reader
    hint: without snapshot in [source] the run reads the source itself
    ");
    assert_eq!(left_behind(&server, &COST), "[]");
    assert_eq!(server.text("SELECT count() FROM cost_metrics_hourly"), "0");
}

#[test]
fn a_snapshot_of_a_source_on_another_server_is_made_there() {
    let (source, target) = (Server::isolated(), Server::shared());
    source.script(ORDERS);
    target.query(
        "CREATE TABLE copies (id UInt64, at DateTime('UTC'), amount Int64, version UInt32)
        ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(at) ORDER BY id",
    );
    let run = || {
        let tool = binary().file("job.toml", JOB_OF_ORDERS).envs(&target.environment());
        let tool = tool.env("SOURCE_URL", source.url()).env("SOURCE_DB", source.database());
        let tool = tool.args(&["run", "--job", "job.toml", "--partition", "202506"]);
        tool.args(&["--chunk-rows", "500", "--readers", "1"])
    };
    let tables = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE '%\\_snap\\_%'";
    run().args(&["--canary", "30%"]).run().expect(0);
    assert_eq!((source.text(tables), target.text(tables)), ("1".to_owned(), "0".to_owned()));
    source.script(MEANWHILE);
    let output = run().run().expect(0);
    let rows = |server: &Server, table: &str| {
        server.query(&format!("SELECT * FROM {table} ORDER BY id FORMAT TSV"))
    };
    assert_eq!(rows(&source, "expected"), rows(&target, "copies FINAL"), "{output}");
    assert_eq!(source.text(tables), "0", "{output}");
}
