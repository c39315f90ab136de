//! `--max-server-memory`, and partitions of several chunks.

use super::fixture::{filled, tool};
use crate::jobs::fixture::JobFile;
use crate::support::Server;

#[test]
fn chunks_that_do_not_fit_are_halved() {
    let orders = filled(150_000);
    // One part, so that the target's side fits.
    orders.server.query("OPTIMIZE TABLE shipments FINAL");
    let limit = "70MiB";
    let output = tool(&orders, "verify").args(&["--max-server-memory", limit]).run().expect(0);
    assert!(output.stderr.contains("halved"), "{output}");
    orders.server.query("SYSTEM FLUSH LOGS");
    let most = orders.server.text(
        "SELECT count() > 0, max(memory_usage) <= 77 * 1048576, min(toUInt64(Settings['max_memory_usage'])), max(toUInt64(Settings['max_memory_usage']))
         FROM system.query_log WHERE type = 'QueryFinish' AND (query_id LIKE '%-expected-%' OR query_id LIKE '%-found-%') AND current_database = currentDatabase()",
    );
    assert_eq!(most, "1\t1\t73400320\t73400320");
}

#[test]
#[ignore = "slow: many chunks"]
fn several_chunks_add_up_and_a_row_of_the_last_is_found() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE stored (key String, number UInt32, version UInt8) ENGINE = ReplacingMergeTree(version) ORDER BY (key, number)
         --;;
         INSERT INTO stored SELECT ['', '\\'', '\\\\', '\\0', '\\xFF\\xFE', 'a\\n', 'ä'][1 + number % 7], number, 1 FROM numbers(2300000)
         --;;
         INSERT INTO stored SELECT ['', '\\'', '\\\\', '\\0', '\\xFF\\xFE', 'a\\n', 'ä'][1 + number % 7], number, 2 FROM numbers(2300000) WHERE number % 5 = 0
         --;;
         CREATE TABLE copies (key String, number UInt32, version UInt8) ENGINE = ReplacingMergeTree(version) ORDER BY (key, number)
         --;;
         INSERT INTO copies SELECT * FROM stored FINAL",
    );
    let job = JobFile::new(
        "name = 'copies'\n[source]\ntable = 'stored'\nfinal = true\nversion = 'version'\n[target]\ntable = 'copies'\n\
         [columns]\nkey = 'source.key'\nnumber = 'source.number'\nversion = 'source.version'\n",
    );
    let verify = |code: i32| {
        let output = job.tool(&server, "verify").arg("--json").run().expect(code);
        serde_json::from_str::<serde_json::Value>(&output.stdout).unwrap()
    };
    let found = verify(0);
    assert!(found["chunks"].as_u64().unwrap() > 1, "{found:#}");
    assert_eq!(
        (found["expected_rows"].as_u64(), found["target_rows"].as_u64()),
        (Some(2_300_000), Some(2_300_000))
    );
    server.query("DELETE FROM copies WHERE number = 2299996");
    let found = verify(4);
    let row = &found["rows"][0];
    assert_eq!(
        (&row["kind"], &row["key"]["number"], &row["chunk"]),
        (&"missing".into(), &"2299996".into(), &found["chunks"]),
        "{found:#}"
    );
}
