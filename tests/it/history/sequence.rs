//! `run --partitions`: one after another.

use super::fixture::{MONTHS, Months, SOON, pairs};
use crate::orders::JOB;
use crate::support::shown::{from_line, titled};
use crate::support::{Direction, Proxy, Server, assert_text_snapshot, binary, process};

#[test]
fn months_are_filled_one_after_another_and_completed_ones_are_skipped() {
    let months = Months::start();
    let output = months.run().args(&["--order", "newest"]).run().expect(0);
    assert_eq!(months.filled(), MONTHS);
    let order =
        months.server().text("SELECT groupArray(partition_id) FROM (SELECT partition_id FROM load_state FINAL ORDER BY started_at)");
    assert_eq!(order, "['202506','202504','202503']");
    assert_eq!(
        months.outcomes(),
        pairs(&[("202506", "completed"), ("202504", "completed"), ("202503", "completed")])
    );
    let rows: u64 = months.server().text("SELECT count() FROM shipments").parse().unwrap();
    let (summary, sum) = (months.summary(), |of: &serde_json::Value| {
        of["partitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|partition| partition["summary"]["inserted_rows"].as_u64().unwrap())
            .sum::<u64>()
    });
    assert_eq!(
        (summary["status"].as_str(), summary["inserted_rows"].as_u64(), sum(&summary)),
        (Some("completed"), Some(rows), rows)
    );
    assert!(output.stderr.contains("partition 202504, 2 of 3"), "{output}");
    assert_text_snapshot!(from_line(&output.stderr, "3 of 3 partitions"), @"
    completed: shipments into default.shipments, 3 of 3 partitions, 5,960 rows inserted in [DURATION]
      202506  completed, 1,960 rows in [DURATION]
      202504  completed, 2,000 rows in [DURATION]
      202503  completed, 2,000 rows in [DURATION]
    ");

    // What is given as a flag wins over the environment.
    let again = months.run().env("PARTITION", "202506").run().expect(0);
    assert_eq!(
        months.outcomes(),
        pairs(&[
            ("202503", "completed_before"),
            ("202504", "completed_before"),
            ("202506", "completed_before")
        ])
    );
    assert_text_snapshot!(again.everything(), @"
    exit code 0
    --- stderr
    3 partitions of default.orders, from 202503 to 202506; default.orders has no rows in 202505

    partition 202503, 1 of 3
    partition 202503 of default.orders into default.shipments by shipments was completed at [TIME] by run [RUN], with 2,000 rows: there is nothing to do
    hint: --restart fills it again

    partition 202504, 2 of 3
    partition 202504 of default.orders into default.shipments by shipments was completed at [TIME] by run [RUN], with 2,000 rows: there is nothing to do
    hint: --restart fills it again

    partition 202506, 3 of 3
    partition 202506 of default.orders into default.shipments by shipments was completed at [TIME] by run [RUN], with 1,960 rows: there is nothing to do
    hint: --restart fills it again

    completed: shipments into default.shipments, 3 of 3 partitions, 0 rows inserted in [DURATION]
      202503  already complete
      202504  already complete
      202506  already complete
    ");
    assert_eq!(
        months.server().text("SELECT count() FROM shipments"),
        rows.to_string(),
        "no row was inserted twice"
    );
}

#[test]
fn months_that_were_not_asked_for_are_left_alone() {
    let months = Months::start();
    let output = months.tool("run").args(&["--partitions", "202504..202505"]).run().expect(0);
    assert_eq!(months.filled(), ["202504"]);
    let words = format!("1 partition of {}.orders: 202504", months.server().database());
    assert!(
        output.stderr.contains(&words) && output.stderr.contains("has no rows in 202505"),
        "{output}"
    );
}

#[test]
#[ignore = "slow: about 8 s"]
fn the_first_failure_ends_it_unless_it_is_to_go_on() {
    let months = Months::start();
    let poisoned = JOB.replace(
        "\"source.amount * 2\"",
        "\"source.amount * if(source.note = 'poison', toInt64(source.note), 2)\"",
    );
    let run = || months.run().file("job.toml", &poisoned);
    months.poison("202504");
    let stopped = run().run().expect(1);
    assert_eq!(months.filled(), ["202503"]);
    assert_eq!(
        months.outcomes(),
        pairs(&[("202503", "completed"), ("202504", "failed"), ("202506", "not_started")])
    );
    assert!(stopped.stderr.contains("Cannot parse string 'poison'"), "{stopped}");
    assert_text_snapshot!(from_line(&stopped.stderr, "1 of 3 partitions"), @"
    failed: shipments into default.shipments, 1 of 3 partitions, 2,000 rows inserted in [DURATION]
      202503  completed, 2,000 rows in [DURATION]
      202504  failed: 1 of 1 chunk failed: chunk 1: inserting a batch of 2,000 rows ([SIZE]) of chunk 1 into default.shipments failed after 1 attempt: Code: 6. [WORDS OF THE SERVER] (CANNOT_PARSE_TEXT)
      202506  not started
    error: partition 202504 failed
      because: 1 of 1 chunk failed
      because: chunk 1: inserting a batch of 2,000 rows ([SIZE]) of chunk 1 into default.shipments failed after 1 attempt: Code: 6. [WORDS OF THE SERVER] (CANNOT_PARSE_TEXT)
    hint: correct the column's expression in the job, or the rows in the source; inserted rows stay, and rows inserted twice collapse in default.shipments by its sorting key
    hint: run the same command again; completed partitions are skipped
    ");

    let went_on = run().arg("--keep-going").run().expect(1);
    assert_eq!(months.filled(), ["202503", "202506"]);
    assert_eq!(
        months.outcomes(),
        pairs(&[("202503", "completed_before"), ("202504", "failed"), ("202506", "completed")])
    );
    assert!(
        went_on.stderr.contains("partition 202504 failed, continuing with the next"),
        "{went_on}"
    );
    assert_eq!(months.summary()["status"], "failed");

    months.cure();
    run().run().expect(0);
    assert_eq!(months.filled(), MONTHS);
    assert_eq!(months.line(), "202503–202506 completed");
}

#[test]
#[ignore = "slow: about 8 s"]
fn a_signal_ends_the_sequence() {
    let months = Months::start();
    months.tool("run").args(&["--partition", "202503"]).run().expect(0);
    let proxy = Proxy::start(months.server().port());
    // The first month is done, so that the first statement of this kind is of the second one.
    let stalled = || {
        let before = proxy.fired();
        proxy.after_request_with(b"-source-").stall_at(Direction::ToClient, 100_000, 1);
        let running = months.run().env("CLICKHOUSE_URL", proxy.url()).spawn();
        assert!(process::wait_until(SOON, || proxy.fired() > before), "the source was not stopped");
        running
    };
    let running = stalled();
    assert_eq!(months.line(), "202503 completed, 202504 started at 0 %, 202506 not started");
    running.signal("INT");
    let interrupted = running.wait().expect(130);
    proxy.pass();
    assert_eq!(
        months.outcomes(),
        pairs(&[
            ("202503", "completed_before"),
            ("202504", "interrupted"),
            ("202506", "not_started")
        ])
    );
    assert_text_snapshot!(from_line(&interrupted.stderr, "interrupted: shipments"), @"
    interrupted: shipments into default.shipments
      partition                202504
      chunks                   0 of 1 completed, 0 by earlier runs, 0 failed
      attributes loaded        360 of [N] rows
      orders processed         0
      shipments inserted       0
      matched, late, unmatched 0, 0, 0
      batches, retries, errors 0, 0, 0
      read, written            [SIZE], [SIZE]
      time                     [DURATION] (plan [DURATION], attributes [DURATION], streaming [DURATION])
      throughput               [RATE], at the end with [N] readers and [N] inserters
      peak memory              [SIZE] of [SIZE], 1 wave
    hint: run the same command again to continue with the missing chunks; inserted rows stay, and rows inserted twice collapse in default.shipments by its sorting key

    interrupted: shipments into default.shipments, 1 of 3 partitions, 0 rows inserted in [DURATION]
      202503  already complete
      202504  interrupted, 0 rows in [DURATION]
      202506  not started
    ");
    assert_eq!(months.line(), "202503 completed, 202504 interrupted at 0 %, 202506 not started");

    let running = stalled();
    running.signal("KILL");
    running.wait();
    proxy.pass();
    assert_eq!(months.line(), "202503 completed, 202504 interrupted at 0 %, 202506 not started");
    months.run().run().expect(0);
    assert_eq!(months.filled(), MONTHS);
}

#[test]
fn a_dry_run_goes_through_what_is_not_completed_and_writes_nothing() {
    let months = Months::start();
    let rehearsed = months.run().arg("--dry-run").run().expect(0);
    assert!(
        months.filled().is_empty()
            && rehearsed.stderr.contains("dry run completed, nothing was written: shipments"),
        "{rehearsed}"
    );
    assert_eq!(months.server().text("SHOW TABLES LIKE 'load\\_%'"), "");
    let source = months.server().text("SELECT count() FROM orders FINAL");
    assert_eq!(months.summary()["inserted_rows"].to_string(), source);

    months.tool("run").args(&["--partition", "202504"]).run().expect(0);
    months.run().arg("--dry-run").run().expect(0);
    assert_eq!(months.filled(), ["202504"]);
    assert_eq!(
        months.outcomes(),
        pairs(&[("202503", "completed"), ("202504", "completed_before"), ("202506", "completed")])
    );
}

#[test]
fn ranges_are_checked() {
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = binary()
            .arg("run")
            .args(arguments)
            .envs(variables)
            .env("CLICKHOUSE_URL", "http://127.0.0.1:1")
            .env("OUTAGE_WAIT", "0s")
            .run();
        (format!("{arguments:?} {variables:?}"), output.everything())
    };
    assert_text_snapshot!(titled([
        run(&["--partitions", "202412..202401"], &[]),
        run(&["--partitions", "202413..202501"], &[]),
        run(&["--partitions", "202401"], &[]),
        run(&["--partitions", "202401..202402", "--partition", "202401"], &[]),
        run(&[], &[("PARTITION", "202401"), ("PARTITIONS", "202401..202402")]),
        run(&[], &[]),
        // A flag takes precedence over a variable, and the server is asked.
        run(&["--partitions", "202401..202402"], &[("PARTITION", "202401")]),
        run(&["--partition", "202401"], &[("PARTITIONS", "202401..202402")]),
    ]), @r#"
    # ["--partitions", "202412..202401"] []
    exit code 2
    --- stderr
    error: invalid value '202412..202401' for '--partitions <A..B>': 202412 comes after 202401; give the older month first
    hint: `--help` behind the command explains its flags

    # ["--partitions", "202413..202501"] []
    exit code 2
    --- stderr
    error: invalid value '202413..202501' for '--partitions <A..B>': "202413" is not a month: its last two digits must be 01 to 12
    hint: `--help` behind the command explains its flags

    # ["--partitions", "202401"] []
    exit code 2
    --- stderr
    error: invalid value '202401' for '--partitions <A..B>': "202401" is not a range of months; give the first and the last, for example 202401..202512
    hint: `--help` behind the command explains its flags

    # ["--partitions", "202401..202402", "--partition", "202401"] []
    exit code 2
    --- stderr
    error: a partition and a range of partitions are both given; give one of --partition and --partitions

    # [] [("PARTITION", "202401"), ("PARTITIONS", "202401..202402")]
    exit code 2
    --- stderr
    error: a partition and a range of partitions are both given; give one of --partition and --partitions

    # [] []
    exit code 2
    --- stderr
    error: the following required arguments were not provided:
      --partition <YYYYMM>

    Usage: clickhouse-backfill run --clickhouse-url <URL> --outage-wait <TIME> --partition <YYYYMM>
    hint: `--help` behind the command explains its flags

    # ["--partitions", "202401..202402"] [("PARTITION", "202401")]
    exit code 2
    --- stderr
    error: the connection to http://127.0.0.1:1/ failed: [WORDS OF THE SYSTEM]
    hint: set --clickhouse-url or CLICKHOUSE_URL to the server's HTTP interface; its port is 8123 by default, 8443 for https

    # ["--partition", "202401"] [("PARTITIONS", "202401..202402")]
    exit code 2
    --- stderr
    error: the connection to http://127.0.0.1:1/ failed: [WORDS OF THE SYSTEM]
    hint: set --clickhouse-url or CLICKHOUSE_URL to the server's HTTP interface; its port is 8123 by default, 8443 for https
    "#);
}

#[test]
fn tables_that_are_not_partitioned_by_month_are_refused() {
    let months = Months::on(Server::shared());
    let server = months.server();
    server.query("CREATE TABLE orders_by_day AS orders ENGINE = ReplacingMergeTree(version, is_deleted) PARTITION BY toYYYYMMDD(placed) ORDER BY (customer, id)");
    server.query("INSERT INTO orders_by_day SELECT * FROM orders LIMIT 100");
    let refused =
        months.run().file("job.toml", &JOB.replace("\"orders\"", "\"orders_by_day\"")).run();
    assert_text_snapshot!(refused.failure(), @"
    exit code 3
    error: the source table default.orders_by_day is partitioned by toYYYYMMDD(placed), not by month
    hint: --partition id:ID names a partition by its id, as in system.parts
    ");
}
