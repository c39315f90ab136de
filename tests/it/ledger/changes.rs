//! What may not change between two runs of a load, and beginning anew.

use super::fixture::Chunked;
use crate::orders::JOB;
use crate::support::assert_text_snapshot;

#[test]
#[ignore = "slow: about 15 s"]
fn what_has_changed_is_named_and_refused() {
    let chunked = Chunked::start();
    chunked.killed_half_way();
    let refused = |job: &str, arguments: &[&str]| {
        let output = chunked.tool().file("job.toml", job).args(arguments).run();
        output.failure()
    };
    let job = JOB.replace("source.amount * 2", "source.amount * 3");
    assert_text_snapshot!(refused(&job, &[]), @"
    exit code 3
    error: partition 202506 of default.orders into default.shipments by shipments is started as run [RUN], and not the same as it was:
        the expression of the column amount was `source.amount * 2`, and is `source.amount * 3`
    hint: --restart starts a new version of the load, with all rows
    hint: undo the changes to continue with the version that was started
    ");
    assert_text_snapshot!(refused(&format!("{JOB}\n[settings.insert]\nlog_queries = 1\n"), &[]), @"
    exit code 3
    error: partition 202506 of default.orders into default.shipments by shipments is started as run [RUN], and not the same as it was:
        the setting log_queries of inserts is new: `1`
    hint: --restart starts a new version of the load, with all rows
    hint: undo the changes to continue with the version that was started
    ");
    assert_text_snapshot!(refused(&JOB.replace("final = true", "final = false"), &[]), @"
    exit code 3
    error: partition 202506 of default.orders into default.shipments by shipments is started as run [RUN], and not the same as it was:
        FINAL of the source was `true`, and is `false`
    hint: --restart starts a new version of the load, with all rows
    hint: undo the changes to continue with the version that was started
    ");
    assert_text_snapshot!(refused(JOB, &["--chunk-rows", "9000"]), @"
    exit code 3
    error: partition 202506 of default.orders into default.shipments by shipments is started as run [RUN], and not the same as it was:
        --chunk-rows was `8192`, and is `9000`
    hint: --restart starts a new version of the load, with all rows
    hint: undo the changes to continue with the version that was started
    ");
    let server = chunked.server();
    server.query("ALTER TABLE shipments MODIFY COLUMN letter LowCardinality(String)");
    assert_text_snapshot!(refused(JOB, &[]), @"
    exit code 3
    error: partition 202506 of default.orders into default.shipments by shipments is started as run [RUN], and not the same as it was:
        the type of the column letter was `String`, and is `LowCardinality(String)`
    hint: --restart starts a new version of the load, with all rows
    hint: undo the changes to continue with the version that was started
    ");
    server.query("ALTER TABLE shipments MODIFY COLUMN letter String");
    server.query("ALTER TABLE customers MODIFY COLUMN tags Array(LowCardinality(String))");
    assert_text_snapshot!(refused(JOB, &[]), @"
    exit code 3
    error: partition 202506 of default.orders into default.shipments by shipments is started as run [RUN], and not the same as it was:
        the type of lookup.tags was `Array(String)`, and is `Array(LowCardinality(String))`
    hint: --restart starts a new version of the load, with all rows
    hint: undo the changes to continue with the version that was started
    ");
    server.query("ALTER TABLE customers MODIFY COLUMN tags Array(String)");
    assert_eq!(
        server.text("SELECT count() FROM load_claims FINAL"),
        "1",
        "who is refused claims nothing"
    );

    // Comments, the form of an expression, and what decides only the speed are no changes.
    let reformatted = format!("# a comment\n{JOB}")
        .replace("source.amount * 2", "source.amount*2 -- doubled")
        .replace("concat(source.note,", "concat( source.note  ,");
    assert_ne!(reformatted.len(), JOB.len() + 12);
    chunked
        .tool()
        .file("job.toml", &reformatted)
        .args(&["--batch-size", "5000", "--memory", "1GiB"])
        .run()
        .expect(0);
    chunked.assert_completed();
    assert_text_snapshot!(refused(&job, &[]), @"
    exit code 3
    error: partition 202506 of default.orders into default.shipments by shipments is completed as run [RUN], and not the same as it was:
        the expression of the column amount was `source.amount * 2`, and is `source.amount * 3`
    hint: --restart starts a new version of the load, with all rows
    hint: undo the changes to continue with the version that was started
    ");
}

/// Between two runs, no process watches the tables.
#[test]
#[ignore = "slow: about 14 s"]
fn another_table_of_the_same_name_is_refused() {
    let chunked = Chunked::start();
    let server = chunked.server();
    server.query("CREATE TABLE others AS orders");
    server.query("INSERT INTO others SELECT * FROM orders");
    chunked.killed_half_way();
    let refused = || {
        let output = chunked.tool().run().expect(3);
        assert!(output.stderr.contains("hint: --restart"), "{output}");
        output.stderr
    };
    server.query("CREATE TABLE other_customers AS customers");
    let exchanges = [("source", "orders AND others"), ("lookup", "customers AND other_customers")];
    for (role, tables) in exchanges {
        server.query(&format!("EXCHANGE TABLES {tables}"));
        let words = format!("the uuid of the {role} table was `");
        assert!(refused().contains(&words), "{role}");
        server.query(&format!("EXCHANGE TABLES {tables}"));
    }
    chunked.tool().run().expect(0);
    chunked.assert_completed();

    // A completed load is not in a table that was made anew.
    server.query("CREATE TABLE empty AS shipments");
    server.query("EXCHANGE TABLES empty AND shipments");
    assert!(refused().contains("the uuid of the target table was `"));
    chunked.tool().arg("--restart").run().expect(0);
    chunked.orders.assert_complete();
}

#[test]
#[ignore = "slow: about 9 s"]
fn another_version_of_clickhouse_is_said_and_not_refused() {
    let chunked = Chunked::start();
    chunked.killed_half_way();
    chunked.server().query(
        "ALTER TABLE load_state UPDATE definition = replaceRegexpOne(definition, '(server_version\":\")[^\"]*', '\\\\11.2.3') WHERE 1 SETTINGS mutations_sync = 2",
    );
    let output = chunked.tool().run().expect(0);
    assert!(output.stderr.contains("the version of ClickHouse was `1.2.3`, and is `"), "{output}");
    chunked.assert_completed();
}

#[test]
#[ignore = "slow: about 17 s"]
fn restart_begins_a_new_version_and_keeps_the_old() {
    let chunked = Chunked::start();
    let server = chunked.server();
    chunked.tool().run().expect(0);
    server.query("TRUNCATE TABLE shipments");
    chunked.tool().arg("--restart").run().expect(0);
    assert_eq!(chunked.orders.figure("chunks_before"), 0);
    chunked.assert_completed();
    let versions = "SELECT status, is_current, run_id = (SELECT run_id FROM load_state FINAL WHERE is_current) FROM load_state FINAL ORDER BY started_at";
    assert_eq!(server.text(versions), "completed\t0\t0\ncompleted\t1\t1");

    // The same over one that was not finished, and with a changed job.
    server.query("TRUNCATE TABLE load_state");
    server.query("TRUNCATE TABLE load_state_chunks");
    server.query("TRUNCATE TABLE shipments");
    chunked.killed_half_way();
    let job = JOB.replace("source.amount * 2", "source.amount + source.amount");
    chunked.tool().file("job.toml", &job).env("RESTART", "true").run().expect(0);
    chunked.assert_completed();
    assert_eq!(
        server.text("SELECT groupArray((status, is_current)) FROM (SELECT * FROM load_state FINAL ORDER BY started_at)"),
        "[('started',0),('completed',1)]"
    );
}

#[test]
#[ignore = "slow: about 11 s"]
fn a_dry_run_leaves_nothing() {
    let chunked = Chunked::start();
    chunked.tool().arg("--dry-run").run().expect(0);
    assert_eq!(chunked.server().text("SHOW TABLES LIKE 'load\\_%'"), "");
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("ledger");
    chunked
        .tool()
        .arg("--dry-run")
        .arg("--ledger")
        .arg(format!("file:{}", place.display()))
        .run()
        .expect(0);
    assert!(!place.exists());
    // Nor is it in the way of a run, or told of one.
    chunked.tool().run().expect(0);
    chunked.tool().arg("--dry-run").run().expect(0);
    assert!(chunked.orders.figure("source_rows") > 0);
}

/// Of a load of which nothing was inserted, nothing can be mixed.
#[test]
#[ignore = "slow: about 11 s"]
fn a_corrected_job_needs_no_restart_where_no_row_was_inserted() {
    let chunked = Chunked::start();
    let server = chunked.server();
    let wrong = JOB.replace("source.amount * 2", "toDecimal64(source.note, 2)");
    let failed = chunked.tool().file("job.toml", &wrong).run().expect(1);
    assert!(!failed.stderr.contains("run the same command again"), "{failed}");
    let load =
        "SELECT status, is_untouched FROM load_state FINAL ORDER BY load_version DESC LIMIT 1";
    assert_eq!(server.text(load), "failed\ttrue");
    assert_eq!(chunked.orders.target_rows(), 0);
    chunked.tool().run().expect(0);
    chunked.orders.assert_complete();
    assert_eq!(server.text(load), "completed\tfalse");

    // Where a row may be there, it does.
    server.query("TRUNCATE TABLE load_state");
    server.query("TRUNCATE TABLE shipments");
    let last = "if(source.id = 59999, toDecimal64(source.note, 2), source.amount * 2)";
    let wrong = JOB.replace("source.amount * 2", last);
    chunked.tool().file("job.toml", &wrong).run().expect(1);
    assert_eq!(server.text(load), "failed\tfalse");
    let refused = chunked.tool().run().expect(3);
    assert!(refused.stderr.contains("hint: --restart"), "{refused}");
}
