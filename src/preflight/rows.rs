//! What becomes of rows: those that the source loses, those that are removed, those of an equal version
//! in the target, and those that its TTL removes.

use serde::Deserialize;

use super::check::{Check, ask_one_with, ask_right, words};
use crate::clickhouse::{Connection, Servers, Settings, TableName, replacing_columns};
use crate::job::removal::DeleteTables;
use crate::job::statements::{count_where, finished, join_settings};
use crate::job::target_key::TargetKey;
use crate::job::{BoundJob, EqualVersion, RemovalMethod, table_ttl};
use crate::plan::Plan;
use crate::units::{count, counted};

pub(super) const DELETIONS: &str = "deletions";

/// Says what a job without a deleted flag cannot do; `None` for a job with one, and for one with groups,
/// whose partitions are made anew.
pub(super) async fn check_deletions(source: &Connection, job: &BoundJob) -> Option<Check> {
    if job.source_deleted.is_some() || job.group.is_some() || job.reads_outside() {
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

pub(super) const REMOVAL: &str = "removal";

/// Checks the tables from which a job with `removal = "delete"` deletes rows, and the rights; `None`
/// for other jobs.
pub(super) async fn check_removal(target: &Connection, job: &BoundJob) -> Option<Check> {
    if job.removal != RemovalMethod::Delete || !job.target.is_merge_tree() {
        return None;
    }
    let user = target.endpoint().user();
    let tables = async {
        let key = TargetKey::read(target, job, &job.columns, &[]).await?;
        DeleteTables::read(target, job, &key).await
    };
    let DeleteTables { tables, unreachable } = match tables.await {
        Ok(tables) => tables,
        Err(error) => return Some(Check::unknown(REMOVAL, words(&error, "system.tables", user))),
    };
    let (mut grants, mut stay): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for table in unreachable {
        stay.push(format!("{} ({})", table.name, table.reason));
        grants.extend(table.grant);
    }
    for table in &tables {
        match may_delete(target, &table.name).await {
            Ok(true) => {}
            Ok(false) => {
                stay.push(format!("{} (the user {user} has no right to delete)", table.name));
                grants.push(format!("GRANT ALTER DELETE ON {} TO {user}", table.name));
            }
            Err(reason) => return Some(Check::unknown(REMOVAL, reason)),
        }
    }
    if stay.is_empty() {
        let names: Vec<_> = tables.iter().map(|table| table.name.to_string()).collect();
        let detail = format!("rows are removed by DELETE from {}", names.join(", "));
        return Some(Check::ok(REMOVAL, detail));
    }
    let detail =
        format!("rows that are removed or deleted in the source stay in {}", stay.join(", "));
    let check = Check::warning(REMOVAL, detail);
    Some(grants.into_iter().fold(check, Check::lifted_by))
}

/// The check where rights are missing: rows cannot be removed.
pub(crate) async fn blocked_removal(target: &Connection, job: &BoundJob) -> Option<Check> {
    let check = check_removal(target, job).await?;
    let Check { name, detail, lifted_by, .. } = check;
    (!lifted_by.is_empty()).then(|| Check::refused(name, detail, lifted_by))
}

/// Whether the user may delete rows of a table. A server that does not know the question is an error.
async fn may_delete(target: &Connection, table: &TableName) -> Result<bool, String> {
    ask_right(target, &format!("ALTER DELETE ON {}", table.quoted())).await
}

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
        |(rows, has_version)| judge_equal_versions(job, rows, has_version),
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

fn judge_equal_versions(job: &BoundJob, rows: u64, has_version: bool) -> Check {
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

pub(super) const TTL: &str = "ttl";

#[derive(Deserialize)]
struct Expired {
    expired: u64,
    rows: u64,
}

/// Counts the rows of the partition that are past the target's TTL; `None` without such a TTL.
pub(super) async fn check_ttl(servers: &Servers, job: &BoundJob, plan: &Plan) -> Option<Check> {
    let target = &job.target.name;
    let ttl = match table_ttl(&servers.target, &job.target).await {
        Ok(ttl) => ttl,
        Err(error) => {
            let user = servers.target.endpoint().user();
            return Some(Check::unknown(TTL, words(&error, "system.tables", user)));
        }
    };
    let condition = ttl.expired_by(ttl.now)?;
    let mut narrow = job.narrowed_to(|name| ttl.columns.iter().any(|column| column == name));
    if let Some(name) =
        ttl.columns.iter().find(|name| narrow.columns.iter().all(|column| column.name != **name))
    {
        return Some(Check::unknown(
            TTL,
            format!("the TTL of {target} reads {name}, which the job does not fill"),
        ));
    }
    // Superseded versions are counted too: collapsing them would cost more than the answer is worth.
    narrow.collapse = false;
    let sql = format!(
        "SELECT countIf({condition}) AS expired, count() AS rows\nFROM (\n{}\n)",
        finished(&narrow, &plan.scope)
    );
    let source = job.source.name.to_string();
    let answer = ask_one_with::<Expired>(&servers.source, &source, &sql, &join_settings(job)).await;
    Some(match answer {
        Ok(Expired { expired, rows }) => judge_ttl(target, expired, rows),
        Err(reason) => Check::unknown(TTL, reason),
    })
}

fn judge_ttl(target: &TableName, expired: u64, rows: u64) -> Check {
    let remedy = format!("ALTER TABLE {target} MODIFY TTL … keeps them longer");
    match expired {
        0 => Check::ok(TTL, format!("no row is past the TTL of {target}")),
        _ if expired == rows => Check::blocked(
            TTL,
            format!(
                "all {} are past the TTL of {target}, and its merges remove them",
                counted(rows, "row")
            ),
        )
        .lifted_by(remedy),
        _ => Check::warning(
            TTL,
            format!(
                "{} of {} are past the TTL of {target}, and its merges remove them",
                count(expired),
                counted(rows, "row")
            ),
        )
        .lifted_by(remedy),
    }
}
