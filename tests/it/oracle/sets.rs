//! `--job langfuse/v4-without-experiments`: a set of jobs, each with a load of its own, shown as one.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::v3_to_v4::history;
use crate::support::{Binary, Output, Server, assert_text_snapshot, binary, process};

const MONTHS: [&str; 3] = ["202512", "202511", "202510"];

fn tool(server: &Server, command: &str) -> Binary {
    let tool = binary().envs(&server.environment()).env("TARGET_TABLE", "events_full");
    tool.env("BEFORE", "2026-07-01T00:00:00Z").args(&[
        command,
        "--job",
        "langfuse/v4-without-experiments",
    ])
}

fn run(server: &Server) -> Binary {
    tool(server, "run").args(&["--partitions", "202510..202512", "--order", "newest"])
}

fn documents(output: &Output) -> Vec<Value> {
    let documents = serde_json::Deserializer::from_str(&output.stdout).into_iter();
    documents.map(Result::unwrap).collect()
}

/// The number of backfilled rows and a sum of their hashes.
fn filled(server: &Server, table: &str) -> String {
    server.text(&format!(
        "SELECT count(), sum(cityHash64(trace_id, span_id, parent_span_id, user_id, name)) FROM {table} FINAL WHERE endsWith(source, '-backfill')"
    ))
}

/// The same of what is right.
fn expected(server: &Server) -> String {
    server.text(
        "SELECT count(), sum(cityHash64(trace_id, span_id, parent_span_id, user_id, name)) FROM (
             SELECT id AS trace_id, 't-' || id AS span_id, '' AS parent_span_id, 'ann' AS user_id, name FROM traces
             UNION ALL
             SELECT trace_id, id, ifNull(parent_observation_id, 't-' || trace_id), 'ann', name FROM observations
             WHERE startsWith(id, 'span-') AND toUInt32(substring(id, 6)) % 10 != 0)",
    )
}

#[test]
#[ignore = "slow: about 20 s"]
fn a_set_fills_each_month_by_its_jobs_in_turn_and_is_resumed_after_a_kill() {
    let server = history();
    let killed = run(&server).spawn();
    let begun =
        "SELECT 1 FROM load_state WHERE job = 'langfuse-events' AND partition_id = '202511'";
    let has_begun = || server.try_query(begun).is_ok_and(|found| !found.is_empty());
    assert!(process::wait_until(Duration::from_secs(60), has_begun));
    killed.signal("KILL");
    killed.wait();
    let folder = TempDir::with_prefix("sets-").unwrap();
    let summary = folder.path().join("summary.json");
    let summary_of = |tool: Binary, code| -> (Output, Value) {
        let output = tool.arg("--summary-json").arg(&summary).run().expect(code);
        (output, serde_json::from_slice(&std::fs::read(&summary).unwrap()).unwrap())
    };
    let (output, ran) = summary_of(run(&server), 0);
    assert_eq!(
        (&ran["set"], &ran["status"]),
        (&"langfuse/v4-without-experiments".into(), &"completed".into())
    );
    let steps: Vec<_> = ran["partitions"].as_array().unwrap().iter().collect();
    let order: Vec<_> = steps
        .iter()
        .map(|step| {
            format!("{} {}", step["partition"].as_str().unwrap(), step["job"].as_str().unwrap())
        })
        .collect();
    let of_month =
        |month| [format!("{month} langfuse/trace-roots"), format!("{month} langfuse/events")];
    assert_eq!(order, MONTHS.map(of_month).concat());
    for before in &steps[..3] {
        assert_eq!(before["outcome"], "completed_before", "{before}");
    }
    for after in &steps[4..] {
        assert_eq!(after["outcome"], "completed", "{after}");
    }
    assert!(output.stderr.contains("completed: langfuse/v4-without-experiments into "), "{output}");
    assert!(output.stderr.contains(", 6 of 6 loads, "), "{output}");
    for table in ["events_full", "events_core"] {
        assert_eq!(filled(&server, table), expected(&server), "{table}");
    }

    for month in ["202511", "202510"] {
        let (output, compared) =
            summary_of(tool(&server, "verify").args(&["--partition", month]), 0);
        assert!(
            output
                .stderr
                .ends_with("langfuse/v4-without-experiments\n  langfuse/trace-roots  ok\n  langfuse/events  ok\n"),
            "{output}"
        );
        let jobs = compared["jobs"].as_array().unwrap();
        assert_eq!(jobs[0]["summary"]["job"], "langfuse-trace-roots", "{compared}");
        assert_eq!(jobs[1]["summary"]["equal"], true, "{compared}");
    }
    let both = |tool: Binary| {
        let documents = documents(&tool.run().expect(0));
        assert_eq!(documents.len(), 2);
        documents
    };
    for load in both(tool(&server, "status").args(&["--json", "--partition", "202511"])) {
        assert_eq!(load["state"], "completed", "{load}");
    }
    both(tool(&server, "plan").args(&["--json", "--measure", "0s", "--partition", "202511"]));
    both(tool(&server, "report").args(&["--format", "json", "--partition", "202511"]));
    let history =
        documents(&tool(&server, "history").env_remove("BEFORE").arg("--json").run().expect(0));
    let jobs: Vec<_> = history[0].as_array().unwrap().iter().map(|one| &one["job"]).collect();
    assert_eq!(jobs, ["langfuse-trace-roots", "langfuse-events"]);

    // A difference of one job is found and mended beside the other.
    server.query("DELETE FROM events_full WHERE span_id = 'span-41'");
    let output = tool(&server, "verify").args(&["--partition", "202511"]).run().expect(4);
    assert!(
        output.stderr.ends_with("  langfuse/trace-roots  ok\n  langfuse/events  different\n"),
        "{output}"
    );
    tool(&server, "repair").args(&["--partition", "202511"]).run().expect(0);
    assert_eq!(filled(&server, "events_full"), expected(&server));
}

