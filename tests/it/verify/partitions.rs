//! Which rows of the target a partition of the source answers for, where the two tables are
//! partitioned differently.

use serde_json::Value;

use super::fixture::report;
use crate::jobs::fixture::JobFile;
use crate::support::{Output, Server};

const COLUMNS: &str = "id = 'source.id'\namount = 'source.amount'\nversion = 'source.version'\n";

/// Two tables with rows of 95 days from 2025-10-01 on, five a day.
struct Tables {
    server: Server,
    job: JobFile,
}

impl Tables {
    /// `columns`: what the job writes besides [`COLUMNS`].
    fn new(source_by: &str, target_by: &str, columns: &str) -> Self {
        let server = Server::shared();
        let by = |key: &str| {
            if key.is_empty() { String::new() } else { format!("PARTITION BY {key}") }
        };
        let placed = if columns.is_empty() { "" } else { "placed DateTime64(3, 'UTC'), " };
        server.script(&format!(
            "CREATE TABLE stored (id UInt64, placed DateTime('UTC'), amount UInt32, version UInt32)
             ENGINE = ReplacingMergeTree(version) {} ORDER BY id
             --;;
             INSERT INTO stored SELECT number, toDateTime('2025-10-01 00:00:00', 'UTC') + intDiv(number, 5) * 86400, number % 97, 1 FROM numbers(475)
             --;;
             CREATE TABLE copies (id UInt64, {placed}amount UInt32, version UInt32)
             ENGINE = ReplacingMergeTree(version) {} ORDER BY id",
            by(source_by),
            by(target_by)
        ));
        let job = format!(
            "name = 'copies'\n[source]\ntable = 'stored'\nfinal = true\nversion = 'version'\n[target]\ntable = 'copies'\n[columns]\n{COLUMNS}{columns}"
        );
        Self { server, job: JobFile::new(&job) }
    }

    fn run(&self, partition: &str) {
        self.tool("run", partition, &[]).expect(0);
    }

    fn tool(&self, command: &str, partition: &str, arguments: &[&str]) -> Output {
        self.job
            .tool_without_partition(&self.server, command)
            .args(&["--partition", partition])
            .args(arguments)
            .run()
    }

    #[track_caller]
    fn verify(&self, partition: &str, code: i32) -> Value {
        report(&self.tool("verify", partition, &["--json"]).expect(code))
    }

    /// Rows that only one of the two tables has.
    fn different(&self) -> String {
        self.server.text(
            "SELECT (SELECT count() FROM (SELECT id, placed, amount FROM stored FINAL EXCEPT SELECT id, placed, amount FROM copies FINAL)),
                (SELECT count() FROM (SELECT id, placed, amount FROM copies FINAL EXCEPT SELECT id, placed, amount FROM stored FINAL))",
        )
    }
}

/// The kinds of the rows that are named, with their ids.
fn kinds(report: &Value) -> Vec<(String, u64)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut kinds: Vec<_> = report["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (text(&row["kind"]), text(&row["key"]["id"]).parse().unwrap()))
        .collect();
    kinds.sort();
    kinds
}

fn kind(kind: &str, id: u64) -> (String, u64) {
    (kind.to_owned(), id)
}

/// Both partitions are loaded. A stray row in the first one is extra and removed; the rows of the
/// second are neither.
#[track_caller]
fn assert_only_the_stray_row_is_removed(source_by: &str, target_by: &str, partitions: [&str; 2]) {
    let tables = Tables::new(source_by, target_by, "placed = 'source.placed'\n");
    let server = &tables.server;
    let [first, second] = partitions;
    let of = |partition: &str| {
        let id = partition.trim_start_matches("id:");
        let sql = format!("SELECT count() FROM stored WHERE _partition_id = '{id}'");
        server.text(&sql).parse::<u64>().unwrap()
    };
    for partition in partitions {
        tables.run(partition);
    }
    server.query("ALTER TABLE stored DELETE WHERE id NOT IN (SELECT id FROM copies) SETTINGS mutations_sync = 2");
    assert_eq!(tables.different(), "0\t0");
    for partition in partitions {
        let found = tables.verify(partition, 0);
        assert_eq!(
            (found["expected_rows"].as_u64(), found["target_rows"].as_u64()),
            (Some(of(partition)), Some(of(partition))),
            "{found:#}"
        );
    }

    let first_id = first.trim_start_matches("id:");
    server.query(&format!(
        "INSERT INTO copies SELECT 1000000, any(placed), 0, 1 FROM stored WHERE _partition_id = '{first_id}'"
    ));
    assert_eq!(kinds(&tables.verify(first, 4)), [kind("extra", 1_000_000)]);
    assert_eq!(kinds(&tables.verify(second, 0)), [], "it came from the other partition");
    let output = tables.tool("repair", first, &["--json", "--remove"]).expect(0);
    assert_eq!(report(&output)["removed_rows"], 1, "{output}");
    assert_eq!(tables.different(), "0\t0", "{output}");

    if !target_by.is_empty() {
        return;
    }
    // A row whose partition's column was changed in the target still is a row of its source's.
    server.query(&format!(
        "ALTER TABLE copies UPDATE placed = placed + INTERVAL 1 MONTH WHERE id IN (SELECT max(id) FROM stored WHERE _partition_id = '{first_id}') SETTINGS mutations_sync = 2"
    ));
    let found = tables.verify(first, 4);
    assert_eq!(found["differences"]["differing"], 1, "{found:#}");
    tables.tool("repair", first, &["--remove"]).expect(0);
    assert_eq!(tables.different(), "0\t0");
}

