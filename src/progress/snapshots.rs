//! Snapshots of the screen at several terminal sizes, and of the lines; see `tests/it/snapshots`.

use std::time::{Duration, Instant};

use unicode_width::UnicodeWidthStr;

use super::bottleneck::{Stage, Tasks};
use super::figures::{Figures, Rates};
use super::screen::{screen, title};
use super::terminal::Size;
use super::view::{Stall, line, startup_lines};
use crate::control::monitor::{FullestPartition, ServerStats};
use crate::engine::stream::{Phase, Snapshot};
use crate::retry::{Outage, RetryStatus};

fn streaming() -> Figures {
    Figures {
        name: "langfuse-events 202511".to_owned(),
        dry_run: false,
        stopping: None,
        phase: Phase::Stream,
        elapsed: Duration::from_secs(740),
        numbers: Snapshot {
            lookup_rows: 2_469_134,
            lookup_bytes: 412 << 20,
            lookup_keys: 1_234_567,
            lookup_memory_bytes: 312 << 20,
            source_rows: 37_900_000,
            source_rows_expected: 100_200_000,
            matched_rows: 37_000_000,
            matched_late_rows: 200_000,
            unmatched_rows: 700_000,
            inserted_rows: 37_412_000,
            rows_done: 37_100_000,
            inserts_in_flight: 6,
            queued_bytes: 512 << 20,
            retries: 2,
            chunks: 48,
            chunks_done: 12,
            waves: 2,
            ..Snapshot::default()
        },
        tasks: Tasks { reading: 1, queueing: 3, inserting: 6, ..Tasks::default() },
        oldest_insert: Some(Duration::from_secs(12)),
        rates: Rates {
            lookup_rows: Some(0.0),
            read_rows: Some(78_312.0),
            read_bytes: Some(86_400_000.0),
            enriched_rows: Some(78_312.0),
            inserted_rows: Some(78_011.0),
            inserted_bytes: Some(106_100_000.0),
        },
        left: Some(Duration::from_secs(802)),
        bottleneck: Some(Stage::Insert),
        memory: Some(1200 << 20),
        memory_limit: 4 << 30,
        last_retry: Some((
            Duration::from_secs(200),
            "Code: 252. DB::Exception: Too many parts (300).\nMerges are slower".to_owned(),
        )),
        waiting: Vec::new(),
        max_rows_per_second: None,
        server: ServerStats {
            parts: Some(FullestPartition { partition: "202511".to_owned(), parts: 262 }),
            merges: Some(3),
            memory_used: Some(12_345 << 20),
            memory_total: Some(32 << 30),
            ..ServerStats::unknown()
        },
    }
}

/// By the server engine.
fn filling() -> Figures {
    let numbers = Snapshot {
        source_rows: 8_400_000,
        source_rows_expected: 100_200_000,
        matched_rows: 8_300_000,
        unmatched_rows: 100_000,
        inserted_rows: 8_400_000,
        rows_done: 8_400_000,
        inserts_in_flight: 2,
        chunk_rows_read: 412_345,
        chunk_rows_written: 84_000,
        chunk_memory_bytes: 1_520 << 20,
        chunks: 1_002,
        chunks_done: 84,
        ..Snapshot::default()
    };
    let tasks = Tasks { inserting: 2, ..Tasks::default() };
    let rates = Rates { lookup_rows: None, ..streaming().rates };
    Figures { numbers, tasks, rates, last_retry: None, ..streaming() }
}

fn loading() -> Figures {
    let numbers = Snapshot {
        lookup_rows: 120_000,
        lookup_bytes: 20 << 20,
        lookup_keys: 60_000,
        lookup_memory_bytes: 15 << 20,
        chunks: 1,
        ..Snapshot::default()
    };
    Figures {
        phase: Phase::Lookup,
        elapsed: Duration::from_millis(1_400),
        numbers,
        tasks: Tasks::default(),
        oldest_insert: None,
        rates: Rates { lookup_rows: Some(240_000.0), ..Rates::default() },
        left: None,
        bottleneck: Some(Stage::Lookup),
        memory: None,
        last_retry: None,
        server: ServerStats::unknown(),
        ..streaming()
    }
}

