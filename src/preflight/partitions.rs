//! The partitions of the target that one batch would fall into, of which a server takes a limited
//! number in one block.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::check::{Check, ask, ask_one_with};
use crate::clickhouse::{Connection, Servers, quote_literal};
use crate::engine::stream::{PipelineOptions, rows_of_a_batch};
use crate::job::{BoundJob, statements};
use crate::plan::Plan;
use crate::units::{count, counted};

pub(super) const PARTITIONS: &str = "partitions";

/// Chunks whose batches are looked at.
const CHUNKS: usize = 3;

/// The setting that bounds [the partitions of a
/// block](https://clickhouse.com/docs/operations/settings/settings#max_partitions_per_insert_block).
const SETTING: &str = "max_partitions_per_insert_block";

#[derive(Deserialize)]
struct BlockLimit {
    most: u64,
    throws: u64,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Counted {
    partitions: u64,
}

/// Counts the target's partitions in the batches of the source's partition.
pub(super) async fn check_partitions(
    servers: &Servers,
    job: &BoundJob,
    plan: &Plan,
    options: &PipelineOptions,
) -> Check {
    let name = &job.target.name;
    if !job.target.is_merge_tree() {
        return Check::ok(PARTITIONS, format!("{name} ({}) has no partitions", job.target.engine));
    }
    let most = match block_limit(&servers.target, job, options).await {
        Ok(BlockLimit { most, throws }) if most == 0 || throws == 0 => {
            return Check::ok(
                PARTITIONS,
                format!("{SETTING} does not limit the partitions of a batch"),
            );
        }
        Ok(BlockLimit { most, .. }) => most,
        Err(reason) => return Check::unknown(PARTITIONS, reason),
    };
    let narrow = match narrowed(&servers.target, job).await {
        Ok(Some(narrow)) => narrow,
        Ok(None) => return Check::ok(PARTITIONS, format!("{name} has one partition")),
        Err(reason) => return Check::unknown(PARTITIONS, reason),
    };
    let counting = Counting { source: &servers.source, job: &narrow, plan, most };
    let all = match counting.in_all().await {
        Ok(all) if all <= most => {
            let words = format!(
                "the rows go into {} of {name}, and a batch may have {}",
                counted(all, "partition"),
                count(most)
            );
            return Check::ok(PARTITIONS, words);
        }
        Ok(all) => all,
        Err(reason) => return Check::unknown(PARTITIONS, reason),
    };
    match counting.in_a_batch(rows_of_a_batch(plan, options)).await {
        Ok(in_batch) if in_batch > most => blocked(job, in_batch, most),
        Ok(in_batch) => Check::warning(
            PARTITIONS,
            format!(
                "the rows go into {} or more of {name}, at most {} in a batch of the chunks looked at, and a batch may have {}",
                counted(all, "partition"),
                count(in_batch),
                count(most)
            ),
        )
        .lifted_by(raised(in_batch)),
        Err(reason) => Check::unknown(PARTITIONS, reason),
    }
}

fn blocked(job: &BoundJob, in_batch: u64, most: u64) -> Check {
    let name = &job.target.name;
    let words = format!(
        "a batch has rows of {} of {name} (PARTITION BY {}), and the server takes {} in one insert ({SETTING})",
        counted(in_batch, "partition"),
        job.target.partition_key,
        count(most)
    );
    Check::blocked(PARTITIONS, words)
        .lifted_by(raised(in_batch))
        .lifted_by("lower --batch-size, if the rows of one partition lie together in the source")
        .lifted_by("a partition key of the target with fewer values, such as a month: each batch makes a part in every partition")
}

fn raised(partitions: u64) -> String {
    format!("{SETTING} = {} under [settings.insert] of the job", partitions.next_multiple_of(100))
}

async fn block_limit(
    target: &Connection,
    job: &BoundJob,
    options: &PipelineOptions,
) -> Result<BlockLimit, String> {
    let sql = format!(
        "SELECT toUInt64(getSetting('{SETTING}')) AS most, toUInt64(getSetting('throw_on_{SETTING}')) AS throws"
    );
    let settings = options.insert_settings(job);
    ask_one_with(target, "the user's settings", &sql, &settings).await
}

/// The job with nothing but the columns of the target's partition key; `None` where that has none.
async fn narrowed(target: &Connection, job: &BoundJob) -> Result<Option<BoundJob>, String> {
    let name = &job.target.name;
    let sql = format!(
        "SELECT name FROM system.columns WHERE is_in_partition_key AND database = {} AND table = {}",
        quote_literal(&name.database),
        quote_literal(&name.table)
    );
    let key: BTreeSet<_> = ask::<Named>(target, "system.columns", &sql)
        .await?
        .into_iter()
        .map(|column| column.name)
        .collect();
    if key.is_empty() {
        return Ok(None);
    }
    let narrow = job.narrowed_to(|name| key.contains(name));
    if narrow.columns.len() < key.len() {
        return Err(format!(
            "the partition key of {name} ({}) has a column that the job does not fill",
            job.target.partition_key
        ));
    }
    if narrow.lookup.is_some() {
        return Err(format!(
            "the partition key of {name} ({}) depends on the lookup",
            job.target.partition_key
        ));
    }
    Ok(Some(narrow))
}

/// Counting partitions over the rows of the source.
struct Counting<'a> {
    source: &'a Connection,
    /// Without a lookup, and only with the columns of the target's partition key.
    job: &'a BoundJob,
    plan: &'a Plan,
    most: u64,
}

impl Counting<'_> {
    /// The partitions of all rows; of more than may be in a batch, one more.
    async fn in_all(&self) -> Result<u64, String> {
        let Self { job, plan, most, .. } = self;
        let keys = match &job.group {
            // Without aggregating the rows.
            Some(group) => statements::partition_keys_of_groups(job, group, &plan.scope),
            None => format!(
                "SELECT DISTINCT {} FROM (\n{}\n)",
                job.target.partition_key,
                statements::finished(job, &plan.scope)
            ),
        };
        let sql = format!(
            "SELECT count() AS partitions FROM (\n{keys}\nLIMIT {}\n)",
            most.saturating_add(1)
        );
        self.ask(&sql, false).await
    }

    /// The most partitions of one batch of the first chunks, whose rows come in the order in which a
    /// run reads them.
    async fn in_a_batch(&self, rows: u64) -> Result<u64, String> {
        let Self { job, plan, .. } = self;
        let mut most = 0;
        for chunk in plan.chunks.iter().take(CHUNKS) {
            let scope = plan.scope.within(chunk.range.as_deref());
            let sql = format!(
                "SELECT max(partitions) AS partitions FROM (\nSELECT count() AS partitions FROM (\n\
                 SELECT DISTINCT intDiv(rowNumberInAllBlocks(), {rows}) AS `number of a batch`, {} FROM (\n{}\n)\n)\nGROUP BY `number of a batch`\n)",
                job.target.partition_key,
                statements::finished(job, &scope)
            );
            most = most.max(self.ask(&sql, true).await?);
        }
        Ok(most)
    }

    async fn ask(&self, sql: &str, in_order: bool) -> Result<u64, String> {
        let settings = if in_order {
            statements::source_settings(self.job)
        } else {
            statements::count_settings(self.job)
        };
        let source = self.job.source.name.to_string();
        let counted = ask_one_with::<Counted>(self.source, &source, sql, &settings).await?;
        Ok(counted.partitions)
    }
}
