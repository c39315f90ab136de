//! Deliveries of a month: loaded once, restated, killed, changed in mid-run.

use super::fixture::{Export, MONTH, rows};
use crate::faults::fixture::{SOON, held_at};
use crate::support::{Direction, process};

#[test]
fn a_delivery_is_loaded_once_and_the_next_one_replaces_it() {
    let export = Export::delivered();
    let plan = export.plan_of(&export.job()).arg("--json").run().expect(0);
    let shown: serde_json::Value = serde_json::from_str(&plan.stdout).unwrap();
    assert_eq!(shown["source"]["stored_rows"], 1500, "{plan}");
    assert_eq!(shown["chunks"][1]["object"]["path"], export.path("b.parquet"), "{plan}");
    assert_eq!(shown["chunks"][1]["object"]["rows"], 500, "{plan}");
    export.run().run().expect(0);
    export.assert_loaded();
    let first = export.digest(MONTH);
    let again = export.run().run().expect(0);
    assert!(again.stderr.contains("there is nothing to do"), "{again}");
    assert_eq!(export.versions(), "completed\t1\t1500");

    export.deliver_anew();
    let verify = export.command("verify").run().expect(3);
    let gone = format!("{} was ", export.path("b.parquet"));
    assert!(verify.stderr.contains(&gone) && verify.stderr.contains(" and is gone"), "{verify}");
    assert_eq!(export.digest(MONTH), first);
    let run = export.run().run().expect(0);
    assert!(run.stderr.contains("a new version of the load begins"), "{run}");
    export.assert_loaded();
    assert_eq!(export.text(&format!("SELECT count() FROM {MONTH}")), "790");
    export.command("verify").run().expect(0);
    assert_eq!(export.versions(), "completed\t0\t1500\ncompleted\t1\t790");

    export.command("rollback").arg("--yes").run().expect(0);
    assert_eq!(export.digest(MONTH), first);
    export.assert_other_month();
}

#[test]
fn a_killed_run_continues_with_the_objects_that_are_left() {
    let export = Export::delivered();
    let proxy = export.proxy();
    let running = held_at(&proxy, "-chunk2-", Direction::ToServer, export.run());
    let recorded = "SELECT count() FROM load_state_chunks FINAL WHERE status = 'completed'";
    assert!(process::wait_until(SOON, || export.text(recorded) == "1"));
    running.signal("KILL");
    running.wait();
    assert_eq!(export.text(&format!("SELECT count() FROM {MONTH}")), "0");
    let summary = export.path("summary.json");
    export.run().args(&["--summary-json", &summary]).run().expect(0);
    let summary = std::fs::read_to_string(summary).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert_eq!((&summary["chunks_before"], &summary["chunks_now"]), (&1.into(), &1.into()));
    assert_eq!(summary["source_rows"], 500, "{summary}");
    export.assert_loaded();
    assert_eq!(export.versions(), "completed\t1\t1500");
}

/// Holds the second object back, changes it, and lets the run go on.
#[track_caller]
fn changed_in_mid_run(export: &Export, change: impl Fn()) -> String {
    let proxy = export.proxy();
    let running = held_at(&proxy, "-chunk2-", Direction::ToServer, export.run());
    change();
    proxy.pass();
    let output = running.wait().expect(1);
    let words = format!("{} was ", export.path("b.parquet"));
    for words in [words.as_str(), "superseded: ", "run the same command again"] {
        assert!(output.stderr.contains(words), "{words}\n{output}");
    }
    assert_eq!(export.text(&format!("SELECT count() FROM {MONTH}")), "0");
    let failed = "SELECT status, is_current, rows_inserted, chunks_completed FROM load_state FINAL";
    assert_eq!(export.text(failed), "failed\t0\t1000\t1");
    export.run().run().expect(0);
    export.assert_loaded();
    assert_eq!(export.text("SELECT count() FROM load_state FINAL WHERE is_current"), "1");
    output.stderr
}

#[test]
fn an_object_that_changes_in_mid_run_supersedes_the_load() {
    let export = Export::delivered();
    let size = std::fs::metadata(export.path("b.parquet")).unwrap().len();
    let stderr = changed_in_mid_run(&export, || export.write("b.parquet", &rows(3000, 40)));
    let now = std::fs::metadata(export.path("b.parquet")).unwrap().len();
    // Both of what tells an object without an etag.
    assert!(stderr.contains(&format!("b.parquet was {size}/")), "{stderr}");
    assert!(stderr.contains(&format!(" and is {now}/")), "{stderr}");
}

/// It has no row that could throw.
#[test]
fn an_object_that_loses_its_rows_supersedes_the_load() {
    let export = Export::delivered();
    let stderr = changed_in_mid_run(&export, || export.write("b.parquet", &rows(0, 0)));
    assert!(stderr.contains(" and is "), "{stderr}");
}

#[test]
fn an_object_that_disappears_supersedes_the_load() {
    let export = Export::delivered();
    let stderr = changed_in_mid_run(&export, || export.remove("b.parquet"));
    assert!(stderr.contains(" and is gone"), "{stderr}");
}
