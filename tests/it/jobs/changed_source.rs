//! A source that changes during a run: the rows are counted again at its end, and changes that cancel
//! out in the count are noticed.

use super::fixture::JobFile;
use crate::support::{Direction, Output, Proxy, Server, process};

const SOON: std::time::Duration = std::time::Duration::from_secs(60);

const WRITTEN: &str = "the source was written to during the run";
const NOT_COPIED: &str = "because the job does not copy deletions";

const REPLACING: &str = "ReplacingMergeTree(version, gone)";

/// A run of 5,000 rows of a source with this engine. The statements are executed after every row was
/// read and before one is inserted.
fn run(engine: &str, source: &str, statements: &[&str]) -> (Server, Output) {
    run_on(tables(engine), source, statements)
}

fn tables(engine: &str) -> Server {
    let server = Server::shared();
    server.script(&format!(
        "CREATE TABLE stored (id UInt64, version UInt32, gone UInt8) ENGINE = {engine} ORDER BY id
         --;;
         INSERT INTO stored SELECT number, 1, 0 FROM numbers(5000)
         --;;
         CREATE TABLE copies (id UInt64, version UInt32, gone UInt8) ENGINE = {REPLACING} ORDER BY id"
    ));
    server
}

fn job(source: &str) -> JobFile {
    JobFile::new(&format!(
        "name = 'copies'\n[source]\ntable = 'stored'\n{source}\n[target]\ntable = 'copies'\n\
         [columns]\nid = 'source.id'\nversion = 'source.version'\ngone = 'source.gone'\n"
    ))
}

fn run_on(server: Server, source: &str, statements: &[&str]) -> (Server, Output) {
    let job = job(source);
    let proxy = Proxy::start(server.port());
    proxy.after_request_with(b"-insert-").stall_at(Direction::ToServer, 0, 1000);
    let running = job.tool(&server, "run").env("CLICKHOUSE_URL", proxy.url()).spawn();
    let reading = "SELECT count() FROM system.processes WHERE query_id LIKE 'clickhouse-backfill-%-source-%' AND current_database = currentDatabase()";
    assert!(
        process::wait_until(SOON, || proxy.fired() > 0 && server.text(reading) == "0"),
        "all rows are read, and none inserted"
    );
    for statement in statements {
        server.query(statement);
    }
    proxy.pass();
    let output = running.wait().expect(0);
    (server, output)
}

fn live_rows(server: &Server) -> String {
    server.text("SELECT count() FROM copies FINAL")
}

#[test]
fn deletions_that_a_job_does_not_copy_are_noticed() {
    let deletions = "INSERT INTO stored SELECT number, 2, 1 FROM numbers(1000)";
    let (server, output) = run(REPLACING, "final = true", &[deletions]);
    assert!(output.stderr.contains(WRITTEN) && output.stderr.contains(NOT_COPIED), "{output}");
    assert_eq!(live_rows(&server), "5000");

    // A job that names the flag copies them, and there is nothing to notice.
    let source = "final = true\nversion = 'version'\ndeleted = 'gone'";
    let (server, output) = run(REPLACING, source, &[deletions]);
    assert!(!output.stderr.contains(WRITTEN), "{output}");
    assert_eq!(live_rows(&server), "4000");
}

#[test]
fn insertions_and_deletions_that_cancel_out_are_noticed() {
    let (_, output) = run(
        REPLACING,
        "final = true",
        &[
            "INSERT INTO stored SELECT number + if(number < 500, 0, 100000), 2, number < 500 FROM numbers(1000)",
        ],
    );
    assert!(output.stderr.contains(WRITTEN) && output.stderr.contains(NOT_COPIED), "{output}");
    let (_, output) = run(
        "MergeTree",
        "",
        &[
            "INSERT INTO stored SELECT number + 100000, 1, 0 FROM numbers(500)",
            "DELETE FROM stored WHERE id < 500",
        ],
    );
    assert!(output.stderr.contains(WRITTEN) && output.stderr.contains(NOT_COPIED), "{output}");
}

#[test]
fn a_source_with_the_same_rows_is_no_changed_one() {
    let newer = "INSERT INTO stored SELECT number, 2, 0 FROM numbers(1000)";
    for statements in [&[][..], &[newer, "OPTIMIZE TABLE stored FINAL"][..]] {
        let (_, output) = run(REPLACING, "final = true", statements);
        assert!(!output.stderr.contains(WRITTEN), "{output}");
    }
}

