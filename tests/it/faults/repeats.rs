//! Targets whose rows do not collapse: a batch that is sent twice is there once, since the table
//! recognizes its token. Rows are counted without FINAL.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::fixture::{Behind, INSERT, SOON, SOURCE, wait_for_fault};
use crate::orders::JOB;
use crate::support::shown::titled;
use crate::support::{Binary, Direction, Output, Proxy, Server, assert_text_snapshot, process};

/// A run into `plain`, a MergeTree with a window of blocks.
pub struct Plain {
    pub behind: Behind,
}

impl Plain {
    fn start() -> Self {
        Self::on(Server::shared())
    }

    pub fn isolated() -> Self {
        Self::on(Server::isolated())
    }

    pub fn on(server: Server) -> Self {
        let behind = Behind::on(server);
        behind.orders.server.query(
            "CREATE TABLE plain AS shipments ENGINE = MergeTree ORDER BY (customer, order_id) SETTINGS non_replicated_deduplication_window = 1000",
        );
        Self { behind }
    }

    pub fn tool(&self) -> Binary {
        self.behind.tool().args(&["--target-table", "plain"])
    }

    pub fn count(&self, what: &str) -> u64 {
        self.behind.orders.server.text(&format!("SELECT {what} FROM plain")).parse().unwrap()
    }

    /// Holds `plain` against the join: no row is missing, wrong, or there twice.
    #[track_caller]
    pub fn assert_exactly_once(&self, output: &Output) {
        let server = &self.behind.orders.server;
        server.query("TRUNCATE TABLE shipments");
        server.query("INSERT INTO shipments SELECT * FROM plain");
        self.behind.orders.assert_complete();
        assert_eq!(
            self.count("count()"),
            self.count("uniqExact(customer, order_id)"),
            "rows without FINAL\n{output}"
        );
    }

    /// Runs in spite of a fault.
    #[track_caller]
    pub fn survives(&self, arm: impl FnOnce(&Proxy)) -> Output {
        self.behind.orders.server.query("TRUNCATE TABLE plain");
        let before = self.behind.proxy.fired();
        arm(&self.behind.proxy);
        let output = self.tool().run().expect(0);
        assert_eq!(self.behind.proxy.fired(), before + 1, "the fault happened once\n{output}");
        self.assert_exactly_once(&output);
        output
    }
}

#[test]
#[ignore = "slow: about 11 s"]
fn inserts_that_are_cut_and_reads_that_are_repeated_leave_not_one_row_too_many() {
    let plain = Plain::start();
    let output = plain
        .survives(|proxy| proxy.after_request_with(INSERT).reset_at(Direction::ToClient, 0, 1));
    assert!(output.stderr.contains("it is not known whether the rows arrived"), "{output}");
    plain.survives(|proxy| {
        proxy.after_request_with(INSERT).reset_at(Direction::ToServer, 500_000, 1);
    });
    let output = plain.survives(|proxy| {
        proxy.after_request_with(SOURCE).reset_at(Direction::ToClient, 8_000_000, 1);
    });
    assert!(plain.behind.orders.figure("repeated_rows") > 0, "batches were sent twice\n{output}");
    // Without a window, what is sent twice stays; that must be allowed.
    let server = &plain.behind.orders.server;
    server.query("ALTER TABLE plain RESET SETTING non_replicated_deduplication_window");
    server.query("TRUNCATE TABLE plain");
    plain.behind.proxy.after_request_with(INSERT).reset_at(Direction::ToClient, 0, 1);
    let output = plain.tool().arg("--allow-duplicates").run().expect(0);
    assert!(output.stderr.contains("that is allowed"), "{output}");
    assert!(plain.count("count()") > plain.count("uniqExact(customer, order_id)"), "{output}");
}

/// The source is changed between two readings, so that the first batch is another one under the
/// same number.
#[test]
fn a_batch_with_other_rows_is_not_taken_for_the_one_before() {
    let plain = Plain::start();
    plain.behind.proxy.after_request_with(SOURCE).stall_at(Direction::ToClient, 8_000_000, 1);
    let running = plain.tool().spawn();
    wait_for_fault(&plain.behind.proxy, 0);
    let server = &plain.behind.orders.server;
    let first = || plain.count("countIf(order_id = 1)") > 0;
    assert!(process::wait_until(SOON, first), "the first batch is inserted");
    server.query("INSERT INTO orders SELECT id, customer, placed, amount, version + 1, 0, 'changed' FROM orders WHERE id = 1");
    plain.behind.proxy.reset_all();
    plain.behind.proxy.pass();
    let output = running.wait().expect(0);
    assert!(output.stderr.contains("the chunk is read again"), "{output}");
    assert_eq!(
        plain.count("countIf(order_id = 1 AND note LIKE 'changed to %')"),
        1,
        "the changed row arrived\n{output}"
    );
    // What a changed source costs: the rows of that batch are there twice. Those of the others are
    // not.
    assert_eq!(plain.count("count() - uniqExact(customer, order_id)"), 2000, "{output}");
}

