//! Row policies: a user who does not see all rows fills nothing, and finds nothing equal.

use crate::orders::{JOB, Orders, PARTITION};
use crate::preflight::fixture::{look, tool};
use crate::support::shown::titled;
use crate::support::{Binary, Server, ServerOptions, assert_text_snapshot, binary};

const CONFIG: &str = "<clickhouse><access_control_improvements><select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>\
    </access_control_improvements></clickhouse>";

fn users_xml() -> String {
    let user = |name: &str, more: &str| {
        format!(
            "<{name}><password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>{more}</{name}>"
        )
    };
    let filter = |table: &str, filter: &str| {
        format!(
            "<databases><default><{table}><filter>{filter}</filter></{table}></default></databases>"
        )
    };
    let grants = [
        "SELECT, INSERT ON default.*",
        "CREATE TABLE ON default.*",
        "CREATE TEMPORARY TABLE ON *.*",
        "TABLE ENGINE ON *",
    ]
    .map(|grant| format!("<query>GRANT {grant}</query>"))
    .concat();
    let users = [
        user("half", &filter("orders", "id % 2 = 0")),
        user("none", &filter("orders", "0")),
        user("every", &filter("orders", "1")),
        user("some_customers", &filter("customers", "id LIKE '%1'")),
        user("some_shipments", &filter("shipments", "order_id % 2 = 0")),
        user("poor", &format!("{}<grants>{grants}</grants>", filter("orders", "id % 2 = 0"))),
        user("poor_and_free", &format!("<grants>{grants}</grants>")),
        user(
            "nameless",
            &format!(
                "{}<grants>{grants}<query>GRANT SELECT ON system.parts</query></grants>",
                filter("orders", "id % 2 = 0")
            ),
        ),
        user(
            "poor_reader",
            &format!("{}<grants>{grants}</grants>", filter("shipments", "order_id % 2 = 0")),
        ),
    ];
    format!("<clickhouse><users>{}</users></clickhouse>", users.concat())
}

fn orders() -> Orders {
    let options = ServerOptions {
        users_xml: Some(users_xml()),
        config_xml: Some(CONFIG.to_owned()),
        ..Default::default()
    };
    Orders::on(Server::isolated_with(options), 1_000)
}

fn verify(orders: &Orders) -> Binary {
    let tool = binary().file("job.toml", JOB).envs(&orders.server.environment());
    tool.args(&["verify", "--job", "job.toml", "--partition", PARTITION])
}