#[test]
fn what_a_job_without_a_deleted_flag_cannot_do_is_in_the_plan() {
    let server = Server::shared();
    server.script(&format!(
        "CREATE TABLE stored (id UInt64, version UInt32, gone UInt8) ENGINE = {REPLACING} ORDER BY id
         --;;
         INSERT INTO stored SELECT number, 1, 0 FROM numbers(10)
         --;;
         CREATE TABLE copies AS stored"
    ));
    let plan = |source: &str| {
        let job = JobFile::new(&format!(
            "name = 'copies'\n[source]\ntable = 'stored'\n{source}\n[target]\ntable = 'copies'\n\
             [columns]\nid = 'source.id'\nversion = 'source.version'\ngone = 'source.gone'\n"
        ));
        let output = job.tool(&server, "plan").arg("--json").run().expect(0);
        let plan: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        let checks = plan["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|check| check["name"] == "deletions")
    };
    let check = plan("final = true").unwrap();
    assert_eq!(check["verdict"], "warning", "{check}");
    let detail = check["detail"].as_str().unwrap();
    assert!(
        detail.contains("stored has the deleted flag gone, but rows that are deleted"),
        "{detail}"
    );
    assert_eq!(plan("final = true\nversion = 'version'\ndeleted = 'gone'"), None);
}

const UPDATED: &str = "rows of the source were updated in place during the run";

#[test]
fn lightweight_updates_and_deletes_are_noticed() {
    let delete =
        "DELETE FROM stored WHERE id < 500 SETTINGS lightweight_delete_mode = 'lightweight_update'";
    for statement in [
        "UPDATE stored SET gone = 1 WHERE id < 500",
        "ALTER TABLE stored UPDATE gone = 1 WHERE id < 500 SETTINGS mutations_sync = 2",
        delete,
    ] {
        let (server, output) = run_on(patched_server(), "final = true", &[statement]);
        let stored = server.text("SELECT countIf(gone = 0) FROM stored");
        assert_eq!(stored, "4500", "{statement}");
        let deleted = statement == delete;
        assert_eq!(output.stderr.contains(WRITTEN), deleted, "{statement}\n{output}");
        assert_eq!(output.stderr.contains(NOT_COPIED), deleted, "{statement}\n{output}");
        assert_eq!(output.stderr.contains(UPDATED), !deleted, "{statement}\n{output}");
    }
    // What was changed before is no change, whatever becomes of its parts.
    let server = patched_server();
    server.query("UPDATE stored SET gone = 1 WHERE id < 500");
    let (_, output) = run_on(server, "final = true", &["OPTIMIZE TABLE stored FINAL"]);
    assert!(!output.stderr.contains(UPDATED) && !output.stderr.contains(WRITTEN), "{output}");
}

/// A source that takes lightweight UPDATE and DELETE, which leave patch parts beside the parts.
fn patched_server() -> Server {
    let server = tables("MergeTree");
    server.query("DROP TABLE stored SYNC");
    server.query("CREATE TABLE stored (id UInt64, version UInt32, gone UInt8) ENGINE = ReplacingMergeTree ORDER BY id SETTINGS enable_block_number_column = 1, enable_block_offset_column = 1");
    server.query("INSERT INTO stored SELECT number, 1, 0 FROM numbers(5000)");
    server
}

/// Lightweight updates keep changed rows in parts of their own, whose rows are none that a policy hides.
#[test]
fn patch_parts_are_no_rows_of_their_own() {
    let server = patched_server();
    server.query("UPDATE stored SET gone = 1 WHERE id < 500");
    server.query("CREATE TABLE names (id UInt64, name String) ENGINE = MergeTree ORDER BY id SETTINGS enable_block_number_column = 1, enable_block_offset_column = 1");
    server.query("INSERT INTO names SELECT number, 'a' FROM numbers(5000)");
    server.query("UPDATE names SET name = 'b' WHERE id < 10");
    server.query("ALTER TABLE copies ADD COLUMN name String");
    let job = JobFile::new(
        "name = 'copies'\n[source]\ntable = 'stored'\njoin_key = ['id']\n[lookup]\ntable = 'names'\njoin_key = ['id']\n\
         [target]\ntable = 'copies'\n[columns]\nid = 'source.id'\nversion = 'source.version'\ngone = 'source.gone'\nname = 'lookup.name'\n",
    );
    let output = job.tool(&server, "run").run().expect(0);
    let copied = server.text("SELECT count(), countIf(gone = 1), countIf(name = 'b') FROM copies");
    assert_eq!(copied, "5000\t500\t10", "{output}");
}

/// Rows of a chunk that was read by a run before are replaced by as many others.
#[test]
fn changes_between_two_runs_of_a_load_that_cancel_out_are_noticed() {
    let server = Server::shared();
    server.script(&format!(
        "CREATE TABLE stored (id UInt64, version UInt32, gone UInt8) ENGINE = {REPLACING} ORDER BY id SETTINGS index_granularity = 500
         --;;
         INSERT INTO stored SELECT number * 2, 1, 0 FROM numbers(5000)
         --;;
         CREATE TABLE copies (id UInt64, version UInt32, gone UInt8) ENGINE = {REPLACING} ORDER BY id"
    ));
    let job = job("final = true");
    let flags = ["--chunk-rows", "1000", "--readers", "1", "--claim-timeout", "2s"];
    let mut running =
        job.tool(&server, "run").args(&flags).args(&["--max-rows-per-second", "800"]).spawn();
    let first_chunk = || {
        server.text("EXISTS TABLE load_state_chunks") == "1"
            && server.text("SELECT count() FROM load_state_chunks FINAL WHERE status = 'completed'")
                != "0"
            && server.text("SELECT rows_expected FROM load_state FINAL") == "5000"
    };
    assert!(
        process::wait_until(SOON, || !running.is_running() || first_chunk()),
        "a chunk is done"
    );
    running.signal("KILL");
    drop(running);
    server.query("INSERT INTO stored SELECT number, 2, number % 2 = 0 FROM numbers(200)");
    let output = job.tool(&server, "run").env_remove("RESTART").args(&flags).run().expect(0);
    assert!(output.stderr.contains(WRITTEN) && output.stderr.contains(NOT_COPIED), "{output}");
}