/// Merges between two readings change the order in which a source without FINAL has its rows,
/// unless it is asked for one.
#[test]
fn a_source_that_was_merged_meanwhile_gives_the_same_batches() {
    let plain = Plain::start();
    let server = &plain.behind.orders.server;
    server.query("CREATE TABLE pieces AS orders ENGINE = MergeTree PARTITION BY toYYYYMM(placed) ORDER BY (customer, id)");
    server.query("SYSTEM STOP MERGES pieces");
    for part in 0..4 {
        server
            .query(&format!("INSERT INTO pieces SELECT * FROM orders FINAL WHERE id % 4 = {part}"));
    }
    let source = "\"orders\"\nfinal = true\nversion = \"version\"\ndeleted = \"is_deleted\"";
    let job = JOB.replace(source, "\"pieces\"");
    assert_ne!(job, JOB);
    plain.behind.proxy.after_request_with(SOURCE).stall_at(Direction::ToClient, 8_000_000, 1);
    let running = plain.tool().file("job.toml", &job).spawn();
    wait_for_fault(&plain.behind.proxy, 0);
    assert!(process::wait_until(SOON, || plain.count("count()") > 0), "a batch is inserted");
    server.query("SYSTEM START MERGES pieces");
    server.query("OPTIMIZE TABLE pieces FINAL");
    plain.behind.proxy.reset_all();
    plain.behind.proxy.pass();
    let output = running.wait().expect(0);
    assert!(
        output.stderr.contains("the chunk is read again")
            && plain.behind.orders.figure("repeated_rows") > 0,
        "{output}"
    );
    assert_eq!(
        plain.count("count()").to_string(),
        server.text("SELECT count() FROM pieces"),
        "{output}"
    );
}

