//! What several commands print: data on stdout, wrapped text, the rows of `run --show-rows`, log lines, and
//! files for programs.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::cli::args::{LogFormat, OutputArguments};
use crate::cli::failure::Failure;
use crate::clickhouse::Connection;
use crate::escape::{escape, escape_value};
use crate::files;
use crate::job::{BoundJob, statements};
use crate::metrics::otlp;
use crate::progress::Terminal;

/// An indented JSON document.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    // The structures that are printed always serialize.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

/// Prints text or JSON to stdout. Control characters are escaped: the text may contain a server's
/// messages.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_raw(&escape(text))
}

/// Prints a document to stdout: as it is to a file or a pipe, with control characters escaped to a
/// terminal.
pub(crate) fn print_document(text: &str) -> Result<(), Failure> {
    if io::stdout().is_terminal() { print(text) } else { print_raw(text) }
}

/// Prints to stdout. A closed pipe (`| head`) is not a failure.
pub(crate) fn print_raw(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::stopped(&error)),
        _ => Ok(()),
    }
}

/// The width of text on stdout that is no terminal; words longer than a line are not cut.
const WIDTH: usize = 100;

/// The width of text on stdout: that of the terminal, if it is one.
pub(crate) fn width() -> usize {
    let stdout = io::stdout();
    let size = if stdout.is_terminal() { terminal_size::terminal_size_of(stdout) } else { None };
    size.map_or(WIDTH, |(columns, _)| usize::from(columns.0).clamp(60, 160))
}

/// Wraps a text: the first line follows `head`, the others are indented by its length.
pub(crate) fn wrapped(head: &str, text: &str) -> String {
    wrapped_to(width(), head, text)
}

fn wrapped_to(width: usize, head: &str, text: &str) -> String {
    let indentation = head.chars().count();
    let room = width.saturating_sub(indentation).max(20);
    let mut lines: Vec<String> = Vec::new();
    let mut length = 0;
    for word in text.split_whitespace().flat_map(|word| pieces(word, room)) {
        let (word, joined) = (word.text, word.joined);
        let letters = word.chars().count();
        match lines.last_mut() {
            Some(line) if length + usize::from(!joined) + letters <= room => {
                if !joined {
                    line.push(' ');
                    length += 1;
                }
                line.push_str(word);
                length += letters;
            }
            _ => {
                lines.push(word.to_owned());
                length = letters;
            }
        }
    }
    format!("{head}{}\n", lines.join(&format!("\n{}", " ".repeat(indentation))))
}

/// A word, or a piece of one.
struct Piece<'a> {
    text: &'a str,
    /// Whether no blank is between it and the piece before.
    joined: bool,
}

/// The pieces of a word: one that is longer than the room is divided after its brackets and commas.
fn pieces(word: &str, room: usize) -> Vec<Piece<'_>> {
    if word.chars().count() <= room {
        return vec![Piece { text: word, joined: false }];
    }
    let parts = word.split_inclusive(['(', ',']);
    parts.enumerate().map(|(position, text)| Piece { text, joined: position > 0 }).collect()
}

/// Shortens a text to a number of characters.
pub(crate) fn cut(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        text.to_owned()
    } else {
        text.chars().take(letters.saturating_sub(1)).chain(['…']).collect()
    }
}

/// The same, behind a whole word where one is near.
pub(crate) fn cut_at_word(text: &str, letters: usize) -> String {
    let short = cut(text, letters);
    match short.strip_suffix('…').and_then(|words| words.rsplit_once(' ')) {
        Some((words, rest)) if rest.chars().count() * 4 < letters => format!("{words} …"),
        _ => short,
    }
}

/// The width of the terminal that stdout is; unlimited if it is none.
pub(crate) fn terminal_width() -> usize {
    if io::stdout().is_terminal() { width() } else { usize::MAX }
}

/// Wraps the lines of a block, `  name        value`, whose values start at `indentation`.
pub(crate) fn wrap_block(text: &str, indentation: usize, width: usize) -> String {
    let wrap = |line: &str| match line.char_indices().nth(indentation) {
        Some((at, _)) if line.chars().count() > width => {
            let (head, value) = line.split_at(at);
            wrapped_to(width, head, value)
        }
        _ => format!("{line}\n"),
    };
    text.lines().map(wrap).collect()
}

/// Longer values are cut and shown with their length.
const SHOWN_CHARACTERS: usize = 200;

/// Lets the server evaluate the rows, which are in RowBinary as an insert would send them, and
/// prints them.
pub(crate) async fn print_sample(
    terminal: &Terminal,
    connection: &Connection,
    job: &BoundJob,
    rows: &[u8],
) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = statements::evaluate_rows(job, rows);
    let settings = statements::evaluate_rows_settings(job, sql.len());
    let answer = connection
        .fetch("sample", &sql, "JSONCompactStringsEachRow", &settings)
        .await
        .map_err(|error| Failure::stopped(&error))?;
    let mut text = String::new();
    let width =
        job.columns.iter().map(|column| column.name.chars().count()).max().unwrap_or_default();
    // Values may have bytes that are not UTF-8; the server copies them into its answer.
    let answer = String::from_utf8_lossy(&answer);
    for (number, row) in
        serde_json::Deserializer::from_str(&answer).into_iter::<Vec<Value>>().enumerate()
    {
        let row = row.map_err(|error| Failure::stopped(&error))?;
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "── {} {} of {} ──", job.target.name.table, number + 1, job.target.name);
        for (column, value) in job.columns.iter().zip(&row) {
            let _ = writeln!(
                text,
                "{:<width$}  {}",
                column.name,
                shown(value.as_str().unwrap_or_default())
            );
        }
    }
    terminal.suspended(|| print(&text))
}

