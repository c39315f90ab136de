//! What version 0.1 recorded is read, and its loads go on. See `tests/it/fixtures/v0_1`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Binary, Server, binary};

/// The tables of a ledger.
pub const LEDGER_TABLES: [&str; 5] =
    ["load_state", "load_state_chunks", "load_claims", "load_samples", "load_verifications"];

/// The target, the partition and the state of each load.
const STATES: [(&str, &str, &str); 8] = [
    ("shipments", "202501", "completed"),
    ("shipments", "202502", "interrupted"),
    ("shipments", "202503", "failed"),
    ("shipments", "202504", "interrupted"),
    ("shipments", "202505", "completed"),
    ("shipments", "202506", "interrupted"),
    ("shipments", "202507", "interrupted"),
    ("shipment_log", "202508", "interrupted"),
];

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/v0_1")
}

/// A file of the fixture.
pub fn text(name: &str) -> String {
    let path = fixture().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text of a ledger as of another database: the fixture was made in `default`.
fn in_database(text: &str, database: &str) -> String {
    ["orders", "customers", "shipments", "shipment_log"].iter().fold(
        text.to_owned(),
        |text, table| {
            text.replace(&format!("default.{table}"), &format!("{database}.{table}"))
                .replace(&format!("`default`.`{table}`"), &format!("`{database}`.`{table}`"))
        },
    )
}

fn copy(from: &Path, to: &Path, database: &str) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target, database);
        } else {
            let text = fs::read_to_string(entry.path()).unwrap();
            fs::write(target, in_database(&text, database)).unwrap();
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
        server.script(&text("tables.sql").replace(";\n", "\n--;;\n"));
        if in_files {
            copy(&fixture().join("files"), &folder.path().join("ledger"), server.database());
        } else {
            for table in LEDGER_TABLES {
                server.query(&text(&format!("tables/{table}.sql")));
                server.insert(
                    &format!("INSERT INTO {table} FORMAT JSONEachRow"),
                    in_database(&text(&format!("tables/{table}.jsonl")), server.database())
                        .as_bytes(),
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
    let mut of_target = history
        .filter(|history| history["target"].as_str().unwrap().ends_with(&format!(".{target}")));
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
    for (target, partition, state) in STATES {
        let status = Recorded::json(recorded.of("status", target, partition).arg("--json"));
        assert_eq!(status["state"], state, "{partition}: {status}");
        let found = in_history(&history, target, partition);
        assert_eq!(found["state"], state, "{found}");
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
        assert_eq!(report["load"]["status"], state, "{report}");
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
    for (target, partition, state) in STATES {
        let before = Recorded::json(recorded.of("status", target, partition).arg("--json"));
        let is_trusted = state == "completed" || partition == "202506";
        assert_eq!(before["current_run_id"].is_string(), is_trusted, "{before}");
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
        assert_eq!(after["current_run_id"], after["run_id"], "{after}");
    }
}

/// A plan of 0.1 is refused in one sentence.
#[track_caller]
fn assert_plan_refused(recorded: &Recorded) {
    let plan = fixture().join("plan.json");
    let output = recorded.run("shipments", "202509").arg("--plan").arg(&plan).run().expect(2);
    let words = format!(
        "error: cannot use the plan {}: it was written by version 0.1, whose plans this version does not read\nhint: `clickhouse-backfill plan --out FILE` writes one\n",
        plan.display()
    );
    assert!(output.stderr.ends_with(&words), "{output}");
}

/// The state of a comparison is begun anew.
#[track_caller]
fn assert_verify_begun_anew(recorded: &Recorded) {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("verify-state.json");
    std::fs::copy(fixture().join("verify-state.json"), &state).unwrap();
    let output = recorded.of("verify", "shipments", "202505").arg("--state").arg(&state).run();
    let words = "note: the interrupted comparison is not resumed: its state was written by version 0.1 of the program, whose sums are others\n";
    assert!(output.stderr.contains(words), "{output}");
    assert!(output.stdout.contains("\nexpected rows "), "{output}");
    assert!(!state.exists(), "{output}");
}

#[test]
#[ignore = "slow: about 20 s"]
fn loads_of_0_1_in_tables_are_shown_and_continued() {
    let recorded = Recorded::start(false);
    assert_shown(&recorded);
    assert_continued(&recorded);
    // One version of each is current, and those of 0.1 have numbers where they were written again.
    let versions = "SELECT groupArray((partition_id, load_version, is_current, format_version)) FROM
        (SELECT * FROM load_state FINAL WHERE partition_id IN ('202504', '202506') ORDER BY partition_id, started_at)";
    assert_eq!(
        recorded.server.text(versions),
        "[('202504',1,1,2),('202506',0,0,1),('202506',2,1,2)]"
    );
}

#[test]
#[ignore = "slow: about 10 s"]
fn loads_of_0_1_in_files_are_shown_and_continued() {
    let recorded = Recorded::start(true);
    assert_plan_refused(&recorded);
    assert_shown(&recorded);
    assert_continued(&recorded);
    assert_verify_begun_anew(&recorded);
}
