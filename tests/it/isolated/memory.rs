//! A server with little memory: batches become smaller until it takes them, and a run that is killed
//! repeats little.
// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Binary, Server, ServerOptions, binary, process};

const JOB: &str = r#"name = "copies"

[source]
table = "documents"
final = true
version = "version"

[target]
table = "copies"

[columns]
id = "source.id"
made = "source.made"
text = "concat(source.text, '!')"
loud = "upper(source.text)"
quiet = "lower(source.text)"
version = "source.version"
"#;

const TABLES: &str = "
CREATE TABLE documents (id UInt64, made DateTime('UTC'), text String, version UInt32)
ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(made) ORDER BY id
--;;
CREATE TABLE copies (id UInt64, made DateTime('UTC'), text String, loud String, quiet String, version UInt32)
ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(made) ORDER BY id
";

const ROWS: u64 = 24_000;
/// Of the server that has little memory.
const LIMIT_BYTES: u64 = 260_000_000;
/// Of an insert. It needs as much as its rows, whatever else the server does.
const LIMIT_OF_AN_INSERT: &str = "\n[settings]\ninsert = { max_memory_usage = \"200000000\" }\n";
const SOON: Duration = Duration::from_secs(60);

/// A chunk's look-up rows are in the server's memory while it is filled.
const JOB_WITH_LOOKUP: &str = r#"name = "copies"

[source]
table = "documents"
final = true
version = "version"
join_key = ["id"]

[lookup]
table = "documents"
join_key = ["id"]
version = "version"

[target]
table = "copies"

[columns]
id = "source.id"
made = "source.made"
text = "concat(lookup.text, '!')"
loud = "upper(lookup.text)"
quiet = "lower(lookup.text)"
version = "source.version"
"#;

/// Documents of 9 KB, 27 KB in the target.
struct Documents {
    server: Server,
    folder: TempDir,
}

impl Documents {
    fn start() -> Self {
        Self::fill(Server::isolated())
    }

    /// On a server that has memory for a third of what the target will have.
    fn start_with_little_memory() -> Self {
        let config = format!(
            "<clickhouse><max_server_memory_usage>{LIMIT_BYTES}</max_server_memory_usage></clickhouse>"
        );
        Self::fill(Server::isolated_with(ServerOptions {
            config_xml: Some(config),
            ..ServerOptions::default()
        }))
    }

    fn fill(server: Server) -> Self {
        let documents = Self { server, folder: TempDir::with_prefix("documents-").unwrap() };
        for statement in TABLES.split("--;;") {
            documents.text(statement);
        }
        // A block at a time: a statement that finds no memory has inserted nothing.
        for first in (0..ROWS).step_by(400) {
            documents.text(&format!(
                "INSERT INTO documents SELECT number, toDateTime('2025-06-01 00:00:00', 'UTC') + number, randomPrintableASCII(9000), 1
                FROM numbers({first}, 400) SETTINGS max_insert_threads = 1, max_threads = 1"
            ));
        }
        documents
    }

    fn tool(&self) -> Binary {
        binary()
            .file("job.toml", JOB)
            .envs(&self.server.environment())
            .args(&["run", "--job", "job.toml", "--partition", "202506", "--summary-json"])
            .arg(self.folder.path().join("summary.json"))
            .limit(Duration::from_secs(240))
    }

    fn figure(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(self.folder.path().join("summary.json")).unwrap();
        let summary: Value = serde_json::from_str(&text).unwrap();
        summary[name].as_u64().unwrap_or_else(|| panic!("{name} in {summary}"))
    }

    /// Asks until the server has memory for the answer.
    #[track_caller]
    fn text(&self, sql: &str) -> String {
        let mut answer = Err(String::new());
        let answered = || {
            answer = self.server.try_query(sql);
            !answer.as_ref().is_err_and(|words| words.contains("MEMORY_LIMIT_EXCEEDED"))
        };
        assert!(process::wait_until(SOON, answered), "no memory for {sql}");
        String::from_utf8(answer.unwrap()).unwrap().trim().to_owned()
    }

    /// Holds the target against the expressions, piece by piece and without FINAL, which the server
    /// has no memory for. All versions of a row are equal.
    #[track_caller]
    fn assert_complete(&self) {
        const PIECE: u64 = 2000;
        const SETTINGS: &str = "SETTINGS max_threads = 1, max_block_size = 200";
        for piece in 0..ROWS.div_ceil(PIECE) {
            let ids = format!("WHERE id >= {} AND id < {}", piece * PIECE, (piece + 1) * PIECE);
            let copies = self.text(&format!(
                "SELECT count(), sum(least), sum(greatest) FROM (SELECT id, min(hash) AS least, max(hash) AS greatest
                    FROM (SELECT id, sipHash64(id, made, text, loud, quiet, version) AS hash FROM copies {ids}) GROUP BY id) {SETTINGS}",
            ));
            let expected = self.text(&format!(
                "SELECT count(), sum(hash), sum(hash)
                FROM (SELECT sipHash64(id, made, concat(text, '!'), upper(text), lower(text), version) AS hash FROM documents {ids}) {SETTINGS}",
            ));
            assert_eq!(copies, expected, "{ids}");
        }
        let outside = format!("SELECT count() FROM copies WHERE id >= {ROWS}");
        assert_eq!(self.text(&outside), "0");
    }
}