/// The beginning of a value, in one line.
fn shown(value: &str) -> String {
    let text = escape_value(&value.chars().take(SHOWN_CHARACTERS).collect::<String>());
    if value.chars().nth(SHOWN_CHARACTERS).is_some() {
        format!("{text}… ({} bytes)", value.len())
    } else {
        text
    }
}

/// Checks early whether the summary can be written: a run may take hours.
pub(crate) fn check_summary_file(path: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    files::check_replaceable(path).map_err(|error| summary_failure(path, &error))
}

/// Writes a summary as JSON, atomically.
pub(crate) fn write_summary(
    path: Option<&Path>,
    summary: &impl serde::Serialize,
) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let mut text =
        serde_json::to_string_pretty(summary).map_err(|error| summary_failure(path, &error))?;
    text.push('\n');
    files::replace(path, escape(&text).as_bytes()).map_err(|error| summary_failure(path, &error))
}

/// Writes the text of `what`, atomically. Control characters are escaped, as on stdout.
pub(crate) fn write_text_file(path: &Path, text: &str, what: &str) -> Result<(), Failure> {
    files::replace(path, escape(text).as_bytes()).map_err(|error| {
        Failure::usage(format!("cannot write {what} to {}: {error}", path.display()))
            .hint("set --out to a file in an existing directory that this user can write to")
    })
}

fn summary_failure(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let message = format!("cannot write the summary to {}: {error}", path.display());
    Failure::usage(message)
        .hint("set --summary-json to a file in an existing directory that this user can write to")
}

/// Starts logging for the whole process.
pub(crate) fn start_logging(
    arguments: &OutputArguments,
    terminal: &Terminal,
    observed: bool,
) -> Result<(), Failure> {
    let level = match (arguments.quiet, arguments.verbose) {
        (true, _) => "error",
        (_, 0) => "info",
        (_, 1) => "debug",
        _ => "trace",
    };
    let to_terminal = layer(arguments.log_format, terminal.clone(), terminal.has_color())
        .with_filter(filter(level, arguments.verbose));
    let to_file = match &arguments.log_file {
        Some(path) => {
            let file = files::open_for_append(path).map_err(|error| {
                let message = format!("cannot open the log file {}: {error}", path.display());
                Failure::usage(message).hint(
                    "set --log-file to a file in an existing directory that this user can write to",
                )
            })?;
            Some(
                layer(arguments.log_format, LogFile(file.into()), false)
                    .with_filter(filter("debug", arguments.verbose)),
            )
        }
        None => None,
    };
    let logs = to_file.into_iter().chain([to_terminal]);
    let mut layers: Vec<_> = logs.map(Layer::boxed).collect();
    if observed {
        let (spans, notes) = otlp::start();
        layers.extend(spans);
        for note in notes {
            terminal.say(&note);
        }
    }
    let started = tracing_subscriber::registry().with(layers).try_init();
    started.map_err(|error| Failure::stopped(&error))
}

/// The file of `--log-file`. Control characters are escaped: whoever looks at it may use a terminal.
#[derive(Clone)]
struct LogFile(Arc<File>);

impl Write for LogFile {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        // An event comes in one call.
        let text = String::from_utf8_lossy(event);
        (&*self.0).write_all(escape(&text).as_bytes()).map(|()| event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.0).flush()
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// This program's events at `level`; those of libraries only as warnings, or with `-vv` at debug.
/// Spans are not for logs.
fn filter(level: &str, verbose: u8) -> impl Filter<Registry> + Send + Sync + 'static {
    let libraries = if verbose > 1 { "debug" } else { "warn" };
    // The client's events repeat messages of servers and proxies, which may contain a password.
    EnvFilter::new(format!("{libraries},clickhouse=warn,clickhouse_backfill={level}"))
        .and(filter_fn(|metadata| !metadata.is_span()))
}

fn layer<W>(format: LogFormat, writer: W, color: bool) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    match format {
        LogFormat::Text => {
            fmt::layer().with_writer(writer).with_ansi(color).with_target(false).boxed()
        }
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_before_the_width() {
        let text = wrapped("  name  ", &"word ".repeat(40));
        assert!(
            text.lines().count() == 3 && text.lines().all(|line| line.len() <= WIDTH),
            "{text}"
        );
        assert!(text.lines().skip(1).all(|line| line.starts_with("        word")), "{text}");
        assert_eq!(wrapped("  a ", &"x".repeat(200)).lines().count(), 1, "a name is never cut");
        let call = wrapped("  a ", &format!("{}(f(x),{})", "b".repeat(60), "c".repeat(60)));
        assert_eq!(call, format!("  a {}(f(x),\n    {})\n", "b".repeat(60), "c".repeat(60)));
        assert_eq!([cut("äbc", 3), cut("äbcd", 3)], ["äbc", "äb…"]);
        assert_eq!(cut_at_word("one two three four", 16), "one two three …");
        assert_eq!(cut_at_word("one-two-three-four", 9), "one-two-…");
        assert_eq!(wrap_block("  a   b c\n", 6, WIDTH), "  a   b c\n");
        assert_eq!(
            wrap_block(&format!("  a   {0} {0}\n", "b".repeat(60)), 6, WIDTH),
            format!("  a   {0}\n      {0}\n", "b".repeat(60))
        );
    }

    #[test]
    fn values_are_one_line_without_control_characters() {
        assert_eq!(shown("a\n\u{1b}[31mä"), "a\\n\\u001b[31mä");
        assert!(shown(&"x".repeat(1000)).ends_with("… (1000 bytes)"));
    }
}