/// What the user leaves out is left out of each job, and a job that fails has no summary, least of all
/// that of another.
#[test]
fn each_job_of_a_set_has_the_flags_that_were_given_and_a_summary_of_its_own() {
    let server = history();
    let tool = |command: &str| tool(&server, command).args(&["--partition", "202511"]);
    let plan = tool("plan").args(&["--sql", "--exclude", "dataset-items"]).run().expect(0);
    let joins: Vec<_> = plan.stdout.split("-- equivalent join\n").skip(1).collect();
    assert_eq!(joins.len(), 2, "{plan}");
    assert!(joins.iter().all(|join| join.contains("FROM dataset_run_items_rmt FINAL")), "{plan}");

    server.query("DROP TABLE observations");
    let folder = TempDir::with_prefix("sets-").unwrap();
    let summary = folder.path().join("summary.json");
    let output = tool("verify").arg("--summary-json").arg(&summary).run().expect(3);
    let compared: Value = serde_json::from_slice(&std::fs::read(&summary).unwrap()).unwrap();
    let jobs = compared["jobs"].as_array().unwrap();
    assert_eq!(jobs[0]["summary"]["job"], "langfuse-trace-roots", "{compared:#}\n{output}");
    assert_eq!(jobs[1]["summary"], Value::Null, "{compared:#}\n{output}");
}

#[test]
fn what_is_for_one_job_is_refused_for_a_set() {
    let server = Server::shared();
    let failure = |command: &str, flags: &[&str]| {
        tool(&server, command).args(&["--partition", "202511"]).args(flags).run().failure()
    };
    assert_text_snapshot!(failure("rollback", &[]), @"
    exit code 2
    error: langfuse/v4-without-experiments is a set of jobs: langfuse/trace-roots, langfuse/events
    hint: name one of its jobs, such as langfuse/trace-roots
    ");
    assert_text_snapshot!(failure("plan", &["--out", "plan.json"]), @"
    exit code 2
    error: --out is for one job, and langfuse/v4-without-experiments is a set of jobs
    hint: its jobs: langfuse/trace-roots, langfuse/events
    ");
    assert_text_snapshot!(failure("run", &["--plan", "plan.json"]), @"
    exit code 2
    error: --plan needs one job: langfuse/v4-without-experiments is a set of jobs
    hint: its jobs: langfuse/trace-roots, langfuse/events
    ");
    assert_text_snapshot!(failure("verify", &["--state", "state"]), @"
    exit code 2
    error: --state is for one job, and langfuse/v4-without-experiments is a set of jobs
    hint: its jobs: langfuse/trace-roots, langfuse/events
    ");
}
