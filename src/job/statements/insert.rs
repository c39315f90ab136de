//! The insert: the expressions over `input()`, whose columns are named as the expressions name them.

use super::{input_structure, select_list, target_columns};
use crate::clickhouse::{Settings, structure};
use crate::job::BoundJob;

/// Inserts a batch that is sent as RowBinary.
pub fn insert(job: &BoundJob) -> String {
    into(job, &format!("INSERT INTO {}", job.target.name.quoted()))
}

/// The same into a table that keeps nothing: every row is parsed, every expression evaluated and converted to the target's type.
/// Materialized columns, constraints and views of the target are not exercised.
pub fn dry_run(job: &BoundJob) -> String {
    let columns = structure(job.columns.iter().map(|column| (column.name.as_str(), column.type_name.as_str())));
    into(job, &format!("INSERT INTO FUNCTION null({columns})"))
}

fn into(job: &BoundJob, insert: &str) -> String {
    format!("{insert} {}\nSELECT {}\nFROM input({})\nFORMAT RowBinary", target_columns(job), select_list(job), input_structure(job))
}

/// The settings of the insert.
pub fn insert_settings(job: &BoundJob, batch_rows: u64) -> Settings {
    Settings::insert(batch_rows).with_all(&job.settings.insert.0)
}
