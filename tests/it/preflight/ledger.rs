//! What `plan` says of the load that the ledger knows, and whether a run then does what it says.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::Value;

use super::fixture::look;
use crate::ledger::fixture::Chunked;
use crate::orders::JOB;

/// What it says in text, in one line.
#[track_caller]
fn line(chunked: &Chunked, job: &str) -> String {
    let text = chunked.plan().file("job.toml", job).run().expect(0).stdout;
    let mut lines = text.lines().skip_while(|line| !line.starts_with("  ledger "));
    let first = lines.next().unwrap_or_else(|| panic!("no line of the ledger in\n{text}"));
    // What is too long goes on in the same column.
    let rest = lines.take_while(|line| line.starts_with("              "));
    [first]
        .into_iter()
        .chain(rest)
        .map(|line| line.trim_start().trim_start_matches("ledger").trim())
        .collect::<Vec<_>>()
        .join(" ")
}

fn ledger(chunked: &Chunked, job: &str) -> Value {
    look(chunked.plan().file("job.toml", job), 0).plan["ledger"].clone()
}

#[test]
#[ignore = "slow: about 17 s"]
fn a_plan_says_what_a_run_would_do_with_the_load() {
    let chunked = Chunked::start();
    let ranges = chunked.ranges();
    let nothing = ledger(&chunked, JOB);
    assert_eq!(
        (&nothing["run"], &nothing["standing"]["state"]),
        (&"begin".into(), &"not_started".into()),
        "{nothing:#}"
    );
    assert!(line(&chunked, JOB).ends_with("; `run` starts the load"));
    assert_eq!(chunked.server().text("SHOW TABLES LIKE 'load\\_%'"), "", "a plan makes no table");

    let (running, completed) = chunked.stalled_half_way();
    let under_way = ledger(&chunked, JOB);
    assert_eq!(
        (&under_way["run"], &under_way["standing"]["state"]),
        (&"refuse".into(), &"started".into()),
        "{under_way:#}"
    );
    let text = line(&chunked, JOB);
    assert!(
        text.starts_with("started, ")
            && text.contains(&format!(", process {} on ", running.process())),
        "{text}"
    );
    assert!(text.ends_with("; `run` is refused until it ends"), "{text}");
    chunked.tool().run().expect(3);

    running.signal("KILL");
    running.wait();
    chunked.proxy.pass();
    let chunks = ranges.len() as u64;
    let killed = ledger(&chunked, JOB);
    assert_eq!(
        (&killed["run"], &killed["standing"]["state"]),
        (&"resume".into(), &"interrupted".into()),
        "{killed:#}"
    );
    let run_id = chunked.server().text("SELECT run_id FROM load_state FINAL");
    let text = line(&chunked, JOB);
    assert!(
        text.starts_with(&format!(
            "interrupted, {completed} of {chunks} chunks completed, run {run_id}, process "
        )),
        "{text}"
    );
    assert!(text.contains(", dead, last heartbeat "), "{text}");
    assert!(
        text.contains(&format!("; `run` continues with {} missing chunk", chunks - completed)),
        "{text}"
    );

    let other = JOB.replace("source.amount * 2", "source.amount * 3");
    let change =
        "the expression of the column amount was `source.amount * 2`, and is `source.amount * 3`";
    let changed = ledger(&chunked, &other);
    assert_eq!(
        (&changed["run"], &changed["changed"]),
        (&"refuse".into(), &serde_json::json!([change])),
        "{changed:#}"
    );
    assert!(
        line(&chunked, &other)
            .ends_with(&format!("; `run` is refused without --restart: {change}"))
    );
    chunked.tool().file("job.toml", &other).run().expect(3);

    let claims = chunked.server().text("SELECT count() FROM load_claims FINAL");
    chunked.tool().run().expect(0);
    assert_eq!(claims, "1", "a plan claims nothing");
    let done = ledger(&chunked, JOB);
    assert_eq!(
        (&done["run"], &done["standing"]["state"]),
        (&"nothing".into(), &"completed".into()),
        "{done:#}"
    );
    let text = line(&chunked, JOB);
    assert!(
        text.starts_with("completed at 20") && text.ends_with(" rows; `run` has nothing to do"),
        "{text}"
    );
    assert!(text.contains(&format!(" by run {run_id}, ")), "{text}");
    let again = chunked.tool().run().expect(0);
    assert!(again.stderr.contains("there is nothing to do"), "{again}");
    assert_eq!(ledger(&chunked, &other)["run"], "refuse", "a completed one, too");
}

#[test]
fn a_ledger_that_cannot_be_read_stops_no_plan() {
    let chunked = Chunked::start();
    chunked.server().query("CREATE TABLE load_state (something UInt8) ENGINE = Memory");
    let unknown = ledger(&chunked, JOB);
    assert!(unknown["run"].is_null() && unknown["standing"].is_null(), "{unknown:#}");
    let table = format!("the ledger's table {}.load_state", chunked.server().database());
    assert!(
        unknown["unknown"]
            .as_str()
            .is_some_and(|reason| reason.contains(&table) && reason.contains("Code: 181")),
        "{unknown:#}"
    );
    let text = line(&chunked, JOB);
    assert!(text.starts_with("unknown, ") && text.contains(", cannot read load_state"), "{text}");
    // In files there is another one.
    let in_files = look(chunked.plan().args(&["--ledger", "file:ledger"]), 0);
    assert_eq!(in_files.plan["ledger"]["run"], "begin", "{}", in_files.output);
}
