//! Langfuse's own migrations, whose queries are found by their ids.

use serde_json::Value;

use crate::oracle::fixture::{YEAR_2026, create_tables, tool};
use crate::support::{Server, process};

#[test]
#[ignore = "slow: about 7 s"]
fn a_query_of_the_migrations_blocks_a_run_and_one_that_has_ended_is_a_warning() {
    let server = create_tables(Server::isolated(), YEAR_2026);
    server.query(
        "INSERT INTO observations (id, trace_id, project_id, type, start_time, name, created_at, updated_at, event_ts)
         SELECT toString(number), 't', 'p', 'SPAN', '2025-11-03 10:00:00', 'n', '2025-11-03 10:00:00', '2025-11-03 10:00:00', '2025-11-03 10:00:00'
         FROM numbers(10)",
    );
    let arguments = ["--job", "langfuse-events", "--partition", "202511"];
    let target = ["--target-table", "events_full"];
    let command = |name: &str| tool(&server).arg(name).args(&arguments).args(&target);
    let check = || {
        let output = command("plan").arg("--json").run();
        let plan: Value = serde_json::from_str(&output.stdout).unwrap();
        let checks = plan["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == "job-checks").unwrap().clone()
    };
    let finish = || tool(&server).args(&["query", "langfuse/finish"]).run();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let sql = "SELECT sleepEachRow(1) FROM numbers(600) SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0";
            let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                server.query_with(sql, &[("query_id", "backfill-events-7")])
            }));
            assert!(killed.is_err(), "the query ran to its end");
        });
        let running = "SELECT count() FROM system.processes WHERE query_id = 'backfill-events-7'";
        let soon = std::time::Duration::from_secs(60);
        assert!(process::wait_until(soon, || server.text(running) == "1"));
        let found = check();
        assert_eq!(found["verdict"], "blocked", "{found}");
        let words = "queries of Langfuse's own migrations run: backfill-events-7";
        assert!(found["detail"].as_str().unwrap().contains(words), "{found}");
        let lifted_by = found["lifted_by"].to_string();
        assert!(lifted_by.contains("KILL QUERY WHERE startsWith(query_id, 'backfill-')"));
        command("run").run().expect(3);
        assert_eq!(server.text("SELECT count() FROM events_full"), "0");
        let output = finish().expect(1);
        assert!(output.stderr.contains("migrations run: turn the gate off"), "{output}");
        assert_eq!(output.stdout, "");
        server.query("KILL QUERY WHERE startsWith(query_id, 'backfill-') SYNC");
    });
    server.query("SYSTEM FLUSH LOGS query_log");
    let found = check();
    assert_eq!(found["verdict"], "warning", "{found}");
    assert!(found["detail"].as_str().unwrap().contains("so their gate may be on"), "{found}");
    command("run").run().expect(0);
    assert_eq!(server.text("SELECT count() FROM events_full FINAL"), "10");
    assert!(finish().expect(0).stdout.starts_with("-- PostgreSQL\nUPDATE"));
}

#[test]
fn rows_that_readers_without_final_see_twice_are_counted_with_what_removes_them() {
    let server = create_tables(Server::shared(), YEAR_2026);
    for table in ["events_full", "events_core"] {
        server.query(&format!("SYSTEM STOP MERGES {table}"));
    }
    let repeated = || {
        let query = ["query", "langfuse/repeated", "--param", "month=202511"];
        let output = tool(&server).args(&query).run().expect(0);
        let rows: Vec<Value> =
            output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            (&rows[0]["table"], &rows[1]["table"]),
            (&"events_full".into(), &"events_core".into())
        );
        rows.iter()
            .map(|row| format!("{} {}", row["repeated"], row["statement"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(repeated(), [r#"0 """#, r#"0 """#]);
    for month in ["2025-11-03", "2025-12-03"] {
        for version in ["10:00:00", "10:00:01", "10:00:02"] {
            server.query(&format!(
                "INSERT INTO events_full (project_id, trace_id, span_id, start_time, name, type, source, event_ts)
                 SELECT 'p', 't', toString(number), '{month} 10:00:00', 'n', 'SPAN', 'otel-backfill', '{month} {version}' FROM numbers(5)"
            ));
        }
    }
    let [full, core] = &*repeated() else { panic!() };
    assert_eq!(full, r#"10 "OPTIMIZE TABLE events_full PARTITION ID '202511' FINAL""#);
    assert_eq!(core, r#"10 "OPTIMIZE TABLE events_core PARTITION ID '202511' FINAL""#);
    // It is offered, and removes them.
    assert_eq!(server.text("SELECT count() FROM events_core"), "30");
    for table in ["events_full", "events_core"] {
        server.query(&format!("SYSTEM START MERGES {table}"));
    }
    server.query("OPTIMIZE TABLE events_core PARTITION ID '202511' FINAL");
    assert_eq!(repeated()[1], r#"0 """#);
}
