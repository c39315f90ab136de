//! The report as Markdown, for tickets and chats.

use std::fmt::Write;
use std::time::Duration;

use super::figures::{ChunkFigures, RunReport, setting_text, time_or_unknown as time};
use crate::ledger::ChunkStatus;
use crate::progress::{bytes, count, duration, row_rate};

/// Most chunks that are listed.
const MAX_LISTED: usize = 20;

/// The report as Markdown. The timeline is only in the page and in the JSON.
pub(crate) fn markdown(report: &RunReport) -> String {
    let load = &report.load;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# {}, partition {}\n", plain(&load.job), plain(&load.partition));
    let _ = writeln!(text, "**{}**", plain(&report.verdict.text));
    if !report.verdict.next.is_empty() {
        let _ = writeln!(text, "{}", report.verdict.next);
    }
    if !load.error.is_empty() {
        let _ = writeln!(text, "\n> {}", plain(&load.error));
    }
    text.push('\n');
    overview(&mut text, report);
    chunks(&mut text, report);
    verifications(&mut text, report);
    text.push_str("\n## Mapping\n\n");
    let columns = report.mapping.iter().map(|column| {
        vec![plain(&column.column), code(&column.type_name), code(&column.expression)]
    });
    table(&mut text, &["column", "type", "expression"], columns);
    for process in &report.processes {
        let _ = writeln!(text, "\n## Settings of {}\n", plain(&process.worker));
        table(
            &mut text,
            &["setting", "value"],
            process
                .settings
                .iter()
                .map(|(name, value)| vec![plain(name), plain(&setting_text(value))]),
        );
    }
    text
}

fn overview(text: &mut String, report: &RunReport) {
    let load = &report.load;
    let took = duration(Duration::try_from_secs_f64(load.seconds).unwrap_or_default());
    let mut figures = vec![
        ("run", code(&load.run_id)),
        ("source, target", format!("{} → {}", code(&load.source), code(&load.target))),
        ("from, to", format!("{}, {}", time(load.started_at), time(load.ended_at))),
        ("rows inserted", count(load.rows_inserted)),
        ("time after planning", took),
        ("throughput", row_rate(load.rows_per_second)),
        (
            "chunks",
            format!(
                "{} of {} completed, {} failed",
                count(load.chunks_completed),
                count(load.chunks),
                count(load.chunks_failed)
            ),
        ),
        (
            "matched, late, unmatched",
            format!(
                "{}, {}, {}",
                count(load.matched),
                count(load.matched_late),
                count(load.unmatched)
            ),
        ),
        ("inserted", format!("{} in {} batches", bytes(load.bytes_inserted), count(load.batches))),
        ("retries", count(load.retries)),
        ("ClickHouse", plain(&load.server_version)),
    ];
    if let Some(expected) = load.rows_expected {
        figures.insert(4, ("rows of the source", count(expected)));
    }
    if let Some(publication) = &load.publication {
        figures.push(("published", plain(&publication.words())));
    }
    table(text, &["", ""], figures.into_iter().map(|(name, value)| vec![name.to_owned(), value]));
}

fn chunks(text: &mut String, report: &RunReport) {
    let mut concerned: Vec<_> = report
        .chunks
        .iter()
        .filter(|chunk| chunk.retries > 0 || chunk.status == ChunkStatus::Failed)
        .collect();
    concerned.sort_by_key(|chunk| {
        (chunk.status != ChunkStatus::Failed, std::cmp::Reverse(chunk.retries))
    });
    if concerned.is_empty() {
        return;
    }
    text.push_str("\n## Chunks that failed or were read again\n\n");
    let row = |chunk: &&ChunkFigures| {
        let status = if chunk.status == ChunkStatus::Failed { "failed" } else { "completed" };
        vec![
            chunk.chunk.to_string(),
            status.to_owned(),
            chunk.retries.to_string(),
            plain(&chunk.error),
            code(&chunk.range),
        ]
    };
    table(
        text,
        &["chunk", "status", "retries", "reason", "range"],
        concerned.iter().take(MAX_LISTED).map(row),
    );
    let all = concerned.len();
    if all > MAX_LISTED {
        let _ = writeln!(text, "\nand {} more", all - MAX_LISTED);
    }
}

fn verifications(text: &mut String, report: &RunReport) {
    text.push_str("\n## Verification\n\n");
    if report.verifications.is_empty() {
        text.push_str("Not verified yet.\n");
        return;
    }
    let rows = report.verifications.iter().map(|found| {
        let compared =
            if found.sample.is_empty() { "every row".to_owned() } else { plain(&found.sample) };
        let result = if found.equal { "equal" } else { "different" }.to_owned();
        vec![
            time(found.verified_at),
            result,
            compared,
            count(found.expected_rows),
            count(found.target_rows),
            count(found.differences),
        ]
    });
    table(
        text,
        &["when", "result", "compared", "expected rows", "target rows", "differing rows"],
        rows,
    );
}

fn table(text: &mut String, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let _ = writeln!(text, "| {} |\n|{}", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
}

/// Text with all Markdown and HTML characters escaped.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        match c {
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '&' => plain.push_str("&amp;"),
            '\\' | '|' | '*' | '`' | '_' | '[' | ']' | '#' | '~' => plain.extend(['\\', c]),
            c if c.is_control() => plain.push('\u{fffd}'),
            c => plain.push(c),
        }
    }
    plain
}

/// A code span, delimited by more backticks than the text has in a row.
fn code(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    if text.is_empty() {
        return text;
    }
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    let blank = if longest > 0 { " " } else { "" };
    format!("{fence}{blank}{text}{blank}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        assert_eq!(plain("a|b <script>\n*x*"), "a\\|b &lt;script&gt; \\*x\\*");
        assert_eq!([code("a `b` | c"), code("x"), code("")], ["`` a `b` \\| c ``", "`x`", ""]);
    }
}
