//! Targets that remove or reset values by a TTL, and columns that are not stored.

use serde_json::Value;

use super::fixture::report;
use crate::jobs::fixture::JobFile;
use crate::support::{Output, Server, assert_text_snapshot};

/// A source with ten rows of each of the last 60 days, and a target that keeps 30 days.
struct Tables {
    server: Server,
    job: JobFile,
}

impl Tables {
    fn new() -> Self {
        let server = Server::shared();
        server.script(
            "CREATE TABLE stored (id UInt64, placed DateTime('UTC'), version UInt32) ENGINE = ReplacingMergeTree(version) ORDER BY id
             --;;
             INSERT INTO stored SELECT number, now('UTC') - INTERVAL 12 HOUR - toIntervalDay(number % 60), 1 FROM numbers(600)
             --;;
             CREATE TABLE copies AS stored ENGINE = ReplacingMergeTree(version) ORDER BY id TTL placed + INTERVAL 30 DAY",
        );
        let job = JobFile::new(
            "name = 'copies'\n[source]\ntable = 'stored'\nfinal = true\nversion = 'version'\n[target]\ntable = 'copies'\n\
             [columns]\nid = 'source.id'\nplaced = 'source.placed'\nversion = 'source.version'\n",
        );
        Self { server, job }
    }

    fn tool(&self, command: &str, arguments: &[&str]) -> Output {
        self.job.tool(&self.server, command).args(arguments).run()
    }
}

/// The check of this name in `plan --json`.
fn check(plan: &Output, name: &str) -> Option<Value> {
    let checks = report(plan)["checks"].as_array().unwrap().clone();
    checks.into_iter().find(|check| check["name"] == name)
}

#[test]
fn rows_past_the_ttl_of_the_target_are_not_missing() {
    let tables = Tables::new();
    let found = check(&tables.tool("plan", &["--json"]).expect(0), "ttl").unwrap();
    assert_eq!(found["verdict"], "warning", "{found}");
    assert!(
        found["detail"].as_str().unwrap().contains("300 of 600 rows are past the TTL"),
        "{found}"
    );
    let output = tables.tool("run", &[]).expect(0);
    assert!(output.stderr.contains("300 of 600 rows are past the TTL"), "{output}");
    tables.server.query("OPTIMIZE TABLE copies FINAL");
    assert_eq!(tables.server.text("SELECT count() FROM copies"), "300");

    let found = report(&tables.tool("verify", &["--json"]).expect(0));
    let figures = ["expected_rows", "target_rows", "expired_rows"].map(|name| found[name].as_u64());
    assert_eq!(figures, [Some(300), Some(300), Some(300)], "{found:#}");
    let output = tables.tool("verify", &[]).expect(0);
    assert!(
        output.stdout.contains("past the target's TTL               300 (not compared)"),
        "{output}"
    );

    tables.server.query("DELETE FROM copies WHERE id = 5");
    let output = tables.tool("repair", &["--json"]).expect(0);
    let repair = report(&output);
    assert_eq!(repair["before"]["differences"]["missing"], 1, "{output}");
    let output = tables.tool("repair", &["--json"]).expect(0);
    assert_eq!(report(&output)["filled_chunks"].as_array().map(Vec::len), Some(0), "{output}");
}

#[test]
fn rows_that_expire_within_the_hour_are_not_compared() {
    let tables = Tables::new();
    // A merge may remove them while a comparison reads them.
    tables.server.query(
        "INSERT INTO stored SELECT number + 1000, now('UTC') - INTERVAL 30 DAY + INTERVAL 20 MINUTE, 1 FROM numbers(7)",
    );
    tables.tool("run", &[]).expect(0);
    tables.server.query("OPTIMIZE TABLE copies FINAL");
    assert_eq!(tables.server.text("SELECT count() FROM copies"), "307");
    let found = report(&tables.tool("verify", &["--json"]).expect(0));
    let figures = ["expected_rows", "target_rows", "expired_rows"].map(|name| found[name].as_u64());
    assert_eq!(figures, [Some(300), Some(300), Some(307)], "{found:#}");
    tables.server.query("DELETE FROM copies WHERE id >= 1000");
    tables.tool("verify", &[]).expect(0);
}

