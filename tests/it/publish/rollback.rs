//! What a load has replaced is put back, and the ledger says which version is current.

use super::fixture::{Sales, job_with};
use crate::faults::fixture::held_at;
use crate::support::{Binary, Direction, assert_text_snapshot};

const KEEP: &str = "publish = \"replace\"\nkeep_versions = 1";

fn rollback(sales: &Sales) -> Binary {
    sales.command("rollback").file("job.toml", &job_with(KEEP))
}

#[test]
#[ignore = "slow: about 11 s"]
fn what_stood_there_is_put_back() {
    let sales = Sales::start();
    sales.run_with(KEEP).run().expect(0);
    sales.assert_published();
    // A dry run first.
    let output = rollback(&sales).run().expect(0);
    for words in
        ["dry run", "the 300 rows of", "22,000 rows of run", "no version of the load is current"]
    {
        assert!(output.stdout.contains(words), "{words}\n{output}");
    }
    sales.assert_published();
    assert_eq!(sales.versions(), "completed\t1\tdone");
    let output = rollback(&sales).args(&["--yes", "--json"]).run().expect(0);
    let shown: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(shown["done"], true, "{output}");
    assert_eq!(shown["rows_kept"], 300, "{output}");
    sales.assert_unchanged();
    assert_eq!(sales.versions(), "superseded\t0\tdone");
    assert_eq!(sales.tables(), "");
    // Nothing is left to put back, and a run needs to be told.
    let output = rollback(&sales).arg("--yes").run().expect(3);
    assert_text_snapshot!(output.failure(), @"
    exit code 3
    error: nothing can be put back into default.sales: the ledger has no completed version of this load
    hint: `history` lists the versions; keep_versions under [target] of the job keeps what later ones replace
    ");
    let output = sales.run_with(KEEP).run().expect(3);
    assert_text_snapshot!(output.failure(), @"
    exit code 3
    error: partition 202506 of default.raw into default.sales by sales was filled by run [RUN], which was rolled back or undone
    hint: --restart starts a new version of the load, with all rows
    ");
    let status = sales.command("status").run().expect(0);
    assert!(status.stdout.starts_with("superseded"), "{status}");
    sales.run_with(KEEP).arg("--restart").run().expect(0);
    sales.assert_published();
    assert_eq!(sales.versions(), "superseded\t0\tdone\ncompleted\t1\tdone");
}

#[test]
#[ignore = "slow: about 9 s"]
fn the_version_before_is_current_again_and_only_so_many_are_kept() {
    let sales = Sales::start();
    sales.run_with(KEEP).run().expect(0);
    sales
        .server
        .query("ALTER TABLE raw UPDATE amount = amount + 1 WHERE 1 SETTINGS mutations_sync = 2");
    sales.run_with(KEEP).arg("--restart").run().expect(0);
    sales.assert_published();
    assert_eq!(sales.tables().lines().count(), 1, "{}", sales.tables());
    sales.server.query("INSERT INTO sales (id, customer, at, amount, city) SELECT number, 'late', '2025-06-20 00:00:00', 1, 'x' FROM numbers(7)");
    let output = rollback(&sales).run().expect(0);
    assert!(output.stdout.contains("22,007 rows of run"), "{output}");
    assert!(output.stdout.contains("was written to since"), "{output}");
    rollback(&sales).arg("--yes").run().expect(0);
    sales
        .server
        .query("ALTER TABLE raw UPDATE amount = amount - 1 WHERE 1 SETTINGS mutations_sync = 2");
    sales.assert_published();
    assert_eq!(sales.versions(), "completed\t1\tdone\nsuperseded\t0\tdone");
    assert_eq!(sales.tables(), "");
    // What the first version replaced is not kept any more.
    let output = rollback(&sales).arg("--yes").run().expect(3);
    assert_text_snapshot!(output.failure(), @"
    exit code 3
    error: nothing can be put back into default.sales: what its current version replaced is not kept
    hint: `history` lists the versions; keep_versions under [target] of the job keeps what later ones replace
    ");
}

#[test]
fn a_partition_that_had_no_rows_is_emptied() {
    let sales = Sales::start();
    sales.server.query("ALTER TABLE sales DROP PARTITION 202506");
    sales.run().run().expect(0);
    sales.assert_published();
    rollback(&sales).arg("--yes").run().expect(0);
    assert_eq!(sales.text("SELECT count() FROM sales WHERE toYYYYMM(at) = 202506"), "0");
    assert_eq!(sales.versions(), "superseded\t0\tdone");
}

#[test]
#[ignore = "slow: about 16 s"]
fn a_killed_rollback_is_carried_out_by_the_next() {
    for (label, direction) in [
        ("-replace-", Direction::ToServer),
        ("-replace-", Direction::ToClient),
        ("-drop-", Direction::ToServer),
    ] {
        let sales = Sales::start();
        sales.run_with(KEEP).run().expect(0);
        let proxy = sales.proxy();
        let running = held_at(&proxy, label, direction, rollback(&sales).arg("--yes"));
        running.signal("KILL");
        running.wait();
        let is_recorded = sales.versions().starts_with("superseded");
        let output = rollback(&sales).arg("--yes").run();
        // One that was recorded has nothing left but a table.
        output.expect(if is_recorded { 3 } else { 0 });
        sales.assert_unchanged();
        assert_eq!(sales.versions(), "superseded\t0\tdone");
        assert_eq!(sales.tables(), "");
    }
}

#[test]
fn status_and_history_say_what_is_published() {
    let sales = Sales::start();
    sales.run_with(KEEP).run().expect(0);
    let output = sales.command("status").run().expect(0);
    assert!(
        output
            .stdout
            .contains("22,000 rows as partition 202506; 300 rows stood there, kept in sales_kept_"),
        "{output}"
    );
    let output = sales.command("status").arg("--json").run().expect(0);
    let shown: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(shown["publication"]["step"], "done", "{output}");
    assert_eq!(shown["publication"]["rows_published"], 22_000, "{output}");
}
