//! Evaluating the expressions over a few rows, without an insert.

use super::input_structure;
use crate::clickhouse::{Settings, quote_identifier, quote_literal_bytes};
use crate::job::BoundJob;

/// Selects the finished values of these RowBinary rows, converted to the target's types and under
/// its names.
///
/// The rows are part of the statement, as the literal that the
/// [format](https://clickhouse.com/docs/sql-reference/table-functions/format) table function reads.
pub fn sample(job: &BoundJob, rows: &[u8]) -> String {
    let values = job.columns.iter().map(|column| {
        format!(
            "CAST({}\n AS {}) AS {}",
            column.expression,
            column.type_name,
            quote_identifier(&column.name)
        )
    });
    let rows = quote_literal_bytes(rows);
    format!(
        "SELECT {}\nFROM format(RowBinary, {}, {rows})",
        values.collect::<Vec<_>>().join("\n, "),
        input_structure(job)
    )
}

/// The settings of the sample, for a statement of so many bytes.
pub fn sample_settings(job: &BoundJob, statement_bytes: usize) -> Settings {
    let limit = statement_bytes.saturating_add(1024).to_string();
    Settings::common().with_all(&job.settings.insert.0).with("max_query_size", &limit)
}
