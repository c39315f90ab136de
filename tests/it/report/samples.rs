//! Figures of how a run went, in tables and in files.

use std::path::Path;

use serde_json::Value;

use crate::orders::{Orders, PARTITION};
use crate::support::Server;

const ROWS: u64 = 20_000;

fn lines(folder: &Path) -> Vec<Value> {
    let run = std::fs::read_dir(folder.join("samples")).unwrap().next().unwrap().unwrap().path();
    let files: Vec<_> =
        std::fs::read_dir(run).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "one process, one file");
    std::fs::read_to_string(&files[0])
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_run_leaves_its_course_in_the_ledger() {
    let orders = Orders::on(Server::shared(), ROWS);
    let server = &orders.server;
    server.hold_memory(50);
    orders.tool().args(&["--batch-size", "2000"]).run().expect(0);
    let figures = server.text(
        "WITH (SELECT argMax(rows_inserted, sampled_at) FROM load_samples) AS last
         SELECT count() >= 2, uniqExact(run_id, claim_id), last = (SELECT any(rows_inserted) FROM load_state FINAL), last = max(rows_inserted),
             sum(inserts) = (SELECT sum(batches) FROM load_state_chunks FINAL), countIf(insert_p50_seconds > insert_p95_seconds),
             countIf(insert_p95_seconds > insert_max_seconds), countIf(isNull(insert_max_seconds) != (inserts = 0)), min(client_memory_bytes) > 1000000,
             countIf(settings != ''), countIf(server_memory_bytes > 40000000) = count(), argMin(rows_inserted, sampled_at), any(run_id) = (SELECT any(run_id) FROM load_state FINAL),
             any(claim_id) = (SELECT any(claim_id) FROM load_claims FINAL)
         FROM load_samples",
    );
    assert_eq!(
        figures, "1\t1\t1\t1\t1\t0\t0\t0\t1\t1\t1\t0\t1\t1",
        "the first sample has the settings, the last one all rows and all inserts"
    );
    // Of an insert, the server knows how long it took.
    let slowest =
        server.text("SELECT max(insert_max_seconds) BETWEEN 0.0001 AND 60 FROM load_samples");
    assert_eq!(slowest, "1");
    let settings: Value = serde_json::from_str(
        &server.text("SELECT settings FROM load_samples WHERE settings != '' FORMAT TSVRaw"),
    )
    .unwrap();
    assert_eq!(
        (&settings["batch_size"], &settings["worker"]),
        (&Value::from("2000"), &Value::from("1/1")),
        "{settings}"
    );
    orders.tool().args(&["--dry-run"]).run().expect(0);
    assert_eq!(
        server.text("SELECT uniqExact(run_id) FROM load_samples"),
        "1",
        "a dry run leaves none"
    );
}

#[test]
fn files_keep_the_same() {
    let orders = Orders::on(Server::shared(), ROWS);
    let folder = tempfile::tempdir().unwrap();
    let place = format!("file:{}", folder.path().display());
    orders.tool().args(&["--batch-size", "2000", "--ledger", &place]).run().expect(0);
    let samples = lines(folder.path());
    let last = samples.last().unwrap();
    assert!(
        samples.len() >= 2
            && samples[0]["rows_inserted"] == 0
            && samples[0]["settings"] != ""
            && last["settings"] == "",
        "{samples:?}"
    );
    assert_eq!(last["rows_inserted"].as_u64(), Some(orders.figure("inserted_rows")));
    let inserts: u64 = samples.iter().map(|sample| sample["inserts"].as_u64().unwrap()).sum();
    assert_eq!(inserts, orders.figure("batches"));
    assert!(
        samples.iter().all(|sample| sample["sampled_at"].is_string()
            && sample["run_id"] == orders.summary()["run_id"]),
        "{samples:?}"
    );
    assert_eq!(orders.server.text("SHOW TABLES LIKE 'load\\_%'"), "", "no table was made");
}

#[test]
fn a_run_does_not_mind_that_its_course_cannot_be_kept() {
    let orders = Orders::on(Server::shared(), 1000);
    // A table of that name that takes no sample.
    orders.server.query("CREATE TABLE load_samples (something UInt8) ENGINE = Memory");
    orders.tool().run().expect(0);
    orders.assert_complete();

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("samples"), "in the way").unwrap();
    let place = format!("file:{}", folder.path().display());
    let output = orders.tool().args(&["--ledger", &place]).run().expect(0);
    assert!(
        output.stderr.contains("its report will not show how it went")
            && output.stderr.contains("samples"),
        "{output}"
    );
    assert_eq!(
        orders.figure("inserted_rows"),
        orders
            .server
            .text(&format!("SELECT count() FROM orders FINAL WHERE toYYYYMM(placed) = {PARTITION}"))
            .parse::<u64>()
            .unwrap()
    );
}
