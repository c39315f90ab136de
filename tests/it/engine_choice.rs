//! `--engine auto`: which engine fills a partition, and why.
// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use serde_json::Value;

use crate::faults::fixture::SOON;
use crate::orders::{JOB, Orders, PARTITION};
use crate::support::shown::titled;
use crate::support::{Binary, assert_text_snapshot, binary, process};

fn plan(orders: &Orders, job: &str) -> Binary {
    let tool = binary().envs(&orders.server.environment()).file("job.toml", job);
    tool.env("ENGINE", "auto").args(&["plan", "--job", "job.toml", "--partition", PARTITION])
}

/// The engine of a plan without a measurement.
fn engine(tool: Binary) -> Value {
    let stdout = tool.args(&["--json", "--measure", "0s"]).run().stdout;
    let plan: Value = serde_json::from_str(&stdout).unwrap();
    plan["engine"].clone()
}

/// Chunks that the server filled.
fn filled_by_the_server(orders: &Orders) -> u64 {
    orders.server.query("SYSTEM FLUSH LOGS");
    let chunks = orders.server.text(
        "SELECT uniqExact(extract(query_id, '-(chunk\\\\d+)-')) FROM system.query_log
        WHERE type = 'QueryFinish' AND query_id LIKE 'clickhouse-backfill-%-chunk%' AND current_database = currentDatabase()",
    );
    chunks.trim().parse().unwrap()
}

#[test]
fn auto_leaves_a_job_to_the_server_that_has_all_of_its_tables() {
    let orders = Orders::start(20_000);
    let output = orders.tool().args(&["--engine", "auto", "--chunk-rows", "5000"]).run().expect(0);
    orders.assert_complete();
    assert!(
        output.stderr.contains("server: source, lookup and target are on one server"),
        "{output}"
    );
    assert_eq!(filled_by_the_server(&orders), orders.figure("chunks"), "{output}");
}

#[test]
fn a_plan_gives_the_reason_and_what_the_stream_would_take() {
    let orders = Orders::start(20_000);
    let document = plan(&orders, JOB).args(&["--json", "--measure", "300ms"]).run().expect(0);
    let document: Value = serde_json::from_str(&document.stdout).unwrap();
    let engine = &document["engine"];
    assert_eq!(engine["name"], "server");
    let reason = engine["reason"].as_str().unwrap();
    assert!(reason.contains(".shipments collapses repeated rows, and "), "{reason}");
    assert!(reason.contains(" of server memory of its "), "{reason}");
    assert_eq!(engine["other"]["name"], "stream");
    assert!(engine["other"]["memory_limit_bytes"].as_u64().unwrap() > 0);
    assert!(engine["other"]["estimate"]["seconds_from"].as_f64().unwrap() > 0.0, "{engine:#}");
    assert!(document["estimate"]["seconds_from"].as_f64().unwrap() > 0.0);
    let text = plan(&orders, JOB).args(&["--measure", "300ms"]).run().expect(0).stdout;
    assert!(text.contains("\nengine\n  chosen      server: source, lookup and target"), "{text}");
    assert!(text.contains("\n  stream      "), "{text}");
    assert!(text.contains("for this partition, by a dry run; at most "), "{text}");
    let given = plan(&orders, JOB).args(&["--engine", "stream", "--measure", "0s"]);
    let text = given.run().expect(0).stdout;
    assert!(!text.contains("\nengine\n"), "{text}");
}

