//! A ledger in files, for a user who may not create tables.

use crate::ledger::files::records;
use crate::ledger::fixture::{Chunked, ROWS};
use crate::ledger::v0_1;
use crate::support::{Server, ServerOptions, assert_text_snapshot};

#[test]
#[ignore = "slow: about 13 s"]
fn a_user_who_may_not_create_tables_is_told_of_files() {
    let grants = [
        "GRANT SELECT ON default.orders",
        "GRANT SELECT ON default.customers",
        "GRANT SELECT, INSERT ON default.shipments",
        "GRANT SELECT ON system.*",
    ];
    let grants = grants.join("</query><query>");
    let users = format!(
        "<clickhouse><users><filler><password>secret</password><grants><query>{grants}</query></grants></filler></users></clickhouse>"
    );
    let server =
        Server::isolated_with(ServerOptions { users_xml: Some(users), ..ServerOptions::default() });
    let chunked = Chunked::on(server);
    let tool =
        || chunked.tool().env("CLICKHOUSE_USER", "filler").env("CLICKHOUSE_PASSWORD", "secret");
    assert_text_snapshot!(tool().run().failure(), @"
    exit code 3
    error: the ledger's table default.load_state is not there and cannot be created
      because: Code: 497. [WORDS OF THE SERVER] (ACCESS_DENIED)
    hint: --ledger file:DIR keeps the ledger in files of a directory
    hint: --ledger-db names a database that has the tables, or in which this user may create them
    ");
    assert_eq!(chunked.orders.target_rows(), 0);
    let folder = tempfile::tempdir().unwrap();
    tool().args(&["--ledger", &format!("file:{}", folder.path().display())]).run().expect(0);
    chunked.orders.assert_complete();
    assert!(chunked.orders.figure("source_rows") > ROWS / 2);
    for record in
        records(&folder.path().join("loads")).iter().chain(&records(&folder.path().join("claims")))
    {
        assert!(!record.to_string().contains("secret"), "{record}");
    }
}

/// Tables that version 0.1 created get the columns that they lack from a user who may add them.
#[test]
#[ignore = "slow: about 8 s"]
fn a_user_who_may_not_add_columns_is_told_the_statement() {
    let grants =
        ["GRANT SELECT ON default.*", "GRANT INSERT ON default.*", "GRANT SELECT ON system.*"];
    let grants = grants.join("</query><query>");
    let users = format!(
        "<clickhouse><users><filler><password>secret</password><grants><query>{grants}</query></grants></filler></users></clickhouse>"
    );
    let server =
        Server::isolated_with(ServerOptions { users_xml: Some(users), ..ServerOptions::default() });
    let chunked = Chunked::on(server);
    for table in v0_1::LEDGER_TABLES {
        chunked.server().query(&v0_1::text(&format!("tables/{table}.sql")));
    }
    let tool =
        || chunked.tool().env("CLICKHOUSE_USER", "filler").env("CLICKHOUSE_PASSWORD", "secret");
    let refused = tool().run().expect(3);
    let statement = refused.stderr.lines().find_map(|line| {
        line.strip_prefix("hint: a user with the right runs `")?.strip_suffix('`')
    });
    let statement = statement.unwrap_or_else(|| panic!("{refused}"));
    assert!(
        refused.stderr.contains("load_state was created by version 0.1 and lacks columns")
            && statement
                .starts_with("ALTER TABLE `default`.`load_state` ADD COLUMN IF NOT EXISTS "),
        "{refused}"
    );
    assert_eq!(chunked.orders.target_rows(), 0);
    chunked.server().query(statement);
    // The other tables lack columns as well; a user who may add them does so.
    chunked.tool().run().expect(0);
    chunked.assert_completed();
    assert_eq!(chunked.server().text("SELECT min(format_version) FROM load_samples"), "2");
}
