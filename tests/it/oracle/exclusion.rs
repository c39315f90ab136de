//! `--exclude dataset-items`: the oracle without the rows of traces to which a live dataset run
//! item refers.

use super::derived_join::execute_derived_join;
use super::fixture::{YEAR_2026, adversarial, assert_filled, number, oracle, run};

#[test]
#[ignore = "slow: about 9 s"]
fn observations_of_dataset_runs_are_left_out() {
    let server = adversarial(YEAR_2026);
    // Written another way than the job's own exclusion: newest versions by argMax, and an anti
    // join.
    let kept = format!(
        "SELECT event.* FROM ({}) AS event
         LEFT ANTI JOIN
         (
             SELECT DISTINCT project_id, trace_id FROM
             (
                 SELECT project_id, argMax(trace_id, event_ts) AS trace_id
                 FROM dataset_run_items_rmt
                 GROUP BY project_id, dataset_id, dataset_run_id, id
                 HAVING argMax(is_deleted, event_ts) = 0
             )
         ) AS item
         ON event.project_id = item.project_id AND event.trace_id = item.trace_id",
        oracle("202511")
    );
    let (all, expected) = (
        number(&server, &format!("SELECT count() FROM ({})", oracle("202511"))),
        number(&server, &format!("SELECT count() FROM ({kept})")),
    );
    assert!(expected + 5 < all, "{expected} of {all} rows are kept: that is no test");

    let target = ["--partition", "202511", "--target-table", "events_full"];
    let (_, summary) = run(&server, &[&target[..], &["--exclude", "dataset-items"]].concat());
    assert_eq!(summary["source_rows"], expected);
    assert_filled(&server, "events_full", "202511", &kept);

    execute_derived_join(
        &server,
        &[&["plan", "--sql"][..], &target, &["--exclude-dataset-items"]].concat(),
        "events_full",
        "twin",
    );
    assert_filled(&server, "twin", "202511", &kept);
}
