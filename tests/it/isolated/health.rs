//! What `health` says of a server whose merges are slow.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::process::wait_until;
use crate::support::{Server, ServerOptions, binary};

const SOON: Duration = Duration::from_secs(60);
/// A merge writes 100 KB a second, so that one of some megabytes is still in progress when it is looked at.
const SLOW_MERGES: &str = "<clickhouse><max_merges_bandwidth_for_server>100000</max_merges_bandwidth_for_server></clickhouse>";

/// The problems that are named, by subject.
fn problems(server: &Server, stuck_after: &str, code: i32) -> Vec<(String, String)> {
    let tool = binary().envs(&server.environment());
    let tool = tool.args(&["health", "--json", "--stuck-after", stuck_after]);
    let output = tool.run().expect(code);
    let found: Value = serde_json::from_str(&output.stdout).unwrap();
    let text = |problem: &Value, name: &str| problem[name].as_str().unwrap().to_owned();
    let problems = found["problems"].as_array().unwrap().iter();
    problems.map(|problem| (text(problem, "subject"), text(problem, "message"))).collect()
}

#[test]
fn merges_and_mutations_that_take_too_long_and_failed_refreshes_are_named() {
    let options = ServerOptions { config_xml: Some(SLOW_MERGES.to_owned()), ..Default::default() };
    let server = Server::isolated_with(options);
    for table in ["merging", "refreshed", "waiting"] {
        server.query(&format!(
            "CREATE TABLE {table} (id UInt64, text String) ENGINE = MergeTree ORDER BY id"
        ));
    }
    for _ in 0..2 {
        server.query(
            "INSERT INTO merging SELECT number, randomPrintableASCII(100) FROM numbers(100000)",
        );
    }
    server.query("INSERT INTO waiting VALUES (1, 'x')");
    server.query("CREATE MATERIALIZED VIEW fine REFRESH EVERY 10 YEAR TO refreshed AS SELECT 1 AS id, 'x' AS text");
    let is_true = |sql: &str| assert!(wait_until(SOON, || server.text(sql) == "1"), "{sql}");
    is_true("SELECT count() FROM refreshed");
    assert_eq!(problems(&server, "0s", 0), []);
    server.query("SYSTEM STOP MERGES waiting");
    server.query("ALTER TABLE waiting DELETE WHERE id = 1 SETTINGS mutations_sync = 0");
    server.query("CREATE MATERIALIZED VIEW failing REFRESH EVERY 10 YEAR TO refreshed AS SELECT throwIf(number = 0, 'no rates today') AS id, '' AS text FROM numbers(1)");
    is_true("SELECT count() FROM system.view_refreshes WHERE view = 'failing' AND exception != ''");
    thread::scope(|scope| {
        let optimizing = scope.spawn(|| server.try_query("OPTIMIZE TABLE merging FINAL"));
        is_true(
            "SELECT count() FROM system.merges WHERE table = 'merging' AND elapsed > 1 AND progress < 0.9",
        );
        let found = problems(&server, "1s", 1);
        // Nothing is long in progress yet.
        let young = problems(&server, "1h", 1);
        server.query("SYSTEM STOP MERGES merging");
        assert!(optimizing.join().unwrap().is_err());
        let said = |subject: &str, begins: &str, holds: &str| {
            let (_, message) = found.iter().find(|(found, _)| found == subject).unwrap();
            assert!(message.starts_with(begins) && message.contains(holds), "{message}");
        };
        said("merging", "the merge into all_1_2_1 is ", " % done after ");
        said("waiting", "the mutation ", "is not done after");
        said("failing", "", "no rates today");
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(young.len(), 1, "{young:?}");
    });
}