#[test]
#[ignore = "slow: about 8 s"]
fn rows_that_a_policy_hides_block_plan_run_and_verify() {
    let orders = orders();
    // Versions and rows that are marked as deleted count on both sides.
    orders.server.query("DELETE FROM orders WHERE id = 17");
    let mut cases = Vec::new();
    for (user, words) in [
        (
            "half",
            &[
                // 500 orders, and the newer versions of 100 with even numbers.
                "the user half sees 600 of 1,100 rows in partition 202506 of default.orders",
                "the row policy half ON default.orders (id % 2 = 0)",
            ][..],
        ),
        ("none", &["the user none sees 0 of 1,100 rows in partition 202506 of default.orders"]),
        ("some_customers", &["the user some_customers sees 80 of 480 rows in default.customers"]),
        ("poor", &["default.orders", "the user poor lacks a grant: GRANT SELECT"]),
    ] {
        let as_user = |tool: Binary| tool.env("CLICKHOUSE_USER", user);
        look(as_user(tool(&orders)), 3).assert("row-policies", "blocked", words);
        let run = as_user(orders.tool()).run().expect(3);
        let verified = as_user(verify(&orders)).run().expect(3);
        for (output, verb) in [(run, "run"), (verified, "verify")] {
            cases.push((format!("{user}, {verb}"), output.failure()));
        }
        assert_eq!(orders.target_rows(), 0, "{user}: no row moves");
    }
    assert_text_snapshot!(titled(cases), @"
    # half, run
    exit code 3
    error: the check row-policies blocks the run
      because: row-policies: the user half sees 600 of 1,100 rows in partition 202506 of default.orders: the row policy half ON default.orders (id % 2 = 0) applies
    hint: use a user to whom no row policy of default.orders applies; rows to leave out belong into an exclusion of the job

    # half, verify
    exit code 3
    error: the check row-policies blocks the verify
      because: row-policies: the user half sees 600 of 1,100 rows in partition 202506 of default.orders: the row policy half ON default.orders (id % 2 = 0) applies
    hint: use a user to whom no row policy of default.orders applies; rows to leave out belong into an exclusion of the job

    # none, run
    exit code 3
    error: the check row-policies blocks the run
      because: row-policies: the user none sees 0 of 1,100 rows in partition 202506 of default.orders: the row policy none ON default.orders (0) applies
    hint: use a user to whom no row policy of default.orders applies; rows to leave out belong into an exclusion of the job

    # none, verify
    exit code 3
    error: the check row-policies blocks the verify
      because: row-policies: the user none sees 0 of 1,100 rows in partition 202506 of default.orders: the row policy none ON default.orders (0) applies
    hint: use a user to whom no row policy of default.orders applies; rows to leave out belong into an exclusion of the job

    # some_customers, run
    exit code 3
    error: the check row-policies blocks the run
      because: row-policies: the user some_customers sees 80 of 480 rows in default.customers: the row policy some_customers ON default.customers (id LIKE '%1') applies
    hint: use a user to whom no row policy of default.customers applies; rows to leave out belong into an exclusion of the job

    # some_customers, verify
    exit code 3
    error: the check row-policies blocks the verify
      because: row-policies: the user some_customers sees 80 of 480 rows in default.customers: the row policy some_customers ON default.customers (id LIKE '%1') applies
    hint: use a user to whom no row policy of default.customers applies; rows to leave out belong into an exclusion of the job

    # poor, run
    exit code 3
    error: the check row-policies blocks the run
      because: row-policies: the rows of default.orders that the user poor sees cannot be compared with its parts (the user poor lacks a grant: GRANT SELECT ON system.parts TO poor), and a row policy applies, whose name is unknown (the user poor lacks a grant: GRANT SELECT ON system.row_policies TO poor)
    hint: use a user to whom no row policy of default.orders applies; rows to leave out belong into an exclusion of the job

    # poor, verify
    exit code 3
    error: the check row-policies blocks the verify
      because: row-policies: the rows of default.orders that the user poor sees cannot be compared with its parts (the user poor lacks a grant: GRANT SELECT ON system.parts TO poor), and a row policy applies, whose name is unknown (the user poor lacks a grant: GRANT SELECT ON system.row_policies TO poor)
    hint: use a user to whom no row policy of default.orders applies; rows to leave out belong into an exclusion of the job
    ");
}

#[test]
#[ignore = "slow: about 8 s"]
fn a_policy_that_hides_nothing_is_ok() {
    let orders = orders();
    orders.server.query("DELETE FROM orders WHERE id = 17");
    for user in ["every", "default"] {
        let as_user = |tool: Binary| tool.env("CLICKHOUSE_USER", user);
        look(as_user(tool(&orders)), 0).assert("row-policies", "ok", &["hides rows from the user"]);
        as_user(orders.tool()).run().expect(0);
        as_user(verify(&orders)).run().expect(0);
    }
    orders.assert_complete();
}

#[test]
fn a_user_who_does_not_see_the_target_compares_nothing() {
    let orders = orders();
    let as_user = |tool: Binary| tool.env("CLICKHOUSE_USER", "some_shipments");
    // Filling needs no look at the target.
    as_user(orders.tool()).run().expect(0);
    orders.assert_complete();
    let seen = orders.server.text("SELECT countIf(order_id % 2 = 0), count() FROM shipments");
    let (seen, all) = seen.split_once('\t').unwrap();
    let words = format!("the user some_shipments sees {seen} of {all} rows in default.shipments");
    let output = as_user(verify(&orders)).run().expect(3);
    assert!(output.stderr.contains(&words), "{words}\n{output}");
    let repair = orders.tool().run().expect(0);
    assert!(!repair.stderr.contains("row policy"), "{repair}");
    verify(&orders).run().expect(0);
}

/// Without the right to read the parts, the plan of a SELECT tells whether a policy applies, and
/// without the right to read the policies, its name is unknown.
#[test]
#[ignore = "slow: about 8 s"]
fn what_cannot_be_compared_or_named_blocks_only_where_a_policy_applies() {
    const UNNAMED: &str = "a row policy applies, whose name is unknown (";
    let orders = orders();
    let as_user = |tool: Binary, user: &str| tool.env("CLICKHOUSE_USER", user);
    for (user, words) in [
        (
            "poor",
            &[
                "the rows of default.orders that the user poor sees cannot be compared with its parts (",
                UNNAMED,
            ][..],
        ),
        (
            "nameless",
            &[
                "the user nameless sees 600 of 1,100 rows in partition 202506 of default.orders",
                UNNAMED,
            ],
        ),
    ] {
        look(as_user(tool(&orders), user), 3).assert("row-policies", "blocked", words);
        as_user(orders.tool(), user).run().expect(3);
        assert_eq!(orders.target_rows(), 0, "{user}: no row moves");
    }
    let free = look(as_user(tool(&orders), "poor_and_free"), 0);
    free.assert("row-policies", "unknown", &["GRANT SELECT"]);
    as_user(orders.tool(), "poor_and_free").run().expect(0);
    orders.assert_complete();
    // The same for the target.
    let output = as_user(verify(&orders), "poor_reader").run().expect(3);
    let words = "the rows of default.shipments that the user poor_reader sees cannot be compared with its parts (";
    assert!(output.stderr.contains(words) && output.stderr.contains(UNNAMED), "{output}");
    as_user(verify(&orders), "poor_and_free").run().expect(0);
}