#[test]
fn a_partition_that_is_past_the_ttl_is_not_filled() {
    let tables = Tables::new();
    tables.server.query("ALTER TABLE copies MODIFY TTL placed + INTERVAL 1 HOUR");
    let output = tables.tool("run", &[]).expect(3);
    assert_text_snapshot!(output.failure(), @"
    exit code 3
    error: the check ttl blocks the run
      because: ttl: all 600 rows are past the TTL of default.copies, and its merges remove them
    hint: ALTER TABLE default.copies MODIFY TTL … keeps them longer
    hint: --skip-checks ttl downgrades this to a warning
    ");
    tables.tool("run", &["--skip-checks", "ttl"]).expect(0);
    // A TTL that moves rows, and one whose condition no row meets, remove nothing.
    for ttl in ["placed TO VOLUME 'default'", "placed DELETE WHERE id > 1000"] {
        tables.server.query(&format!("ALTER TABLE copies MODIFY TTL {ttl}"));
        let found = check(&tables.tool("plan", &["--json"]).expect(0), "ttl");
        assert!(found.is_none_or(|check| check["verdict"] == "ok"), "{ttl}");
    }
}

#[test]
fn columns_that_are_not_kept_are_not_compared() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE stored (id UInt64, placed DateTime('UTC'), note String, version UInt32) ENGINE = ReplacingMergeTree(version) ORDER BY id
         --;;
         INSERT INTO stored SELECT number, now('UTC') - INTERVAL 5 DAY, toString(number), 1 FROM numbers(100)
         --;;
         CREATE TABLE copies (id UInt64, placed DateTime('UTC'), secret String TTL placed + INTERVAL 1 DAY, raw String EPHEMERAL,
             note String DEFAULT upper(raw), version UInt32) ENGINE = ReplacingMergeTree(version) ORDER BY id",
    );
    let job = JobFile::new(
        "name = 'copies'\n[source]\ntable = 'stored'\nfinal = true\nversion = 'version'\n[target]\ntable = 'copies'\n\
         [columns]\nid = 'source.id'\nplaced = 'source.placed'\nsecret = 'source.note'\nraw = 'source.note'\nversion = 'source.version'\n",
    );
    job.tool(&server, "run").run().expect(0);
    server.query("OPTIMIZE TABLE copies FINAL");
    assert_eq!(
        server.text("SELECT countIf(secret = ''), countIf(note != '') FROM copies"),
        "100\t100"
    );
    let found = report(&job.tool(&server, "verify").arg("--json").run().expect(0));
    assert_eq!(found["columns_not_compared"], Value::from(vec!["secret", "raw"]), "{found:#}");
    let output = job.tool(&server, "verify").run().expect(0);
    assert!(output.stdout.contains("columns not compared                secret, raw"), "{output}");
    server.query(
        "ALTER TABLE copies UPDATE placed = placed + 1 WHERE id = 7 SETTINGS mutations_sync = 2",
    );
    let found = report(&job.tool(&server, "verify").arg("--json").run().expect(4));
    assert_eq!(found["differences"]["differing"], 1, "{found:#}");
    job.tool(&server, "repair").run().expect(0);
}

/// What the table makes of its columns by itself, in a key, is also expected: from columns that are not
/// stored, over several steps.
#[test]
#[ignore = "slow: about 8 s"]
fn keys_that_the_table_computes_are_compared() {
    for (more, engine) in [
        ("", "ReplacingMergeTree"),
        (", v UInt32 DEFAULT 1, gone UInt8 DEFAULT 0", "ReplacingMergeTree(v, gone)"),
    ] {
        keys_that_the_table_computes(more, engine);
    }
}

fn keys_that_the_table_computes(more: &str, engine: &str) {
    let server = Server::shared();
    server.script(&format!(
        "CREATE TABLE stored (id UInt64, note String) ENGINE = MergeTree ORDER BY id
         --;;
         INSERT INTO stored SELECT number, toString(number) FROM numbers(100)
         --;;
         CREATE TABLE copies (id UInt64, raw String EPHEMERAL, spare String EPHEMERAL 'x', upper String DEFAULT upper(raw),
             size UInt64 MATERIALIZED length(upper), weight UInt64 DEFAULT size * 2 + length(spare),
             kind String ALIAS if(weight > 0, 'job', 'none'){more})
         ENGINE = {engine} PARTITION BY size % 2 ORDER BY (weight, size, upper, id)"
    ));
    let job = JobFile::new(
        "name = 'copies'\n[source]\ntable = 'stored'\n[target]\ntable = 'copies'\nowned = \"kind = 'job'\"\n\
         [columns]\nid = 'source.id'\nraw = 'source.note'\n",
    );
    job.tool(&server, "run").run().expect(0);
    assert_eq!(server.text("SELECT count(), sum(weight) FROM copies"), "100\t480");
    let found = report(&job.tool(&server, "verify").arg("--json").run().expect(0));
    assert_eq!(found["columns_not_compared"], Value::from(vec!["raw"]), "{found:#}");
    assert_eq!(found["target_rows"], 100, "{found:#}");
    server.query("DELETE FROM copies WHERE id IN (5, 50)");
    server.query("INSERT INTO copies (id, raw) VALUES (5, 'five')");
    let output = job.tool(&server, "verify").arg("--json").run().expect(4);
    let found = report(&output);
    assert_eq!(found["differences"], serde_json::json!({ "missing": 2, "extra": 1 }), "{output}");
    let repair = report(&job.tool(&server, "repair").args(&["--remove", "--json"]).run().expect(0));
    assert_eq!(repair["removed_rows"], 1, "{repair:#}");
    assert_eq!(server.text("SELECT count(), sum(weight) FROM copies FINAL"), "100\t480");
    job.tool(&server, "verify").run().expect(0);
}