fn waiting() -> Figures {
    let rates = Rates { inserted_rows: Some(0.0), inserted_bytes: Some(0.0), ..streaming().rates };
    let waiting =
        vec!["http://10.0.0.1:8123/ does not answer for 12.0 s, limit 10 min 00 s".to_owned()];
    let numbers = Snapshot { chunks_failed: 1, ..streaming().numbers };
    Figures { waiting, rates, numbers, left: None, bottleneck: None, ..streaming() }
}

fn held_back() -> Figures {
    let waiting = vec!["262 parts in 202511, limit 250".to_owned(), "paused with ctl".to_owned()];
    let troubled = ServerStats {
        replica_delay_seconds: Some(12),
        mutations: Some(1),
        delayed_inserts: Some(2),
        ..streaming().server
    };
    Figures {
        waiting,
        bottleneck: None,
        max_rows_per_second: Some(50_000),
        server: troubled,
        last_retry: None,
        ..streaming()
    }
}

fn stopping() -> Figures {
    Figures { stopping: Some(Duration::from_secs(48)), ..streaming() }
}

#[track_caller]
fn assert_shows(name: &str, figures: &Figures, (columns, rows): (usize, usize)) {
    let lines = screen(figures, Size { columns, rows });
    assert!(
        lines.len() < rows && lines.iter().all(|line| line.text.width() < columns),
        "{lines:?}"
    );
    let mut text = format!("title: {}\n{}\n", title(figures), "-".repeat(columns));
    for line in lines {
        text.push_str(&line.text);
        text.push('\n');
    }
    assert_snapshot(name, &text);
}

#[track_caller]
fn assert_snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../tests/it/snapshots/expected");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn screens() {
    assert_shows("screen", &streaming(), (80, 24));
    assert_shows("screen-narrow", &streaming(), (60, 24));
    assert_shows("screen-narrower", &streaming(), (40, 24));
    assert_shows("screen-wide", &streaming(), (120, 40));
    assert_shows("screen-low", &waiting(), (80, 6));
    assert_shows("screen-loading", &loading(), (80, 24));
    assert_shows("screen-filling", &filling(), (80, 24));
    assert_shows("screen-waiting", &waiting(), (80, 24));
    assert_shows("screen-held-back", &held_back(), (80, 24));
    assert_shows("screen-stopping", &stopping(), (80, 24));
    assert_shows("screen-waiting-narrow", &waiting(), (60, 24));
    assert_eq!(screen(&streaming(), Size { columns: 1, rows: 1 }).len(), 1, "at least one line");
}

#[test]
fn a_server_that_is_not_reached_is_waited_for_with_a_countdown() {
    let status = RetryStatus::default();
    status.retrying("the connection to http://db:8123/ failed".to_owned(), Duration::ZERO);
    status.outage_began(&Outage {
        url: "the first query".to_owned(),
        since: Instant::now(),
        longest: Duration::from_millis(299_990),
    });
    let text = |columns| {
        let lines = startup_lines("langfuse-events 202511", &status, columns);
        lines.into_iter().map(|line| line.text).collect::<Vec<_>>()
    };
    assert_eq!(
        text(80),
        [
            "langfuse-events 202511: connecting",
            "  waiting: 4 min 59 s more for the first query",
            "  because   the connection to http://db:8123/ failed",
        ]
    );
    assert!(text(20).iter().all(|line| line.width() < 20));
}

#[test]
fn a_stall_is_said_once() {
    let (mut stall, mut figures) = (Stall::default(), streaming());
    assert!(stall.note(&figures) && stall.note(&figures), "rows move");
    figures.waiting = vec!["the server to acknowledge 1 insert, no answer for 34.0 s".to_owned()];
    assert!(stall.note(&figures), "it begins");
    figures.waiting = vec!["the server to acknowledge 1 insert, no answer for 44.0 s".to_owned()];
    assert!(!stall.note(&figures), "the same");
    figures.numbers.inserted_bytes += 1;
    assert!(stall.note(&figures), "something moved");
    figures.waiting = vec!["paused with ctl".to_owned()];
    assert!(stall.note(&figures), "another reason");
    figures.waiting.clear();
    assert!(stall.note(&figures), "it ends");
}

#[test]
fn lines() {
    let all = [streaming(), loading(), waiting(), stopping()];
    let lines: Vec<_> = all.iter().filter_map(line).collect();
    assert_snapshot("lines", &lines.join("\n"));
}
