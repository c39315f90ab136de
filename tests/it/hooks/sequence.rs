//! Several partitions: each has its own beginning and end, and the last line is about all of them.

use serde_json::Value;

use crate::history::fixture::{MONTHS, Months};

#[test]
fn each_partition_tells_its_own_course() {
    let months = Months::start();
    let folder = tempfile::tempdir().unwrap();
    let (events, metrics) = (folder.path().join("events"), folder.path().join("backfill.prom"));
    let event = format!(
        "echo $CLICKHOUSE_BACKFILL_EVENT $CLICKHOUSE_BACKFILL_PARTITION $CLICKHOUSE_BACKFILL_STATUS >> {}",
        events.display()
    );
    let hooks =
        ["on-start", "on-failure", "on-finish"].map(|name| format!("{name}={event}")).join("\n");
    let output = months
        .run()
        .env("HOOK", &hooks)
        .arg("--json")
        .arg("--metrics-file")
        .arg(&metrics)
        .run()
        .expect(0);
    let expected: Vec<_> = MONTHS
        .iter()
        .flat_map(|month| {
            [format!("on-start {month} started"), format!("on-finish {month} completed")]
        })
        .collect();
    let told =
        || std::fs::read_to_string(&events).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(told(), expected);
    let last: Value = serde_json::from_str(output.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&last, output.stdout.lines().count()), (&months.summary(), 1));
    let end = std::fs::read_to_string(&metrics).unwrap();
    let last_month = format!("partition=\"{}\"", MONTHS[2]);
    assert!(
        end.lines().filter(|line| !line.starts_with('#')).all(|line| line.contains(&last_month)),
        "{end}"
    );

    // Where not even the first can be begun, that is told once.
    std::fs::remove_file(&events).unwrap();
    let nowhere = months
        .run()
        .env("HOOK", &hooks)
        .env("CLICKHOUSE_URL", "http://127.0.0.1:1")
        .env("OUTAGE_WAIT", "0s")
        .arg("--json")
        .run()
        .expect(2);
    assert_eq!(told(), ["on-failure 202503..202506 failed", "on-finish 202503..202506 failed"]);
    assert!(nowhere.stdout.contains("the connection to"), "{nowhere}");
}
