//! `plan --out` and `run --plan`: what was looked at is done, or nothing.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::fixture::{look, more_parts, tool};
use crate::orders::{JOB, Orders};
use crate::support::shown::titled;
use crate::support::{Binary, Server, assert_text_snapshot};

/// The plan of these orders in a file of a folder, in chunks of 8,192 rows.
fn planned(orders: &Orders, folder: &Path) -> Value {
    tool(orders)
        .args(&["--chunk-rows", "8192", "--out"])
        .arg(folder.join("plan.json"))
        .run()
        .expect(0);
    serde_json::from_slice(&std::fs::read(folder.join("plan.json")).unwrap()).unwrap()
}

#[test]
fn a_plan_that_holds_is_done_in_its_very_chunks() {
    let orders = Orders::on(Server::shared(), 40_000);
    let folder = TempDir::with_prefix("plan-").unwrap();
    let file = planned(&orders, folder.path());
    let chunks = file["plan"]["chunks"].as_array().unwrap().len();
    assert!(chunks >= 4, "{file}");
    // More rows, in other places, are no other plan; by itself a run would be cut differently now.
    orders.server.query("INSERT INTO orders SELECT * REPLACE (id + 1000000 AS id, concat('x', customer) AS customer) FROM orders");
    let run = orders
        .tool()
        .args(&["--chunk-rows", "8192", "--plan"])
        .arg(folder.path().join("plan.json"));
    run.run().expect(0);
    orders.assert_complete();
    assert_eq!(orders.figure("chunks"), chunks as u64);
    let ranges = "SELECT groupArray(range) FROM (SELECT range FROM load_state_chunks FINAL ORDER BY chunk) FORMAT JSONColumns";
    let recorded: Value = serde_json::from_slice(&orders.server.query(ranges)).unwrap();
    let planned: Vec<_> = file["plan"]["chunks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|chunk| chunk["range"].clone())
        .collect();
    assert_eq!(recorded["groupArray(range)"][0], Value::Array(planned));
}

#[test]
fn what_is_not_as_it_was_is_named_and_refused() {
    let orders = Orders::on(Server::shared(), 1_000);
    let server = &orders.server;
    let folder = TempDir::with_prefix("plan-").unwrap();
    planned(&orders, folder.path());
    let run = || {
        orders.tool().args(&["--chunk-rows", "8192", "--plan"]).arg(folder.path().join("plan.json"))
    };
    let refused = |tool: Binary, words: &str| {
        let output = tool.run().expect(3);
        assert!(
            output.stderr.contains(&format!("because: {words}")),
            "{words:?} is not in\n{output}"
        );
        assert!(output.stderr.contains("error: the run differs from the plan "), "{output}");
        let hint = output.stderr.lines().find(|line| line.starts_with("hint: `")).unwrap();
        assert!(
            hint.starts_with("hint: `clickhouse-backfill plan ") && hint.contains(" --out "),
            "{output}"
        );
        assert_eq!(
            output.stderr.matches("because: ").count(),
            1,
            "nothing else is blamed\n{output}"
        );
    };
    refused(run().args(&["--batch-size", "7"]), "--batch-size was `100000`, and is `7`");
    refused(run().args(&["--readers", "3"]), "--readers was `auto`, and is `3`");
    refused(
        run().args(&["--partition", "202507"]).env_remove("PARTITION"),
        "the partition was `202506`, and is `202507`",
    );
    refused(
        run().file("job.toml", &JOB.replace("source.amount * 2", "source.amount * 3")),
        "the expression of the column amount was `source.amount * 2`, and is `source.amount * 3`",
    );
    let altered = |change: &str, back: &str, words: &str| {
        server.query(change);
        refused(run(), words);
        server.query(back);
    };
    altered(
        "ALTER TABLE shipments ADD COLUMN remark String DEFAULT 'none'",
        "ALTER TABLE shipments DROP COLUMN remark",
        "the column remark of the target table is new: `String DEFAULT`",
    );
    altered(
        "ALTER TABLE customers ADD COLUMN remark UInt8",
        "ALTER TABLE customers DROP COLUMN remark",
        "the column remark of the lookup table is new: `UInt8`",
    );
    altered(
        "ALTER TABLE shipments MODIFY COLUMN letter LowCardinality(String)",
        "ALTER TABLE shipments MODIFY COLUMN letter String",
        "the type of the column letter was `String`, and is `LowCardinality(String)`",
    );
    altered(
        "CREATE MATERIALIZED VIEW watching ENGINE = MergeTree ORDER BY customer AS SELECT customer FROM shipments",
        "DROP TABLE watching",
        "what views of the target fill was ``, and is `",
    );
    let text = std::fs::read_to_string(folder.path().join("plan.json")).unwrap();
    let version = server.text("SELECT version()");
    let older = text
        .replace(&format!("\"server_version\": \"{version}\""), "\"server_version\": \"25.8.1.1\"");
    assert_ne!(older, text);
    std::fs::write(folder.path().join("plan.json"), older).unwrap();
    refused(run(), &format!("the version of ClickHouse was `25.8.1.1`, and is `{version}`"));
    assert_eq!(
        (orders.target_rows(), server.text("EXISTS load_state")),
        (0, "0".to_owned()),
        "nothing was claimed or inserted"
    );
    std::fs::write(folder.path().join("plan.json"), text).unwrap();
    run().run().expect(0);
    orders.assert_complete();
}

#[test]
fn a_file_that_is_no_plan_is_refused_and_a_forbidden_plan_is_not_written() {
    let orders = Orders::on(Server::shared(), 100);
    let folder = TempDir::with_prefix("plan-").unwrap();
    let path = folder.path().join("plan.json");
    let run = || orders.tool().arg("--plan").arg(&path);
    let missing = ("no file", run().run().failure());
    let texts = [
        "{",
        "{\"format\":\"x\",\"definition\":{},\"bounds\":{\"key\":[],\"bounds\":[]}}",
        "{\"format\":\"clickhouse-backfill plan\",\"format_version\":3}",
    ];
    let others = texts.map(|text| {
        std::fs::write(&path, text).unwrap();
        (text, run().run().failure())
    });
    assert_text_snapshot!(titled([missing].into_iter().chain(others)), @r#"
    # no file
    exit code 2
    error: cannot use the plan [PATH]: No such file or directory (os error 2)
    hint: `clickhouse-backfill plan --out FILE` writes one

    # {
    exit code 2
    error: cannot use the plan [PATH]: EOF while parsing an object at line 1 column 1
    hint: `clickhouse-backfill plan --out FILE` writes one

    # {"format":"x","definition":{},"bounds":{"key":[],"bounds":[]}}
    exit code 2
    error: cannot use the plan [PATH]: its format is "x", this version reads "clickhouse-backfill plan"
    hint: `clickhouse-backfill plan --out FILE` writes one

    # {"format":"clickhouse-backfill plan","format_version":3}
    exit code 2
    error: cannot use the plan [PATH]: its format_version is 3, this version reads 2
    hint: `clickhouse-backfill plan --out FILE` writes one
    "#);
    std::fs::remove_file(&path).unwrap();
    orders.server.query("ALTER TABLE shipments MODIFY SETTING parts_to_throw_insert = 1");
    more_parts(&orders.server, 1);
    look(tool(&orders).arg("--out").arg(&path), 3);
    assert!(!path.exists());
    let nowhere =
        tool(&orders).args(&["--skip-checks", "parts", "--out", "nowhere/plan.json"]).run();
    assert_text_snapshot!(nowhere.failure(), @"
    exit code 2
    error: cannot write the plan to nowhere/plan.json: No such file or directory (os error 2)
    hint: set --out to a file in an existing directory that this user can write to
    ");
}
