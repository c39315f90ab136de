//! The tables of one generation with the adversarial data in them, and runs of the built-in jobs
//! over it.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Binary, Comparison, Output, Server, binary, tables};

/// What tells two events apart.
pub const KEY: [&str; 4] = ["project_id", "start_time", "trace_id", "span_id"];

/// The partitions that the adversarial data is made for: an ordinary month, and one in which
/// `toDate` wraps.
pub const PARTITIONS: [&str; 2] = ["202511", "196912"];

/// One of the generations of the target.
#[derive(Debug, Clone, Copy)]
pub struct Generation {
    pub file: &'static str,
    pub table: &'static str,
}

pub const NOVEMBER: Generation = Generation { file: "events_2025_11.sql", table: "events" };
pub const DECEMBER: Generation = Generation { file: "events_2025_12.sql", table: "events" };
pub const YEAR_2026: Generation = Generation { file: "events_2026.sql", table: "events_full" };

/// A server with the source, the lookup and this target, empty.
pub fn empty(generation: Generation) -> Server {
    create_tables(Server::shared(), generation)
}

/// This server with these tables.
pub fn create_tables(server: Server, generation: Generation) -> Server {
    for file in ["observations.sql", "traces.sql", "dataset_run_items_rmt.sql", generation.file] {
        tables::load(&server, file);
    }
    server
}

/// A server with the adversarial data.
pub fn adversarial(generation: Generation) -> Server {
    let server = empty(generation);
    tables::load(&server, "adversarial_data.sql");
    server
}

/// The same on a server to which nobody else can write.
pub fn adversarial_alone(generation: Generation) -> Server {
    let server = create_tables(Server::isolated(), generation);
    tables::load(&server, "adversarial_data.sql");
    server
}

/// The same without the values of many kilobytes, for tests with many runs.
pub fn adversarial_but_small(generation: Generation) -> Server {
    adversarial_on(Server::shared(), generation)
}

/// As [`adversarial_but_small`], on this server.
pub fn adversarial_on(server: Server, generation: Generation) -> Server {
    let server = create_tables(server, generation);
    let statements = tables::statements(&tables::file("adversarial_data.sql"));
    let (large, small): (Vec<_>, Vec<_>) = statements
        .into_iter()
        .partition(|sql| sql.contains("'large input'") || sql.contains("'length '"));
    assert_eq!(large.len(), 2, "the statements that insert large values");
    for sql in small {
        server.query(&sql.replace("50000)", "50)"));
    }
    server
}

/// The tool against this server. A run fills the whole partition, whatever was recorded of those
/// before.
pub fn tool(server: &Server) -> Binary {
    binary().envs(&server.environment()).env("RESTART", "true")
}

/// Runs a job to its end and gives what it printed and its figures. The ledger is in files, which go
/// with the run.
#[track_caller]
pub fn run(server: &Server, arguments: &[&str]) -> (Output, Value) {
    run_to_its_end(tool(server).env("LEDGER", "file:ledger"), arguments)
}

/// The same with a ledger that later commands find.
#[track_caller]
pub fn recorded_run(server: &Server, arguments: &[&str]) -> (Output, Value) {
    run_to_its_end(tool(server), arguments)
}

#[track_caller]
fn run_to_its_end(tool: Binary, arguments: &[&str]) -> (Output, Value) {
    let folder = TempDir::with_prefix("summary-").unwrap();
    let file = folder.path().join("summary.json");
    let output = tool.arg("run").args(arguments).arg("--summary-json").arg(&file).run().expect(0);
    (output, read_json(&file))
}

fn read_json(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// What the job langfuse-events must give for a partition: `scripts/sql/oracle_events.sql`.
pub fn oracle(partition: &str) -> String {
    let attributes =
        "name, user_id, session_id, release, version, metadata, public, bookmarked, tags";
    let statements = tables::statements(&tables::file("oracle_events.sql"));
    let [select] = statements.as_slice() else { panic!("the oracle is one statement") };
    select.replace("${partition}", partition).replace("${attributes}", attributes)
}

/// The rows of `observations` or `traces` that count in a partition: of each id the newest in the whole
/// table, unless it is deleted.
pub fn newest(table: &str, partition: &str) -> String {
    let key = match table {
        "observations" => "project_id, type, toDate(start_time), id",
        _ => "project_id, toDate(timestamp), id",
    };
    format!(
        "(SELECT * FROM {table} FINAL WHERE _partition_id = '{partition}' AND ({key}) IN (
            SELECT {key} FROM {table} ORDER BY event_ts DESC, is_deleted DESC, _partition_id DESC, ({key}) DESC LIMIT 1 BY project_id, id))"
    )
}

/// The rows of a partition of a target, versions collapsed.
pub fn rows_of(table: &str, partition: &str) -> String {
    format!("SELECT * FROM {table} FINAL WHERE _partition_id = '{partition}'")
}

/// Compares a partition of a table with a SELECT, row by row and column by column. Columns that no
/// rule fills must be at their type's default.
#[track_caller]
pub fn assert_filled(server: &Server, table: &str, partition: &str, expected: &str) {
    let found = rows_of(table, partition);
    let (comparison, others) = Comparison::of_table(server, table, &KEY).limited_to(expected);
    comparison.assert_same(&format!("{table}, partition {partition}"), &found, expected);
    for column in others {
        let filled = format!(
            "SELECT count() FROM ({found}) WHERE `{column}` != defaultValueOfArgumentType(`{column}`)"
        );
        assert_eq!(server.text(&filled), "0", "{column} is filled, and no rule says so");
    }
}

/// The only number that a query gives.
#[track_caller]
pub fn number(server: &Server, sql: &str) -> u64 {
    let answer = server.text(sql);
    answer.parse().unwrap_or_else(|_| panic!("{answer:?} is not a number, in {sql}"))
}
