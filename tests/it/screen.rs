//! What a person sees on a terminal: one screen for the whole run, log lines above it, the summary
//! below.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod in_terminal;
#[expect(clippy::module_inception, reason = "the screen of these tests")]
mod screen;
mod tmux;

use std::time::Duration;

use crate::orders::Orders;
use crate::support::{Direction, Proxy, process};
use in_terminal::{InTerminal, ROWS, screens};
use screen::Screen;

const SOON: Duration = Duration::from_secs(60);

/// Replaces what differs from run to run: the run's id becomes `ID`, every number `N`, whatever
/// follows from it.
fn normalized(line: &str, database: &str) -> String {
    let line = numbers_replaced(&line.replace(database, "default"))
        .replace("krows/s", "rows/s")
        .replace("N reader and", "N readers and");
    if line.ends_with("N inserter") { format!("{line}s") } else { line }
}

fn numbers_replaced(line: &str) -> String {
    let mut text = String::new();
    for word in line.split_inclusive(' ') {
        let is_id =
            word.trim_end().len() == 16 && word.trim_end().chars().all(|c| c.is_ascii_hexdigit());
        let mut rest = if is_id {
            text.push_str("ID");
            &word[16..]
        } else {
            word
        };
        while let Some(c) = rest.chars().next() {
            let number =
                rest.find(|c: char| !matches!(c, '0'..='9' | ',' | '.')).unwrap_or(rest.len());
            // A separator behind a number is none of its own.
            let number = rest[..number].trim_end_matches([',', '.']).len();
            if c.is_ascii_digit() {
                text.push('N');
                rest = &rest[number..];
            } else {
                text.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    text
}

const LOG_LINES: [&str; 2] = [
    "N-N-NTN:N:NZ  WARN loading attributes broke off, trying again table=default.customers attempt=N pause_ms=N error=the connection to \
     http://N:N/ failed: network error: error reading a body from connection: Connection reset by peer (os error N)",
    "N-N-NTN:N:NZ  WARN reading broke off, the chunk is read again chunk=N attempt=N pause_ms=N error=the connection to http://N:N/ failed: \
     network error: error reading a body from connection: Connection reset by peer (os error N)",
];

const LAST_SCREEN: &str = "\
clickhouse-backfill N, run ID
  server      http://N:N/ (ClickHouse N), user default, database default
  source      default.orders, partition N: N stored rows in N parts, N MiB, N chunk
  target      default.shipments (ReplacingMergeTree), N columns, by the job shipments (job.toml)
  engine      stream; up to N readers, up to N inserters, at most N GiB of memory
LOG LINES
completed: shipments into default.shipments
  partition                N
  chunks                   N of N completed, N by earlier runs, N failed
  attributes loaded        N of N rows
  orders processed         N
  shipments inserted       N
  matched, late, unmatched N, N, N
  inserted twice           N (they collapse in the target)
  batches, retries, errors N, N, N
  read, written            N MiB, N MiB
  time                     N s (plan N s, attributes N s, streaming N s)
  throughput               N rows/s, at the end with N readers and N inserters
  peak memory              N MiB of N GiB, N wave
next: clickhouse-backfill verify --job job.toml --partition N";

/// What the screen's first line begins with.
const HEADLINE: &str = "shipments 202506: ";

/// The lines above the screen's own, and these.
#[track_caller]
fn parts(screen: &Screen) -> (Vec<String>, Vec<String>) {
    let text = screen.text();
    let headlines: Vec<_> =
        (0..text.len()).filter(|&line| text[line].starts_with(HEADLINE)).collect();
    assert!(headlines.len() <= 1, "what was drawn before is not taken away\n{}", text.join("\n"));
    let at = headlines.first().copied().unwrap_or(text.len());
    let (log, own) = text.split_at(at);
    (log.to_vec(), own.to_vec())
}

/// Holds every screen against the last one: what scrolls by is as it stays, and the lines below it
/// fit.
#[track_caller]
fn assert_untorn(screens: &[Screen], last: &Screen) {
    let all = last.text();
    for screen in screens {
        let (log, own) = parts(screen);
        assert_eq!(log, all[..log.len()], "torn\n{}", screen.all_rows().join("\n"));
        assert!(own.len() < ROWS, "{own:#?}");
    }
}

#[test]
#[ignore = "slow: about 7 s"]
fn log_lines_scroll_above_the_screen() {
    let orders = Orders::start(20_000);
    let proxy = Proxy::start(orders.server.port());
    for columns in [120, 60] {
        // Each phase breaks off once, which makes a log line and a pause in which the screen is
        // drawn.
        let fired = proxy.fired();
        proxy.after_request_with(b"-lookup-").reset_at(Direction::ToClient, 200_000, 1);
        let running = InTerminal::start(&orders, columns, &proxy.url(), &[], &[]);
        assert!(process::wait_until(SOON, || proxy.fired() == fired + 1));
        proxy.after_request_with(b"-source-").reset_at(Direction::ToClient, 5_000_000, 1);
        assert!(process::wait_until(SOON, || proxy.fired() == fired + 2));
        let bytes = running.wait();
        orders.assert_complete();

        let (screens, last) = (screens(&bytes, columns), Screen::after(&bytes, columns, ROWS));
        assert_untorn(&screens, &last);
        let (mut loading, mut streaming) = (false, false);
        for screen in &screens {
            let (_, own) = parts(screen);
            let has = |parts: &[&str]| {
                own.iter().any(|line| parts.iter().all(|part| line.contains(part)))
            };
            loading |= has(&[": loading attributes, "])
                && has(&["> lookup ", "the bottleneck"])
                && has(&["  retries   1, the last "]);
            streaming |= has(&[": inserting, "])
                && has(&["[", "] ", " %  ", " rows"])
                && has(&["  retries   2, the last "]);
        }
        assert!(
            loading && streaming,
            "both phases, in {} screens, {loading}, {streaming}",
            screens.len()
        );
        // What the preflight warns of depends on what the server has written down by then. Such a
        // note may take several rows.
        let mut is_note = false;
        // A narrow terminal breaks lines of the header and the summary between words, under the value's
        // beginning.
        let mut whole: Vec<String> = Vec::new();
        for line in last.text() {
            match whole.last_mut().filter(|_| line.starts_with(&" ".repeat(14))) {
                Some(first) => first.extend([" ", line.trim_start()]),
                None => whole.push(line),
            }
        }
        let mut last: Vec<_> =
            whole.iter().map(|line| normalized(line, orders.server.database())).collect();
        last.retain(|line| {
            is_note = line.starts_with("note: ")
                || is_note && !line.starts_with("N-N-N") && !line.starts_with("completed: ");
            !is_note
        });
        assert_eq!(last.join("\n"), LAST_SCREEN.replace("LOG LINES", &LOG_LINES.join("\n")));
    }
}

#[test]
#[ignore = "slow: about 10 s"]
fn a_terminal_that_is_resized_shows_one_screen() {
    let orders = Orders::start(20_000);
    let proxy = Proxy::start(orders.server.port());
    proxy.after_request_with(b"-source-").stall_at(Direction::ToClient, 2_000_000, 1);
    let running = InTerminal::start(&orders, 80, &proxy.url(), &["-v"], &[]);
    assert!(process::wait_until(SOON, || proxy.fired() == 1));
    running.wait_for("the reason", |screen| {
        screen
            .text()
            .iter()
            .any(|line| line.starts_with("  waiting: rows of 1 chunk from the server"))
    });
    for columns in [60, 120, 40, 80] {
        running.resize(columns);
        // The bar is as long as the terminal allows.
        let bar = (columns - 1).min(79);
        running.wait_for("a bar of the new width", |screen| {
            let (_, own) = parts(screen);
            let fits = own.iter().all(|line| line.chars().count() < columns);
            fits && own
                .iter()
                .any(|line| line.starts_with('[') && line.chars().count() >= bar.min(60))
        });
    }
    proxy.pass();
    let bytes = running.wait();
    orders.assert_complete();
    let (screens, last) = (screens(&bytes, 80), Screen::after(&bytes, 80, ROWS));
    assert_untorn(&screens, &last);
    assert!(parts(&last).1.is_empty(), "it is taken away at the end\n{}", last.text().join("\n"));
    let titles = last.titles();
    assert!(
        titles.iter().any(|title| title.ends_with(" % shipments 202506, waiting")),
        "{titles:?}"
    );
    assert_eq!(titles.last().map(String::as_str), Some(""), "the title is cleared in the end");
}

#[test]
fn why_a_run_is_held_back_is_on_the_screen() {
    let orders = Orders::start(1_000);
    let query = "SELECT 'the moon is full'";
    let running =
        InTerminal::start(&orders, 80, orders.server.url(), &["--throttle-query", query], &[]);
    running.wait_for("the reason, and the server", |screen| {
        let (_, own) = parts(screen);
        let server = own.iter().find(|line| line.starts_with("  server "));
        let is_known = server.is_some_and(|line| {
            line.contains(" merge") && line.contains("iB of ") && !line.contains('–')
        });
        is_known
            && own
                .iter()
                .any(|line| line.starts_with("  waiting: ") && line.contains("the moon is full"))
    });
}

#[test]
fn a_narrow_terminal_cuts_no_word_of_a_message() {
    const COLUMNS: usize = 60;
    let orders = Orders::start(1_000);
    let text_of = |arguments: &[&str]| {
        let running = InTerminal::start_command(&orders, COLUMNS, arguments, &[]);
        Screen::after(&running.wait_for_end().1, COLUMNS, 200).text()
    };
    let of_job = |command| [command, "--job", "job.toml", "--partition", "202506"];
    let calls: [&[&str]; 6] = [
        &[],
        &[&of_job("run")[..], &["--yes"]].concat(),
        &of_job("verify"),
        &of_job("status"),
        &["history"],
        &["run", "--job", "job.toml", "--partition", "202506", "--target-table", "nowhere"],
    ];
    for arguments in calls {
        let text = text_of(arguments);
        assert!(text.len() > 2, "{arguments:?} {text:#?}");
        // Commands are left whole, so that they can be copied.
        let is_command =
            |line: &String| line.contains("clickhouse-backfill ") || line.contains('`');
        let wide = text.iter().filter(|line| line.chars().count() > COLUMNS && !is_command(line));
        assert_eq!(wide.collect::<Vec<_>>(), [""; 0], "{arguments:?} {text:#?}");
    }
}

/// What a terminal got that was no text: the sequences, without their `ESC`.
fn sequences(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let is_end = |c: char| c.is_ascii_alphabetic() || c == '\u{7}';
    text.split('\u{1b}')
        .skip(1)
        .map(|rest| rest.split_inclusive(is_end).next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
#[ignore = "slow: about 14 s"]
fn colors_title_and_screen_can_be_refused() {
    let orders = Orders::start(1_000);
    let url = orders.server.url();
    let run = |arguments: &[&str], environment: &[(&str, &str)]| {
        InTerminal::start(&orders, 120, url, arguments, environment).wait()
    };
    let colors = |bytes: &[u8]| sequences(bytes).iter().any(|sequence| sequence.ends_with('m'));
    let moves = |bytes: &[u8]| {
        sequences(bytes)
            .iter()
            .any(|sequence| sequence.starts_with('[') && !sequence.ends_with('m'))
    };
    let titles = |bytes: &[u8]| sequences(bytes).iter().any(|sequence| sequence.starts_with(']'));

    for (what, bytes, expected) in [
        ("the usual", run(&["-v"], &[]), (true, true, true)),
        ("NO_COLOR", run(&["-v"], &[("NO_COLOR", "1")]), (false, true, true)),
        (
            "an empty NO_COLOR, which does not count",
            run(&["-v"], &[("NO_COLOR", "")]),
            (true, true, true),
        ),
        ("--no-progress", run(&["-v", "--no-progress"], &[]), (true, false, false)),
        ("both", run(&["-v", "--no-progress"], &[("NO_COLOR", "1")]), (false, false, false)),
        ("a dumb terminal", run(&["-v"], &[("TERM", "dumb")]), (false, false, false)),
        ("a terminal without a title", run(&["-v"], &[("TERM", "linux")]), (true, true, false)),
    ] {
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!((colors(&bytes), moves(&bytes), titles(&bytes)), expected, "{what}\n{text}");
        assert!(text.contains("DEBUG") && text.contains("completed: shipments"), "{what}\n{text}");
    }
    let quiet = run(&["-q"], &[]);
    assert_eq!(String::from_utf8_lossy(&quiet), "");
}

#[test]
fn a_person_is_asked_before_rows_are_written() {
    let orders = Orders::start(1_000);
    let url = orders.server.url();
    for (answer, code, rows) in [("n", 130, 0), ("", 130, 0), ("yes", 0, 980)] {
        let running = InTerminal::start_asking(&orders, 100, url, &[], &[]);
        running.wait_for_words(".shipments? [y/N] ");
        assert_eq!(orders.target_rows(), 0, "{answer:?}");
        running.answer(answer);
        let (status, bytes) = running.wait_for_end();
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(status.code(), Some(code), "{answer:?}\n{text}");
        assert_eq!(text.contains("nothing was written"), code != 0, "{text}");
        assert_eq!(orders.target_rows(), rows, "{answer:?}\n{text}");
    }
    // A declined run has given its claim back, and a run without a terminal asks no question.
    let output = orders.tool().run().expect(0);
    assert!(!output.stderr.contains("[y/N]"), "{output}");
}

#[test]
fn a_person_is_asked_for_the_tables_of_a_draft() {
    let orders = Orders::start(10);
    let command = ["init", "--output", "drafted.toml"];
    let running = InTerminal::start_command(&orders, 100, &command, &[]);
    running.wait_for_words("source table: ");
    running.answer("order");
    running.wait_for_words("does not exist; did you mean orders?");
    running.answer("orders");
    running.wait_for_words("lookup table (empty for none): ");
    running.answer("");
    running.wait_for_words("target table: ");
    running.answer("shipments");
    let text = String::from_utf8_lossy(&running.wait()).into_owned();
    assert!(text.contains("wrote drafted.toml: "), "{text}");
}
