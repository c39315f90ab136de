//! Removal by DELETE, for applications that read their tables without FINAL and without the mark of
//! deleted rows: no row that should not be there stays visible to them, in the target and in what its
//! views fill.

use serde_json::Value;

use crate::jobs::fixture::JobFile;
use crate::oracle::fixture::{YEAR_2026, adversarial_but_small, number, recorded_run, tool};
use crate::support::{Direction, Proxy, Server, process};

const SOON: std::time::Duration = std::time::Duration::from_secs(60);
const WHAT: [&str; 4] = ["--partition", "202511", "--target-table", "events_full"];
const TABLES: [&str; 2] = ["events_full", "events_core"];

/// Rows of a table as the application reads it: no FINAL, no mark of deleted rows.
fn seen(server: &Server, table: &str, condition: &str) -> u64 {
    number(server, &format!("SELECT count() FROM {table} WHERE {condition}"))
}

/// In both tables, now and after a merge, no row meets this condition, and none is marked as deleted.
#[track_caller]
fn assert_gone(server: &Server, condition: &str) {
    for merged in [false, true] {
        for table in TABLES {
            if merged {
                server.query(&format!("OPTIMIZE TABLE {table} FINAL"));
            }
            assert_eq!(seen(server, table, condition), 0, "{table}, merged: {merged}");
            assert_eq!(seen(server, table, "is_deleted != 0"), 0, "{table}, merged: {merged}");
        }
    }
}

#[test]
#[ignore = "slow: about 11 s"]
fn a_repair_removes_rows_from_the_target_and_what_its_views_fill() {
    let server = adversarial_but_small(YEAR_2026);
    recorded_run(&server, &WHAT);
    let rows = seen(&server, "events_full", "1");
    assert_eq!(seen(&server, "events_core", "1"), rows);
    // Rows that the job does not make, one of them in two versions; and rows whose source rows the
    // application has deleted, by a mark and by DELETE.
    let insert = |replace: &str, span: &str| {
        server.query(&format!(
            "INSERT INTO events_full SELECT * REPLACE ({replace}) FROM (SELECT * FROM events_full WHERE span_id = '{span}')"
        ));
    };
    insert("'too many' AS span_id", "null-observation-1");
    insert("'too many' AS span_id, event_ts - 1 AS event_ts", "null-observation-1");
    // A live row, and the older row of the job below it.
    insert(
        "'live' AS name, 'ingestion-api' AS source, event_ts + 1 AS event_ts",
        "null-observation-2",
    );
    server.query(
        "INSERT INTO observations SELECT * REPLACE (1 AS is_deleted, event_ts + 1 AS event_ts) FROM observations FINAL WHERE id IN ('null-observation-2', 'null-observation-3')",
    );
    server.query("SYSTEM START MERGES observations");
    server.query("DELETE FROM observations WHERE id = 'null-observation-4'");
    let deleted = "span_id IN ('too many', 'null-observation-3', 'null-observation-4')";
    for table in TABLES {
        assert_eq!(seen(&server, table, deleted), 4, "{table}");
    }

    let repair = || tool(&server).arg("repair").args(&WHAT);
    let output = repair().run().expect(4);
    assert!(output.stderr.contains("--remove removes each by DELETE"), "{output}");
    let output = repair().args(&["--remove", "--json"]).run().expect(0);
    let figures: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(figures["removed_rows"], 3, "{output}");
    assert!(output.stderr.contains("removed 3 rows, each by DELETE"), "{output}");
    assert_gone(&server, deleted);
    for table in TABLES {
        assert_eq!(
            server.text(&format!(
                "SELECT DISTINCT name FROM {table} FINAL WHERE span_id = 'null-observation-2'"
            )),
            "live",
            "a live row stays in {table}"
        );
        assert_eq!(seen(&server, table, "1"), rows - 2, "no other row is removed from {table}");
    }
    tool(&server).arg("verify").args(&WHAT).run().expect(0);
}

