//! Users whose profiles or grants do not allow the statements that read: `plan`, `run` and `verify`
//! agree, and no row moves.

use crate::orders::{JOB, Orders, PARTITION};
use crate::preflight::fixture::{look, tool, tool_with};
use crate::support::shown::titled;
use crate::support::{Binary, Server, ServerOptions, assert_text_snapshot, binary};

/// A user, and what the profile sets and constrains.
struct User {
    name: &'static str,
    profile: &'static str,
    /// What the check says; empty where every statement is allowed.
    words: &'static [&'static str],
}

const USERS: [User; 6] = [
    User {
        name: "fixed_threads",
        profile: "<max_threads>4</max_threads><constraints><max_threads><const/></max_threads></constraints>",
        words: &[
            "refuses reading",
            "Code: 452",
            "max_threads",
            "remove the constraint on the setting",
        ],
    },
    User {
        name: "few_read",
        profile: "<max_rows_to_read>1000</max_rows_to_read>",
        words: &["Code: 158", "[settings.source]"],
    },
    User {
        name: "few_given",
        profile: "<max_result_rows>500</max_result_rows>",
        words: &[
            "reading",
            "gives more rows than max_result_rows, 500,",
            "max_result_rows = 0 under [settings.source]",
        ],
    },
    User { name: "by_key", profile: "<force_primary_key>1</force_primary_key>", words: &[] },
    User { name: "by_date", profile: "<force_index_by_date>1</force_index_by_date>", words: &[] },
    User { name: "plain", profile: "", words: &[] },
];

/// A user who may read neither the cities of customers nor anything about policies.
const GRANTS: [&str; 10] = [
    "SELECT ON default.orders",
    "SELECT(id, tags, version, is_deleted, letter) ON default.customers",
    "SELECT, INSERT ON default.shipments",
    "CREATE TABLE, SELECT, INSERT ON default.load_state",
    "CREATE TABLE, SELECT, INSERT ON default.load_state_chunks",
    "CREATE TABLE, SELECT, INSERT ON default.load_claims",
    "CREATE TABLE, SELECT, INSERT ON default.load_samples",
    "CREATE TEMPORARY TABLE ON *.*",
    "TABLE ENGINE ON *",
    "SHOW COLUMNS ON default.customers",
];

fn users_xml() -> String {
    let profiles =
        USERS.map(|User { name, profile, .. }| format!("<p_{name}>{profile}</p_{name}>")).concat();
    let user = |name: &str, profile: &str, more: &str| {
        format!(
            "<{name}><password></password><networks><ip>::/0</ip></networks><profile>{profile}</profile><quota>default</quota>{more}</{name}>"
        )
    };
    let grants = GRANTS.map(|grant| format!("<query>GRANT {grant}</query>")).concat();
    let users = USERS.map(|User { name, .. }| user(name, &format!("p_{name}"), "")).concat();
    let blind = user("blind", "default", &format!("<grants>{grants}</grants>"));
    let reader = user("reader", "p_reader", "");
    let frugal = user("frugal", "p_frugal", "");
    let narrow = user("narrow", "p_narrow", "");
    format!(
        "<clickhouse><profiles>{profiles}<p_reader><readonly>2</readonly></p_reader>\
         <p_frugal><max_bytes_to_read>100000</max_bytes_to_read></p_frugal>\
         <p_narrow><max_columns_to_read>7</max_columns_to_read></p_narrow></profiles><users>{users}{blind}{reader}{frugal}{narrow}</users></clickhouse>"
    )
}

fn orders() -> Orders {
    let options = ServerOptions { users_xml: Some(users_xml()), ..Default::default() };
    Orders::on(Server::isolated_with(options), 4_000)
}

fn verify(orders: &Orders, user: &str) -> Binary {
    let tool = binary().file("job.toml", JOB).envs(&orders.server.environment());
    tool.env("CLICKHOUSE_USER", user).args(&[
        "verify",
        "--job",
        "job.toml",
        "--partition",
        PARTITION,
    ])
}

