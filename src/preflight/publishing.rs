//! Whether the target's partition can be replaced by what a run builds beside it.

use serde::Deserialize;

use super::check::{Check, Finding, ask_one, of_table, words};
use crate::clickhouse::{Servers, TableName, literal_list, quote_literal};
use crate::job::{BoundJob, Publish};
use crate::ledger::{LateRows, partitions_in_words};
use crate::plan::Plan;
use crate::publish::{
    LONGEST_PAUSE, PublishError, View, kept_name, missing_rights, missing_rights_of_snapshot,
    obstacles, publish_name, snapshot_name, snapshot_obstacle, stage_name, target_partitions,
    views_into_table,
};
use crate::units::{bytes, counted};

pub(super) const PUBLISH: &str = "publish";
pub(super) const SNAPSHOT: &str = "snapshot";

#[derive(Deserialize)]
struct Stored {
    rows: u64,
    bytes: u64,
}

/// Stands for the id of the run, which there is not yet.
const RUN: &str = "RUN";

/// Looks for what keeps partitions from being replaced, whose ids are the other value, where these are
/// known; `None` for a job that inserts in place.
pub(super) async fn check_publish(
    servers: &Servers,
    job: &BoundJob,
    plan: &Plan,
) -> Option<(Check, Option<Vec<String>>)> {
    if job.publish == Publish::InPlace {
        return None;
    }
    let target = &job.target.name;
    let beside = |table| TableName { database: target.database.clone(), table };
    let names = [beside(stage_name(target, RUN)), beside(publish_name(target, RUN))];
    let views = views(servers, job).await;
    let writers = views.as_deref().unwrap_or_default();
    let findings = vec![
        views.as_ref().map(|views| views_and_engine(job, views)).map_err(String::clone),
        rights(servers, job, &names, !writers.is_empty()).await,
    ];
    let partitions = target_partitions(servers, job, &plan.scope.partition_id, &[]).await;
    let (partitions, found) = match partitions {
        Ok(partitions) => (Some(partitions), Ok(None)),
        Err(PublishError::Server { source, .. }) => {
            let user = servers.target.endpoint().user();
            (None, Err(words(&source, &job.source.name.to_string(), user)))
        }
        Err(error) => (
            None,
            Ok(Some(Finding {
                detail: error.to_string(),
                lifted_by: vec![
                    "publish = \"in_place\" inserts the rows into the target".to_owned(),
                ],
            })),
        ),
    };
    let passed = match &partitions {
        Some(partitions) => plan_of_publication(servers, job, &names, partitions, writers).await,
        None => String::new(),
    };
    let check = Check::of_findings(PUBLISH, findings.into_iter().chain([found]), &passed);
    Some((check, partitions))
}

/// Looks for what keeps a copy of the source's partition from being made; `None` for a job that reads the
/// source itself.
pub(super) async fn check_snapshot(
    servers: &Servers,
    job: &BoundJob,
    plan: &Plan,
) -> Option<Check> {
    if !job.snapshot {
        return None;
    }
    let source = &job.source.name;
    let table = snapshot_name(source, RUN);
    let table = TableName { database: source.database.clone(), table };
    let remedy = "without snapshot in [source] the run reads the source itself";
    if let Some(detail) = snapshot_obstacle(&job.source) {
        let lifted_by = vec![remedy.to_owned()];
        return Some(Check::of_findings(SNAPSHOT, [Ok(Some(Finding { detail, lifted_by }))], ""));
    }
    let user = servers.source.endpoint().user();
    let missing = missing_rights_of_snapshot(&servers.source, &job.source, &table).await;
    let missing = missing.map_err(|error| words(&error, "the user's rights", user));
    let finding = missing.map(|missing| {
        let grants = missing.into_iter().map(|right| format!("GRANT {right} TO {user}"));
        let lifted_by: Vec<_> = grants.chain([remedy.to_owned()]).collect();
        let detail = format!("the user {user} lacks rights that a copy of {source} needs");
        (lifted_by.len() > 1).then_some(Finding { detail, lifted_by })
    });
    let lookup = job
        .lookup
        .as_ref()
        .map(|lookup| format!(", and {} is read as it is then", lookup.table.name));
    let passed = format!(
        "chunks read a copy of partition {} of {source} by hard links, {table}, which is made when the load begins and dropped when it is complete: rows that are written, updated or deleted afterwards change nothing{}; it takes disk only where merges replace parts meanwhile, {} at most",
        plan.partition,
        lookup.unwrap_or_default(),
        size_on_disk(servers, job, plan).await
    );
    Some(Check::of_findings(SNAPSHOT, [finding], &passed))
}

