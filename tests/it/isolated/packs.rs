//! What `pack apply` leaves on a server, and which rights it needs.

use crate::packs::fixture::tool;
use crate::support::{Server, ServerOptions, assert_text_snapshot};

const SCRATCH: &str =
    "SELECT name FROM system.databases WHERE name LIKE 'clickhouse_backfill%' ORDER BY name";

#[test]
fn nothing_is_left_of_comparing_and_what_a_kill_left_is_removed() {
    let server = Server::isolated();
    let name = |age: u64| {
        let now: u64 = server.text("SELECT toUnixTimestamp(now())").parse().unwrap();
        format!("clickhouse_backfill_pack_{}_0123456789abcdef", now - age)
    };
    let (old, young) = (name(4000), name(100));
    for database in [&old, &young, &"clickhouse_backfill_pack_mine".to_owned()] {
        server.query(&format!("CREATE DATABASE {database}"));
    }
    tool(&server).args(&["pack", "apply", "market"]).run().expect(0);
    let left = server.text(SCRATCH);
    assert_eq!(left.lines().collect::<Vec<_>>(), [young.as_str(), "clickhouse_backfill_pack_mine"]);

    // A schema that is refused leaves nothing either.
    let binary = tool(&server);
    std::fs::write(binary.folder().join("mine/schema.sql"), "CREATE TABLE a (x Int8) ENGINE = No")
        .unwrap();
    binary.args(&["pack", "apply", "market"]).run().expect(1);
    assert_eq!(server.text(SCRATCH), left);
}

#[test]
fn a_user_without_rights_on_other_databases_is_told_which_it_lacks() {
    let user = |grants: &[&str]| {
        let grants = grants
            .iter()
            .map(|grant| format!("<query>GRANT {grant}</query>"))
            .collect::<Vec<_>>()
            .concat();
        format!("<password>secret</password><profile>default</profile><grants>{grants}</grants>")
    };
    let here = ["CREATE TABLE, CREATE VIEW, SELECT, INSERT ON default.*", "TABLE ENGINE ON *"];
    let there = "CREATE DATABASE, DROP DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, SELECT, INSERT ON clickhouse_backfill_pack_*.*";
    let users = format!(
        "<clickhouse><users><poor>{}</poor><right>{}</right></users></clickhouse>",
        user(&here),
        user(&[&here[..], &[there]].concat())
    );
    let server =
        Server::isolated_with(ServerOptions { users_xml: Some(users), ..Default::default() });
    let apply = |user: &str| {
        let account = [("CLICKHOUSE_USER", user), ("CLICKHOUSE_PASSWORD", "secret")];
        tool(&server).envs(&account).args(&["pack", "apply", "market"]).run()
    };
    assert_text_snapshot!(apply("poor").failure(), @"
    exit code 1
    error: creating a database to compare definitions in failed
      because: Code: 497. [WORDS OF THE SERVER] (ACCESS_DENIED)
    hint: grant the right that the message names; the schema is tried in a database of its own, clickhouse_backfill_pack_*, which needs CREATE DATABASE and DROP DATABASE
    ");
    assert_eq!(apply("right").expect(0).stdout.lines().count(), 4);
    assert_eq!(apply("right").expect(0).stdout.lines().count(), 4);
    assert_eq!(server.text(SCRATCH), "");
}
