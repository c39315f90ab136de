//! Users, passwords and rights on the command line.

use crate::bad_input::{fails, refuses};
use crate::orders::{JOB, Orders, PARTITION};
use crate::support::shown::titled;
use crate::support::{Server, ServerOptions, assert_text_snapshot, binary};

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
            "{}{}<query>GRANT SELECT, INSERT, ALTER DELETE ON default.shipments</query><query>GRANT SELECT ON system.*</query>
            <query>GRANT CREATE TEMPORARY TABLE ON *.*</query><query>GRANT SELECT ON default.load_state</query>",
            grant(orders, "orders"),
            grant(customers, "customers")
        )
    };
    let written = "order_id, customer, placed, amount, tags, letter, version";
    let part = format!(
        "{read}<query>REVOKE SELECT ON default.shipments</query><query>GRANT SELECT({written}), INSERT({written}) ON default.shipments</query>"
    );
    let users = [
        user("reader", read),
        user("writer", &write),
        user("blind", blind),
        // Each lacks one column that the job needs.
        user("no_note", &columns("id, customer, placed, amount, version, is_deleted", "*")),
        user("no_city", &columns("*", "id, tags, version, is_deleted, letter")),
        user("no_target_note", &part),
        user("no_placed", &columns("id, customer, amount, version, is_deleted, note", "*")),
    ];
    format!("<clickhouse><users>{}</users></clickhouse>", users.concat())
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
    let command = |command: &str, user: &str, job: &str| {
        let tool = binary().file("job.toml", job).env("CLICKHOUSE_URL", orders.server.url());
        let tool = tool.env("CLICKHOUSE_USER", user).env("CLICKHOUSE_PASSWORD", right);
        tool.args(&[command, "--job", "job.toml", "--partition", PARTITION])
    };
    let job = JOB.replace("time = \"placed\"", "time = \"note\"");
    let by_key = tool("no_note", right).file("job.toml", &job);
    // A column that a user may not read is not "no column".
    assert_text_snapshot!(titled([
        ("a wrong password", refuses(&orders, tool("reader", "wrong"), 2)),
        ("an unknown user", refuses(&orders, tool("nobody", right), 2)),
        ("no INSERT", refuses(&orders, tool("reader", right), 3)),
        ("no SELECT of the source", refuses(&orders, tool("blind", right), 3)),
        ("no SELECT of a column of the source", refuses(&orders, tool("no_note", right), 3)),
        ("no SELECT of a column that the job names", refuses(&orders, by_key, 3)),
        ("no SELECT of a column of the lookup", refuses(&orders, tool("no_city", right), 3)),
        ("no right on a column of the target", refuses(&orders, tool("no_target_note", right), 3)),
        ("to compare", refuses(&orders, command("verify", "no_target_note", JOB), 3)),
    ]), @"
    # a wrong password
    exit code 2
    error: the server rejects the login
      because: Code: 516. [WORDS OF THE SERVER] (AUTHENTICATION_FAILED)
    hint: set CLICKHOUSE_USER, and CLICKHOUSE_PASSWORD or --clickhouse-password-file
    hint: in .env, a password with $ or # needs single quotes

    # an unknown user
    exit code 2
    error: the server rejects the login
      because: Code: 516. [WORDS OF THE SERVER] (AUTHENTICATION_FAILED)
    hint: set CLICKHOUSE_USER, and CLICKHOUSE_PASSWORD or --clickhouse-password-file
    hint: in .env, a password with $ or # needs single quotes

    # no INSERT
    exit code 3
    error: the server refuses the insert of a run, tested without rows
      because: Code: 497. [WORDS OF THE SERVER] (ACCESS_DENIED)
    hint: grant the right that the server names; inserted rows stay, and rows inserted twice collapse in default.shipments by its sorting key

    # no SELECT of the source
    exit code 3
    error: the source table default.orders does not exist, or the user has no right to see it
    hint: --clickhouse-db names the database of the tables, --source-db that of source and lookup
    hint: the user needs SELECT ON default.orders

    # no SELECT of a column of the source
    exit code 3
    error: the source table default.orders cannot be used: the user may not read its column note
    hint: the user needs SELECT(`note`) ON `default`.`orders`

    # no SELECT of a column that the job names
    exit code 3
    error: the source table default.orders cannot be used: the user may not read its column note
    hint: the user needs SELECT(`note`) ON `default`.`orders`

    # no SELECT of a column of the lookup
    exit code 3
    error: the lookup table default.customers cannot be used: the user may not read its column city
    hint: the user needs SELECT(`city`) ON `default`.`customers`

    # no right on a column of the target
    exit code 3
    error: the target table default.shipments cannot be used: the user may not write its column note
    hint: the user needs INSERT(`note`) ON `default`.`shipments`; to compare, SELECT(`note`) ON `default`.`shipments`

    # to compare
    exit code 3
    error: the target table default.shipments cannot be used: the user may not write its column note
    hint: the user needs INSERT(`note`) ON `default`.`shipments`; to compare, SELECT(`note`) ON `default`.`shipments`
    ");
    // A dry run writes nothing, so it needs no right to.
    tool("reader", right).arg("--dry-run").run().expect(0);
    assert_eq!(orders.target_rows(), 0);
    // A column that the target does not have is left out, whatever the rights.
    let more = format!("{JOB}more = \"source.note\"\n");
    let output = tool("writer", right).file("job.toml", &more).run().expect(0);
    assert!(output.stderr.contains("the target has no such column"), "{output}");
    orders.assert_complete();

    // Nothing is recorded of an undo that the server would refuse, or whose rows are not known.
    let rows = orders.target_rows();
    let owned = |job: &str| {
        job.replace(
            "table = \"shipments\"",
            "table = \"shipments\"\nowned = \"order_id < 1000000\"",
        )
    };
    let undo = |user: &str, job: &str| command("undo", user, &owned(job));
    let without_time =
        JOB.replace("time = \"placed\"\n", "").replace("placed = \"source.placed\"\n", "");
    let without_time = without_time.replace("[columns]", "defaults = [\"placed\"]\n\n[columns]");
    assert_text_snapshot!(titled([
        ("no ALTER DELETE", fails(undo("writer", JOB).arg("--yes"), 3)),
        ("no SELECT of the partition key", fails(undo("no_placed", &without_time), 3)),
    ]), @"
    # no ALTER DELETE
    exit code 3
    error: rows cannot be removed from default.shipments: this user lacks ALTER DELETE on it
    hint: grant ALTER DELETE on the target to this user; the engine must be a MergeTree. Nothing was changed

    # no SELECT of the partition key
    exit code 3
    error: which rows of default.shipments come from this partition is not known: the source is partitioned by toYYYYMM(placed), whose columns this user cannot see
    hint: remove the rows by hand, then `run --restart` fills the partition again
    ");
    assert_eq!(orders.target_rows(), rows);
    assert_eq!(orders.server.text("SELECT status FROM load_state FINAL"), "completed");
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
    let missing = ["--clickhouse-user", "reader", "--clickhouse-password-file", "no-such-file"];
    assert_text_snapshot!(fails(plain().args(&missing), 2), @"
    exit code 2
    error: the password file no-such-file cannot be read: No such file or directory (os error 2)
    hint: --clickhouse-password-file and --source-password-file name files that this user can read
    ");
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
    let source = plain().file("secret", "\u{feff}pa$$ #1\r\n").args(&[
        "--source-user",
        "reader",
        "--source-password-file",
        "secret",
    ]);
    source.run().expect(0);
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