#[test]
#[ignore = "slow: about 23 s"]
fn plan_and_run_agree_on_what_a_profile_forbids() {
    let orders = orders();
    for User { name, words, .. } in USERS {
        let code = if words.is_empty() { 0 } else { 3 };
        let looked = look(tool(&orders).env("CLICKHOUSE_USER", name), code);
        let verdict = if words.is_empty() { "ok" } else { "blocked" };
        looked.assert("reads", verdict, words);
        orders.server.query("TRUNCATE TABLE shipments");
        let run = orders.tool().env("CLICKHOUSE_USER", name).run().expect(code);
        for part in words {
            assert!(run.stderr.contains(part), "{name}: {part}\n{run}");
        }
        if words.is_empty() {
            orders.assert_complete();
            verify(&orders, name).run().expect(0);
        } else {
            assert_eq!(orders.target_rows(), 0, "{name}: no row moves");
        }
    }
    // The server engine has no result, but reads as many rows.
    let by_server =
        |tool: Binary, user: &str| tool.env("CLICKHOUSE_USER", user).args(&["--engine", "server"]);
    look(by_server(tool(&orders), "few_given"), 0).assert("reads", "ok", &[]);
    by_server(orders.tool(), "few_given").run().expect(0);
    orders.assert_complete();
    look(by_server(tool(&orders), "few_read"), 3).assert("reads", "blocked", &["Code: 158"]);
    // What the hint says lifts it.
    let job = format!("{JOB}\n[settings.source]\nmax_result_rows = 0\n");
    let lifted = |tool: Binary| tool.file("job.toml", &job).env("CLICKHOUSE_USER", "few_given");
    look(lifted(tool_with(&orders, &job)), 0).assert("reads", "ok", &[]);
    lifted(orders.tool()).run().expect(0);
    orders.assert_complete();
    let job = format!("{JOB}\n[settings.source]\nmax_rows_to_read = 0\n");
    let lifted = |tool: Binary| tool.file("job.toml", &job).env("CLICKHOUSE_USER", "few_read");
    look(lifted(tool_with(&orders, &job)), 0).assert("reads", "ok", &[]);
    lifted(orders.tool()).run().expect(0);
    orders.assert_complete();
}

#[test]
fn what_can_never_be_planned_is_refused_by_plan_and_run() {
    let orders = orders();
    let mut cases = Vec::new();
    for (user, code) in [("narrow", 2), ("frugal", 3)] {
        for (command, tool) in [("plan", tool(&orders)), ("run", orders.tool())] {
            let output = tool.env("CLICKHOUSE_USER", user).run().expect(code);
            cases.push((format!("{user}, {command}"), output.failure()));
        }
    }
    assert_text_snapshot!(titled(cases), @"
    # narrow, plan
    exit code 2
    error: job.toml, line 22: the expression of column order_id together with the others: is refused by the server: Code: 161. [WORDS OF THE SERVER] (TOO_MANY_COLUMNS)

    # narrow, run
    exit code 2
    error: job.toml, line 22: the expression of column order_id together with the others: is refused by the server: Code: 161. [WORDS OF THE SERVER] (TOO_MANY_COLUMNS)

    # frugal, plan
    exit code 3
    error: counting the attributes of the table default.customers failed
      because: Code: 307. [WORDS OF THE SERVER] (TOO_MANY_BYTES)

    # frugal, run
    exit code 3
    error: counting the attributes of the table default.customers failed
      because: Code: 307. [WORDS OF THE SERVER] (TOO_MANY_BYTES)
    ");
}

#[test]
fn a_user_who_may_only_read_reads_for_another_who_writes() {
    let orders = orders();
    let apart = |tool: Binary| {
        tool.env("SOURCE_URL", orders.server.url())
            .env("SOURCE_USER", "reader")
            .env("SOURCE_PASSWORD", "")
    };
    look(apart(tool(&orders)), 0).assert("reads", "ok", &[]);
    apart(orders.tool()).run().expect(0);
    orders.assert_complete();
    // The same user as a writer: both say so.
    orders.server.query("TRUNCATE TABLE shipments");
    let alone = |tool: Binary| tool.env("CLICKHOUSE_USER", "reader");
    look(alone(tool(&orders)), 3).assert("insert", "blocked", &["readonly"]);
    alone(orders.tool()).run().expect(3);
    assert_eq!(orders.target_rows(), 0);
}

#[test]
fn a_missing_grant_on_a_column_of_the_lookup_stops_plan_run_and_verify() {
    let orders = orders();
    let cases = [
        ("plan", tool(&orders).env("CLICKHOUSE_USER", "blind")),
        ("run", orders.tool().env("CLICKHOUSE_USER", "blind")),
        ("verify", verify(&orders, "blind")),
    ];
    let cases = cases.map(|(command, tool)| {
        let output = tool.run().expect(3);
        assert!(output.stderr.contains("city"), "the server's words\n{output}");
        (command, output.failure())
    });
    assert_text_snapshot!(titled(cases), @"
    # plan
    exit code 3
    error: counting the attributes of the table default.customers failed
      because: Code: 497. [WORDS OF THE SERVER] (ACCESS_DENIED)

    # run
    exit code 3
    error: counting the attributes of the table default.customers failed
      because: Code: 497. [WORDS OF THE SERVER] (ACCESS_DENIED)

    # verify
    exit code 3
    error: counting the attributes of the table default.customers failed
      because: Code: 497. [WORDS OF THE SERVER] (ACCESS_DENIED)
    ");
    assert_eq!(orders.target_rows(), 0, "no row moves");
}
