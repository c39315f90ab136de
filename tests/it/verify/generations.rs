//! The built-in jobs: what they fill is equal, on every generation of the target.

use crate::oracle::fixture::{
    DECEMBER, Generation, NOVEMBER, PARTITIONS, YEAR_2026, adversarial_but_small, recorded_run,
    tool,
};
use crate::support::Server;

#[test]
#[ignore = "slow: about 25 s"]
fn november_2025() {
    both_jobs_are_equal(NOVEMBER);
}

#[test]
#[ignore = "slow: about 25 s"]
fn december_2025() {
    both_jobs_are_equal(DECEMBER);
}

#[test]
#[ignore = "slow: about 25 s"]
fn year_2026() {
    both_jobs_are_equal(YEAR_2026);
}

/// Both jobs fill the same table, and neither takes the other's rows for surplus.
fn both_jobs_are_equal(generation: Generation) {
    let server = adversarial_but_small(generation);
    for partition in PARTITIONS {
        for job in ["langfuse-events", "langfuse-trace-roots"] {
            let what = ["--partition", partition, "--target-table", generation.table, "--job", job];
            assert_different(&server, &what);
            recorded_run(&server, &what);
            let output = tool(&server).arg("verify").args(&what).run().expect(0);
            assert!(
                output.stdout.contains("\ndiffering rows                      0\n"),
                "{output}"
            );
        }
    }
    // The first job's rows are still what they were.
    tool(&server)
        .args(&["verify", "--partition", PARTITIONS[0], "--target-table", generation.table])
        .run()
        .expect(0);
}

/// An empty target lacks every row.
fn assert_different(server: &Server, what: &[&str]) {
    let output = tool(server).arg("verify").args(what).run().expect(4);
    assert!(output.stdout.contains("missing in the target"), "{output}");
}
