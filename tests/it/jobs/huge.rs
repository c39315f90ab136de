//! Rows and attributes of megabytes: the result is the same, the memory keeps its bound, and what
//! cannot fit is refused before the first row.

use serde_json::Value;

use super::fixture::JobFile;
use crate::support::{Comparison, Server};

const MIB: u64 = 1 << 20;

const JOB: &str = "name = \"huge\"
[source]
table = \"orders\"
join_key = [\"customer\"]
[lookup]
table = \"customers\"
join_key = [\"id\"]
version = \"version\"
[target]
table = \"shipments\"
[columns]
id = \"source.id\"
item = \"source.item\"
name = \"lookup.name\"
";

/// By hashes, since the values are long.
const FOUND: &str =
    "SELECT id, sipHash64(item) AS item, sipHash64(name) AS name FROM shipments FINAL";
const EXPECTED: &str = "SELECT orders.id AS id, orders.item AS item, customers.name AS name \
    FROM (SELECT id, customer, sipHash64(item) AS item FROM orders) AS orders \
    LEFT JOIN (SELECT id, sipHash64(name) AS name FROM customers) AS customers ON orders.customer = customers.id";

/// This many orders of this many customers, with items and names of these lengths. No two values are
/// equal, and none can be compressed.
fn tables(server: &Server, orders: u64, item: &str, customers: u64, name: &str) {
    server.query("CREATE TABLE orders (id UInt64, customer UInt64, item String) ENGINE = MergeTree ORDER BY id");
    server.query("CREATE TABLE customers (id UInt64, name String, version UInt32) ENGINE = ReplacingMergeTree(version) ORDER BY id");
    server.query("CREATE TABLE shipments (id UInt64, item String, name String) ENGINE = ReplacingMergeTree ORDER BY id");
    let blocks = [("max_block_size", "1"), ("max_threads", "1")];
    server.query_with(
        &format!("INSERT INTO customers SELECT number, randomPrintableASCII({name}), 1 FROM numbers({customers})"),
        &blocks,
    );
    server.query_with(
        &format!("INSERT INTO orders SELECT number, number % {customers}, randomPrintableASCII({item}) FROM numbers({orders})"),
        &blocks,
    );
}

/// Runs with this much memory, compares by hashes, and returns the summary.
fn run(server: &Server, memory: u64, arguments: &[&str]) -> Value {
    let (file, folder) = (JobFile::new(JOB), tempfile::tempdir().unwrap());
    let summary = folder.path().join("summary.json");
    let tool = file.tool(server, "run").args(arguments).arg("--memory").arg(memory.to_string());
    let output = tool.arg("--summary-json").arg(&summary).run().expect(0);
    server.query("CREATE TABLE hashes (id UInt64, item UInt64, name UInt64) ENGINE = Memory");
    Comparison::of_table(server, "hashes", &["id"]).assert_same("the run", FOUND, EXPECTED);
    let summary: Value = serde_json::from_slice(&std::fs::read(summary).unwrap()).unwrap();
    assert!(summary["peak_memory_bytes"].is_u64(), "{output}\n{summary}");
    summary
}

/// What a run may take above its limit: a row that is received while it is copied, and the
/// allocator's share.
const ABOVE: u64 = 24 * MIB;

#[track_caller]
fn assert_peak(summary: &Value, memory: u64, longest: u64) {
    let peak = summary["peak_memory_bytes"].as_u64().unwrap();
    let bound = memory + memory / 10 + ABOVE.max(longest);
    assert!(peak <= bound, "{} MiB of {} MiB\n{summary}", peak / MIB, memory / MIB);
}

#[test]
#[ignore = "slow: inserts 600 MB"]
fn attributes_of_four_megabytes_keep_a_limit_of_120_mib() {
    let server = Server::shared();
    tables(&server, 150, "10", 12, "4000000");
    let summary = run(&server, 120 * MIB, &[]);
    assert_peak(&summary, 120 * MIB, 0);
}

#[test]
#[ignore = "slow: inserts 900 MB"]
fn attributes_of_fifty_megabytes_keep_a_limit_of_576_mib() {
    let server = Server::shared();
    tables(&server, 18, "10", 3, "50000000");
    let summary = run(&server, 576 * MIB, &[]);
    assert_peak(&summary, 576 * MIB, 0);
    // With a smaller limit the run is refused before a row moves.
    let job = JobFile::new(JOB);
    let output =
        job.tool(&server, "run").args(&["--restart", "--memory", "512MiB"]).run().expect(3);
    assert!(output.stderr.contains("hint: --memory 576MiB is enough for them"), "{output}");
}

#[test]
#[ignore = "slow: 350 MB of rows"]
fn rows_of_five_to_forty_six_megabytes_keep_a_limit_of_96_mib() {
    let server = Server::shared();
    tables(&server, 14, "5000000 + number % 14 * 3150000", 12, "100");
    let summary = run(&server, 96 * MIB, &["--readers", "2", "--inserters", "2"]);
    assert_peak(&summary, 96 * MIB, 46 * MIB);
}

/// Rows that are shorter than a batch and rows that are longer, with and without attributes.
#[test]
fn rows_around_the_size_of_a_batch_arrive_once_each() {
    let server = Server::shared();
    tables(
        &server,
        60,
        "if(number % 3 = 0, 6000000, number % 7 * 400000)",
        20,
        "if(number % 5 = 0, 5000000, 100)",
    );
    let summary =
        run(&server, 256 * MIB, &["--batch-bytes", "1MiB", "--readers", "3", "--inserters", "3"]);
    assert_eq!(summary["inserted_rows"].as_u64(), Some(60), "{summary}");
    assert_peak(&summary, 256 * MIB, 0);
}

const WINDOWED_JOB: &str = "name = \"huge\"
[source]
table = \"orders\"
join_key = [\"customer\"]
time = \"made\"
[lookup]
table = \"customers\"
join_key = [\"id\"]
version = \"version\"
window = { column = \"joined\", days_before = 1, days_after = 1 }
[target]
table = \"shipments\"
[columns]
id = \"source.id\"
item = \"source.item\"
name = \"lookup.name\"
";

/// Half of the attributes lie outside of the window.
fn windowed_tables(server: &Server, orders: u64, customers: u64, name: &str) {
    tables(server, orders, "10", customers, name);
    server
        .query("ALTER TABLE orders ADD COLUMN made DateTime('UTC') DEFAULT '2025-06-15 12:00:00'");
    server.query("ALTER TABLE customers ADD COLUMN joined DateTime('UTC') DEFAULT if(id % 2 = 0, '2025-06-15 00:00:00', '2024-01-01 00:00:00')");
}

/// Attributes of keys outside of the window are looked up one by one, and only one reader has long ones.
#[test]
#[ignore = "slow: about 8 s"]
fn long_attributes_outside_of_the_window_keep_the_limit_or_are_named() {
    let server = Server::shared();
    windowed_tables(&server, 60, 12, "if(number % 2 = 0, 10, 4000000)");
    let (file, folder) = (JobFile::new(WINDOWED_JOB), tempfile::tempdir().unwrap());
    let summary_file = folder.path().join("summary.json");
    let run = |memory: u64| {
        let tool = file.tool(&server, "run").arg("--memory").arg(memory.to_string());
        let tool = tool.args(&["--readers", "2", "--inserters", "3"]);
        let output = tool.arg("--summary-json").arg(&summary_file).run();
        let summary: Value =
            serde_json::from_slice(&std::fs::read(&summary_file).unwrap()).unwrap();
        (output, summary)
    };
    let (output, summary) = run(240 * MIB);
    output.expect(0);
    assert_peak(&summary, 240 * MIB, 0);
    assert_eq!(summary["matched_late_rows"].as_u64(), Some(30), "{summary}");
    server.query("CREATE TABLE hashes (id UInt64, item UInt64, name UInt64) ENGINE = Memory");
    Comparison::of_table(&server, "hashes", &["id"]).assert_same("the run", FOUND, EXPECTED);

    server.query(
        "INSERT INTO customers SELECT 3, randomPrintableASCII(60000000), 2, '2024-01-01 00:00:00'",
    );
    let (output, summary) = run(240 * MIB);
    let output = output.expect(1);
    assert_peak(&summary, 240 * MIB, 0);
    let words = "outside of the window, have 57.2 MiB or more, and --memory leaves";
    assert!(
        summary["peak_memory_bytes"].as_u64() < Some(140 * MIB),
        "it is not received\n{summary}"
    );
    for words in
        ["the attributes of ", ".customers with id = 3, outside", words, "hint: raise --memory"]
    {
        assert!(output.stderr.contains(words), "{words}\n{output}");
    }
    let (output, _) = run(2560 * MIB);
    output.expect(0);
    server.query("TRUNCATE TABLE hashes");
    let expected = EXPECTED.replace("FROM customers)", "FROM customers FINAL)");
    Comparison::of_table(&server, "hashes", &["id"]).assert_same("the run", FOUND, &expected);
}

/// A block is whole in memory, unlike a row.
#[test]
#[ignore = "slow: about 8 s"]
fn rows_too_long_for_blocks_are_read_as_rows() {
    let server = Server::shared();
    tables(&server, 60, "if(number % 3 = 0, 6000000, 400000)", 20, "100");
    let blocks = ["--batch-bytes", "1MiB", "--read-format", "native"];
    let summary = run(&server, 256 * MIB, &blocks);
    assert_eq!(summary["inserted_rows"].as_u64(), Some(60), "{summary}");
    assert_peak(&summary, 256 * MIB, 0);
    let again = JobFile::new(JOB).tool(&server, "run").args(&blocks).run().expect(0);
    let words = "rows are too long to be read in blocks, they are read as RowBinary";
    assert!(again.stderr.contains(words), "{again}");
}

#[test]
fn attributes_that_cannot_fit_are_refused_and_named() {
    let server = Server::shared();
    tables(&server, 10, "10", 5, "if(number = 3, 30000000, 100)");
    let tool =
        |memory: &str| JobFile::new(JOB).tool(&server, "run").args(&["--memory", memory]).run();
    let output = tool("100MiB").expect(3);
    for words in ["customers have 28.6 MiB", "id = (3)"] {
        assert!(output.stderr.contains(words), "{words}\n{output}");
    }
    assert!(!output.stderr.contains("panicked"), "{output}");
    assert_eq!(server.text("SELECT count() FROM shipments"), "0");
    // What the hint says is enough.
    let (_, hint) = output.stderr.split_once("hint: --memory ").expect("a hint");
    let memory = hint.split_whitespace().next().unwrap();
    tool(memory).expect(0);
    assert_eq!(server.text("SELECT count() FROM shipments"), "10");
}

/// Where the server joins, the attributes do not pass through this process.
#[test]
fn the_server_engine_takes_attributes_that_the_memory_does_not_fit() {
    let server = Server::shared();
    tables(&server, 10, "10", 5, "if(number = 3, 30000000, 100)");
    let arguments = ["--memory", "100MiB", "--engine", "server"];
    JobFile::new(JOB).tool(&server, "run").args(&arguments).run().expect(0);
    assert_eq!(server.text("SELECT max(length(name)) FROM shipments"), "30000000");
}