/// Every row has been read and none inserted when rows of the source are deleted.
#[test]
fn deletions_during_a_run_leave_nothing_to_readers_without_final() {
    let server = adversarial_but_small(YEAR_2026);
    let proxy = Proxy::start(server.port());
    proxy.after_request_with(b"-insert-").stall_at(Direction::ToServer, 0, 1000);
    let run = tool(&server).arg("run").args(&WHAT).env("CLICKHOUSE_URL", proxy.url()).spawn();
    let reading = "SELECT count() FROM system.processes WHERE query_id LIKE 'clickhouse-backfill-%-source-%' AND current_database = currentDatabase()";
    assert!(
        process::wait_until(SOON, || proxy.fired() > 0 && server.text(reading) == "0"),
        "all rows are read, and none inserted"
    );
    server.query(
        "INSERT INTO observations SELECT * REPLACE (1 AS is_deleted, event_ts + 1 AS event_ts) FROM observations FINAL WHERE startsWith(id, 'null-observation-')",
    );
    let deleted = "startsWith(span_id, 'null-observation-')";
    let rows = server.text(
        "SELECT count() FROM observations WHERE startsWith(id, 'null-observation-') AND is_deleted AND _partition_id = '202511'",
    );
    assert!(rows.parse::<u64>().unwrap() > 3, "{rows}");
    proxy.pass();
    let output = run.wait().expect(0);
    let words = "rows that were deleted in the source while the load was on are deleted in the target as well";
    assert!(output.stderr.contains(words), "{output}");
    assert!(output.stderr.contains(&format!("rows={rows}")), "{output}");
    assert_gone(&server, deleted);
    assert!(seen(&server, "events_core", "1") > 50);
    tool(&server).arg("verify").args(&WHAT).run().expect(0);
}

/// Keys come in batches, a view of a view is followed, a view with a table of its own too, and a table
/// in which a row has no key of its own is named.
#[test]
fn many_rows_are_removed_from_all_tables_behind_views() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE stored (id UInt64, version UInt32) ENGINE = MergeTree ORDER BY id
         --;;
         INSERT INTO stored SELECT number, 5 FROM numbers(1000)
         --;;
         CREATE TABLE copies (id UInt64, version UInt32, gone UInt8) ENGINE = ReplacingMergeTree(version, gone) ORDER BY id
         --;;
         CREATE TABLE second AS copies ENGINE = ReplacingMergeTree(version) PARTITION BY id % 2 ORDER BY (id % 10, id)
         --;;
         CREATE TABLE third AS copies
         --;;
         CREATE TABLE sums (version UInt32, rows UInt64) ENGINE = SummingMergeTree ORDER BY version
         --;;
         CREATE MATERIALIZED VIEW to_second TO second AS SELECT * FROM copies
         --;;
         CREATE MATERIALIZED VIEW to_third TO third AS SELECT * FROM second
         --;;
         CREATE MATERIALIZED VIEW own ENGINE = MergeTree ORDER BY id AS SELECT * FROM copies
         --;;
         CREATE MATERIALIZED VIEW to_sums TO sums AS SELECT version, count() AS rows FROM copies GROUP BY version
         --;;
         INSERT INTO copies SELECT number, 5, 0 FROM numbers(3500)",
    );
    let job = JobFile::new(
        "name = 'copies'\n[source]\ntable = 'stored'\n[target]\ntable = 'copies'\nremoval = 'delete'\n\
         [columns]\nid = 'source.id'\nversion = 'source.version'\ngone = '0'\n",
    );
    let plan = job.tool(&server, "plan").arg("--json").run().expect(0).stdout;
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let checks = plan["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "removal").unwrap();
    assert_eq!(check["verdict"], "warning", "{check}");
    let sums = format!("{}.sums", server.database());
    assert_eq!(
        check["detail"],
        format!(
            "rows that are removed or deleted in the source stay in {sums} (it has no column id)"
        )
    );
    let output = job.tool(&server, "repair").args(&["--remove", "--json"]).run().expect(0);
    let words = format!("note: removed rows stay in {sums}: it has no column id");
    assert!(output.stderr.contains(&words), "{output}");
    assert!(output.stderr.contains("removed 2,500 rows, each by DELETE"), "{output}");
    for table in ["copies", "second", "third", "own"] {
        let rows = server.text(&format!("SELECT count(), max(id) FROM {table}"));
        assert_eq!(rows, "1000\t999", "{table}");
    }
    let statements = server.text(
        "SELECT countIf(table = 'copies'), count() FROM system.mutations WHERE database = currentDatabase()",
    );
    assert_eq!(statements, "3\t12", "of at most 1,000 rows each");
}
