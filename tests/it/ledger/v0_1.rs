//! What version 0.1 recorded is read, and its loads go on. See `tests/it/fixtures/v0_1`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Binary, Server, binary};

const LEDGER_TABLES: [&str; 5] =
    ["load_state", "load_state_chunks", "load_claims", "load_samples", "load_verifications"];

/// The target, the partition, the state in `status`, and the one in `history`.
const STATES: [(&str, &str, &str, &str); 8] = [
    ("shipments", "202501", "completed", "done"),
    ("shipments", "202502", "interrupted", "interrupted"),
    ("shipments", "202503", "failed", "failed"),
    ("shipments", "202504", "interrupted", "killed"),
    ("shipments", "202505", "completed", "done"),
    ("shipments", "202506", "interrupted", "killed"),
    ("shipments", "202507", "interrupted", "killed"),
    ("shipment_log", "202508", "interrupted", "interrupted"),
];

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/v0_1")
}

fn text(name: &str) -> String {
    let path = fixture().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The fixture's tables and one of its ledgers.
struct Recorded {
    server: Server,
    folder: TempDir,
    in_files: bool,
}

impl Recorded {
    fn start(in_files: bool) -> Self {
        let (server, folder) = (Server::shared(), TempDir::with_prefix("recorded-").unwrap());
        // Definitions and ranges name the database.
        assert_eq!(server.database(), "default", "the fixture was made in this database");
        server.script(&text("tables.sql").replace(";\n", "\n--;;\n"));
        if in_files {
            copy(&fixture().join("files"), &folder.path().join("ledger"));
        } else {
            for table in LEDGER_TABLES {
                server.query(&text(&format!("tables/{table}.sql")));
                server.insert(
                    &format!("INSERT INTO {table} FORMAT JSONEachRow"),
                    text(&format!("tables/{table}.jsonl")).as_bytes(),
                );
            }
        }
        Self { server, folder, in_files }
    }

    fn tool(&self, command: &str) -> Binary {
        let tool = binary()
            .file("job.toml", &text("job.toml"))
            .envs(&self.server.environment())
            .arg(command);
        if self.in_files {
            let ledger = self.folder.path().join("ledger");
            tool.args(&["--ledger", &format!("file:{}", ledger.display())])
        } else {
            tool
        }
    }

    fn of(&self, command: &str, target: &str, partition: &str) -> Binary {
        let of_job = self.tool(command).args(&["--job", "job.toml", "--target-table", target]);
        of_job.args(&["--partition", partition])
    }

    fn run(&self, target: &str, partition: &str) -> Binary {
        self.of("run", target, partition).envs(&[
            ("CHUNK_ROWS", "60"),
            ("BATCH_SIZE", "10"),
            ("READERS", "1"),
            ("INSERTERS", "1"),
            ("MEMORY", "512MiB"),
            ("MAX_RETRIES", "0"),
        ])
    }

    #[track_caller]
    fn json(tool: Binary) -> Value {
        let output = tool.run().expect(0);
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
    }

    /// The records of the chunks of a load.
    fn chunks(&self, run_id: &str) -> Vec<Value> {
        if !self.in_files {
            let lines = text("tables/load_state_chunks.jsonl");
            let chunks = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            return chunks.filter(|chunk| chunk["run_id"] == run_id).collect();
        }
        let entries = fs::read_dir(fixture().join("files/chunks").join(run_id)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| !path.ends_with("pending.json"))
            .map(|path| serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
            .collect()
    }

    /// Puts the rows of a load's completed chunks into the target, as 0.1 had done; gives how many
    /// there are.
    fn fill_completed(&self, target: &str, partition: &str) -> u64 {
        let status = Self::json(self.of("status", target, partition).arg("--json"));
        let run_id = status["run_id"].as_str().unwrap();
        for chunk in self.chunks(run_id).iter().filter(|chunk| chunk["status"] == "completed") {
            let range = chunk["range"].as_str().unwrap();
            self.server.query(&format!("INSERT INTO {target} {}", join(partition, range)));
        }
        let rows = format!("SELECT count() FROM {target} WHERE toYYYYMM(placed) = {partition}");
        self.server.text(&rows).parse().unwrap()
    }

    /// Holds a partition in the target against the join: every row once.
    #[track_caller]
    fn assert_filled(&self, target: &str, partition: &str) {
        let there = format!("SELECT * FROM {target} WHERE toYYYYMM(placed) = {partition}");
        let there =
            if target == "shipments" { there.replace(" WHERE", " FINAL WHERE") } else { there };
        let expected = join(partition, "1");
        let figures = self.server.text(&format!(
            "SELECT (SELECT count() FROM ({there})), (SELECT count() FROM ({expected} EXCEPT {there}))"
        ));
        assert_eq!(figures, "240\t0", "rows of {partition} in {target}, rows missing");
    }

    fn cure(&self) {
        self.server.query(
            "INSERT INTO orders SELECT id, customer, placed, amount, 3, 0, 'cured' FROM orders FINAL WHERE note = 'poison'",
        );
    }
}

/// The equivalent join of the fixture's job.
fn join(partition: &str, range: &str) -> String {
    format!(
        "SELECT o.id, o.customer, toDateTime64(o.placed, 3, 'UTC') AS placed, toInt64(o.amount * 2), concat(o.note, ' to ', coalesce(c.city, 'nowhere')), o.version
         FROM (SELECT * FROM orders FINAL WHERE _partition_id = '{partition}' AND ({range})) AS o
         LEFT ANY JOIN (SELECT * FROM customers FINAL) AS c ON o.customer = c.id"
    )
}

/// The partition of this target in what `history --json` prints.
#[track_caller]
fn in_history<'a>(histories: &'a Value, target: &str, partition: &str) -> &'a Value {
    let history = histories.as_array().unwrap().iter();
    let mut of_target = history.filter(|history| history["target"] == format!("default.{target}"));
    let partitions =
        of_target.next().unwrap_or_else(|| panic!("{histories}"))["partitions"].as_array();
    let mut partitions = partitions.unwrap().iter();
    partitions
        .find(|found| found["partition"] == partition)
        .unwrap_or_else(|| panic!("{partition}: {histories}"))
}

