//! Whether roll-ups count the rows of their raw tables.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::clickhouse::{Connection, Error, TableName, quote_identifier, table_schema};
use crate::job::{Job, table_ttl};

/// A roll-up of a pack.
#[derive(Clone, Debug)]
pub(crate) struct RollupJob {
    /// As `--job` takes it.
    pub reference: String,
    pub job: Job,
}

/// How the counts of a roll-up compare. A figure that cannot be asked for is `null`.
#[derive(Debug, Serialize)]
pub(crate) struct Rollup {
    pub job: String,
    pub source: String,
    pub rollup: String,
    /// Rows of the groups whose raw rows no TTL has expired, but for those of the last hour.
    pub source_rows: Option<u64>,
    /// The rows that the roll-up counts in them.
    pub rollup_rows: Option<u64>,
    pub different_groups: Option<u64>,
    /// Why they cannot be compared.
    pub reason: Option<String>,
}

#[derive(Deserialize)]
struct Counts {
    source_rows: u64,
    rollup_rows: u64,
    different: u64,
}

/// How often a difference is looked at again: a view fills its target a moment after the source.
const ATTEMPTS: u32 = 3;

/// Compares the counts, group by group of time.
pub(super) async fn compare(connection: &Connection, rollup: &RollupJob) -> Rollup {
    let RollupJob { reference, job } = rollup;
    let mut found = Rollup {
        job: reference.clone(),
        source: job.source.table.clone(),
        rollup: job.target.table.clone(),
        source_rows: None,
        rollup_rows: None,
        different_groups: None,
        reason: None,
    };
    match ask(connection, job).await {
        Ok(Some(counts)) => {
            found.source_rows = Some(counts.source_rows);
            found.rollup_rows = Some(counts.rollup_rows);
            found.different_groups = Some(counts.different);
        }
        Ok(None) => {
            let reason =
                "the job has no count() or no group of time that the TTL of its source reads";
            found.reason = Some(reason.to_owned());
        }
        Err(error) => found.reason = Some(error.to_string()),
    }
    found
}

async fn ask(connection: &Connection, job: &Job) -> Result<Option<Counts>, Error> {
    let Some(sql) = question(connection, job).await? else { return Ok(None) };
    let mut counts: Counts = connection.row("health", &sql).await?;
    for _ in 1..ATTEMPTS {
        if counts.different == 0 {
            break;
        }
        sleep(Duration::from_secs(1)).await;
        counts = connection.row("health", &sql).await?;
    }
    Ok(Some(counts))
}

/// The query of both counts; `None` where they cannot be compared.
async fn question(connection: &Connection, job: &Job) -> Result<Option<String>, Error> {
    let database = connection.endpoint().database();
    let source = TableName::parse(&job.source.table, database);
    let target = TableName::parse(&job.target.table, database);
    let Some(schema) = table_schema(connection, &source).await? else { return Ok(None) };
    let ttl = table_ttl(connection, &schema).await?;
    let counter = job.columns.iter().find(|(_, expression)| expression.sql.trim() == "count()");
    // The column of time: that of the TTL, or the one that the job names.
    let time = match &*ttl.columns {
        [] => job.source.time.clone(),
        [column] => Some(column.clone()),
        _ => None,
    };
    let key = job.group.iter().flatten().find(|(_, expression)| {
        let reads = |column: &String| expression.sql.contains(&format!("source.{column}"));
        time.as_ref().is_none_or(reads) && expression.sql.contains("toStartOf")
    });
    let (Some((counter, _)), Some((key, expression))) = (counter, key) else { return Ok(None) };
    let (counter, key) = (quote_identifier(counter), quote_identifier(key));
    let kept = time
        .zip(ttl.expired_by(ttl.now))
        .map(|(time, expired)| (quote_identifier(&time), format!(" AND NOT {expired}")));
    let (time, alive) = kept.unwrap_or_else(|| (quote_identifier("k"), String::new()));
    let [source, target] = [source.quoted(), target.quoted()];
    Ok(Some(format!(
        "SELECT sum(raw) AS source_rows, sum(rolled) AS rollup_rows, countIf(raw != rolled) AS different FROM (\
         SELECT k AS {time}, sum(r) AS raw, sum(n) AS rolled FROM (\
         SELECT {} AS k, count() AS r, 0 AS n FROM {source} AS source GROUP BY k \
         UNION ALL SELECT {key} AS k, 0 AS r, sum({counter}) AS n FROM {target} GROUP BY k) GROUP BY k) \
         WHERE {time} + INTERVAL 1 HOUR < now(){alive}",
        expression.sql
    )))
}
