//! The insert: the expressions over `input()`, whose columns are named as the expressions name
//! them.

use super::{input_structure, select_list, target_columns};
use crate::clickhouse::{Settings, structure};
use crate::formats::native::INSERT_SETTINGS;
use crate::job::BoundJob;

/// Inserts a batch that is sent as a Native block, or as RowBinary.
pub fn insert(job: &BoundJob, native: bool) -> String {
    into(job, &format!("INSERT INTO {}", job.target.name.quoted()), native)
}

/// The same into a table that keeps nothing: every row is parsed, every expression evaluated and
/// converted to the target's type. Materialized columns, constraints and views of the target are
/// not exercised.
pub fn dry_run(job: &BoundJob, native: bool) -> String {
    let columns = structure(
        job.columns.iter().map(|column| (column.name.as_str(), column.type_name.as_str())),
    );
    into(job, &format!("INSERT INTO FUNCTION null({columns})"), native)
}

fn into(job: &BoundJob, insert: &str, native: bool) -> String {
    let format = if native { "Native" } else { "RowBinary" };
    format!(
        "{insert} {}\nSELECT {}\nFROM input({})\nFORMAT {format}",
        target_columns(job),
        select_list(job),
        input_structure(job)
    )
}

/// The settings of the insert.
pub fn insert_settings(job: &BoundJob, batch_rows: u64, native: bool) -> Settings {
    let settings = Settings::insert(batch_rows)
        .with_all(job.recognition.iter())
        .with_all(&job.settings.insert.0);
    if native { settings.with_all(INSERT_SETTINGS) } else { settings }
}