/// The states that `status` and `history` show, and the mapping, the samples and the comparison
/// that `report` shows.
#[track_caller]
fn assert_shown(recorded: &Recorded) {
    let history = Recorded::json(recorded.tool("history").arg("--json"));
    for (target, partition, state, in_the_history) in STATES {
        let status = Recorded::json(recorded.of("status", target, partition).arg("--json"));
        assert_eq!(status["state"], state, "{partition}: {status}");
        let found = in_history(&history, target, partition);
        assert_eq!(found["state"], in_the_history, "{found}");
        let versions = if ["202505", "202506"].contains(&partition) { 2 } else { 1 };
        assert_eq!(found["loads"].as_array().unwrap().len(), versions, "{found}");

        let report = recorded.of("report", target, partition).args(&["--format", "json"]);
        let report = Recorded::json(report);
        let mapping = report["mapping"].as_array().unwrap();
        let columns = mapping.iter().map(|column| column["column"].as_str().unwrap());
        assert_eq!(
            columns.collect::<Vec<_>>(),
            ["order_id", "customer", "placed", "amount", "note", "version"]
        );
        let expression = "concat(source.note, ' to ', coalesce(lookup.city, 'nowhere'))";
        assert_eq!(
            (&mapping[4]["expression"], &mapping[4]["type"]),
            (&expression.into(), &"String".into())
        );
        assert!(!report["definition"].as_object().unwrap().is_empty(), "{report}");
        assert_eq!(report["chunks"].as_array().unwrap().len(), 4, "{report}");
        assert!(!report["course"].as_array().unwrap().is_empty(), "{report}");
        let comparisons = usize::from(partition == "202501");
        assert_eq!(report["verifications"].as_array().unwrap().len(), comparisons, "{report}");
    }
}

/// A run of each load: what is complete stays so, and the rest is filled, every row once.
#[track_caller]
fn assert_continued(recorded: &Recorded) {
    recorded.cure();
    for (target, partition, state, _) in STATES {
        let before = Recorded::json(recorded.of("status", target, partition).arg("--json"));
        let rows = recorded.fill_completed(target, partition);
        let output = recorded.run(target, partition).arg("--json").run().expect(0);
        let line = output.stdout.lines().last().unwrap_or_else(|| panic!("{output}"));
        let summary: Value = serde_json::from_str(line).unwrap();
        let inserted = if state == "completed" { 0 } else { 240 - rows };
        assert_eq!(summary["run_id"], before["run_id"], "{output}");
        assert_eq!(summary["inserted_rows"].as_u64(), Some(inserted), "{partition}: {output}");
        recorded.assert_filled(target, partition);
        let after = Recorded::json(recorded.of("status", target, partition).arg("--json"));
        assert_eq!(after["state"], "completed", "{after}");
    }
}

#[test]
fn loads_of_0_1_in_tables_are_shown_and_continued() {
    let recorded = Recorded::start(false);
    assert_shown(&recorded);
    assert_continued(&recorded);
}

#[test]
fn loads_of_0_1_in_files_are_shown_and_continued() {
    let recorded = Recorded::start(true);
    assert_shown(&recorded);
    assert_continued(&recorded);
}
