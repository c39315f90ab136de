//! One partition shared among processes.

use super::fixture::{Chunked, SOON};
use crate::support::shown::titled;
use crate::support::{assert_text_snapshot, process};

#[test]
fn three_workers_fill_one_partition_although_one_is_killed() {
    let chunked = Chunked::start();
    let server = chunked.server();
    let ranges = chunked.ranges();
    let worker = |part: &str| chunked.tool().args(&["--worker", part]);
    // Whoever comes first makes the plan; here all come at once.
    let (first, third) = (worker("1/3").spawn(), worker("3/3").spawn());
    let second =
        chunked.stalled_at(&ranges[ranges.len() / 2], |tool| tool.args(&["--worker", "2/3"]));
    let (first, third) = (first.wait().expect(0), third.wait().expect(0));
    for output in [first, third] {
        assert!(output.stderr.contains("has done its part"), "{output}");
    }
    assert_eq!(
        server.text("SELECT groupArray(status) FROM load_state FINAL WHERE load_version > 0"),
        "['started']"
    );
    second.signal("KILL");
    second.wait();
    chunked.proxy.pass();
    let output = worker("2/3").run().expect(0);
    assert!(
        !output.stderr.contains("has done its part"),
        "the last one completes the load\n{output}"
    );
    chunked.assert_completed();
    // Contiguous parts, each done by its worker.
    let parts = server.text(
        "SELECT groupArray((part, from, to)) FROM (
            SELECT substring(worker, 1, 3) AS part, min(chunk) AS from, max(chunk) + 1 AS to FROM load_state_chunks FINAL
            WHERE run_id = (SELECT run_id FROM load_state FINAL WHERE is_current) GROUP BY part ORDER BY part)",
    );
    let edge = |number: usize| ranges.len() * number / 3;
    assert_eq!(
        parts,
        format!(
            "[('1/3',0,{}),('2/3',{},{}),('3/3',{},{})]",
            edge(1),
            edge(1),
            edge(2),
            edge(2),
            ranges.len()
        )
    );
    for part in ["1/3", "2/3", "3/3"] {
        assert!(worker(part).run().expect(0).stderr.contains("was completed at"));
    }
}

#[test]
fn workers_that_begin_at_once_agree_on_one_load() {
    let chunked = Chunked::start();
    let workers: Vec<_> = (1..=4)
        .map(|number| chunked.tool().args(&["--worker", &format!("{number}/4")]).spawn())
        .collect();
    for worker in workers {
        worker.wait().expect(0);
    }
    chunked.assert_completed();
}

#[test]
#[ignore = "slow: about 7 s"]
fn a_worker_of_another_division_is_refused() {
    let chunked = Chunked::start();
    let ranges = chunked.ranges();
    let running = chunked.stalled_at(&ranges[1], |tool| tool.args(&["--worker", "1/2"]));
    let refused = |part: &str| chunked.tool().args(&["--worker", part]).run().expect(3).failure();
    let cases = ["1/2", "2/3", "1/1"].map(|part| (part, refused(part)));
    assert_text_snapshot!(titled(cases), @"
    # 1/2
    exit code 3
    error: partition 202506 of default.orders into default.shipments by shipments is being filled by worker 1/2, process [PID] on [HOST], whose last heartbeat came [DURATION] ago, at [TIME]
    hint: wait for the other process, or stop it
    hint: --worker I/N shares a load among several processes

    # 2/3
    exit code 3
    error: partition 202506 of default.orders into default.shipments by shipments is being filled by worker 1/2, process [PID] on [HOST], whose last heartbeat came [DURATION] ago, at [TIME]
    hint: wait for the other process, or stop it
    hint: --worker I/N shares a load among several processes

    # 1/1
    exit code 3
    error: partition 202506 of default.orders into default.shipments by shipments is being filled by worker 1/2, process [PID] on [HOST], whose last heartbeat came [DURATION] ago, at [TIME]
    hint: wait for the other process, or stop it
    hint: --worker I/N shares a load among several processes
    ");
    let both = chunked.tool().args(&["--worker", "1/2", "--restart"]).run();
    assert_text_snapshot!(both.failure(), @"
    exit code 2
    error: --restart and --worker are both given: each worker, and each that is started again, would start a new version of the load
    hint: start the new version with --restart alone, interrupt it, and start the workers
    ");
    chunked.tool().args(&["--worker", "2/2"]).run().expect(0);
    chunked.proxy.pass();
    running.wait().expect(0);
    chunked.assert_completed();
    assert!(process::wait_until(SOON, || chunked.completed() == ranges.len() as u64));
}

#[test]
#[ignore = "slow: about 9 s"]
fn a_worker_that_is_interrupted_says_so_of_the_load_if_nobody_else_is_at_work() {
    let chunked = Chunked::start();
    let ranges = chunked.ranges();
    let first = chunked.stalled_at(&ranges[1], |tool| tool.args(&["--worker", "1/2"]));
    let second =
        chunked.stalled_at(&ranges[ranges.len() - 1], |tool| tool.args(&["--worker", "2/2"]));
    let status =
        || chunked.server().text("SELECT status FROM load_state FINAL WHERE load_version > 0");
    first.signal("TERM");
    first.wait().expect(130);
    assert_eq!(status(), "started", "the other goes on");
    second.signal("TERM");
    second.wait().expect(130);
    assert_eq!(status(), "interrupted");
    chunked.proxy.pass();
    for part in ["1/2", "2/2"] {
        chunked.tool().args(&["--worker", part]).run().expect(0);
    }
    chunked.assert_completed();
}
