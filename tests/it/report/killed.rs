//! A load whose process was killed: what its own row says is as old as its beginning, and its
//! chunks tell the rest.

use serde_json::{Value, json};

use crate::ledger::fixture::{Chunked, ROWS};
use crate::orders::{JOB, PARTITION};
use crate::support::binary;

#[test]
fn a_load_that_was_killed_is_known_by_its_chunks() {
    let chunked = Chunked::start();
    let server = chunked.server();
    let ranges = chunked.ranges();
    let completed = ranges.len() - 2;
    let running = chunked.stalled_behind(&ranges, completed);
    let rows = "SELECT sum(rows_read) FROM load_state_chunks FINAL WHERE status = 'completed'";
    // The first chunk may have no rows.
    assert!(server.text(rows).parse::<u64>().unwrap() > ROWS / 10, "no rows are recorded");
    running.signal("KILL");
    assert_eq!(running.wait().status, None);
    assert_eq!(
        server.text("SELECT status, chunks_completed FROM load_state FINAL"),
        "started\t0",
        "the row itself knows nothing"
    );
    let tool = |command: &str| {
        binary()
            .file("job.toml", JOB)
            .envs(&server.environment())
            .args(&[command, "--job", "job.toml"])
    };

    let report =
        tool("report").args(&["--partition", PARTITION, "--format", "json"]).run().expect(0);
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    let load = &report["load"];
    let shown = [
        &load["chunks_completed"],
        &load["rows_read"],
        &load["rows_inserted"],
        &load["bytes_inserted"],
        &load["batches"],
    ];
    let kept = server.text(
        "SELECT count(), sum(rows_read), sum(rows_inserted), sum(bytes_inserted), sum(batches) FROM load_state_chunks FINAL WHERE status = 'completed'",
    );
    assert_eq!(shown.map(ToString::to_string).join("\t"), kept);
    assert_eq!(report["verdict"]["level"], json!("bad"), "{report:#}");
    let killed = format!(
        "Interrupted: the process ended without recording a state; {completed} of {} chunks",
        load["chunks"]
    );
    assert!(report["verdict"]["text"].as_str().unwrap().starts_with(&killed), "{report:#}");

    let percent = server.text(
        "WITH (SELECT any((rows_expected, chunks)) FROM load_state FINAL) AS load
         SELECT if(isNull(load.1), intDiv(100 * count(), load.2), intDiv(100 * sum(rows_read), load.1)) FROM load_state_chunks FINAL WHERE status = 'completed'",
    );
    assert!((1..99).contains(&percent.parse::<u64>().unwrap()), "{percent}");
    let history = tool("history").run().expect(0);
    assert!(
        history
            .stdout
            .lines()
            .nth(1)
            .unwrap()
            .starts_with(&format!("{PARTITION} interrupted at {percent} %")),
        "{history}"
    );
}
