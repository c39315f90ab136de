//! What goes to stdout, stderr, the log file and the summary, where there is no terminal.

use std::time::Duration;

use serde_json::Value;

use crate::orders::{Orders, PARTITION};
use crate::support::shown::from_line;
use crate::support::{Direction, Proxy, Server, assert_text_snapshot, process};

fn orders() -> Orders {
    Orders::on(Server::shared(), 2_000)
}

/// Names and kinds of an object's fields: `number` is a whole one, `fraction` one with a point.
fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) if number.is_u64() => "number".to_owned(),
        Value::Number(_) => "fraction".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|(name, value)| format!("{name}: {}", shape(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
    }
}

/// The names are a contract with scripts: whoever changes this test breaks them.
#[test]
fn the_summary_has_its_stable_fields_and_right_figures() {
    let orders = orders();
    let output = orders.tool().args(&["--batch-size", "1000"]).run().expect(0);
    assert_eq!(output.stdout, "");
    let summary = orders.summary();
    assert_eq!(
        shape(&summary),
        "{batches: number, bytes_read: number, bytes_written: number, chunks: number, chunks_before: number, chunks_now: number, dry_run: bool, error: null, errors: number, failed_chunks: number, inserted_rows: number, \
         inserters: number, job: text, lookup_keys: number, lookup_memory_peak_bytes: number, lookup_rows: number, matched_late_rows: number, matched_rows: number, memory_limit_bytes: number, outage_seconds: fraction, outages: number, partition: text, peak_memory_bytes: number, \
         readers: number, repeated_rows: number, retries: number, rows_per_second: fraction, run_id: text, \
         seconds: {lookup: fraction, plan: fraction, stream: fraction, total: fraction}, source: text, source_rows: number, status: text, target: text, \
         unmatched_rows: number, waves: number}"
    );
    orders.assert_complete();
    let counted = |sql: &str| orders.server.text(sql).parse::<u64>().unwrap();
    let rows = counted("SELECT count() FROM expected");
    let unmatched = counted("SELECT countIf(letter = '') FROM expected");
    assert!(unmatched > 0 && unmatched < rows);
    for (name, figure) in [
        ("source_rows", rows),
        ("inserted_rows", rows),
        ("matched_rows", rows - unmatched),
        ("matched_late_rows", 0),
        ("unmatched_rows", unmatched),
        ("lookup_rows", 480),
        ("lookup_keys", counted("SELECT count() FROM customers FINAL")),
        ("batches", rows.div_ceil(1000)),
        ("retries", 0),
        ("errors", 0),
        ("failed_chunks", 0),
        ("outages", 0),
        ("repeated_rows", 0),
        ("readers", 2),
    ] {
        assert_eq!(orders.figure(name), figure, "{name}\n{summary}");
    }
    let texts = ["status", "job", "partition", "source", "target"]
        .map(|name| summary[name].as_str().unwrap().to_owned());
    let database = orders.server.database();
    assert_eq!(
        texts,
        [
            "completed".into(),
            "shipments".into(),
            PARTITION.into(),
            format!("{database}.orders"),
            format!("{database}.shipments")
        ]
    );
    let seconds = |name: &str| summary["seconds"][name].as_f64().unwrap();
    assert!(
        seconds("total") >= seconds("plan") + seconds("lookup") + seconds("stream") - 0.01
            && seconds("stream") > 0.0,
        "{summary}"
    );
    assert!(
        orders.figure("bytes_written") > 600 * rows && orders.figure("bytes_read") > 500 * rows,
        "{summary}"
    );
    // What a person reads says the same.
    assert_text_snapshot!(from_line(&output.stderr, "completed: "), @"
    completed: shipments into default.shipments
      partition                202506
      chunks                   1 of 1 completed, 0 by earlier runs, 0 failed
      attributes loaded        360 of [N] rows
      orders processed         1,960
      shipments inserted       1,960
      matched, late, unmatched 1,408, 0, 552
      batches, retries, errors 2, 0, 0
      read, written            [SIZE], [SIZE]
      time                     [DURATION] (plan [DURATION], attributes [DURATION], streaming [DURATION])
      throughput               [RATE], at the end with [N] readers and [N] inserters
      peak memory              [SIZE] of [SIZE], 1 wave
    next: clickhouse-backfill verify --job job.toml --partition 202506
    ");
}

#[test]
fn a_dry_run_and_a_sample_say_so_and_print_rows() {
    let orders = orders();
    let output = orders.tool().args(&["--dry-run", "--show-rows", "2"]).run().expect(0);
    assert_eq!(orders.target_rows(), 0);
    assert_eq!(
        (orders.summary()["dry_run"].clone(), orders.figure("inserted_rows")),
        (true.into(), 1_960)
    );
    assert_text_snapshot!(from_line(&output.stderr, "dry run completed"), @"
    dry run completed, nothing was written: shipments into default.shipments
      partition                202506
      chunks                   1 of 1 completed, 0 by earlier runs, 0 failed
      attributes loaded        360 of [N] rows
      orders processed         1,960
      shipments evaluated      1,960
      matched, late, unmatched 1,408, 0, 552
      batches, retries, errors 1, 0, 0
      read, written            [SIZE], [SIZE]
      time                     [DURATION] (plan [DURATION], attributes [DURATION], streaming [DURATION])
      throughput               [RATE], at the end with [N] readers and [N] inserters
      peak memory              [SIZE] of [SIZE], 1 wave
    next: clickhouse-backfill run --summary-json [PATH] --restart=false --job job.toml --partition 202506
    ");
    assert_eq!(output.stdout.matches("──\n").count(), 2, "{output}");
    for column in ["order_id", "customer", "placed", "amount", "note", "tags", "letter", "version"]
    {
        assert_eq!(
            output.stdout.lines().filter(|line| line.starts_with(&format!("{column} "))).count(),
            2,
            "{column}\n{output}"
        );
    }
    assert!(output.stdout.contains("2025-06-"), "{output}");
}

#[test]
fn quiet_says_nothing_but_errors_and_data() {
    let orders = orders();
    let output = orders.tool().arg("-q").run().expect(0);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
    orders.assert_complete();
    let output = orders.tool().args(&["-q", "--show-rows", "1"]).run().expect(0);
    assert!(output.stderr.is_empty() && output.stdout.contains("order_id"), "{output}");
    let output = orders.tool().args(&["-q", "--target-table", "nowhere"]).run();
    assert_text_snapshot!(output.everything(), @"
    exit code 3
    --- stderr
    error: the target table default.nowhere does not exist, or the user has no right to see it
    hint: --target-table names another target, --clickhouse-db another database
    hint: the user needs INSERT ON default.nowhere; to compare, SELECT ON default.nowhere
    ");
}

#[test]
fn json_log_lines_are_one_object_each() {
    let orders = orders();
    let proxy = Proxy::start(orders.server.port());
    proxy.after_request_with(b"-source-").reset_at(Direction::ToClient, 100_000, 1);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let output = orders
        .tool_at(&proxy.url())
        .args(&["--log-format", "json", "-v", "--log-file"])
        .arg(&log)
        .run()
        .expect(0);
    let text = std::fs::read_to_string(&log).unwrap();
    for (what, text) in [("the log file", text.as_str()), ("stderr", output.stderr.as_str())] {
        let mut warnings = 0;
        for line in text.lines() {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|error| {
                panic!("{what}: {error} in the line\n{line}\nof\n{output}")
            });
            assert!(
                event["level"].is_string()
                    && event["timestamp"].is_string()
                    && event["message"].is_string(),
                "{what}: {line}"
            );
            warnings += usize::from(
                event["level"] == "WARN" && event["chunk"] == "1" && event["attempt"] == 1,
            );
        }
        assert_eq!(warnings, 1, "{what} says that the chunk was read again\n{text}");
    }
}

#[test]
fn the_log_file_is_appended_to_and_has_more_detail() {
    let orders = orders();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let tool = || orders.tool().env("LOG_FILE", &log);
    let output = tool().run().expect(0);
    assert_eq!(
        output.stderr.lines().next(),
        Some(format!("log file: {}", log.display()).as_str()),
        "the file's path comes first\n{output}"
    );
    let first = std::fs::read_to_string(&log).unwrap();
    assert!(first.contains("DEBUG") && !output.stderr.contains("DEBUG"), "{output}\n{first}");
    assert!(!first.contains('\u{1b}'), "{first}");
    tool().run().expect(0);
    let both = std::fs::read_to_string(&log).unwrap();
    assert!(both.len() > first.len() && both.starts_with(&first), "{both}");
}

/// Without a terminal there is no screen, there are no colors, and few lines, whatever the
/// environment claims.
#[test]
#[ignore = "slow: waits for the line, which comes every 10 s"]
fn without_a_terminal_progress_is_a_line_now_and_then() {
    let orders = orders();
    let proxy = Proxy::start(orders.server.port());
    proxy.after_request_with(b"-source-").stall_at(Direction::ToClient, 500_000, 2);
    // It has no ledger, so that the two do not exclude each other.
    let machine = orders.tool_at(&proxy.url()).args(&["--dry-run", "--log-format", "json"]).spawn();
    let tool = orders.tool_at(&proxy.url()).args(&["-v", "-v", "--log-format", "text"]);
    let running = tool
        .envs(&[("TERM", "xterm-256color"), ("CLICOLOR_FORCE", "1"), ("COLORTERM", "truecolor")])
        .spawn();
    assert!(process::wait_until(Duration::from_secs(60), || proxy.fired() == 2));
    std::thread::sleep(Duration::from_secs(11));
    proxy.pass();
    let output = running.wait().expect(0);
    assert_eq!(output.stdout, "");
    assert!(!output.stderr.contains(['\u{1b}', '\r', '\u{8}']), "{output}");
    let lines: Vec<_> = output
        .stderr
        .lines()
        .filter(|line| line.starts_with("inserted ") && line.contains(" in flight"))
        .collect();
    assert_eq!(lines.len(), 1, "11 s of streaming\n{output}");
    for part in [
        "rows of 1,960 (",
        "0 retries",
        "read is the bottleneck",
        "waiting: rows of 1 chunk from the server, none received for ",
    ] {
        assert!(lines[0].contains(part), "{part} in {lines:?}");
    }
    let output = machine.wait().expect(0);
    let events: Vec<Value> = output
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    let progress: Vec<_> = events.iter().filter(|event| event["message"] == "progress").collect();
    assert_eq!(progress.len(), 1, "11 s of streaming\n{output}");
    assert_eq!(
        (&progress[0]["phase"], &progress[0]["expected_rows"], &progress[0]["bottleneck"]),
        (&"stream".into(), &1960.into(), &"read".into())
    );
    assert!(
        progress[0]["waiting"].as_str().unwrap().starts_with("rows of 1 chunk from the server"),
        "{progress:?}"
    );
    let silent = orders.tool().arg("--no-progress").run().expect(0);
    assert!(silent.stderr.contains("completed: shipments"), "{silent}");
}

/// A reader that goes away, as `| head` does, is no failure.
#[test]
fn a_closed_pipe_is_no_failure() {
    let tool = env!("CARGO_BIN_EXE_clickhouse-backfill");
    let mut child = std::process::Command::new(tool)
        .args(["job", "show", "langfuse-events"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
