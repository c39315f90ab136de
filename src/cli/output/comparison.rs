//! The result of a comparison as text.

use std::fmt::Write;

use crate::escape::escape_value;
use crate::progress::{count, counted, duration};
use crate::verify::{DifferingRow, DifferingValue, Kind, Report, ShownValue};

/// The comparison as text.
pub(crate) fn text(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<36}{value}");
    };
    line("target", &report.target);
    line(
        "source",
        &format!("{}, partition {}, by {}", report.source, report.partition, report.job),
    );
    if let Some(run_id) = &report.run_id {
        line("chunks", &format!("{}, those of run {run_id}", count(report.chunks)));
    }
    if let Some(sample) = &report.sample {
        line("sample", &format!("{sample} of the keys"));
    }
    line("expected rows", &count(report.expected_rows));
    line("target rows", &count(report.target_rows));
    for (kind, rows) in &report.live {
        line(words(*kind), &format!("{} (no difference)", count(*rows)));
    }
    for (kind, rows) in &report.tolerated {
        line(words(*kind), &format!("{} (not compared)", count(*rows)));
    }
    line("differing rows", &count(report.difference_count()));
    for (kind, rows) in &report.differences {
        line(&format!("  {}", words(*kind)), &count(*rows));
    }
    if report.not_examined_rows > 0 {
        line(
            "not examined",
            &format!("up to {} in groups that differ", counted(report.not_examined_rows, "row")),
        );
    }
    if !report.columns.is_empty() {
        let names: Vec<_> = report.columns.iter().map(|column| column.name.as_str()).collect();
        line("columns with other sums", &names.join(", "));
    }
    text.push_str(&rows(report));
    let verdict = match (report.equal, &report.sample) {
        (true, None) => "equal: the target has the rows that the job makes",
        (true, Some(_)) => "equal within the sample",
        (false, _) => "different",
    };
    let took = duration(std::time::Duration::from_secs_f64(report.seconds));
    let _ = writeln!(text, "\n{verdict} ({took})");
    text
}

/// The rows that are named.
fn rows(report: &Report) -> String {
    if report.rows.is_empty() {
        return String::new();
    }
    let mut text = "\n".to_owned();
    let widths = report.rows.iter().map(|row| words(row.kind).chars().count());
    let width = widths.max().unwrap_or_default();
    for row in &report.rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<width$}  {}", words(row.kind), named(row));
        text.extend(row.values.iter().map(both));
    }
    let other = report.live.values().chain(report.tolerated.values());
    let all = report.difference_count() + other.sum::<u64>();
    if all > report.rows.len() as u64 {
        let more = count(all - report.rows.len() as u64);
        let _ = writeln!(text, "… and {more} more; raise --max-differences to see them");
    }
    text
}

/// The key, and the columns that differ.
fn named(row: &DifferingRow) -> String {
    let key: Vec<_> =
        row.key.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
    let columns = if row.columns.is_empty() {
        String::new()
    } else {
        format!("  in {}", row.columns.join(", "))
    };
    let chunk = row.chunk.map_or_else(String::new, |chunk| format!("  (chunk {chunk})"));
    format!("{}{columns}{chunk}", key.join(" "))
}

/// The values of a column on both sides.
fn both(value: &DifferingValue) -> String {
    let DifferingValue { column, expected, found, first_differing_byte } = value;
    let place = first_differing_byte
        .map_or_else(String::new, |byte| format!("; first difference at byte {}", count(byte)));
    format!(
        "    {column}\n      target    {}\n      expected  {}{place}\n",
        excerpt(found),
        excerpt(expected)
    )
}

fn excerpt(value: &ShownValue) -> String {
    let ShownValue { text: Some(text), from_byte, to_byte, bytes } = value else {
        return "NULL".to_owned();
    };
    let (before, from) = if *from_byte > 1 {
        ("…", format!(", from byte {}", count(*from_byte)))
    } else {
        ("", String::new())
    };
    let behind = if to_byte < bytes { "…" } else { "" };
    format!("'{before}{}{behind}' ({}{from})", escape_value(text), counted(*bytes, "byte"))
}

/// The beginning of a value, in one line.
fn shown(value: &str) -> String {
    let text = escape_value(&value.chars().take(100).collect::<String>());
    let quoted = value.is_empty() || value.contains([' ', '=', '\'']);
    if quoted { format!("'{text}'") } else { text }
}

/// The name of a kind of difference.
pub(crate) fn words(kind: Kind) -> &'static str {
    match kind {
        Kind::Missing => "missing in the target",
        Kind::Differing => "differs",
        Kind::Stale => "stale: the source is newer",
        Kind::Repeated => "repeated in the target",
        Kind::DeletedInSource => "deleted in the source, live in the target",
        Kind::NotMadeAnyMore => "no longer made by the job",
        Kind::Extra => "extra in the target",
        Kind::WrittenSince => "written since by a live writer",
        Kind::DeletedSince => "deleted since by a live writer",
        Kind::AddedSince => "added since by a live writer",
        Kind::SharedKey => "also made by another partition",
        Kind::Unattributed => "of an unknown source partition",
    }
}
