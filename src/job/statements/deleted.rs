//! Deleted versions of source rows, which `FINAL` hides: those that came while a load was on.

use super::source::list;
use crate::clickhouse::{Settings, quote_identifier, quote_literal};
use crate::job::BoundJob;

/// SQL for the greatest block number of the part that a row lies in. A part is named
/// `<partition id>_<least block>_<greatest block>_<level>`, and a partition's id has no `_`.
pub const NEWEST_BLOCK_OF_PART: &str = "toUInt64OrZero(splitByChar('_', _part)[3])";

/// The rows of the partition whose newest version is a deletion that lies in a part with a block
/// after this one, in the form of the source query. `None` where the source has no deleted flag, or
/// no sorting key that tells rows apart.
///
/// A deletion that ties with a live version is none where the server does not take it for one.
pub fn deleted_after(job: &BoundJob, partition_id: &str, block: u64) -> Option<String> {
    let deleted = format!("source.{}", quote_identifier(job.source_deleted.as_ref()?));
    let key = &job.source.sorting_key;
    if key.is_empty() || key.contains(" DESC") {
        return None;
    }
    let (table, partition) = (job.source.name.quoted(), quote_literal(partition_id));
    let rows = format!(
        "FROM {table} AS source\nWHERE _partition_id = {partition} AND {deleted} AND {NEWEST_BLOCK_OF_PART} > {block}"
    );
    let live = format!(
        "SELECT tuple({key}) FROM {table} AS source FINAL\nWHERE _partition_id = {partition} AND NOT {deleted}"
    );
    Some(format!(
        "SELECT {}\n{rows}\nAND tuple({key}) NOT IN (\n{live}\nAND tuple({key}) IN (\nSELECT tuple({key})\n{rows}))",
        list(job)
    ))
}

/// The settings of that query: keys that are NULL are equal.
pub fn deleted_settings(job: &BoundJob) -> Settings {
    super::source_settings(job).with("transform_null_in", "1")
}
