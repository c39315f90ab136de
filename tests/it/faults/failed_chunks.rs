//! Chunks that cannot be done: they are named, the others are done.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Binary, Server, assert_text_snapshot, binary};

const ROWS: u64 = 450_000;
/// 16 granules of the one part.
const CHUNK_ROWS: u64 = 131_072;

const JOB: &str = "name = 'copies'\n[source]\ntable = 'stored'\nfinal = true\nversion = 'version'\n[target]\ntable = 'copies'\n\
    [columns]\nid = 'source.id'\nnumber = 'toUInt32(source.text)'\nversion = 'source.version'\n";

/// Four chunks; the text of some rows is no number, which the server finds out when it evaluates
/// the expression.
struct Texts {
    server: Server,
    folder: TempDir,
}

impl Texts {
    fn start(broken: &[u64]) -> Self {
        let server = Server::shared();
        server.script(
            "CREATE TABLE stored (id UInt64, text String, version UInt32) ENGINE = ReplacingMergeTree(version) ORDER BY id
             --;;
             CREATE TABLE copies (id UInt64, number UInt32, version UInt32) ENGINE = ReplacingMergeTree(version) ORDER BY id",
        );
        server.query(&format!(
            "INSERT INTO stored SELECT number, if(number IN {broken:?}, 'broken', toString(number % 1000)), 1 FROM numbers({ROWS})
             SETTINGS max_block_size = {ROWS}, min_insert_block_size_rows = {ROWS}"
        ));
        Self { server, folder: TempDir::with_prefix("texts-").unwrap() }
    }

    fn tool(&self) -> Binary {
        let tool = binary()
            .file("job.toml", JOB)
            .envs(&self.server.environment())
            .env("PARTITION", "id:all");
        let tool = tool.args(&[
            "run",
            "--job",
            "job.toml",
            "--chunk-rows",
            "131072",
            "--batch-size",
            "20000",
            "--readers",
            "1",
        ]);
        tool.arg("--summary-json").arg(self.folder.path().join("summary.json"))
    }

    fn summary(&self) -> Value {
        serde_json::from_str(
            &std::fs::read_to_string(self.folder.path().join("summary.json")).unwrap(),
        )
        .unwrap()
    }

    fn copied(&self) -> u64 {
        self.server.text("SELECT count() FROM copies FINAL").parse().unwrap()
    }

    #[track_caller]
    fn assert_complete(&self) {
        let hash = |sql: &str| {
            self.server.text(&format!("SELECT count(), sum(sipHash64(*)) FROM ({sql})"))
        };
        assert_eq!(
            hash("SELECT id, number, version FROM copies FINAL"),
            hash("SELECT id, toUInt32(text) AS number, version FROM stored FINAL")
        );
    }
}

#[test]
fn the_other_chunks_go_on() {
    let texts = Texts::start(&[200_000]);
    let output = texts.tool().run().expect(1);
    let summary = texts.summary();
    assert_eq!(
        (summary["status"].as_str(), summary["failed_chunks"].as_u64()),
        (Some("failed"), Some(1)),
        "{summary}"
    );
    assert!(summary["error"].as_str().unwrap().contains("CANNOT_PARSE_TEXT"), "{summary}");
    assert_text_snapshot!(output.failure(), @"
    exit code 1
    error: 1 of 4 chunks failed; the others are done
      because: chunk 2: inserting a batch of 20,000 rows ([SIZE]) of chunk 2 into default.copies failed after 1 attempt: Code: 6. [WORDS OF THE SERVER] (CANNOT_PARSE_TEXT)
    hint: correct the column's expression in the job, or the rows in the source; inserted rows stay, and rows inserted twice collapse in default.copies by its sorting key
    ");
    assert!(output.stderr.contains("a chunk failed, the others go on"), "{output}");
    assert!(texts.copied() >= ROWS - CHUNK_ROWS, "{} of {ROWS}\n{output}", texts.copied());
    assert!(texts.copied() < ROWS);
    // What it stumbled over is mended; now the same command does the rest.
    texts.server.query("INSERT INTO stored SELECT id, '7', 2 FROM stored WHERE id = 200000");
    texts.tool().run().expect(0);
    texts.assert_complete();
}

#[test]
fn too_many_failed_chunks_stop_the_run() {
    let texts = Texts::start(&[100, 200_000, 300_000, 440_000]);
    let output = texts.tool().args(&["--max-failed-chunks", "1"]).run().expect(1);
    assert!(
        output.stderr.contains("2 of 4 chunks failed, more than are allowed: the run was stopped"),
        "{output}"
    );
    assert_eq!(texts.summary()["failed_chunks"], 2, "{output}");
    let output = texts.tool().args(&["--max-failed-chunks", "0"]).run().expect(1);
    assert!(output.stderr.contains("1 of 4 chunks failed, more than are allowed"), "{output}");
}

#[test]
fn an_error_of_several_chunks_is_shown_once() {
    let texts = Texts::start(&[100, 200_000, 440_000]);
    let long = format!("x{}", "y".repeat(2_000));
    texts.server.query(&format!(
        "INSERT INTO stored SELECT id, '{long}', 2 FROM stored WHERE text = 'broken'"
    ));
    // One by one, so that the chunks fail in their order.
    let output = texts.tool().args(&["--inserters", "1"]).run().expect(1);
    // In which batch a row is depends on the parts.
    let failure = output.failure();
    let (before, rest) = failure.split_once("a batch of ").unwrap();
    let (_, after) = rest.split_once(" rows").unwrap();
    assert_text_snapshot!(format!("{before}a batch of [N] rows{after}"), @"
    exit code 1
    error: 3 of 4 chunks failed; the other is done
      because: chunk 1: inserting a batch of [N] rows ([SIZE]) of chunk 1 into default.copies failed after 1 attempt: Code: 6. [WORDS OF THE SERVER] (CANNOT_PARSE_TEXT)
               the same error in chunks 2, 4
    hint: correct the column's expression in the job, or the rows in the source; inserted rows stay, and rows inserted twice collapse in default.copies by its sorting key
    ");
    assert_eq!(output.stderr.matches("a chunk failed").count(), 3, "{output}");
    let status = binary()
        .file("job.toml", JOB)
        .envs(&texts.server.environment())
        .args(&["status", "--job", "job.toml", "--partition", "id:all"])
        .run()
        .expect(0);
    let hint = "hint        correct the cause first: the next run would fail in the same way";
    assert!(status.stdout.contains(hint), "{status}");
    assert!(status.stdout.contains("yyy … ") && !status.stdout.contains(&long), "{status}");
}
