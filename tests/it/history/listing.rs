//! `history`: the line, the table below it, the JSON.

use serde_json::Value;

use super::fixture::Months;
use crate::orders::JOB;
use crate::support::shown::narrowed;
use crate::support::{assert_text_snapshot, binary};

#[test]
#[ignore = "slow: about 8 s"]
fn what_is_missing_is_said_in_one_line_with_the_table_below_it() {
    let months = Months::start();
    assert_eq!(months.line(), "202503–202506 not started");

    let nothing = binary()
        .envs(&months.server().environment())
        .args(&["history", "--job", "langfuse-events"])
        .run();
    assert_text_snapshot!(nothing.everything(), @"
    exit code 0
    --- stdout
    langfuse-events: default.observations into default.events
    the source has no partitions and the ledger has no loads
    ");

    // Seven chunks, of which one cannot be done.
    months.server().query(
        "INSERT INTO orders SELECT 50000000 + number, concat('c', toString(number % 500)), toDateTime('2025-04-03 00:00:00', 'UTC') + number, 1, 1, 0, repeat('x', 100)
         FROM numbers(60000)",
    );
    months.server().query("OPTIMIZE TABLE orders PARTITION 202504 FINAL");
    months.poison("202504");
    let poisoned = JOB.replace(
        "\"source.amount * 2\"",
        "\"source.amount * if(source.note = 'poison', toInt64(source.note), 2)\"",
    );
    let run = || months.run().file("job.toml", &poisoned).args(&["--chunk-rows", "8192"]);
    run().run().expect(1);
    let percent = months.server().text(
        // A run that failed may not have come to its count of the rows.
        "WITH (SELECT any(rows_expected) FROM load_state FINAL WHERE partition_id = '202504') AS rows
         SELECT if(isNull(rows), intDiv(100 * countIf(status = 'completed'), count()), intDiv(100 * sumIf(rows_read, status = 'completed'), rows))
         FROM load_state_chunks FINAL WHERE run_id IN (SELECT run_id FROM load_state FINAL WHERE partition_id = '202504')",
    );
    assert!((1..100).contains(&percent.parse::<u64>().unwrap()), "{percent}");
    assert_eq!(
        months.line(),
        format!("202503 completed, 202504 failed at {percent} %, 202506 not started")
    );
    let shown = months.tool("history").run().expect(0).stdout;
    assert!(
        shown.contains(&format!("202504     failed, {percent} %")) && shown.contains("\n202504: "),
        "{shown}"
    );
    assert!(shown.contains("Cannot parse string 'poison'"), "{shown}");

    months.cure();
    run().run().expect(0);
    months.tool("run").args(&["--partition", "202503", "--restart"]).run().expect(0);
    let all: Value =
        serde_json::from_str(&months.tool("history").arg("--json").run().expect(0).stdout).unwrap();
    let partitions = all[0]["partitions"].as_array().unwrap();
    let figures = |partition: &Value| {
        let loads = partition["loads"].as_array().unwrap();
        let current = loads.iter().filter(|load| load["is_current"] == true).count();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (
            text(&partition["partition"]),
            text(&partition["state"]),
            loads.len(),
            current,
            loads[0]["rows_inserted"].as_u64().unwrap(),
        )
    };
    let rows = |month: &str| {
        months
            .server()
            .text(&format!("SELECT count() FROM orders FINAL WHERE toYYYYMM(placed) = {month}"))
            .parse()
            .unwrap()
    };
    let expected = [("202503", 2), ("202504", 1), ("202506", 1)]
        .map(|(month, loads)| (month.to_owned(), "completed".to_owned(), loads, 1, rows(month)));
    assert_eq!(partitions.iter().map(figures).collect::<Vec<_>>(), expected);
    let stored = months.server().text(
        "SELECT sum(rows) FROM system.parts WHERE active AND table = 'orders' AND partition_id = '202504' AND database = currentDatabase()",
    );
    assert_eq!(partitions[1]["source_rows"].to_string(), stored);
    let listed = months.tool("history").run().expect(0).stdout;
    assert_text_snapshot!(narrowed(&listed), @"
    shipments: default.orders into default.shipments
    202503–202506 completed

    partition  state  source rows  inserted  chunks  began  took  verified  run
    202503  completed  [N]  2,000  1 of 1  [TIME]  [DURATION]  –  [RUN]
    202503  completed, superseded  2,000  2,000  1 of 1  [TIME]  [DURATION]  –  [RUN]
    202504  completed  [N]  62,000  8 of 8  [TIME]  [DURATION]  –  [RUN]
    202506  completed  [N]  1,960  1 of 1  [TIME]  [DURATION]  –  [RUN]
    ");
}

#[test]
fn a_ledger_in_files_tells_the_same() {
    let months = Months::start();
    let folder = tempfile::tempdir().unwrap();
    let place = format!("file:{}", folder.path().join("ledger").display());
    let empty = months.tool("history").env("LEDGER", &place).run().expect(0);
    assert_eq!(empty.stdout.lines().nth(1), Some("202503–202506 not started"), "{empty}");
    months.tool("run").args(&["--partition", "202504", "--ledger", &place]).run().expect(0);
    // Without a job, those are listed that the ledger knows.
    let environment = months.server().environment();
    let all = binary()
        .envs(&environment)
        .env("LEDGER", &place)
        .args(&["history", "--json"])
        .run()
        .expect(0);
    let all: Value = serde_json::from_str(&all.stdout).unwrap();
    assert_eq!(
        (all.as_array().unwrap().len(), &all[0]["job"]),
        (1, &Value::from("shipments")),
        "{all}"
    );
    assert_eq!(all[0]["summary"], "202503 not started, 202504 completed, 202506 not started");
    let elsewhere = binary().envs(&environment).args(&["history"]).run();
    assert_text_snapshot!(elsewhere.everything(), @"
    exit code 0
    --- stdout
    the ledger, load_state, load_state_chunks and load_claims in the database default, has no loads
    hint: --job lists the partitions of a job that are not started
    ");
}
