//! The job's mapping, and the form of what `plan` prints.
// A test fails by a panic.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use serde_json::Value;

use super::fixture::{look, tool, tool_with};
use crate::oracle::fixture::{YEAR_2026, adversarial_but_small, tool as events};
use crate::orders::{JOB, Orders};
use crate::support::{Server, assert_text_snapshot};

/// What fills a column, and where that comes from.
fn column(plan: &Value, name: &str) -> (String, String, Vec<String>) {
    let column =
        plan["mapping"].as_array().unwrap().iter().find(|column| column["column"] == name).unwrap();
    let inputs = column["inputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|input| input.as_str().unwrap().to_owned())
        .collect();
    (
        column["type"].as_str().unwrap().to_owned(),
        column["from"].as_str().unwrap().to_owned(),
        inputs,
    )
}

#[test]
fn each_column_is_shown_with_what_fills_it() {
    let orders = Orders::on(Server::shared(), 1_000);
    orders
        .server
        .query("ALTER TABLE shipments ADD COLUMN remark String DEFAULT 'none', ADD COLUMN year UInt16 MATERIALIZED toYear(placed)");
    let job = JOB.replace(
        "letter = \"lookup.letter\"",
        "letter = \"'constant'\"\nyear = \"2025\"\nelsewhere = \"source.id\"",
    );
    let plan = look(tool_with(&orders, &job), 0).plan;
    let shown = |kind: &str, from: &str, inputs: &[&str]| {
        (
            kind.to_owned(),
            from.to_owned(),
            inputs.iter().map(|&input| input.to_owned()).collect::<Vec<_>>(),
        )
    };
    assert_eq!(column(&plan, "order_id"), shown("UInt64", "source", &["source.id"]));
    assert_eq!(column(&plan, "note"), shown("String", "both", &["source.note", "lookup.city"]));
    assert_eq!(column(&plan, "tags"), shown("Array(String)", "lookup", &["lookup.tags"]));
    assert_eq!(column(&plan, "letter"), shown("String", "none", &[]));
    assert_eq!(plan["defaults"], serde_json::json!(["remark"]));
    let left: Vec<_> = plan["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|left| (left["column"].as_str().unwrap(), left["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(
        left,
        [
            ("year", "it is MATERIALIZED in the target"),
            ("elsewhere", "the target has no such column")
        ]
    );
    let text = tool_with(&orders, &job).run().expect(0).stdout;
    for line in [
        "mapping of 8 columns",
        "  column    type                  from    expression",
        "  order_id  UInt64                source  source.id",
        "  note      String                both    concat(source.note, ' to ', coalesce(lookup.city,",
        "                                          'nowhere'))",
        "  placed    DateTime64(3, 'UTC')  source  source.placed",
        "  defaults: remark",
        "  not written: elsewhere: the target has no such column",
        "checks",
        "  ok       insert         the server accepts the insert, tested without rows",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} is no line of\n{text}");
    }
}

/// Which columns an expression reads is told by the server's plan of that expression alone.
#[test]
fn inputs_are_those_that_the_server_reads() {
    let server = adversarial_but_small(YEAR_2026);
    let output = events(&server)
        .args(&[
            "plan",
            "--partition",
            "202511",
            "--target-table",
            "events_full",
            "--measure",
            "0s",
            "--json",
        ])
        .run()
        .expect(0);
    let plan: Value = serde_json::from_str(&output.stdout).unwrap();
    let structure: Vec<_> = [("source", "observations"), ("lookup", "traces")]
        .map(|(qualifier, table)| {
            let sql = format!(
                "SELECT arrayStringConcat(groupArray(concat('`{qualifier}.', name, '` ', type)), ', ') FROM system.columns \
                 WHERE database = currentDatabase() AND table = '{table}'"
            );
            String::from_utf8(server.query(&format!("{sql} FORMAT RawBLOB"))).unwrap()
        })
        .into();
    let structure = structure.join(", ").replace('\\', "\\\\").replace('\'', "\\'");
    let columns = plan["mapping"].as_array().unwrap();
    assert!(columns.len() > 40, "{}", columns.len());
    for column in columns {
        let explained = server.query(&format!(
            "EXPLAIN json = 1, header = 1, description = 0 SELECT {} FROM null('{structure}') SETTINGS allow_experimental_analyzer = 1 FORMAT TSVRaw",
            column["expression"].as_str().unwrap()
        ));
        let explained: Value = serde_json::from_slice(&explained).unwrap();
        let mut step = &explained[0]["Plan"];
        while step["Plans"].is_array() {
            step = &step["Plans"][0];
        }
        let read: BTreeSet<_> = step["Header"]
            .as_array()
            .unwrap()
            .iter()
            .map(|column| column["Name"].as_str().unwrap())
            .collect();
        let inputs: BTreeSet<_> = column["inputs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|input| input.as_str().unwrap())
            .collect();
        // Where nothing is needed, the server reads some column to know how many rows there are.
        assert!(
            inputs == read || (inputs.is_empty() && read.len() == 1),
            "{}: {inputs:?} against {read:?}",
            column["column"]
        );
    }
}

#[test]
fn the_text_is_readable_and_the_data_complete() {
    let server = adversarial_but_small(YEAR_2026);
    let text = events(&server)
        .args(&[
            "plan",
            "--partition",
            "202511",
            "--target-table",
            "events_full",
            "--measure",
            "0s",
        ])
        .run()
        .expect(0)
        .stdout;
    let long: Vec<_> = text
        .lines()
        .filter(|line| line.chars().count() > 100 && line.trim_start().contains(' '))
        .collect();
    assert!(long.is_empty(), "{long:#?}\n{text}");
    let orders = Orders::on(server, 70_000);
    let chunks = [("CHUNK_ROWS", "8192"), ("READERS", "2"), ("INSERTERS", "2")];
    let plan = look(tool(&orders).envs(&chunks), 0).plan;
    let ranges = plan["chunks"].as_array().unwrap();
    assert!(ranges.len() >= 6, "{ranges:?}");
    let waves = plan["waves"].as_array().unwrap();
    assert_eq!(
        (waves[0]["first_chunk"].as_u64(), waves[0]["last_chunk"].as_u64()),
        (Some(1), Some(ranges.len() as u64))
    );
    assert_eq!(plan["source"]["stored_rows"], 77_000);
    assert_eq!(plan["new_parts"], 1, "one batch has room for all of them");
    let smaller = look(tool(&orders).envs(&chunks).args(&["--batch-size", "10000"]), 0).plan;
    assert_eq!(smaller["new_parts"], 8);
    assert_eq!(plan["estimate"], Value::Null, "nothing was measured");
}

#[test]
fn an_empty_partition_has_nothing_to_check() {
    let orders = Orders::on(Server::shared(), 10);
    let tool = crate::support::binary().file("job.toml", JOB).envs(&orders.server.environment());
    let text =
        tool.args(&["plan", "--job", "job.toml", "--partition", "202401"]).run().expect(0).stdout;
    assert_text_snapshot!(text, @"
      server      [URL] (ClickHouse [VERSION]), user default, database default
      job         shipments (job.toml)
      source      default.orders, partition 202401: [N] stored rows in [N] parts, [SIZE], 0 chunks
      lookup      default.customers by id
      target      default.shipments (ReplacingMergeTree), 8 columns
      ledger      no load in load_state, load_state_chunks and load_claims in the database default;
                  `run` starts the load

    mapping of 8 columns
      column    type                  from    expression
      order_id  UInt64                source  source.id
      customer  String                source  source.customer
      placed    DateTime64(3, 'UTC')  source  source.placed
      amount    Decimal(18, 2)        source  source.amount * 2
      note      String                both    concat(source.note, ' to ', coalesce(lookup.city,
                                              'nowhere'))
      tags      Array(String)         lookup  lookup.tags
      letter    String                lookup  lookup.letter
      version   UInt32                source  source.version

    memory
      limit       [SIZE]
      attributes  [SIZE], for one wave or two at once
      batches     [SIZE] for batches being filled, [SIZE] each
      queue       [SIZE], waiting and in flight
      program     [SIZE]

    partition 202401 has no rows: there is nothing to do
    hint: there are rows in 202506
    ");
}
