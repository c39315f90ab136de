//! What becomes of rows that are deleted from the source during a run.

use super::check::{Check, words};
use crate::clickhouse::{Connection, replacing_columns};
use crate::job::BoundJob;

pub(super) const DELETIONS: &str = "deletions";

/// Says what a job without a deleted flag cannot do; `None` for a job with one, and for one with groups,
/// whose partitions are made anew.
pub(super) async fn check_deletions(source: &Connection, job: &BoundJob) -> Option<Check> {
    if job.source_deleted.is_some() || job.group.is_some() {
        return None;
    }
    let name = &job.source.name;
    let stays = "rows that are deleted from the source after they were read stay in the target, because the job names no deleted flag; the run warns, and `verify` names them";
    if !job.source.is_replacing() {
        return Some(Check::ok(DELETIONS, stays));
    }
    Some(match replacing_columns(source, name).await {
        Ok(Some((_, deleted))) => Check::warning(
            DELETIONS,
            format!("{name} has the deleted flag {deleted}, but {stays}"),
        )
        .lifted_by(format!(
            "deleted = \"{deleted}\" in [source] of the job, with a target that has such a flag"
        )),
        Ok(None) => Check::ok(DELETIONS, stays),
        Err(error) => {
            Check::unknown(DELETIONS, words(&error, "system.tables", source.endpoint().user()))
        }
    })
}
