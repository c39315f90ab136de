//! docs/guide/langfuse-v3-to-v4.md: every command of the page, in its order, on the real tables.

use std::path::Path;

use super::fixture::{YEAR_2026, empty, number};
use crate::support::{Postgres, Server, binary};

/// A fenced block of the page.
struct Block {
    language: String,
    text: String,
}

fn blocks() -> Vec<Block> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/langfuse-v3-to-v4.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (mut blocks, mut open) = (Vec::new(), None::<Block>);
    for line in page.lines().map(str::trim) {
        match (line.strip_prefix("```"), open.take()) {
            (Some(_), Some(block)) => blocks.push(block),
            (Some(language), None) => {
                open = Some(Block { language: language.to_owned(), text: String::new() });
            }
            (None, Some(mut block)) => {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    blocks
}

impl Block {
    fn is_of_postgres(&self) -> bool {
        self.language == "sql" && self.text.starts_with("-- PostgreSQL")
    }
}

/// 90 traces and 900 observations of three months; of every tenth observation a live row of dual
/// writing; nine traces that are items of a dataset run; and ten observations of the last month that were created after dual writing began.
pub fn history() -> Server {
    let server = empty(YEAR_2026);
    server.script(
        "INSERT INTO traces (id, timestamp, project_id, name, user_id, metadata, created_at, updated_at, event_ts)
         SELECT 'trace-' || toString(number), toDateTime64('2025-10-02 10:00:00', 3) + toIntervalDay(number) AS timestamp, 'p', 'a trace', 'ann',
             map('k', toString(number)), timestamp, timestamp, timestamp FROM numbers(90)
         --;;
         INSERT INTO observations (id, trace_id, project_id, type, parent_observation_id, start_time, name, input, created_at, updated_at, event_ts)
         SELECT 'span-' || toString(number), 'trace-' || toString(number % 90), 'p', ['SPAN', 'GENERATION'][1 + number % 2],
             if(number % 3 = 0, NULL, 'span-' || toString(number - 1)), toDateTime64('2025-10-02 10:00:01', 3) + toIntervalDay(number % 90) AS start_time,
             'a span', repeat('x', number), start_time, start_time, start_time FROM numbers(900)
         --;;
         INSERT INTO observations (id, trace_id, project_id, type, start_time, name, created_at, updated_at, event_ts)
         SELECT 'late-' || toString(number), 'trace-89', 'p', 'SPAN', '2025-12-30 12:00:00', 'late', '2026-07-01 00:00:00', '2026-07-01 00:00:00',
             '2026-07-01 00:00:00' FROM numbers(10)
         --;;
         INSERT INTO dataset_run_items_rmt (id, project_id, dataset_id, dataset_run_id, dataset_item_id, trace_id, event_ts, is_deleted)
         SELECT toString(number), 'p', 'set', 'run', 'item', concat('trace-', toString(number * 10 + 3)), '2025-12-31 00:00:00', 0 FROM numbers(9)
         --;;
         INSERT INTO events_full (project_id, trace_id, span_id, start_time, name, type, source, event_ts)
         SELECT project_id, trace_id, id, start_time, 'live', type, 'ingestion-api-dual-write', event_ts FROM observations WHERE startsWith(id, 'span-') AND toUInt32(substring(id, 6)) % 10 = 0",
    );
    server
}

#[test]
#[ignore = "slow: about 20 s"]
fn the_page_is_followed_from_top_to_bottom() {
    let server = history();
    let blocks = blocks();
    let environment = &blocks.iter().find(|block| block.language == "env").unwrap().text;
    let backfilled = |table: &str| {
        let rows = format!("SELECT count() FROM {table} FINAL WHERE endsWith(source, '-backfill')");
        number(&server, &rows)
    };
    let (mut commands, mut printed) = (0, String::new());
    for block in blocks.iter().filter(|block| !block.is_of_postgres()) {
        match &*block.language {
            "sh" => {
                for line in block.text.lines() {
                    let arguments: Vec<_> = line.split(' ').skip(1).collect();
                    assert!(line.starts_with("clickhouse-backfill "), "{line}");
                    let tool = binary().file(".env", environment).envs(&server.environment());
                    let output = tool.args(&arguments).run().expect(0);
                    commands += 1;
                    if arguments.starts_with(&["query", "langfuse/repeated"]) {
                        assert_eq!(output.stdout.matches(r#""repeated":0,"#).count(), 2);
                    }
                    printed.push_str(&output.stdout);
                }
            }
            "sql" if block.text.starts_with("DELETE FROM events_full") => {
                // All is filled, and no row of dual writing was touched or made again.
                for table in ["events_full", "events_core"] {
                    assert_eq!(backfilled(table), 90 + 810, "{table}");
                    let live = format!("SELECT count() FROM {table} FINAL WHERE name = 'live'");
                    assert_eq!(number(&server, &live), 90, "{table}");
                    // Nine roots; below three of them ten observations without a parent.
                    let experiments =
                        format!("SELECT count() FROM {table} WHERE experiment_id = 'run'");
                    assert_eq!(number(&server, &experiments), 39, "{table}");
                }
                server.query(&block.text);
            }
            "sql" => drop(server.query(block.text.trim_end().trim_end_matches(';'))),
            "env" => {}
            other => panic!("a block of {other:?} on the page, which this test does not run"),
        }
    }
    assert!(commands >= 10, "{commands} commands are on the page");
    // The page shows the statements that its queries print.
    let shown = |block: &&Block| {
        ["-- PostgreSQL", "DELETE", "CREATE"].iter().any(|word| block.text.starts_with(word))
    };
    for block in blocks.iter().filter(shown) {
        assert!(printed.replace("  ", "").contains(&block.text), "{}\n{printed}", block.text);
    }
    for table in ["events_full", "events_core"] {
        assert_eq!(backfilled(table), 0, "{table}");
        assert_eq!(number(&server, &format!("SELECT count() FROM {table} FINAL")), 90, "{table}");
    }
}

/// The statements for Langfuse's `PostgreSQL`: steps 1 to 4 count as finished, and can be taken back.
#[test]
#[ignore = "slow: starts a PostgreSQL, which must be installed"]
fn langfuse_takes_its_steps_for_finished_and_for_open_again() {
    let postgres = Postgres::start();
    postgres.text(
        "CREATE TABLE background_migrations (id text PRIMARY KEY, name text NOT NULL UNIQUE, script text NOT NULL, args jsonb NOT NULL,
             state jsonb NOT NULL DEFAULT '{}', finished_at timestamp(3), failed_at timestamp(3), failed_reason text, worker_id text, locked_at timestamp(3));
         INSERT INTO background_migrations (id, name, script, args, finished_at) VALUES ('0', '20250101_an_older_one', 's', '{}', '2025-01-01');
         INSERT INTO background_migrations (id, name, script, args, failed_at, failed_reason, locked_at, worker_id)
         SELECT step::text, '20260701_v4_step_' || step || '_of_the_chain', 's', '{}', now(), 'memory', now() AT TIME ZONE 'UTC', 'w' FROM generate_series(1, 5) AS step",
    );
    let blocks = blocks();
    let [finish, undo] = &*blocks.iter().filter(|block| block.is_of_postgres()).collect::<Vec<_>>()
    else {
        panic!("two statements for PostgreSQL are on the page")
    };
    // What its worker looks for: the first that is neither finished nor failed.
    let open = "SELECT string_agg(id, ',' ORDER BY name) FROM background_migrations WHERE finished_at IS NULL";
    assert_eq!(postgres.text(open), "1,2,3,4,5");
    // A worker has locked the step, so nothing changes.
    postgres.text(&finish.text);
    assert_eq!(postgres.text(open), "1,2,3,4,5");
    postgres.text("UPDATE background_migrations SET locked_at = locked_at - INTERVAL '61 seconds'");
    postgres.text(&finish.text);
    assert_eq!(postgres.text(open), "5");
    let clean = "SELECT count(*) FROM background_migrations WHERE name ~ 'v4_step_[1-4]' AND failed_at IS NULL AND failed_reason IS NULL
        AND locked_at IS NULL AND worker_id IS NULL AND state->>'phase' = 'completed'";
    assert_eq!(postgres.text(clean), "4");
    postgres.text(&undo.text);
    assert_eq!(postgres.text(open), "1,2,3,4,5");
    let state =
        "SELECT count(*) FROM background_migrations WHERE state = '{}' AND failed_at IS NULL";
    assert_eq!(postgres.text(state), "5");
}