#[test]
fn what_the_server_cannot_do_is_streamed_and_the_reason_is_given() {
    let orders = Orders::start(1_000);
    orders.server.query(
        "CREATE TABLE plain AS shipments ENGINE = MergeTree ORDER BY (customer, order_id) SETTINGS non_replicated_deduplication_window = 1000",
    );
    let elsewhere = orders.server.url().replace("127.0.0.1", "localhost");
    assert_ne!(elsewhere, orders.server.url());
    let two_servers = plan(&orders, JOB)
        .env("SOURCE_URL", &elsewhere)
        .args(&["--source-db", orders.server.database()]);
    let nested = format!("{JOB}\n[settings.insert]\nmax_subquery_depth = 1\n");
    let cases = [
        ("two servers", two_servers),
        ("no collapsing", plan(&orders, JOB).args(&["--target-table", "plain"])),
        ("refused", plan(&orders, &nested)),
    ];
    let reasons = cases.map(|(case, tool)| {
        let engine = engine(tool);
        assert_eq!((&engine["name"], &engine["other"]), (&"stream".into(), &Value::Null), "{case}");
        (case, engine["reason"].as_str().unwrap().to_owned())
    });
    assert_text_snapshot!(titled(reasons), @"
    # two servers
    source and target are on two servers, or of two users, and --source-native names no way between them

    # no collapsing
    default.plain (MergeTree) does not collapse rows, and the server repeats a chunk as a whole

    # refused
    the server refuses the insert of a chunk: Code: 162. [WORDS OF THE SERVER] (TOO_DEEP_SUBQUERIES)
    ");
    // All of these run.
    let streamed = orders.tool().file("job.toml", &nested).args(&["--engine", "auto"]);
    let output = streamed.run().expect(0);
    assert!(output.stderr.contains("stream: the server refuses"), "{output}");
    orders.assert_complete();
    assert_eq!(filled_by_the_server(&orders), 0);
}

#[test]
fn auto_leaves_the_search_for_live_rows_to_the_server_too() {
    let orders = Orders::start(1_000);
    let live = JOB.replace(
        "table = \"shipments\"",
        "table = \"shipments\"\non_equal_version = \"live\"\nowned = \"letter = ''\"",
    );
    assert_eq!(engine(plan(&orders, &live))["name"], "server");
}

#[test]
fn the_server_fills_as_many_chunks_at_once_as_it_has_cores() {
    let orders = Orders::start(1_000);
    let cores = orders.server.text("SELECT getSetting('max_threads')");
    let run = |arguments: &[&str]| {
        let tool = orders.tool().args(&["--engine", "server", "--batch-bytes", "16MiB"]);
        tool.args(arguments).run().expect(0)
    };
    let at_once = match cores.trim() {
        "1" => "up to 1 insert at once".to_owned(),
        cores => format!("up to {cores} inserts at once"),
    };
    let output = run(&[]);
    assert!(output.stderr.contains(&at_once), "{at_once}: {output}");
    let output = run(&["--inserters", "3"]);
    assert!(output.stderr.contains("a chunk; 3 inserts at once"), "{output}");
}

#[test]
fn auto_prints_samples_through_the_stream() {
    let orders = Orders::start(1_000);
    let output =
        orders.tool().args(&["--engine", "auto", "--dry-run", "--show-rows", "2"]).run().expect(0);
    assert!(output.stderr.contains("stream: --show-rows shows rows"), "{output}");
    assert!(output.stdout.contains("order_id"), "{output}");
    assert_eq!(orders.target_rows(), 0);
}

#[test]
#[ignore = "slow: about 7 s"]
fn another_engine_continues_a_load_with_the_chunks_that_it_has() {
    let orders = Orders::start(20_000);
    orders.server.script(
        "CREATE TABLE slow (order_id UInt64) ENGINE = Null
        --;;
        CREATE MATERIALIZED VIEW slowly TO slow AS SELECT order_id FROM shipments WHERE NOT ignore(sleepEachRow(0.0001))",
    );
    let tool =
        |engine: &str| orders.resuming_tool_at(orders.server.url()).args(&["--engine", engine]);
    let running = tool("server").spawn();
    let filling = "SELECT (SELECT count() FROM load_state WHERE definition != '') > 0 AND count() > 0 FROM system.processes
        WHERE query_id LIKE 'clickhouse-backfill-%-chunk%' AND current_database = currentDatabase()";
    assert!(process::wait_until(SOON, || {
        orders.server.try_query(filling).is_ok_and(|found| found == b"1\n")
    }));
    running.signal("KILL");
    running.wait();
    orders.server.query("DROP TABLE slowly");
    let size = "SELECT JSONExtractUInt(definition, 'chunk_rows') FROM load_state FINAL";
    assert_eq!(orders.server.text(size).trim(), "100000");
    tool("stream").run().expect(0);
    orders.assert_complete();
    // A completed load is complete for either engine.
    let output = tool("server").run().expect(0);
    assert!(output.stderr.contains("there is nothing to do"), "{output}");
    let output = tool("stream").args(&["--chunk-rows", "7000"]).run().expect(3);
    assert_text_snapshot!(output.failure(), @"
    exit code 3
    error: partition 202506 of default.orders into default.shipments by shipments is completed as run [RUN], and not the same as it was:
        --chunk-rows was `100000`, and is `7000`
    hint: --restart starts a new version of the load, with all rows
    hint: undo the changes to continue with the version that was started
    ");
}

#[test]
fn a_reviewed_plan_holds_the_engine() {
    let orders = Orders::start(1_000);
    let file = orders.file("plan.json");
    plan(&orders, JOB).args(&["--measure", "0s", "--out"]).arg(&file).run().expect(0);
    let run = |engine: &str| {
        orders.tool().args(&["--engine", engine, "--chunk-rows", "100000", "--plan"]).arg(&file)
    };
    let output = run("stream").run().expect(3);
    assert_text_snapshot!(output.failure(), @"
    exit code 3
    error: the run differs from the plan [PATH]
      because: --engine was `server`, and is `stream`
    hint: `clickhouse-backfill plan --job job.toml --partition 202506 --out [PATH]` makes a new plan
    hint: undo the changes to run this plan
    ");
    run("auto").run().expect(0);
    orders.assert_complete();
}
