//! Every state that a load can be in.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::fixture::{standing, tool};
use crate::ledger::fixture::{Chunked, ROWS, SOON};
use crate::orders::{JOB, Orders, PARTITION};
use crate::support::{assert_text_snapshot, process};

/// Rows of completed chunks, and chunks, by the ledger's tables.
fn recorded(chunked: &Chunked) -> (u64, u64, u64) {
    let sql = "SELECT sumIf(rows_inserted, status = 'completed'), countIf(status = 'completed'), count() FROM load_state_chunks FINAL
        WHERE run_id = (SELECT argMax(run_id, load_version) FROM load_state FINAL)";
    let figures: Vec<u64> =
        chunked.server().text(sql).split('\t').map(|figure| figure.parse().unwrap()).collect();
    (figures[0], figures[1], figures[2])
}

#[test]
#[ignore = "slow: about 9 s"]
fn from_nothing_to_all() {
    let chunked = Chunked::start();
    let ranges = chunked.ranges();
    let nothing = standing(tool(&chunked));
    assert!(
        nothing["state"] == "not_started" && nothing["run_id"].is_null() && nothing["chunks"] == 0,
        "{nothing}"
    );
    assert_eq!(
        nothing["next_command"],
        format!("clickhouse-backfill run --job job.toml --partition {PARTITION}")
    );

    let (running, _) = chunked.stalled_half_way();
    let mut under_way = Value::Null;
    let counted = process::wait_until(SOON, || {
        under_way = standing(tool(&chunked));
        under_way["rows_expected"].is_u64()
    });
    assert!(counted, "the rows are counted while the load is under way: {under_way}");
    let all: u64 = chunked
        .server()
        .text("SELECT count() FROM orders FINAL WHERE toYYYYMM(placed) = 202506")
        .parse()
        .unwrap();
    assert_eq!(under_way["rows_expected"], all, "{under_way}");
    let (rows, completed, chunks) = recorded(&chunked);
    assert!(
        under_way["state"] == "started"
            && under_way["chunks"] == chunks
            && chunks == ranges.len() as u64,
        "{under_way}"
    );
    assert_eq!(
        (&under_way["rows_inserted"], &under_way["chunks_completed"]),
        (&rows.into(), &completed.into()),
        "{under_way}"
    );
    assert_eq!(under_way["chunks_pending"], chunks - completed, "{under_way}");
    let ratio = under_way["progress_ratio"].as_f64().unwrap();
    assert!((ratio - rows as f64 / all as f64).abs() < 1e-9, "{under_way}");
    let text = tool(&chunked).run().expect(0).stdout;
    let thousands = |number: u64| format!("{},{:03}", number / 1000, number % 1000);
    let of =
        format!("\n  rows        {} of {} in completed chunks (", thousands(rows), thousands(all));
    assert!(text.contains(&of), "{of}\n{text}");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let process = &under_way["processes"][0];
    assert!(
        process["pid"] == running.process()
            && process["host"] == host.trim()
            && process["alive"] == true,
        "{under_way}"
    );
    assert!(
        process["worker"] == "1/1" && process["heartbeat_age_seconds"].as_f64().unwrap() < 60.0,
        "{under_way}"
    );
    let text = tool(&chunked).run().expect(0).stdout;
    let database = chunked.server().database();
    for words in [
        &*format!(
            "started: partition 202506 of {database}.orders into {database}.shipments by shipments\n"
        ),
        " on ",
        ", last heartbeat ",
        " % ",
    ] {
        assert!(text.contains(words) || text.contains(words.trim_end()), "{words}\n{text}");
    }
    assert!(
        text.ends_with(&format!(
            "clickhouse-backfill status --job job.toml --partition {PARTITION} --watch\n"
        )),
        "{text}"
    );

    running.signal("KILL");
    running.wait();
    chunked.proxy.pass();
    let killed = standing(tool(&chunked));
    assert!(
        killed["state"] == "interrupted" && killed["processes"][0]["alive"] == false,
        "{killed}"
    );
    assert!(
        killed["rows_per_second"].is_null()
            && killed["next_command"].as_str().unwrap().contains(" run "),
        "{killed}"
    );
    assert!(tool(&chunked).run().expect(0).stdout.contains(", dead, last heartbeat "));

    chunked.tool().run().expect(0);
    let done = standing(tool(&chunked));
    let target: u64 = chunked.server().text("SELECT count() FROM shipments FINAL").parse().unwrap();
    assert!(
        done["state"] == "completed"
            && done["rows_inserted"] == target
            && done["rows_expected"] == target,
        "{done}"
    );
    assert!(
        done["progress_ratio"] == 1.0
            && done["chunks_pending"] == 0
            && done["processes"].as_array().unwrap().is_empty(),
        "{done}"
    );
    assert!(
        done["run_id"] == under_way["run_id"]
            && done["completed_at"].is_string()
            && target > ROWS / 2,
        "{done}"
    );
    assert_eq!(
        done["next_command"],
        format!("clickhouse-backfill verify --job job.toml --partition {PARTITION}")
    );
    let text = tool(&chunked).run().expect(0).stdout;
    assert_text_snapshot!(text, @"
    completed: partition 202506 of default.orders into default.shipments by shipments
      run         [RUN]
      rows        58,800 of 58,800 (100.0 %)
      chunks      8 of 8 completed, 0 failed, 0 pending
      began       [TIME]
      last chunk  [TIME]
      completed   [TIME]
      ledger      load_state, load_state_chunks and load_claims in the database default
      next        clickhouse-backfill verify --job job.toml --partition 202506
    ");
    // Another partition is another load.
    let other = standing(tool(&chunked).args(&["--target-table", "other"]));
    assert_eq!(other["state"], "not_started", "{other}");
}

#[test]
fn what_was_stopped_and_what_failed() {
    let chunked = Chunked::start();
    let ranges = chunked.ranges();
    let running = chunked.stalled_at(&ranges[2], |tool| tool.args(&["--drain-timeout", "1s"]));
    running.signal("INT");
    running.wait().expect(130);
    chunked.proxy.pass();
    let stopped = standing(tool(&chunked));
    assert!(
        stopped["state"] == "interrupted" && stopped["processes"].as_array().unwrap().is_empty(),
        "{stopped}"
    );
    assert!(
        stopped["last_error"].is_null()
            && stopped["chunks_completed"].as_u64().unwrap() < ranges.len() as u64,
        "{stopped}"
    );

    chunked.server().query("ALTER TABLE shipments ADD CONSTRAINT none CHECK order_id != 99");
    // The chunk of that order, which is the last one, cannot be done.
    let failed = chunked.tool().run().expect(1);
    let standing = standing(tool(&chunked));
    assert!(
        standing["state"] == "failed" && standing["chunks_failed"] == 1,
        "{standing}\n{failed}"
    );
    assert!(standing["last_error"].as_str().unwrap().contains("VIOLATED_CONSTRAINT"), "{standing}");
    let text = tool(&chunked).run().expect(0).stdout;
    assert!(
        text.starts_with("failed: ") && text.contains("1 failed") && text.contains("last error  "),
        "{text}"
    );
    assert_eq!(
        text.lines().filter(|line| line.contains("VIOLATED_CONSTRAINT")).count(),
        1,
        "in one line\n{text}"
    );
}

/// The rows are counted while the run is on, and what came of it does not change that.
#[test]
fn of_a_load_that_failed_it_is_known_how_many_rows_there_are() {
    let chunked = Chunked::start();
    chunked.server().query("ALTER TABLE shipments ADD CONSTRAINT none CHECK order_id != 99");
    chunked.tool().run().expect(1);
    let failed = standing(tool(&chunked));
    let all: u64 = chunked
        .server()
        .text("SELECT count() FROM orders FINAL WHERE toYYYYMM(placed) = 202506")
        .parse()
        .unwrap();
    assert!(failed["state"] == "failed" && failed["rows_expected"] == all, "{failed}");
    let share = failed["rows_inserted"].as_f64().unwrap() / all as f64;
    assert!(
        (failed["progress_ratio"].as_f64().unwrap() - share).abs() < 1e-9
            && share > 0.0
            && share < 1.0,
        "{failed}"
    );
}

#[test]
#[ignore = "slow: about 7 s"]
fn each_worker_is_seen() {
    let chunked = Chunked::start();
    let ranges = chunked.ranges();
    let second =
        chunked.stalled_at(&ranges[ranges.len() - 1], |tool| tool.args(&["--worker", "2/2"]));
    let one = standing(tool(&chunked));
    assert!(
        one["processes"][0]["worker"] == "2/2" && one["processes"][0]["pid"] == second.process(),
        "{one}"
    );
    assert!(tool(&chunked).run().expect(0).stdout.contains(", worker 2/2, last heartbeat "));
    chunked.tool().args(&["--worker", "1/2"]).run().expect(0);
    assert_eq!(standing(tool(&chunked))["state"], "started", "the other is at it");
    chunked.proxy.pass();
    second.wait().expect(0);
    assert_eq!(standing(tool(&chunked))["state"], "completed");
}

#[test]
fn a_run_that_waits_says_why() {
    let chunked = Chunked::start();
    let running = chunked.tool().args(&["--throttle-query", "SELECT 'the moon is full'"]).spawn();
    let mut seen = Value::Null;
    let known = process::wait_until(SOON, || {
        seen = standing(tool(&chunked));
        seen["waiting"].as_str().is_some_and(|reason| reason.contains("the moon is full"))
            && seen["rows_per_second"] == 0.0
    });
    assert!(known, "{seen}");
    assert!(seen["remaining_seconds"].is_null() && seen["state"] == "started", "{seen}");
    let text = tool(&chunked).run().expect(0).stdout;
    assert!(
        text.contains("\n  waiting     ")
            && text.contains("\n  speed       0 rows/s over the last minutes\n"),
        "{text}"
    );
    running.signal("INT");
    running.wait().expect(130);
    assert!(standing(tool(&chunked))["waiting"].is_null());
}

/// What is printed as the next command works in a shell that has the password and nothing else.
#[test]
fn the_next_command_can_be_pasted() {
    let orders = Orders::start(10);
    let server = &orders.server;
    let pasted = |command: &str| {
        let program = Path::new(env!("CARGO_BIN_EXE_clickhouse-backfill"));
        let path = format!(
            "{}:{}",
            program.parent().unwrap().display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(orders.file("").as_path())
            .env_clear()
            .envs([("PATH", path.as_str()), ("CLICKHOUSE_PASSWORD", server.password())])
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{command}\n{}", text(&output.stderr));
        text(&output.stdout)
    };
    std::fs::write(orders.file("it's a job.toml"), JOB).unwrap();
    let url = server.url().replacen("http://", "http://nobody@", 1);
    let first = format!(
        r"clickhouse-backfill status --job 'it'\''s a job.toml' --partition {PARTITION} --clickhouse-url {url} --clickhouse-user {} --clickhouse-db {}",
        server.user(),
        server.database()
    );
    let next_of = |status: &str| {
        let line = status.lines().find_map(|line| line.trim_start().strip_prefix("next "));
        line.unwrap_or_else(|| panic!("{status}")).trim().to_owned()
    };
    let run = next_of(&pasted(&first));
    assert!(run.starts_with("clickhouse-backfill run ") && !run.contains("nobody"), "{run}");
    pasted(&run);
    let verify = next_of(&pasted(&first));
    assert_text_snapshot!(pasted(&verify), @"
    target                              default.shipments
    source                              default.orders, partition 202506, by shipments
    chunks                              1, those of run [RUN]
    expected rows                       9
    target rows                         9
    differing rows                      0

    equal: the target has the rows that the job makes ([DURATION])
    ");
}