#[test]
fn months_in_a_target_without_partitions() {
    assert_only_the_stray_row_is_removed("toYYYYMM(placed)", "", ["202511", "202512"]);
}

#[test]
fn weeks_in_a_target_by_year() {
    assert_only_the_stray_row_is_removed(
        "toMonday(placed)",
        "toYear(placed)",
        ["id:20251103", "id:20251110"],
    );
}

#[test]
#[ignore = "slow: about 22 s"]
fn days_in_a_target_by_month() {
    assert_only_the_stray_row_is_removed(
        "toDate(placed)",
        "toYYYYMM(placed)",
        ["id:20251104", "id:20251105"],
    );
}

/// A row that has moved to another partition of the source, which was not loaded since.
#[test]
fn a_row_that_another_partition_makes_now() {
    let tables = Tables::new("toYYYYMM(placed)", "", "placed = 'source.placed'\n");
    tables.run("202511");
    let id = tables.server.text("SELECT min(id) FROM stored WHERE _partition_id = '202511'");
    tables.server.script(&format!(
        "INSERT INTO stored SELECT id, placed + INTERVAL 1 MONTH, amount, version + 1 FROM stored WHERE id = {id}
         --;;
         ALTER TABLE stored DELETE WHERE id = {id} AND _partition_id = '202511' SETTINGS mutations_sync = 2"
    ));
    tables.verify("202511", 0);
    let output = tables.tool("repair", "202511", &["--json", "--remove"]).expect(0);
    assert_eq!(report(&output)["removed_rows"], 0, "{output}");
    assert_eq!(tables.server.text(&format!("SELECT count() FROM copies WHERE id = {id}")), "1");
}

/// Two partitions make a row of one key and one version: the target keeps either.
#[test]
#[ignore = "slow: about 8 s"]
fn a_key_that_two_partitions_make() {
    for columns in ["placed = 'source.placed'\n", ""] {
        let tables = Tables::new("toYYYYMM(placed)", "", columns);
        let id = tables.server.text("SELECT min(id) FROM stored WHERE _partition_id = '202511'");
        tables.server.query(&format!(
            "INSERT INTO stored SELECT id, placed + INTERVAL 1 MONTH, amount + 1, version FROM stored WHERE id = {id}"
        ));
        tables.run("202511");
        tables.run("202512");
        let found = tables.verify("202511", 0);
        assert_eq!(found["tolerated"]["shared_key"], 1, "{found:#}");
        tables.verify("202512", 0);
        // A wrong value is not excused by it.
        tables.server.query(&format!(
            "ALTER TABLE copies UPDATE amount = 7 WHERE id = {id} + 1 SETTINGS mutations_sync = 2"
        ));
        let found = tables.verify("202511", 4);
        assert_eq!(found["differences"]["differing"], 1, "{found:#}");
    }
}

/// Without the column of the source's partition key, nothing tells where a row came from.
#[test]
fn a_job_that_does_not_tell_the_partition() {
    let tables = Tables::new("toYYYYMM(placed)", "", "");
    let server = &tables.server;
    for partition in ["202511", "202512"] {
        tables.run(partition);
    }
    assert_eq!(kinds(&tables.verify("202511", 0)), []);
    // Rows of a partition that the source has dropped since, and one that nothing explains.
    server.script(
        "ALTER TABLE stored DROP PARTITION 202512
         --;;
         INSERT INTO copies VALUES (1000000, 0, 1)",
    );
    let found = tables.verify("202511", 0);
    assert_eq!(found["tolerated"]["unattributed"], 31 * 5 + 1, "{found:#}");
    let text = tables.tool("verify", "202511", &[]).expect(0).stdout;
    assert!(text.contains("of an unknown source partition") && text.contains("156"), "{text}");

    server.query("ALTER TABLE copies DELETE WHERE id = 200 SETTINGS mutations_sync = 2");
    let output = tables.tool("repair", "202511", &["--json", "--remove"]).expect(4);
    assert_eq!(report(&output)["removed_rows"], 0, "{output}");
    assert!(
        output.stderr.contains("156 rows were not removed")
            && output.stderr.contains("no column of the job is source.placed"),
        "{output}"
    );
    assert_eq!(server.text("SELECT count() FROM copies FINAL"), (61 * 5 + 1).to_string());
    // What needs no guess is repaired.
    assert_eq!(server.text("SELECT count() FROM copies WHERE id = 200"), "1");
}

