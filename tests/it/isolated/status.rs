//! Users who may read the ledger and nothing else.

use crate::ledger::fixture::Chunked;
use crate::status::fixture::{standing, tool};
use crate::support::{Server, ServerOptions, assert_text_snapshot, binary};

fn user(name: &str, profile: &str, grants: &[&str]) -> String {
    let grants = grants
        .iter()
        .map(|grant| format!("<query>GRANT {grant}</query>"))
        .collect::<Vec<_>>()
        .concat();
    format!(
        "<{name}><password>secret</password><profile>{profile}</profile><grants>{grants}</grants></{name}>"
    )
}

#[test]
fn a_user_who_may_only_read_the_ledger_sees_the_same() {
    let tables = [
        "SELECT ON default.load_state",
        "SELECT ON default.load_state_chunks",
        "SELECT ON default.load_claims",
    ];
    let users = [
        user("watcher", "reading", &tables),
        user("settled", "choosing", &tables),
        user("stranger", "reading", &[]),
    ]
    .concat();
    let users = format!(
        "<clickhouse><profiles><reading><readonly>1</readonly></reading><choosing><readonly>2</readonly></choosing></profiles><users>{users}</users></clickhouse>"
    );
    let chunked = Chunked::on(Server::isolated_with(ServerOptions {
        users_xml: Some(users),
        ..ServerOptions::default()
    }));
    let as_user = |name: &str| {
        tool(&chunked).env("CLICKHOUSE_USER", name).env("CLICKHOUSE_PASSWORD", "secret")
    };
    assert_eq!(standing(as_user("watcher"))["state"], "not_started", "without tables");
    assert_eq!(chunked.server().text("SHOW TABLES LIKE 'load\\_%'"), "", "nothing was created");
    let killed = chunked.killed_half_way();
    let own = standing(tool(&chunked));
    assert_eq!(own["chunks_completed"], killed, "{own}");
    for name in ["watcher", "settled"] {
        let mut seen = standing(as_user(name));
        seen["processes"][0]["heartbeat_age_seconds"] =
            own["processes"][0]["heartbeat_age_seconds"].clone();
        assert_eq!(seen, own, "{name}");
    }
    let refused = as_user("stranger").run();
    assert!(!refused.stderr.contains("secret"), "{refused}");
    assert_text_snapshot!(refused.everything(), @"
    exit code 1
    --- stderr
    error: reading the ledger's table default.load_claims failed
      because: Code: 497. [WORDS OF THE SERVER] (ACCESS_DENIED)
    hint: the user needs SELECT ON default.load_claims
    ");
}

#[test]
fn a_server_that_is_not_there_is_a_matter_of_configuration() {
    let nowhere = binary()
        .env("CLICKHOUSE_URL", "http://127.0.0.1:1")
        .args(&["status", "--partition", "202511"])
        .run();
    assert_text_snapshot!(nowhere.everything(), @"
    exit code 2
    --- stderr
    error: the connection to http://127.0.0.1:1/ failed: [WORDS OF THE SYSTEM]
    hint: set --clickhouse-url or CLICKHOUSE_URL to the server's HTTP interface; its port is 8123 by default, 8443 for https
    ");
    let wrong = binary().args(&["status", "--partition", "202511", "--watch", "0"]).run();
    assert_text_snapshot!(wrong.failure(), @"
    exit code 2
    error: invalid value '0' for '--watch [<SECONDS>]': it must be a number from 1 to 86400
    hint: `--help` behind the command explains its flags
    ");
}
