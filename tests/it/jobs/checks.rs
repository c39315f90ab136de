//! `[checks]`: conditions that a job names, which block a run or warn.

use serde_json::Value;

use super::fixture::JobFile;
use crate::support::{Server, assert_text_snapshot};

const JOB: &str = "name = 'copies'\n[source]\ntable = 'stored'\n[target]\ntable = 'copies'\n\
    [checks.others]\nquery = \"SELECT name, 1 FROM others WHERE name < 'n' ORDER BY name\"\nfinding = 'another tool fills copies'\n\
    lifted_by = 'stop it'\n\
    [checks.trace]\nquery = \"SELECT count() AS n FROM others WHERE name > 'n' HAVING n > 0\"\nfinding = 'another tool has filled copies'\nblocks = false\n\
    [columns]\nid = 'source.id'\n";

#[test]
fn conditions_of_a_job_block_a_run_or_warn() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE stored (id UInt64) ENGINE = MergeTree ORDER BY id
         --;;
         INSERT INTO stored SELECT number FROM numbers(10)
         --;;
         CREATE TABLE copies (id UInt64) ENGINE = ReplacingMergeTree ORDER BY id
         --;;
         CREATE TABLE others (name String) ENGINE = MergeTree ORDER BY name",
    );
    let job = JobFile::new(JOB);
    let check = || {
        let output = job.tool(&server, "plan").arg("--json").run();
        let plan: Value = serde_json::from_str(&output.stdout).unwrap();
        let checks = plan["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == "job-checks").unwrap().clone()
    };
    let found = check();
    assert_eq!(found["verdict"], "ok", "{found}");
    assert_eq!(found["detail"], "nothing found: others, trace", "{found}");

    server.query("INSERT INTO others VALUES ('x'), ('y')");
    let found = check();
    assert_eq!(found["verdict"], "warning", "{found}");
    assert_eq!(found["detail"], "another tool has filled copies: 2", "{found}");

    server.query("INSERT INTO others VALUES ('a'), ('b'), ('c'), ('d'), ('e')");
    let found = check();
    assert_eq!(found["verdict"], "blocked", "{found}");
    assert_eq!(found["lifted_by"], serde_json::json!(["stop it"]), "{found}");
    assert_text_snapshot!(job.tool(&server, "run").run().failure(), @"
    exit code 3
    error: the check job-checks blocks the run
      because: job-checks: another tool fills copies: a, b, c and 2 others; another tool has filled copies: 2
    hint: stop it
    ");
    assert_eq!(server.text("SELECT count() FROM copies"), "0");

    // A dry run writes nothing, so nothing is in its way.
    job.tool(&server, "run").arg("--dry-run").run().expect(0);
    server.query("TRUNCATE TABLE others");
    let output = job.tool(&server, "run").run().expect(0);
    assert!(!output.stderr.contains("another tool"), "{output}");
    assert_eq!(server.text("SELECT count() FROM copies"), "10");
}

#[test]
fn a_condition_that_cannot_be_asked_about_blocks_nothing() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE stored (id UInt64) ENGINE = MergeTree ORDER BY id
         --;;
         CREATE TABLE copies (id UInt64) ENGINE = ReplacingMergeTree ORDER BY id
         --;;
         INSERT INTO stored SELECT number FROM numbers(10)",
    );
    let job = JobFile::new(JOB);
    let plan = job.tool(&server, "plan").arg("--json").run().expect(0);
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    let checks = plan["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "job-checks").unwrap();
    assert_eq!(check["verdict"], "unknown", "{check}");
    let detail = check["detail"].as_str().unwrap();
    assert!(detail.starts_with("others cannot be checked: ") && detail.contains("UNKNOWN_TABLE"));
    job.tool(&server, "run").run().expect(0);
    assert_eq!(server.text("SELECT count() FROM copies"), "10");
}
