//! `run --partitions`: one after another.

use super::fixture::{MONTHS, Months, SOON, pairs};
use crate::orders::JOB;
use crate::support::{Direction, Proxy, Server, binary, process};

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
    for words in [
        "has no rows in 202505",
        "partition 202504, 2 of 3",
        "3 of 3 partitions",
        "  202503  completed, ",
    ] {
        assert!(output.stderr.contains(words), "{words}\n{output}");
    }

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
    assert!(again.stderr.contains("  202506  already complete"), "{again}");
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
    for words in [
        "error: partition 202504 failed",
        "  202506  not started",
        "Cannot parse string 'poison'",
        "hint: ",
    ] {
        assert!(stopped.stderr.contains(words), "{words}\n{stopped}");
    }

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
    assert!(interrupted.stderr.contains("interrupted: shipments into "), "{interrupted}");
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
            .run()
            .expect(2);
        assert!(output.stdout.is_empty(), "{output}");
        output.stderr
    };
    for (arguments, variables, words) in [
        (&["--partitions", "202412..202401"][..], &[][..], "202412 comes after 202401"),
        (&["--partitions", "202413..202501"], &[], "\"202413\" is not a month"),
        (&["--partitions", "202401"], &[], "is not a range of months"),
        (&["--partitions", "202401..202402", "--partition", "202401"], &[], "are both given"),
        (&[], &[("PARTITION", "202401"), ("PARTITIONS", "202401..202402")], "are both given"),
        (&[], &[], "--partition <YYYYMM>"),
        // What is given as a flag wins, and the server is asked.
        (
            &["--partitions", "202401..202402"],
            &[("PARTITION", "202401")],
            "the connection to http://127.0.0.1:1/ failed",
        ),
        (
            &["--partition", "202401"],
            &[("PARTITIONS", "202401..202402")],
            "the connection to http://127.0.0.1:1/ failed",
        ),
    ] {
        let said = run(arguments, variables);
        assert!(said.contains(words), "{arguments:?} {variables:?}: {words}\n{said}");
    }
}

#[test]
fn tables_that_are_not_partitioned_by_month_are_refused() {
    let months = Months::on(Server::shared());
    let server = months.server();
    server.query("CREATE TABLE orders_by_day AS orders ENGINE = ReplacingMergeTree(version, is_deleted) PARTITION BY toYYYYMMDD(placed) ORDER BY (customer, id)");
    server.query("INSERT INTO orders_by_day SELECT * FROM orders LIMIT 100");
    let refused = months
        .run()
        .file("job.toml", &JOB.replace("\"orders\"", "\"orders_by_day\""))
        .run()
        .expect(3);
    assert!(
        refused.stderr.contains("is partitioned by toYYYYMMDD(placed), not by month"),
        "{refused}"
    );
}
