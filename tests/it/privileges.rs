//! Users with exactly the rights that README lists, and what is said where one of them is missing.
// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use crate::oracle::fixture::{DECEMBER, adversarial_on, assert_filled, number, oracle};
use crate::support::{Binary, Output, Server, ServerOptions, binary};

const PARTITION: &str = "202511";

/// As the packages of ClickHouse configure it: tables of `system` that tell of others' data need a grant.
const CONFIG: &str = "<clickhouse><access_control_improvements><select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>\
    </access_control_improvements></clickhouse>";

/// The grants of README, as (user, grant).
fn grants() -> Vec<(String, String)> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let grant = |line: &str| {
        let (grant, user) = line.strip_prefix("GRANT ")?.strip_suffix(';')?.rsplit_once(" TO ")?;
        Some((user.to_owned(), grant.to_owned()))
    };
    let grants: Vec<_> = readme.lines().filter_map(grant).collect();
    assert!(grants.iter().any(|(user, _)| user == "reader") && grants.iter().any(|(user, _)| user == "writer"), "{grants:?}");
    grants
}

/// A reader and a writer with their grants; and for each grant a user of the same kind who lacks it, named `reader0` and so on by
/// its position in the list.
fn users(grants: &[(String, String)]) -> String {
    let user = |name: &str, profile: &str, granted: &[&String]| {
        let granted = granted.iter().map(|grant| format!("<query>GRANT {grant}</query>")).collect::<Vec<_>>().concat();
        format!(
            "<{name}><password>secret</password><networks><ip>::/0</ip></networks><profile>{profile}</profile><quota>default</quota>
            <grants>{granted}</grants></{name}>"
        )
    };
    let of = |kind: &str, lacking: Option<usize>| -> Vec<&String> {
        // Who may create a table may create a temporary one as well.
        let temporary = lacking.is_some_and(|lacking| grants.get(lacking).is_some_and(|(_, grant)| grant.contains("TEMPORARY")));
        let implied = |grant: &str| temporary && grant.starts_with("CREATE TABLE");
        let kept = grants.iter().enumerate();
        let kept = kept.filter(|(position, (user, grant))| user == kind && Some(*position) != lacking && !implied(grant));
        kept.map(|(_, (_, grant))| grant).collect()
    };
    let profile = |kind: &str| if kind == "reader" { "reading" } else { "default" };
    let whole = ["reader", "writer"].map(|kind| user(kind, profile(kind), &of(kind, None))).concat();
    let lacking = grants.iter().enumerate();
    let lacking: String =
        lacking.map(|(position, (kind, _))| user(&format!("{kind}{position}"), profile(kind), &of(kind, Some(position)))).collect();
    format!("<clickhouse><profiles><reading><readonly>2</readonly></reading></profiles><users>{whole}{lacking}</users></clickhouse>")
}

fn server(grants: &[(String, String)]) -> Server {
    let options = ServerOptions { config_xml: Some(CONFIG.to_owned()), users_xml: Some(users(grants)), ..Default::default() };
    adversarial_on(Server::start_with(options), DECEMBER)
}

fn tool(server: &Server, reader: &str, writer: &str, arguments: &[&str]) -> Binary {
    let tool = binary().env("CLICKHOUSE_URL", server.url()).env("PARTITION", PARTITION).args(arguments);
    let tool = tool.env("CLICKHOUSE_USER", writer).env("CLICKHOUSE_PASSWORD", "secret");
    let tool = tool.env("RESTART", "true");
    tool.env("SOURCE_USER", reader).env("SOURCE_PASSWORD", "secret")
}

#[test]
fn the_listed_rights_are_enough() {
    let grants = grants();
    let server = server(&grants);
    let run = |arguments: &[&str]| tool(&server, "reader", "writer", arguments).run().expect(0);
    let plan = run(&["plan"]).stdout;
    assert!(plan.contains("user reader") && plan.contains("user writer"), "{plan}");
    let rehearsed = run(&["run", "--dry-run", "--sample", "1", "--exclude-dataset-items"]);
    assert!(rehearsed.stdout.contains("span_id"), "{rehearsed}");
    assert_eq!(number(&server, "SELECT count() FROM events"), 0);
    let filled = run(&["run", "--sample", "1"]);
    assert!(filled.stdout.contains("span_id") && !filled.stderr.contains("WARN"), "{filled}");
    assert_filled(&server, "events", PARTITION, &oracle(DECEMBER, PARTITION));
}

