//! Whether the target has rows of the key and the version of rows that a run would insert.

use serde::Deserialize;

use super::check::{Check, ask_one_with, words};
use crate::clickhouse::{Servers, Settings, TableName};
use crate::job::statements::{count_where, join_settings};
use crate::job::target_key::TargetKey;
use crate::job::{BoundJob, EqualVersion};
use crate::plan::Plan;
use crate::units::counted;

pub(super) const EQUAL_VERSIONS: &str = "equal-versions";

/// Counts the rows of the target with the key and the version of a row of the partition: those of live
/// writers, or all if the job does not say which these are. `None` if no row is replaced, or rows of the
/// job itself may be among them, since a part of the load is done: `share` is what is left.
pub(super) async fn check_equal_versions(
    servers: &Servers,
    job: &BoundJob,
    plan: &Plan,
    share: f64,
) -> Option<Check> {
    if !job.target.is_replacing() || job.group.is_some() || (job.live.is_none() && share < 1.0) {
        return None;
    }
    let answer = replaced_rows(servers, job, plan).await;
    Some(answer.map_or_else(
        |reason| Check::unknown(EQUAL_VERSIONS, reason),
        |(rows, has_version)| judge(job, rows, has_version),
    ))
}

/// The number of these rows, and whether the target has a version column.
async fn replaced_rows(
    servers: &Servers,
    job: &BoundJob,
    plan: &Plan,
) -> Result<(u64, bool), String> {
    #[derive(Deserialize)]
    struct Rows {
        rows: u64,
    }
    let target = &job.target.name;
    if servers.source.endpoint().url() != servers.target.endpoint().url() {
        return Err("source and target are on different servers".to_owned());
    }
    let key = TargetKey::read(&servers.target, job, &job.columns, &[]).await;
    let user = servers.target.endpoint().user();
    let key = key.map_err(|error| words(&error, "system.tables", user))?;
    let live = job.live.as_ref().map_or("1", |live| &live.sql);
    let rows = key.live_rows(job, live)?;
    // Without such rows, the source need not be read.
    let sql = format!(
        "SELECT count() AS rows FROM (SELECT 1 FROM {} WHERE {live}\n LIMIT 1)",
        target.quoted()
    );
    let (name, mut found) = (target.to_string(), 0);
    let all = BoundJob { live_rows: None, ..job.clone() };
    let sum = count_where(&all, &plan.scope, |scope| rows.predicate(scope));
    for (sql, settings) in [(sql, Settings::common()), (sum, join_settings(job))] {
        found = ask_one_with::<Rows>(&servers.source, &name, &sql, &settings).await?.rows;
        if found == 0 {
            break;
        }
    }
    Ok((found, key.version.is_some()))
}

fn judge(job: &BoundJob, rows: u64, has_version: bool) -> Check {
    let target: &TableName = &job.target.name;
    let same = if has_version { "the key and the version" } else { "the key" };
    let whose = if job.live.is_some() { " of live writers" } else { "" };
    if rows == 0 {
        return Check::ok(
            EQUAL_VERSIONS,
            format!("no row{whose} in {target} has {same} of a row of the job"),
        );
    }
    let (counted, have) = (counted(rows, "row"), if rows == 1 { "has" } else { "have" });
    let found = format!("{counted}{whose} in {target} {have} {same} of a row of the job");
    match (job.on_equal_version, job.live.is_some()) {
        (EqualVersion::Live, _) => Check::ok(EQUAL_VERSIONS, format!("{found}; the job keeps them")),
        (EqualVersion::Backfill, true) => {
            Check::warning(EQUAL_VERSIONS, format!("{found}; the run replaces them"))
                .lifted_by("on_equal_version = \"live\" in [target] of the job keeps them")
        }
        (EqualVersion::Backfill, false) => {
            Check::warning(EQUAL_VERSIONS, format!("{found}; the run replaces them")).lifted_by(
                "live and on_equal_version = \"live\" in [target] of the job keep those of live writers",
            )
        }
    }
}
