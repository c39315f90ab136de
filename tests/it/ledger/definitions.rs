//! Tables whose definitions change while a load runs.

use super::fixture::{Chunked, SOON};
use crate::support::{Running, assert_text_snapshot, process};

/// Lets a stalled run continue after a change of a table, and gives why it ends.
fn ended_after(chunked: &Chunked, running: Running, change: &str) -> String {
    let completed = chunked.completed();
    chunked.server().query(change);
    chunked.proxy.pass();
    let output = running.wait().expect(1);
    assert_eq!(chunked.completed(), completed, "no chunk is recorded after the change");
    let status = chunked.server().text("SELECT status FROM load_state FINAL");
    assert_eq!(status, "failed");
    output.failure()
}

/// Decimals of another scale have the same width: neither the rows nor the server show it.
#[test]
#[ignore = "slow: about 10 s"]
fn a_source_column_of_another_type_ends_the_run() {
    let chunked = Chunked::start();
    let (running, _) = chunked.stalled_half_way();
    let change = "ALTER TABLE orders MODIFY COLUMN amount Decimal(18, 4)";
    assert_text_snapshot!(ended_after(&chunked, running, change), @"
    exit code 1
    error: a table of the job has changed since the run began: the type of the column amount of default.orders was `Decimal(18, 2)`, and is `Decimal(18, 4)`
    hint: --restart starts a new version of the load, with all rows, as the tables are now
    hint: undo the change to continue with the version that was started; chunks that were recorded before the change are complete, the others are read again
    ");
    chunked.server().query("ALTER TABLE orders MODIFY COLUMN amount Decimal(18, 2)");
    chunked.tool().run().expect(0);
    chunked.assert_completed();
}

#[test]
#[ignore = "slow: about 8 s"]
fn a_lookup_column_of_another_type_ends_the_run() {
    let chunked = Chunked::start();
    let (running, _) = chunked.stalled_half_way();
    let change = "ALTER TABLE customers MODIFY COLUMN letter LowCardinality(String)";
    assert_text_snapshot!(ended_after(&chunked, running, change), @"
    exit code 1
    error: a table of the job has changed since the run began: the type of the column letter of default.customers was `String`, and is `LowCardinality(String)`
    hint: --restart starts a new version of the load, with all rows, as the tables are now
    hint: undo the change to continue with the version that was started; chunks that were recorded before the change are complete, the others are read again
    ");
}

#[test]
#[ignore = "slow: about 8 s"]
fn another_table_in_the_place_of_the_source_ends_the_run() {
    let chunked = Chunked::start();
    let server = chunked.server();
    server.query("CREATE TABLE others AS orders");
    server.query(
        "INSERT INTO others SELECT * REPLACE (concat(note, ', of others') AS note) FROM orders",
    );
    let (running, _) = chunked.stalled_half_way();
    let why = ended_after(&chunked, running, "EXCHANGE TABLES orders AND others");
    assert_text_snapshot!(why, @"
    exit code 1
    error: a table of the job has changed since the run began: default.orders is another table than it was: its uuid was [UUID], and is [UUID]
    hint: --restart starts a new version of the load, with all rows, as the tables are now
    hint: undo the change to continue with the version that was started; chunks that were recorded before the change are complete, the others are read again
    ");
    server.query("EXCHANGE TABLES orders AND others");
    chunked.tool().run().expect(0);
    chunked.assert_completed();
}

#[test]
fn a_target_column_that_is_dropped_ends_the_run() {
    let chunked = Chunked::start();
    let (running, _) = chunked.stalled_half_way();
    let why = ended_after(&chunked, running, "ALTER TABLE shipments DROP COLUMN tags");
    assert_text_snapshot!(why, @"
    exit code 1
    error: a table of the job has changed since the run began: the column tags of default.shipments is gone; its type was `Array(String)`
    hint: --restart starts a new version of the load, with all rows, as the tables are now
    hint: undo the change to continue with the version that was started; chunks that were recorded before the change are complete, the others are read again
    ");
}

/// While a chunk is under way, the change is noticed as well.
#[test]
#[ignore = "slow: about 8 s"]
fn a_change_ends_a_run_whose_chunk_does_not_end() {
    let chunked = Chunked::start();
    let (mut running, _) = chunked.stalled_half_way();
    chunked.server().query("ALTER TABLE shipments MODIFY COLUMN letter LowCardinality(String)");
    assert!(process::wait_until(SOON, || !running.is_running()), "it goes on");
    let output = running.wait().expect(1);
    assert_text_snapshot!(output.failure(), @"
    exit code 1
    error: a table of the job has changed since the run began: the type of the column letter of default.shipments was `String`, and is `LowCardinality(String)`
    hint: --restart starts a new version of the load, with all rows, as the tables are now
    hint: undo the change to continue with the version that was started; chunks that were recorded before the change are complete, the others are read again
    ");
}

/// What the job does not use may change.
#[test]
#[ignore = "slow: about 7 s"]
fn a_column_that_is_added_and_one_that_is_not_used_change_nothing() {
    let chunked = Chunked::start();
    let server = chunked.server();
    server.query("ALTER TABLE customers ADD COLUMN unused UInt8");
    let (running, _) = chunked.stalled_half_way();
    server.query("ALTER TABLE customers MODIFY COLUMN unused UInt16");
    server.query("ALTER TABLE shipments MODIFY COMMENT 'with a comment'");
    server.query("ALTER TABLE orders ADD COLUMN added String");
    chunked.proxy.pass();
    running.wait().expect(0);
    chunked.assert_completed();
}
