//! Limits of the users' profiles.

use crate::orders::{JOB, Orders};
use crate::preflight::fixture::{look, tool, tool_with};
use crate::support::{Server, ServerOptions};

fn users() -> String {
    let kinds = [
        ("hasty", "<max_execution_time>90</max_execution_time>"),
        ("reading", "<max_rows_to_read>1000</max_rows_to_read>"),
        ("short", "<max_result_rows>500</max_result_rows>"),
        ("light", "<max_bytes_to_read>1000000</max_bytes_to_read>"),
        ("small", "<max_result_bytes>100000</max_result_bytes>"),
        ("deaf", "<http_send_timeout>5</http_send_timeout>"),
        ("alone", "<max_concurrent_queries_for_user>3</max_concurrent_queries_for_user>"),
    ];
    let profiles = kinds.map(|(name, limit)| format!("<{name}>{limit}</{name}>")).concat();
    let user = |(name, _): (&str, &str)| {
        format!(
            "<{name}><password></password><networks><ip>::/0</ip></networks><profile>{name}</profile><quota>default</quota></{name}>"
        )
    };
    let users = kinds.map(user).concat();
    format!("<clickhouse><profiles>{profiles}</profiles><users>{users}</users></clickhouse>")
}

#[test]
#[ignore = "slow: about 10 s"]
fn limits_that_statements_would_meet_are_named() {
    let orders = Orders::on(
        Server::isolated_with(ServerOptions { users_xml: Some(users()), ..Default::default() }),
        4_000,
    );
    look(tool(&orders), 0).assert("limits", "ok", &["waits 30.0 s for a reader"]);
    for (user, words) in [
        (
            "hasty",
            &[
                "max_execution_time ends a source statement after 1 min 30 s",
                "max_execution_time ends a insert statement",
                "max_execution_time = 0 under [settings.source]",
            ][..],
        ),
        ("reading", &["max_rows_to_read is 1,000, and the count of the source reads 4,400 rows"]),
        ("short", &["max_result_rows is 500, and a chunk has about 4,400 rows"]),
        ("light", &["max_bytes_to_read is 976.6 KiB, and the partition has about"]),
        ("small", &["max_result_bytes is 97.7 KiB, and a chunk has about"]),
        ("deaf", &["http_send_timeout is 5.0 s"]),
        ("alone", &["max_concurrent_queries_for_user is 3"]),
    ] {
        // The server refuses the reads of two of them, or would their results.
        let code = if matches!(user, "reading" | "short") { 3 } else { 0 };
        look(tool(&orders).env("CLICKHOUSE_USER", user), code).assert("limits", "warning", words);
    }
    // What the job says of its statements counts.
    let settings = "max_execution_time = 0\n";
    let job = format!(
        "{JOB}\n[settings.source]\n{settings}[settings.lookup]\n{settings}[settings.insert]\n{settings}"
    );
    look(tool_with(&orders, &job).env("CLICKHOUSE_USER", "hasty"), 0).assert("limits", "ok", &[]);
}