/// The size of the source's partition, in words.
async fn size_on_disk(servers: &Servers, job: &BoundJob, plan: &Plan) -> String {
    let sql = format!(
        "SELECT sum(rows) AS rows, sum(bytes_on_disk) AS bytes FROM system.parts WHERE active AND {} AND partition_id = {}",
        of_table(&job.source.name),
        quote_literal(&plan.scope.partition_id)
    );
    let stored = ask_one::<Stored>(&servers.source, "system.parts", &sql).await;
    stored.map_or_else(|_| "an unknown size".to_owned(), |stored| bytes(stored.bytes))
}

async fn views(servers: &Servers, job: &BoundJob) -> Result<Vec<View>, String> {
    let user = servers.target.endpoint().user();
    let found = views_into_table(&servers.target, &job.target.name).await;
    found.map_err(|error| match error {
        PublishError::Server { source, .. } => words(&source, "system.tables", user),
        error => error.to_string(),
    })
}

fn views_and_engine(job: &BoundJob, views: &[View]) -> Option<Finding> {
    let found = obstacles(job, views);
    let reasons: Vec<_> = found.iter().map(|obstacle| obstacle.reason.clone()).collect();
    (!found.is_empty()).then(|| Finding {
        detail: reasons.join("; "),
        lifted_by: found.into_iter().map(|obstacle| obstacle.remedy).collect(),
    })
}

async fn rights(
    servers: &Servers,
    job: &BoundJob,
    names: &[TableName],
    with_late_rows: bool,
) -> Result<Option<Finding>, String> {
    let user = servers.target.endpoint().user();
    let late = if with_late_rows { late_tables(job) } else { Vec::new() };
    let missing = missing_rights(&servers.target, &job.target, names, &job.source, &late).await;
    let missing = missing.map_err(|error| words(&error, "the user's rights", user))?;
    Ok((!missing.is_empty()).then(|| Finding {
        detail: format!("the user {user} lacks rights that replacing a partition needs"),
        lifted_by: missing.into_iter().map(|right| format!("GRANT {right} TO {user}")).collect(),
    }))
}

/// The tables and views that catch late rows.
fn late_tables(job: &BoundJob) -> Vec<TableName> {
    let TableName { database, table } = &job.target.name;
    let mut tables = LateRows::new(table, RUN).tables();
    tables.push(snapshot_name(&job.source.name, RUN));
    let beside = |table| TableName { database: database.clone(), table };
    tables.into_iter().map(beside).collect()
}

/// What becomes of the rows of live writers, in words.
fn plan_of_late_rows(job: &BoundJob, views: &[View]) -> String {
    let target = &job.target.name;
    if views.is_empty() {
        return format!("no view writes into {target}");
    }
    let names: Vec<_> = views.iter().map(|view| view.table_name().to_string()).collect();
    let late = LateRows::new(&target.table, RUN).table;
    let late = TableName { database: target.database.clone(), table: late };
    format!(
        "{} {} into {target}: chunks read a copy of the partition of {} by hard links, rows that come in meanwhile are caught in {late} and published with the others, and inserts into {target} are paused twice, for {LONGEST_PAUSE} s at most and usually less than one",
        names.join(", "),
        if names.len() == 1 { "writes" } else { "write" },
        job.source.name
    )
}

/// What a run would build and replace, in words.
async fn plan_of_publication(
    servers: &Servers,
    job: &BoundJob,
    [stage, publish]: &[TableName; 2],
    partitions: &[String],
    views: &[View],
) -> String {
    let target = &job.target.name;
    let sql = format!(
        "SELECT sum(rows) AS rows, sum(bytes_on_disk) AS bytes FROM system.parts WHERE active AND {} AND partition_id IN ({})",
        of_table(target),
        literal_list(partitions)
    );
    let has = if partitions.len() == 1 { "has" } else { "have" };
    let replaced = partitions_in_words(partitions.iter().map(String::as_str));
    let stands = match ask_one::<Stored>(&servers.target, "system.parts", &sql).await {
        Ok(Stored { rows: 0, .. }) => format!("which {has} no rows"),
        Ok(Stored { rows, bytes: size }) => {
            format!("which {has} {} of {}", counted(rows, "row"), bytes(size))
        }
        Err(reason) => format!("of which the size is unknown: {reason}"),
    };
    let kept = match job.keep_versions {
        0 => "not kept".to_owned(),
        versions => {
            let (database, table) = (target.database.clone(), kept_name(target, RUN));
            let kept = TableName { database, table };
            format!("kept in {kept}, {} at most", counted(versions.into(), "version"))
        }
    };
    format!(
        "the rows are built in {stage} and {publish}, which together need twice their disk, compared with the equivalent join, and replace {replaced} of {target}, {stands} and {} {kept}; {}",
        if partitions.len() == 1 { "is" } else { "are" },
        plan_of_late_rows(job, views)
    )
}