/// The server's ids of such partitions are not what `partitionID` gives.
#[test]
#[ignore = "slow: about 20 s"]
fn targets_without_columns_or_with_null_in_their_partition_key() {
    for key in ["tuple()", "region", "(region, toYYYYMM(placed))"] {
        let server = Server::shared();
        server.script(&format!(
            "CREATE TABLE stored (id UInt64, placed Date, region Nullable(UInt8), version UInt32)
             ENGINE = ReplacingMergeTree(version) PARTITION BY region ORDER BY id SETTINGS allow_nullable_key = 1
             --;;
             INSERT INTO stored SELECT number, toDate('2025-11-01') + number % 60, if(number % 3 = 0, NULL, number % 3), 1 FROM numbers(600)
             --;;
             CREATE TABLE copies AS stored ENGINE = ReplacingMergeTree(version) PARTITION BY {key} ORDER BY id SETTINGS allow_nullable_key = 1"
        ));
        let columns = ["id", "placed", "region", "version"]
            .map(|name| format!("{name} = 'source.{name}'\n"))
            .concat();
        let job = JobFile::new(&format!(
            "name = 'copies'\n[source]\ntable = 'stored'\nfinal = true\nversion = 'version'\n[target]\ntable = 'copies'\n[columns]\n{columns}"
        ));
        let partitions = server.text(
            "SELECT arrayStringConcat(groupArray(partition_id), ' ') FROM (SELECT DISTINCT partition_id FROM system.parts WHERE active AND table = 'stored' AND database = currentDatabase())",
        );
        let tool = |command: &str, partition: &str| {
            let partition = format!("id:{partition}");
            job.tool_without_partition(&server, command)
                .args(&["--partition", &partition])
                .arg("--json")
        };
        for partition in partitions.split(' ') {
            let partition = format!("id:{partition}");
            let run = job.tool_without_partition(&server, "run").args(&["--partition", &partition]);
            run.run().expect(0);
        }
        for partition in partitions.split(' ') {
            let found = report(&tool("verify", partition).run().expect(0));
            assert_eq!(found["expected_rows"], 200, "{key}\n{found:#}");
        }
        let of_null = server.text("SELECT any(_partition_id) FROM stored WHERE region IS NULL");
        server.query("DELETE FROM copies WHERE id = 6");
        assert_eq!(kinds(&report(&tool("verify", &of_null).run().expect(4))), [kind("missing", 6)]);
        tool("repair", &of_null).run().expect(0);
        assert_eq!(server.text("SELECT count() FROM copies FINAL"), "600");
    }
}

/// Where rows do not collapse, rows of other partitions have the same key.
#[test]
fn a_target_whose_rows_do_not_collapse() {
    let server = Server::shared();
    let (source, target) = ("toYYYYMM(placed)", "ORDER BY amount");
    server.script(&format!(
        "CREATE TABLE stored (id UInt64, placed Date, amount UInt32) ENGINE = MergeTree PARTITION BY {source} ORDER BY id
         --;;
         INSERT INTO stored SELECT number, toDate('2025-11-01') + number % 60, number % 7 FROM numbers(600)
         --;;
         CREATE TABLE copies (id UInt64, placed Date, amount UInt32) ENGINE = MergeTree {target}
         --;;
         CREATE TABLE reduced (id UInt64, amount UInt32) ENGINE = MergeTree {target}
         --;;
         INSERT INTO copies SELECT * FROM stored
         --;;
         INSERT INTO reduced SELECT id, amount FROM stored"
    ));
    let verify = |target: &str, columns: &str, code: i32| {
        let job = JobFile::new(&format!(
            "name = 'copies'\n[source]\ntable = 'stored'\n[target]\ntable = '{target}'\n[columns]\nid = 'source.id'\namount = 'source.amount'\n{columns}"
        ));
        let tool = job.tool_without_partition(&server, "verify");
        report(&tool.args(&["--partition", "202511", "--json"]).run().expect(code))
    };
    verify("copies", "placed = 'source.placed'\n", 0);
    verify("reduced", "", 0);
    for table in ["copies", "reduced"] {
        server.query(&format!("DELETE FROM {table} WHERE id = 8"));
    }
    let found = verify("copies", "placed = 'source.placed'\n", 4);
    assert_eq!(found["differences"]["differing"], 1, "{found:#}");
    let found = verify("reduced", "", 4);
    assert_eq!(found["differences"]["differing"], 1, "{found:#}");
    server.query("INSERT INTO copies SELECT * FROM stored WHERE id = 9");
    let found = verify("copies", "placed = 'source.placed'\n", 4);
    assert_eq!(found["differences"]["repeated"], 1, "{found:#}");
}
