//! The finished rows: what the equivalent join gives, converted to the target's types and under the
//! target's names.

use super::{Scope, join::join_of};
use crate::clickhouse::quote_identifier;
use crate::job::BoundJob;

/// One row for each row that the backfill writes, with the values as the target keeps them.
///
/// The values get names inside that no expression can mean, since a column named `source` would
/// hide the table of that name.
pub fn finished(job: &BoundJob, scope: &Scope) -> String {
    let values: Vec<_> = job
        .columns
        .iter()
        .enumerate()
        .map(|(number, column)| {
            format!("CAST({}\n AS {}) AS `value {number}`", column.expression, column.type_name)
        })
        .collect();
    let names: Vec<_> = job
        .columns
        .iter()
        .enumerate()
        .map(|(number, column)| format!("`value {number}` AS {}", quote_identifier(&column.name)))
        .collect();
    format!("SELECT {}\nFROM (\n{}\n)", names.join(", "), join_of(job, scope, &values.join("\n, ")))
}
