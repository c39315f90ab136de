//! What a person sees on a terminal: bars for both phases, log lines above them, the summary below.
// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[expect(clippy::module_inception, reason = "the screen of these tests")]
mod screen;

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::orders::{JOB, Orders, PARTITION};
use crate::support::{Direction, Proxy, process};
use screen::Screen;

const ROWS: usize = 50;
const SOON: Duration = Duration::from_secs(30);

/// A run in a terminal.
struct InTerminal {
    child: Child,
    reader: Option<std::thread::JoinHandle<Vec<u8>>>,
    // Removed with this.
    _folder: tempfile::TempDir,
}

impl InTerminal {
    fn start(orders: &Orders, columns: usize, url: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("job.toml"), JOB).unwrap();
        let mut command = Command::new("python3");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/screen/in_terminal.py"));
        command.args([columns.to_string(), ROWS.to_string(), env!("CARGO_BIN_EXE_clickhouse-backfill").to_owned()]);
        command.args(["run", "--job", "job.toml", "--partition", PARTITION, "--batch-size", "2000"]).args(arguments);
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("TERM", "xterm-256color").env("RESTART", "true");
        command.envs(orders.server.environment()).env("CLICKHOUSE_URL", url).envs(environment.iter().copied());
        let mut child = command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("python3 can be run");
        let mut output = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            output.read_to_end(&mut bytes).unwrap();
            bytes
        });
        Self { child, reader: Some(reader), _folder: folder }
    }

    /// Waits for the end; gives all bytes that the terminal got.
    fn wait(mut self) -> Vec<u8> {
        let ended = process::wait_until(SOON, || self.child.try_wait().unwrap().is_some());
        assert!(ended, "the run did not end");
        let status = self.child.wait().unwrap();
        let bytes = self.reader.take().unwrap().join().unwrap();
        assert!(status.success(), "{status}\n{}", String::from_utf8_lossy(&bytes));
        bytes
    }
}

impl Drop for InTerminal {
    fn drop(&mut self) {
        // Ends the run as well, where a test has failed before.
        process::signal(self.child.id(), "TERM");
        let _ = self.child.wait();
    }
}

