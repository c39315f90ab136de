//! What a report says, in each of its forms.

use serde_json::{Value, json};

use super::fixture::{NAME, Told};
use crate::support::assert_text_snapshot;
use crate::support::shown::titled;

#[test]
#[ignore = "slow: about 14 s"]
fn the_figures_are_those_of_the_ledger() {
    let told = Told::start();
    let server = &told.orders.server;
    told.run().run().expect(1);
    let failed = told.figures();
    let first = failed["load"]["run_id"].as_str().unwrap().to_owned();
    assert_eq!(
        (&failed["verdict"]["level"], &failed["load"]["job"], &failed["load"]["chunks_failed"]),
        (&json!("bad"), &json!(NAME), &json!(1))
    );
    let chunk = failed["chunks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|chunk| chunk["status"] == "failed")
        .unwrap();
    assert!(chunk["error"].as_str().unwrap().contains("<script>alert(2)</script>"), "{chunk}");

    told.cure();
    told.run().run().expect(0);
    assert_eq!(told.figures()["verdict"]["level"], "open", "it is not verified");
    told.tool("verify").run().expect(0);
    let done = told.figures();
    assert_eq!(
        (&done["verdict"]["level"], done["verifications"].as_array().unwrap().len()),
        (&json!("good"), 1)
    );
    assert_eq!(done["verifications"][0]["report"]["equal"], true);
    let kept = server.text(
        "SELECT (SELECT any(rows_inserted) FROM load_state FINAL), (SELECT sum(bytes_inserted) FROM load_state_chunks FINAL),
            (SELECT sum(batches) FROM load_state_chunks FINAL), (SELECT count() FROM load_state_chunks FINAL), (SELECT uniqExact(claim_id) FROM load_samples),
            (SELECT count() FROM orders FINAL WHERE toYYYYMM(placed) = 202506)",
    );
    let load = &done["load"];
    let shown =
        [&load["rows_inserted"], &load["bytes_inserted"], &load["batches"], &load["chunks"]]
            .map(ToString::to_string)
            .join("\t");
    let processes = done["processes"].as_array().unwrap();
    assert_eq!(format!("{shown}\t{}\t{}", processes.len(), load["rows_expected"]), kept);
    assert_eq!(processes[1]["settings"]["batch_size"], "3000");
    // One process after the other: each sample is a point.
    assert_eq!(
        done["course"].as_array().unwrap().len().to_string(),
        server.text("SELECT count() FROM load_samples")
    );
    let columns: Vec<_> = done["mapping"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["column"].as_str().unwrap())
        .collect();
    assert_eq!(
        columns,
        ["order_id", "customer", "placed", "amount", "note", "tags", "letter", "version"],
        "in the order of the job"
    );
    assert_eq!(
        done["mapping"][0],
        json!({ "column": "order_id", "type": "UInt64", "expression": "source.id" })
    );

    // What differs is the last word, until it is mended.
    server.query("ALTER TABLE shipments UPDATE note = 'wrong' WHERE order_id = 11 SETTINGS mutations_sync = 2");
    let verdict = &told.figures()["verdict"];
    assert_eq!(verdict["level"], "open");
    let text = verdict["text"].as_str().unwrap();
    assert!(text.starts_with("Completed and verified at 20"), "{text}");
    assert!(text.ends_with("Z, before later changes of the target."), "{text}");
    told.tool("verify").run().expect(4);
    let verdict = &told.figures()["verdict"];
    assert_eq!(verdict["level"], "bad");
    assert!(verdict["text"].as_str().unwrap().contains("found 1 row that differs"), "{verdict}");

    // A version that does not count any more.
    told.run().arg("--restart").run().expect(0);
    let old: Value = serde_json::from_str(
        &told.tool("report").args(&["--run", &first, "--format", "json"]).run().expect(0).stdout,
    )
    .unwrap();
    assert_eq!(
        (&old["load"]["run_id"], &old["load"]["is_current"], &old["course"]),
        (&json!(first), &json!(false), &done["course"])
    );
    let unknown = told.tool("report").args(&["--run", "nothing"]).run();
    assert!(unknown.stderr.contains(&first), "{unknown}");
    assert_text_snapshot!(unknown.failure(), @r#"
    exit code 2
    error: the ledger has no run "nothing" of partition 202506 of default.orders into default.shipments by ship's <script>alert(1)</script> & "more" | *stars*; its runs are [RUN], [RUN]
    hint: --run takes the id of one of these runs; without it, the current run is reported
    "#);
}

#[test]
fn forms_follow_the_name_of_the_file_and_nothing_in_a_text_means_anything() {
    let told = Told::start();
    assert_text_snapshot!(told.tool("report").run().failure(), @r#"
    exit code 2
    error: the ledger, load_state, load_state_chunks and load_claims in the database default, has no load of partition 202506 of default.orders into default.shipments by ship's <script>alert(1)</script> & "more" | *stars*
    hint: `clickhouse-backfill history` lists the loads; --job, --target-table, --ledger and --ledger-db choose one
    "#);
    told.run().run().expect(1);
    let markdown = told.report("md");
    assert_eq!(told.tool("report").run().expect(0).stdout, markdown, "what is printed is Markdown");
    assert!(
        markdown.contains(
            "ship's &lt;script&gt;alert(1)&lt;/script&gt; &amp; \"more\" \\| \\*stars\\*"
        ),
        "{markdown}"
    );
    assert!(!markdown.contains("<script>alert(1)"), "{markdown}");
    let rows: Vec<_> = markdown.lines().filter(|line| line.starts_with("| order\\_id")).collect();
    assert_eq!(rows, ["| order\\_id | `UInt64` | `source.id` |"]);
    for (name, beginning) in [("r.html", "<!DOCTYPE html>"), ("r.md", "# ship"), ("r.json", "{")] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let output = told.tool("report").arg("--out").arg(&path).run().expect(0);
        assert!(
            output.stdout.is_empty()
                && std::fs::read_to_string(&path).unwrap().starts_with(beginning),
            "{name}"
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing stays beside it");
    }
    let out = |path: &str| told.tool("report").args(&["--out", path]).run().failure();
    assert_text_snapshot!(
        titled(["r.txt", "missing/r.md"].map(|path| (path, out(path)))), @"
    # r.txt
    exit code 2
    error: unknown format of the report r.txt
    hint: set --format to html, md or json, or use a name that ends in .html, .md or .json

    # missing/r.md
    exit code 2
    error: cannot write the report to missing/r.md: No such file or directory (os error 2)
    hint: set --out to a file in an existing directory that this user can write to
    "
    );
}

#[test]
fn a_ledger_in_files_needs_no_server() {
    let told = Told::start();
    let folder = tempfile::tempdir().unwrap();
    let place = format!("file:{}", folder.path().display());
    told.cure();
    told.run().args(&["--ledger", &place]).run().expect(0);
    told.tool("verify").args(&["--ledger", &place]).run().expect(0);
    let report = told
        .tool("report")
        .args(&["--ledger", &place, "--format", "json"])
        .env("CLICKHOUSE_URL", "http://127.0.0.1:1")
        .run()
        .expect(0);
    let figures: Value = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!(
        (&figures["verdict"]["level"], figures["verifications"].as_array().unwrap().len()),
        (&json!("good"), 1),
        "{}",
        figures["verdict"]
    );
    assert!(
        figures["course"].as_array().unwrap().len() >= 2
            && figures["chunks"].as_array().unwrap().len() > 4,
        "{report}"
    );
}
