//! A server with little memory: batches become smaller until it takes them, and a run that is killed
//! repeats little.
// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Binary, Server, ServerOptions, binary, process};

const JOB: &str = r#"name = "copies"
description = "copies of documents"

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
const LIMIT_BYTES: u64 = 260_000_000;
const SOON: Duration = Duration::from_secs(60);

/// Documents of 9 KB on a server that has memory for less than two batches of them.
struct Documents {
    server: Server,
    folder: TempDir,
}

impl Documents {
    fn start() -> Self {
        let config = format!(
            "<clickhouse><max_server_memory_usage>{LIMIT_BYTES}</max_server_memory_usage></clickhouse>"
        );
        let server = Server::isolated_with(ServerOptions {
            config_xml: Some(config),
            ..ServerOptions::default()
        });
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

/// Two batches of 128 MiB at once need more than the server has, and so does half of one.
#[test]
#[ignore = "slow: 200 MB of rows on a server with little memory"]
fn batches_become_smaller_until_the_server_has_memory_for_them() {
    let documents = Documents::start();
    let output = documents.tool().run().expect(0);
    documents.assert_complete();
    assert!(output.stderr.contains("which is sent in parts"), "{output}");
    assert_eq!(documents.figure("errors"), 0, "{output}");
    assert_eq!(documents.figure("repeated_rows"), 0, "{output}");
}

/// The whole partition as one chunk needs more than the server has, and so does half of it.
#[test]
#[ignore = "slow: 200 MB of rows on a server with little memory"]
fn the_server_engine_divides_a_chunk_for_which_there_is_no_memory() {
    let documents = Documents::start();
    let tool = documents.tool().args(&["--engine", "server", "--chunk-rows", "100000"]);
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
    let documents = Documents::start();
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
