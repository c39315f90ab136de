//! Users, passwords and rights on the command line.

use crate::bad_input::{fails, refuses};
use crate::orders::{JOB, Orders};
use crate::support::{Server, ServerOptions};

fn users() -> String {
    let user = |name: &str, grants: &str| {
        format!(
            "<{name}><password><![CDATA[pa$$ #1]]></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
            <grants>{grants}</grants></{name}>"
        )
    };
    let read =
        "<query>GRANT SELECT ON *.*</query><query>GRANT CREATE TEMPORARY TABLE ON *.*</query>";
    let write = format!(
        "{read}<query>GRANT INSERT ON default.shipments</query><query>GRANT CREATE TABLE, INSERT ON default.load_state</query><query>GRANT TABLE ENGINE ON ReplacingMergeTree</query>
        <query>GRANT CREATE TABLE, INSERT ON default.load_state_chunks</query><query>GRANT CREATE TABLE, INSERT ON default.load_claims</query>"
    );
    let blind = "<query>GRANT SELECT ON default.customers, SELECT ON system.*</query><query>GRANT INSERT ON default.shipments</query>";
    let columns = |orders: &str, customers: &str| {
        let grant = |columns: &str, table: &str| match columns {
            "*" => format!("<query>GRANT SELECT ON default.{table}</query>"),
            _ => format!("<query>GRANT SELECT({columns}) ON default.{table}</query>"),
        };
        format!(
            "{}{}<query>GRANT SELECT, INSERT ON default.shipments</query><query>GRANT SELECT ON system.*</query>
            <query>GRANT CREATE TEMPORARY TABLE ON *.*</query>",
            grant(orders, "orders"),
            grant(customers, "customers")
        )
    };
    format!(
        "<clickhouse><users>{}{}{}{}{}</users></clickhouse>",
        user("reader", read),
        user("writer", &write),
        user("blind", blind),
        // Each lacks one column that the job needs.
        user("no_note", &columns("id, customer, placed, amount, version, is_deleted", "*")),
        user("no_city", &columns("*", "id, tags, version, is_deleted, letter"))
    )
}

#[test]
fn passwords_and_rights() {
    let orders = Orders::on(
        Server::isolated_with(ServerOptions { users_xml: Some(users()), ..Default::default() }),
        100,
    );
    let tool = |user: &str, password: &str| {
        orders.tool().env("CLICKHOUSE_USER", user).env("CLICKHOUSE_PASSWORD", password)
    };
    let right = "pa$$ #1";
    refuses(
        &orders,
        tool("reader", "wrong"),
        2,
        &["AUTHENTICATION_FAILED", "CLICKHOUSE_PASSWORD or --clickhouse-password-file"],
    );
    refuses(&orders, tool("nobody", right), 2, &["AUTHENTICATION_FAILED"]);
    refuses(
        &orders,
        tool("reader", right),
        3,
        &["the server refuses the insert", "ACCESS_DENIED", "INSERT"],
    );
    refuses(
        &orders,
        tool("blind", right),
        3,
        &["the source table default.orders does not exist, or the user has no right to see it"],
    );
    // A column that a user may not read is not "no column".
    let denied = "the source table default.orders cannot be used: the user may not read its column";
    let no_note = refuses(
        &orders,
        tool("no_note", right),
        3,
        &[&format!("{denied} note"), "hint: the user needs SELECT(`note`) ON `default`.`orders`"],
    );
    assert!(!no_note.stderr.contains("no column"), "{no_note}");
    let job = JOB.replace("time = \"placed\"", "time = \"note\"");
    let by_key = tool("no_note", right).file("job.toml", &job);
    refuses(&orders, by_key, 3, &[&format!("{denied} note")]);
    refuses(
        &orders,
        tool("no_city", right),
        3,
        &[
            "the lookup table default.customers cannot be used: the user may not read its column city",
        ],
    );
    // A dry run writes nothing, so it needs no right to.
    tool("reader", right).arg("--dry-run").run().expect(0);
    assert_eq!(orders.target_rows(), 0);
    tool("writer", right).run().expect(0);
    orders.assert_complete();
}

/// All the ways to say a password; `$` and `#` need single quotes in `.env`.
#[test]
fn the_password_arrives_whichever_way_it_is_given() {
    let orders = Orders::on(
        Server::isolated_with(ServerOptions { users_xml: Some(users()), ..Default::default() }),
        100,
    );
    let plain = || {
        let url = orders.server.url();
        crate::support::binary()
            .file("job.toml", crate::orders::JOB)
            .args(&["run", "--dry-run", "--job", "job.toml", "--partition", "202506"])
            .env("CLICKHOUSE_URL", url)
    };
    plain().file(".env", "CLICKHOUSE_USER=reader\nCLICKHOUSE_PASSWORD='pa$$ #1'\n").run().expect(0);
    plain()
        .args(&["--clickhouse-user", "reader", "--clickhouse-password", "pa$$ #1"])
        .run()
        .expect(0);
    fails(
        plain().args(&[
            "--clickhouse-user",
            "reader",
            "--clickhouse-password-file",
            "no-such-file",
        ]),
        2,
        &["no-such-file"],
    );
    plain()
        .file("secret", "pa$$ #1\n")
        .args(&["--clickhouse-user", "reader", "--clickhouse-password-file", "secret"])
        .run()
        .expect(0);
    // Editors on Windows write a byte order mark and carriage returns.
    plain()
        .file("secret", "\u{feff}pa$$ #1\r\n")
        .args(&["--clickhouse-user", "reader", "--clickhouse-password-file", "secret"])
        .run()
        .expect(0);
    let url = orders.server.url().replace("http://", "http://reader:pa$$%20%231@");
    plain().env("CLICKHOUSE_URL", url).run().expect(0);
    // A flag wins over the environment, also where it is the other way to say the same.
    let tool = plain()
        .file("secret", "pa$$ #1\n")
        .env("CLICKHOUSE_USER", "reader")
        .env("CLICKHOUSE_PASSWORD", "wrong");
    tool.args(&["--clickhouse-password-file", "secret"]).run().expect(0);
    let tool =
        plain().env("CLICKHOUSE_USER", "reader").env("CLICKHOUSE_PASSWORD_FILE", "no-such-file");
    tool.args(&["--clickhouse-password", "pa$$ #1"]).run().expect(0);
}
