//! `plan` and `plan --sql`.

use std::path::Path;

use crate::orders::{JOB, Orders, PARTITION};
use crate::support::{Binary, Output, Server, assert_text_snapshot, binary};

/// The statements that were printed, with their titles.
fn statements(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for part in text.split("-- ").filter(|part| !part.trim().is_empty()) {
        let (title, sql) = part.split_once('\n').unwrap();
        found.push((
            title.to_owned(),
            sql.trim_end().strip_suffix(';').expect("a statement ends in a semicolon").to_owned(),
        ));
    }
    found
}

/// Sends each statement to the server: inserts with an empty body, which evaluates nothing and
/// checks all.
fn accepted(server: &Server, text: &str) -> Vec<String> {
    let mut titles = Vec::new();
    for (title, sql) in statements(text) {
        if sql.starts_with("INSERT") {
            assert!(sql.ends_with("FORMAT Native"), "{sql}");
            server.insert(&sql, b"");
        } else if let Some(select) = sql.strip_suffix("FORMAT RowBinary") {
            server.query(&format!("{select} FORMAT Null"));
        } else {
            server.query(&format!("{sql} FORMAT Null"));
        }
        titles.push(title);
    }
    titles
}

fn plan(orders: &Orders) -> Binary {
    let tool = binary().file("job.toml", JOB).envs(&orders.server.environment());
    tool.args(&["plan", "--job", "job.toml", "--partition", PARTITION])
}

fn silent(output: Output) -> String {
    assert_eq!(output.stderr, "");
    output.stdout
}

#[test]
fn the_printed_statements_are_accepted_and_the_join_is_the_join() {
    let orders = Orders::on(Server::shared(), 1_000);
    let server = &orders.server;
    let text = silent(plan(&orders).arg("--sql").run().expect(0));
    let titles = accepted(server, &text);
    assert_eq!(
        titles,
        [
            "lookup query",
            "what a row gets that finds nothing",
            "source query of chunk 1 of 1",
            "insert of a batch",
            "insert of a dry run",
            "equivalent join"
        ]
    );
    assert_eq!(orders.target_rows(), 0);
    let (_, join) = statements(&text).pop().unwrap();
    server.query(&format!("INSERT INTO shipments {join}"));
    orders.assert_complete();
}

#[test]
fn the_plan_shows_tables_columns_and_chunks_and_moves_nothing() {
    let orders = Orders::on(Server::shared(), 1_000);
    let text = silent(plan(&orders).run().expect(0));
    assert_eq!(orders.target_rows(), 0);
    assert!(text.contains("estimate, from a dry run of "), "{text}");
    let text = silent(plan(&orders).args(&["--measure", "0s"]).run().expect(0));
    assert!(text.contains("1,100 stored rows in "), "{text}");
    assert_text_snapshot!(text, @"
      server      [URL] (ClickHouse [VERSION]), user default, database default
      job         shipments (job.toml)
      source      default.orders, partition 202506: [N] stored rows in [N] parts, [SIZE], 1 chunk
      lookup      default.customers by id
      target      default.shipments (ReplacingMergeTree), 8 columns
      topology    one server for source and target, host [HOST], in no cluster
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

    disk of the target
      needed      about [SIZE]
      free        [SIZE]
      new parts   about 1, before merges

    wave 1: about [N] lookup rows, [SIZE]
      chunk 1   the whole partition

    checks
    [CHECKS]
    ready: a run would start, with [N] warnings
      rows        1,100 stored rows, [SIZE]
      chunks      1 in 1 wave
      time        not measured, since --measure is 0s
      memory      at most [SIZE] in this process
      engine      stream
      next        clickhouse-backfill run --job job.toml --partition 202506
    ");
    assert_eq!(orders.target_rows(), 0);
}

#[test]
fn statements_of_the_built_in_jobs_are_accepted() {
    let server = Server::shared();
    for file in ["observations", "traces", "dataset_run_items_rmt", "events_2025_12"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("scripts/sql/{file}.sql"));
        // A file holds its statements one after the other, with a semicolon at the end of each
        // only.
        for statement in std::fs::read_to_string(path)
            .unwrap()
            .split(";\n")
            .filter(|statement| !statement.trim().is_empty())
        {
            server.query(statement);
        }
    }
    // A row each, since a partition without rows has no chunk.
    server.query("INSERT INTO observations (id, trace_id, project_id, start_time) VALUES ('it''s \\\\', 't', 'p', '2025-06-01 00:00:00')");
    server.query(
        "INSERT INTO traces (id, project_id, timestamp) VALUES ('t', 'p', '2025-06-01 00:00:00')",
    );
    for (job, count) in [("langfuse-events", 6), ("langfuse-trace-roots", 4)] {
        let tool = || {
            binary().envs(&server.environment()).args(&[
                "plan",
                "--partition",
                PARTITION,
                "--sql",
                "--job",
                job,
            ])
        };
        assert_eq!(accepted(&server, &silent(tool().run().expect(0))).len(), count, "{job}");
        if job == "langfuse-events" {
            let text = silent(tool().arg("--exclude-dataset-items").run().expect(0));
            assert!(text.contains("dataset_run_items_rmt"), "{text}");
            accepted(&server, &text);
        }
    }
    assert_eq!(server.text("SELECT count() FROM events"), "0");
}

#[test]
fn the_plan_measures_how_long_a_run_would_take() {
    let orders = Orders::on(Server::shared(), 30_000);
    let text =
        silent(plan(&orders).args(&["--batch-size", "1000", "--measure", "300ms"]).run().expect(0));
    let head = text
        .lines()
        .find(|line| line.starts_with("estimate, from a dry run of "))
        .unwrap_or_else(|| panic!("{text}"));
    let numbers: Vec<u64> =
        head.split(' ').filter_map(|word| word.replace(',', "").parse().ok()).collect();
    // Rows that were measured, and rows a second.
    assert!((1..=30_000).contains(&numbers[0]) && numbers[1] > 100, "{head}");
    for line in ["  this partition    ", "  0.5 billion rows  ", "  2.5 billion rows  "] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    assert_eq!(orders.target_rows(), 0);
    let text = silent(plan(&orders).args(&["--measure", "0s"]).run().expect(0));
    assert!(!text.contains("estimate"), "{text}");
}