/// What each missing grant leads to: the arguments that need it, the exit code, and the words that must be said.
fn without(grant: &str) -> (&'static [&'static str], i32, &'static [&'static str]) {
    match grant {
        "SELECT ON default.observations" => (
            &["run"],
            3,
            &["the source table default.observations does not exist, or the user has no right", "needs SELECT ON default.observations"],
        ),
        "SELECT ON default.traces" => {
            (&["run"], 3, &["the lookup table default.traces does not exist, or the user has no right", "needs SELECT ON default.traces"])
        }
        "SELECT ON default.dataset_run_items_rmt" => (
            &["run", "--exclude-dataset-items"],
            3,
            &["the server refuses the rows that are left out", "the grant SELECT ON default.dataset_run_items_rmt"],
        ),
        "SELECT ON system.parts" => (&["run"], 0, &["GRANT SELECT ON system.parts", "of unknown size"]),
        "INSERT ON default.events" => {
            (&["run"], 3, &["the target table default.events does not exist, or the user has no right", "needs INSERT ON default.events"])
        }
        "CREATE TEMPORARY TABLE ON *.*" => {
            (&["run", "--dry-run"], 3, &["the server refuses the insert", "ACCESS_DENIED", "CREATE TEMPORARY TABLE ON *.*"])
        }
        "CREATE TABLE, SELECT, INSERT ON default.load_state"
        | "CREATE TABLE, SELECT, INSERT ON default.load_state_chunks"
        | "CREATE TABLE, SELECT, INSERT ON default.load_claims" => {
            (&["run"], 3, &["the ledger's table default.load_", "ACCESS_DENIED", "--ledger file:DIR"])
        }
        // Runs before this one have created the tables.
        "TABLE ENGINE ON ReplacingMergeTree" => (&["run"], 0, &["done: "]),
        other => panic!("README lists the grant {other}, and nothing says what its absence leads to"),
    }
}

#[test]
fn each_right_that_is_missing_is_named() {
    let grants = grants();
    let server = server(&grants);
    for (position, (kind, grant)) in grants.iter().enumerate() {
        let (arguments, code, words) = without(grant);
        let lacking = format!("{kind}{position}");
        let (reader, writer) = if kind == "reader" { (lacking.as_str(), "writer") } else { ("reader", lacking.as_str()) };
        let output: Output = tool(&server, reader, writer, arguments).run().expect(code);
        for part in words {
            assert!(output.stderr.contains(part), "without {grant}: {part:?} is not in\n{output}");
        }
        if code == 0 {
            assert_filled(&server, "events", PARTITION, &oracle(DECEMBER, PARTITION));
            server.query("TRUNCATE TABLE events");
        } else {
            assert_eq!(number(&server, "SELECT count() FROM events"), 0, "without {grant}\n{output}");
        }
    }
}

/// Without the names of parts in `system.parts` the partition is cut in the same places.
#[test]
fn chunks_do_not_depend_on_the_right_to_see_parts() {
    let tables = ["SELECT ON default.narrow", "INSERT ON default.copy"];
    let grants: Vec<_> = tables.iter().chain(&["SELECT ON system.parts"]).map(|grant| ("writer".to_owned(), (*grant).to_owned())).collect();
    let options = ServerOptions { config_xml: Some(CONFIG.to_owned()), users_xml: Some(users(&grants)), ..Default::default() };
    let server = Server::start_with(options);
    server.script(
        "CREATE TABLE narrow (key UInt64) ENGINE = MergeTree ORDER BY key\n--;;\nCREATE TABLE copy AS narrow ENGINE = ReplacingMergeTree ORDER BY key\n--;;\n\
         INSERT INTO narrow SELECT number FROM numbers(2500000) SETTINGS max_insert_block_size = 3000000, min_insert_block_size_rows = 3000000",
    );
    let job = "name = 'x'\n[source]\ntable = 'narrow'\n[target]\ntable = 'copy'\n[columns]\nkey = 'source.key'\n";
    let chunks = |user: &str| {
        let tool = tool(&server, user, user, &["plan", "--job", "job.toml", "--partition", "id:all"]).file("job.toml", job);
        let plan = tool.run().expect(0).stdout;
        plan.lines().filter(|line| line.trim_start().starts_with("chunk ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let seen = chunks("writer");
    assert!(seen.len() > 1, "{seen:?}");
    assert_eq!(chunks("writer2"), seen);
}
