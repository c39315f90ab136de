//! `run --sample N`: finished rows as names and values.

use std::fmt::Write;

use serde_json::Value;

use crate::cli::failure::Failure;
use crate::cli::output::print;
use crate::clickhouse::Connection;
use crate::escape::escape_value;
use crate::job::BoundJob;
use crate::job::statements;
use crate::progress::Terminal;

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

#[cfg(test)]
mod tests {
    #[test]
    fn values_are_one_line_without_control_characters() {
        assert_eq!(super::shown("a\n\u{1b}[31mä"), "a\\n\\u001b[31mä");
        assert!(super::shown(&"x".repeat(1000)).ends_with("… (1000 bytes)"));
    }
}