#[test]
fn targets_that_do_not_recognize_enough_are_refused() {
    let plain = Plain::start();
    let server = &plain.behind.orders.server;
    let database = server.database();
    server.query("ALTER TABLE plain MODIFY SETTING non_replicated_deduplication_window = 2");
    let output = plain.tool().run().expect(3);
    assert_text_snapshot!(output.failure(), @r#"
    exit code 3
    error: the target table default.plain recognizes the last 2 blocks, and [N] may be inserted between a block and its repetition: rows that are sent twice would stay twice
    hint: publish = "replace" under [target] of the job, with --engine server, builds the partition beside the target and replaces it
    hint: ALTER TABLE `default`.`plain` MODIFY SETTING non_replicated_deduplication_window = [N] lets it recognize repeated blocks
    hint: --allow-duplicates fills it anyway; repeated rows then stay
    "#);
    server.query("ALTER TABLE plain MODIFY SETTING non_replicated_deduplication_window = 1000");
    server.script(
        "CREATE TABLE sums (customer String, orders UInt64) ENGINE = SummingMergeTree ORDER BY customer
         --;;
         CREATE MATERIALIZED VIEW adding TO sums AS SELECT customer, count() AS orders FROM plain GROUP BY customer",
    );
    let output = plain.tool().run().expect(3);
    assert_text_snapshot!(output.failure(), @"
    exit code 3
    error: the view default.adding fills default.sums (SummingMergeTree), which has no window of blocks that it recognizes: what is sent twice would be there twice
    hint: ALTER TABLE `default`.`sums` MODIFY SETTING non_replicated_deduplication_window = 10000 lets it recognize repeated blocks
    hint: --allow-duplicates fills it anyway; repeated rows then stay
    ");
    assert_eq!(plain.count("count()"), 0);
    // With a window of its own, the view's table counts every row once as well.
    server.query("ALTER TABLE sums MODIFY SETTING non_replicated_deduplication_window = 1000");
    let output = plain
        .survives(|proxy| proxy.after_request_with(INSERT).reset_at(Direction::ToClient, 0, 1));
    assert_eq!(
        server.text("SELECT sum(orders) FROM sums"),
        plain.count("count()").to_string(),
        "{output}"
    );
    // Into a table that collapses rows it is only said.
    server.script(
        "CREATE TABLE more (customer String, orders UInt64) ENGINE = SummingMergeTree ORDER BY customer
         --;;
         CREATE MATERIALIZED VIEW more_adding TO more AS SELECT customer, count() AS orders FROM shipments GROUP BY customer",
    );
    let output = plain.behind.tool().run().expect(0);
    assert!(
        output.stderr.contains(&format!("{database}.more (SummingMergeTree) is filled by a view")),
        "{output}"
    );
}

/// Settings of servers since 26.2, which prevail over the one that older servers know.
#[test]
fn a_job_that_forbids_recognizing_blocks_is_refused() {
    let plain = Plain::start();
    let cases = ["deduplicate_insert", "deduplicate_insert_select"].map(|setting| {
        let job = format!("{JOB}\n[settings.insert]\n{setting} = \"disable\"\n");
        let tool = || plain.behind.tool().file("job.toml", &job);
        let output = tool().args(&["--target-table", "plain"]).run().expect(3);
        assert_eq!(plain.count("count()"), 0);
        // A target that collapses rows needs no window.
        tool().run().expect(0);
        (setting, output.failure())
    });
    assert_text_snapshot!(titled(cases), @"
    # deduplicate_insert
    exit code 3
    error: the job sets deduplicate_insert = 'disable', so that no repeated block is recognized in default.plain: rows that are sent twice would stay twice
    hint: remove deduplicate_insert under [settings.insert] of the job, then blocks are recognized
    hint: --allow-duplicates fills it anyway; repeated rows then stay

    # deduplicate_insert_select
    exit code 3
    error: the job sets deduplicate_insert_select = 'disable', so that no repeated block is recognized in default.plain: rows that are sent twice would stay twice
    hint: remove deduplicate_insert_select under [settings.insert] of the job, then blocks are recognized
    hint: --allow-duplicates fills it anyway; repeated rows then stay
    ");
}

#[test]
#[ignore = "slow: about 9 s"]
fn beginning_anew_over_rows_that_are_there_is_refused() {
    let plain = Plain::start();
    plain.tool().run().expect(0);
    let rows = plain.count("count()");
    let output = plain.tool().run().expect(3);
    assert_text_snapshot!(output.failure(), @"
    exit code 3
    error: default.plain has rows, of which run [RUN] may have inserted some; it recognizes repeated blocks by the tokens of their run, and another version of the load has others: those rows would be there twice
    hint: without --restart, `run` continues the version that was started, with the same tokens
    hint: TRUNCATE TABLE `default`.`plain` removes the rows, then --restart is possible
    hint: --allow-duplicates starts a new version; remove the other one's rows first
    ");
    let server = &plain.behind.orders.server;
    assert_eq!(plain.count("count()"), rows);
    assert_eq!(
        server
            .text("SELECT count() FROM load_state FINAL WHERE is_current AND status = 'completed'"),
        "1",
        "the load is as it was"
    );
    assert_eq!(
        server.text("SELECT count() FROM load_claims FINAL WHERE status = 'held'"),
        "0",
        "its claim was given back"
    );
    // Without --restart there is nothing to do, however large batches would be.
    let proxy = &plain.behind.proxy;
    let plainly = |rows: &str| {
        plain.behind.orders.resuming_tool_at(&proxy.url()).args(&[
            "--target-table",
            "plain",
            "--batch-size",
            rows,
        ])
    };
    let output = plainly("3000").run().expect(0);
    assert!(output.stderr.contains("there is nothing to do"), "{output}");
    // An unfinished one goes on under its own tokens, if its batches are the same.
    server.query("ALTER TABLE load_state UPDATE status = 'failed' WHERE is_current SETTINGS mutations_sync = 2");
    server.query("ALTER TABLE load_state_chunks UPDATE status = 'pending' WHERE 1 SETTINGS mutations_sync = 2");
    let output = plainly("3000").run().expect(3);
    assert_text_snapshot!(output.failure(), @"
    exit code 3
    error: partition 202506 of default.orders into default.plain by shipments is failed as run [RUN], and not the same as it was:
        the rows of a batch (--batch-size) was `2000`, and is `3000`
    hint: --restart starts a new version of the load, with all rows
    hint: undo the changes to continue with the version that was started
    ");
    let output = plainly("2000").run().expect(0);
    plain.assert_exactly_once(&output);
    // What makes room lifts it; so does saying that it is meant.
    server.query("TRUNCATE TABLE plain");
    let output = plain.tool().run().expect(0);
    plain.assert_exactly_once(&output);
    let output = plain.tool().arg("--allow-duplicates").run().expect(0);
    assert!(output.stderr.contains("that is allowed"), "{output}");
    assert_eq!(plain.count("count()"), 2 * rows);
}