/// Replaces what differs from run to run: the run's id becomes `ID`, every number `N`.
fn normalized(line: &str) -> String {
    let mut text = String::new();
    for word in line.split_inclusive(' ') {
        let is_id = word.trim_end().len() == 16 && word.trim_end().chars().all(|c| c.is_ascii_hexdigit());
        let mut rest = if is_id {
            text.push_str("ID");
            &word[16..]
        } else {
            word
        };
        while let Some(c) = rest.chars().next() {
            let number = rest.find(|c: char| !matches!(c, '0'..='9' | ',' | '.')).unwrap_or(rest.len());
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

/// The screens that a person saw: before each redraw, and the last one.
fn screens(bytes: &[u8], columns: usize) -> Vec<Screen> {
    let redraws = (0..bytes.len())
        .filter(|&at| [b"\x1b[1A".as_slice(), b"\x1b[2A", b"\x1b[3A", b"\x1b[4A"].iter().any(|up| bytes[at..].starts_with(up)));
    // What is erased is first gone to, so only the first of several movements begins a redraw.
    let begins = redraws.filter(|&at| !bytes[..at].ends_with(b"\x1b[2K"));
    begins.chain([bytes.len()]).map(|end| Screen::after(&bytes[..end], columns, ROWS)).collect()
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
  job         shipments (job.toml)
  source      default.orders, partition N: N stored rows in N parts, N MiB, N chunk
  lookup      default.customers by id
  target      default.shipments (ReplacingMergeTree), N columns
  batches     N rows or N MiB as native blocks; up to N readers, up to N inserters, N retries
  memory      at most N GiB, of which N GiB for attributes
  ledger      load_state, load_state_chunks and load_claims in the database default
  dry run     no
LOG LINES
attributes N rows, N KiB, at most N KiB in the map
    events N rows inserted
done: shipments into default.shipments
  partition                N
  chunks                   N of N now, N before, N failed
  attributes loaded        N of N rows
  orders processed         N
  shipments inserted       N
  matched, late, unmatched N, N, N
  inserted twice           N (they collapse in the target)
  batches, retries, errors N, N, N
  read, written            N MiB, N MiB
  time                     N s (plan N s, attributes N s, streaming N s)
  throughput               N krows/s, in the end with N readers and N inserters
  peak memory              N MiB of N GiB, N wave";

#[test]
fn bars_and_log_lines_share_the_screen() {
    let orders = Orders::start(20_000);
    let proxy = Proxy::start(orders.server.port());
    let mut last = Vec::new();
    // In the narrow one, the second bar takes several rows.
    for columns in [120, 60] {
        // Each phase breaks off once, which makes a log line and a pause in which the bars are drawn.
        let fired = proxy.fired();
        proxy.after_request_with(b"-lookup-").reset_at(Direction::ToClient, 200_000, 1);
        let running = InTerminal::start(&orders, columns, &proxy.url(), &[], &[]);
        assert!(process::wait_until(SOON, || proxy.fired() == fired + 1));
        proxy.after_request_with(b"-source-").reset_at(Direction::ToClient, 5_000_000, 1);
        assert!(process::wait_until(SOON, || proxy.fired() == fired + 2));
        let bytes = running.wait();
        orders.assert_complete();

        let screens = screens(&bytes, columns);
        let (mut loading, mut streaming) = (false, false);
        for screen in &screens {
            let text = screen.text();
            let shown = screen.rows().join("\n");
            for line in text.iter().filter(|line| line.contains("WARN")) {
                assert!(LOG_LINES.contains(&normalized(line).as_str()), "a torn log line\n{shown}");
            }
            for bar in ["attributes ", "    events "] {
                assert!(screen.rows().iter().filter(|row| row.starts_with(bar)).count() <= 1, "two bars of one kind\n{shown}");
            }
            // Bars fill their rows, so that a terminal takes both for one line.
            let parts = |parts: &[&str]| text.iter().any(|line| parts.iter().all(|part| line.contains(part)));
            loading |= parts(&["attributes ", " rows, ", " in the map", "    events ", " waiting for the attributes"]);
            streaming |= parts(&["attributes 480 rows, ", "    events [", "=>", " % ", " rows, ", " in flight, 2 retries, "]);
        }
        assert!(loading && streaming, "bars of both phases, in {} screens, {loading}, {streaming}", screens.len());
        last.push(screens.last().unwrap().text().iter().map(|line| normalized(line)).collect::<Vec<_>>().join("\n"));
    }
    for last in last {
        assert_eq!(last, LAST_SCREEN.replace("LOG LINES", &LOG_LINES.join("\n")));
    }
}

/// What a terminal got that was no text: the sequences, without their `ESC [`.
fn sequences(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    text.split("\u{1b}[")
        .skip(1)
        .map(|rest| rest.split_inclusive(|c: char| c.is_ascii_alphabetic()).next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn colors_and_bars_can_be_refused() {
    let orders = Orders::start(1_000);
    let url = orders.server.url();
    let run = |arguments: &[&str], environment: &[(&str, &str)]| InTerminal::start(&orders, 120, url, arguments, environment).wait();
    let colors = |bytes: &[u8]| sequences(bytes).iter().any(|sequence| sequence.ends_with('m'));
    let moves = |bytes: &[u8]| sequences(bytes).iter().any(|sequence| !sequence.ends_with('m'));

    let usual = run(&["-v"], &[]);
    assert!(colors(&usual) && moves(&usual), "{}", String::from_utf8_lossy(&usual));
    for (what, bytes, has_colors, has_moves) in [
        ("NO_COLOR", run(&["-v"], &[("NO_COLOR", "1")]), false, true),
        ("an empty NO_COLOR, which does not count", run(&["-v"], &[("NO_COLOR", "")]), true, true),
        ("--no-progress", run(&["-v", "--no-progress"], &[]), true, false),
        ("both", run(&["-v", "--no-progress"], &[("NO_COLOR", "1")]), false, false),
        ("a dumb terminal", run(&["-v"], &[("TERM", "dumb")]), false, false),
    ] {
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!((colors(&bytes), moves(&bytes)), (has_colors, has_moves), "{what}\n{text}");
        assert!(text.contains("DEBUG") && text.contains("done: shipments"), "{what}\n{text}");
    }
    let quiet = run(&["-q"], &[]);
    assert_eq!(String::from_utf8_lossy(&quiet), "");
}