/// A batch of 128 MiB makes 400 MB in the target, half of it 200 MB.
#[test]
#[ignore = "slow: 200 MB of rows"]
fn batches_become_smaller_until_there_is_memory_for_them() {
    let documents = Documents::start();
    let job = format!("{JOB}{LIMIT_OF_AN_INSERT}");
    let output = documents.tool().file("job.toml", &job).run().expect(0);
    documents.assert_complete();
    assert!(output.stderr.contains("which is sent in parts"), "{output}");
    assert_eq!(documents.figure("errors"), 0, "{output}");
    assert_eq!(documents.figure("repeated_rows"), 0, "{output}");
}

/// The attributes of the whole partition need more than an insert may use.
#[test]
#[ignore = "slow: 200 MB of rows"]
fn the_server_engine_divides_a_chunk_for_which_there_is_no_memory() {
    let documents = Documents::start();
    let job = format!("{JOB_WITH_LOOKUP}{LIMIT_OF_AN_INSERT}");
    let tool = documents.tool().file("job.toml", &job);
    let tool = tool.args(&["--engine", "server", "--chunk-rows", "100000"]);
    let output = tool.args(&["--inserters", "1", "--batch-bytes", "64MiB"]).run().expect(0);
    documents.assert_complete();
    assert!(output.stderr.contains("a slow chunk is divided"), "{output}");
    assert_eq!(documents.figure("errors"), 0, "{output}");
    let divided = "SELECT countIf(status = 'divided') > 0, sumIf(rows_inserted, status = 'completed') FROM load_state_chunks FINAL";
    assert_eq!(documents.text(divided), format!("1\t{ROWS}"), "{output}");
}

/// Chunks of 18 MB, of which two are read at once.
#[test]
#[ignore = "slow: 200 MB of rows on a server with little memory"]
fn a_run_that_is_killed_in_the_middle_repeats_little() {
    let documents = Documents::start_with_little_memory();
    let server = &documents.server;
    server.query("SYSTEM STOP MERGES copies");
    let tool = || documents.tool().args(&["--chunk-rows", "1000"]);
    let number = |sql: &str| documents.text(sql).parse::<u64>().unwrap();
    let completed = || {
        if number("EXISTS TABLE load_state_chunks") == 0 {
            return 0;
        }
        number("SELECT sum(rows_inserted) FROM load_state_chunks FINAL WHERE status = 'completed'")
    };
    let mut running = tool().spawn();
    assert!(
        process::wait_until(SOON, || !running.is_running() || completed() > ROWS / 3),
        "a third of the rows is recorded"
    );
    running.signal("KILL");
    drop(running);
    let output = tool().run().expect(0);
    documents.assert_complete();
    let sent = number("SELECT count() FROM copies");
    assert!(sent < ROWS + ROWS / 5, "{sent} rows were inserted for {ROWS}\n{output}");
    assert!(documents.figure("inserted_rows") < ROWS * 4 / 5, "{output}");
}

/// A server with little memory lowers `min_insert_block_size_bytes`, to less than these batches have.
#[test]
#[ignore = "slow: 200 MB of rows on a server with little memory"]
fn a_batch_that_is_recognized_stays_one_block_where_memory_is_little() {
    let documents = Documents::start_with_little_memory();
    documents.server.query(
        "CREATE TABLE exact AS copies ENGINE = MergeTree PARTITION BY toYYYYMM(made) ORDER BY id
        SETTINGS non_replicated_deduplication_window = 1000",
    );
    documents.server.query("SYSTEM STOP MERGES exact");
    let tool = documents.tool().args(&["--target-table", "exact", "--batch-size", "2000"]);
    let tool = tool.args(&["--chunk-rows", "2000"]);
    let output = tool.args(&["--readers", "1", "--inserters", "1"]).run().expect(0);
    let found = documents
        .text("SELECT sum(rows), count() FROM system.parts WHERE active AND table = 'exact'");
    let (rows, parts) = found.split_once('\t').unwrap();
    assert_eq!(rows, ROWS.to_string(), "{output}");
    let batches = documents.figure("batches");
    assert!(
        parts.parse::<u64>().unwrap() <= batches,
        "{parts} parts of {batches} batches\n{output}"
    );
}
