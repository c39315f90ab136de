//! Room for the rows at the target: free disk, and the number of active parts.

use serde::{Deserialize, Serialize};

use super::check::{Check, ask, ask_one, of_table};
use crate::clickhouse::{Connection, Servers, merge_tree_setting, quote_literal};
use crate::job::{BoundJob, BoundObjects, Publish};
use crate::plan::Plan;
use crate::units::{bytes, count};

/// Disk that is needed and free in bytes, as far as known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Disk {
    /// Needed by the rows, once merged.
    pub needed_bytes: Option<u64>,
    /// Free on the target's disks; unknown for object storage.
    pub free_bytes: Option<u64>,
}

pub(super) const DISK: &str = "disk";

/// A target with fewer rows than this does not show how large its rows are.
const ENOUGH_ROWS: u64 = 100_000;
/// More free space than this means object storage.
const UNLIMITED: f64 = 1e18;
/// Background merges make no larger parts than this.
const LARGEST_MERGE: u64 = 150 << 30;

#[derive(Deserialize)]
struct StoredBytes {
    rows: u64,
    bytes: u64,
}

#[derive(Deserialize)]
struct FreeBytes {
    free: f64,
}

/// Compares the disk that `share` of the partition's rows need with what is free.
pub(super) async fn check_disk(
    servers: &Servers,
    job: &BoundJob,
    plan: &Plan,
    share: f64,
) -> (Check, Disk) {
    let (need, free) = tokio::join!(disk_need(servers, job, plan, share), disk_free(servers, job));
    let found = Disk {
        needed_bytes: need.as_ref().ok().map(|need| need.bytes),
        free_bytes: free.as_ref().ok().copied().flatten(),
    };
    let check = match (need, free) {
        (_, Ok(None)) => Check::ok(DISK, "the target uses object storage"),
        (Ok(need), Ok(Some(free))) => judge_disk(&need, free),
        (Err(reason), _) | (_, Err(reason)) => Check::unknown(DISK, reason),
    };
    (check, found)
}

struct DiskNeed {
    bytes: u64,
    /// The table by whose rows it is estimated.
    like: String,
}

fn judge_disk(need: &DiskNeed, free: u64) -> Check {
    let merging = need.bytes.min(LARGEST_MERGE);
    let words = format!(
        "the rows need about {} if they are as large as those of {}, and merges {} more for a while; {} are free",
        bytes(need.bytes),
        need.like,
        bytes(merging),
        bytes(free)
    );
    let room = "free some disk: SELECT name, path, free_space, keep_free_space FROM system.disks";
    if need.bytes > free {
        Check::blocked(DISK, words).lifted_by(room)
    } else if need.bytes.saturating_add(merging) > free {
        Check::warning(DISK, words).lifted_by(room)
    } else {
        Check::ok(DISK, words)
    }
}

async fn disk_need(
    servers: &Servers,
    job: &BoundJob,
    plan: &Plan,
    share: f64,
) -> Result<DiskNeed, String> {
    let of_source = format!(
        "SELECT sum(rows) AS rows, sum(bytes_on_disk) AS bytes FROM system.parts WHERE active AND {} AND partition_id = {}",
        of_table(&job.source.name),
        quote_literal(plan.partition.id())
    );
    let of_target = format!(
        "SELECT sum(rows) AS rows, sum(bytes_on_disk) AS bytes FROM system.parts WHERE active AND {}",
        of_table(&job.target.name)
    );
    let (source, target) = tokio::join!(
        ask_one::<StoredBytes>(&servers.source, "system.parts", &of_source),
        ask_one::<StoredBytes>(&servers.target, "system.parts", &of_target)
    );
    let of_objects = |objects: &BoundObjects| StoredBytes {
        rows: plan.stored_rows.max(1),
        bytes: objects.bytes().unwrap_or_default(),
    };
    let source = match &job.objects {
        Some(objects) => Ok(of_objects(objects)),
        None if job.postgres.is_some() => {
            Err("the bytes of a row in PostgreSQL are not known".to_owned())
        }
        None => source,
    };
    let (stored, like) = match (target, source) {
        (Ok(target), _) if target.rows >= ENOUGH_ROWS => (target, job.target.name.to_string()),
        (_, source) => (source?, job.source.name.to_string()),
    };
    let row = stored.bytes as f64 / stored.rows.max(1) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bytes of rows, never negative"
    )]
    let bytes = (row * plan.stored_rows.max(1) as f64 * share) as u64;
    // The stage and the table that is built of it.
    let copies = if job.publish == Publish::Replace { 2 } else { 1 };
    Ok(DiskNeed { bytes: bytes.saturating_mul(copies), like })
}

/// Free bytes; `None` for object storage.
async fn disk_free(servers: &Servers, job: &BoundJob) -> Result<Option<u64>, String> {
    let name = &job.target.name;
    let sql = format!(
        "SELECT sum(toFloat64(least(free_space, unreserved_space))) AS free FROM system.disks WHERE name IN \
         (SELECT arrayJoin(disks) FROM system.storage_policies WHERE policy_name = \
         (SELECT any(storage_policy) FROM system.tables WHERE database = {} AND name = {}))",
        quote_literal(&name.database),
        quote_literal(&name.table)
    );
    let FreeBytes { free } = ask_one(&servers.target, "system.disks", &sql).await?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bytes of disks, never negative"
    )]
    let free = (free < UNLIMITED).then_some(free as u64);
    Ok(free)
}

pub(super) const PARTS: &str = "parts";

#[derive(Deserialize)]
struct PartLimits {
    delay: u64,
    throw: u64,
    total: u64,
    large: u64,
}

#[derive(Deserialize)]
struct PartitionParts {
    id: String,
    parts: u64,
    bytes: u64,
}

/// Compares the active parts with the limits; `made` is the number of parts that the run will make.
pub(super) async fn check_parts(target: &Connection, job: &BoundJob, made: u64) -> Check {
    let name = &job.target.name;
    if !job.target.is_merge_tree() {
        return Check::ok(PARTS, format!("{name} ({}) has no parts", job.target.engine));
    }
    let setting = |setting| merge_tree_setting(&job.target.engine, setting);
    let limits = format!(
        "SELECT {} AS delay, {} AS throw, {} AS total, {} AS large FROM system.tables WHERE database = {} AND name = {}",
        setting("parts_to_delay_insert"),
        setting("parts_to_throw_insert"),
        setting("max_parts_in_total"),
        setting("max_avg_part_size_for_too_many_parts"),
        quote_literal(&name.database),
        quote_literal(&name.table)
    );
    let parts = format!(
        "SELECT partition_id AS id, count() AS parts, sum(bytes_on_disk) AS bytes FROM system.parts WHERE active AND {} \
         GROUP BY partition_id ORDER BY parts DESC",
        of_table(name)
    );
    let (limits, parts) = tokio::join!(
        ask_one::<PartLimits>(target, "system.tables", &limits),
        ask::<PartitionParts>(target, "system.parts", &parts)
    );
    match (limits, parts) {
        (Ok(limits), Ok(parts)) => judge_parts(job, &limits, &parts, made),
        (_, Err(reason)) | (Err(reason), _) => Check::unknown(PARTS, reason),
    }
}

fn judge_parts(
    job: &BoundJob,
    limits: &PartLimits,
    partitions: &[PartitionParts],
    made: u64,
) -> Check {
    let name = &job.target.name;
    let PartLimits { delay, total, .. } = *limits;
    let all: u64 = partitions.iter().map(|partition| partition.parts).sum();
    if total > 0 && all >= total {
        let detail = format!(
            "{name} has {} active parts; the server rejects inserts from {} parts on (max_parts_in_total)",
            count(all),
            count(total)
        );
        return lifted(Check::blocked(PARTS, detail), job, "max_parts_in_total", total.max(all));
    }
    let will = format!("the run makes about {}", count(made));
    if let Some(most) = partitions.first() {
        return judge_partition(job, limits, most, &will);
    }
    let detail = format!(
        "{name} is empty; inserts are delayed from {} parts of a partition on; {will}",
        count(delay)
    );
    Check::ok(PARTS, detail)
}

/// Judges the partition with the most parts. `will` says how many the run adds.
fn judge_partition(
    job: &BoundJob,
    limits: &PartLimits,
    partition: &PartitionParts,
    will: &str,
) -> Check {
    let PartLimits { delay, throw, large, .. } = *limits;
    let PartitionParts { id, parts, bytes: size } = partition;
    let parts = *parts;
    let has = format!("partition {id} of {} has {} active parts", job.target.name, count(parts));
    let average = size / parts.max(1);
    if large > 0 && average > large {
        let average = bytes(average);
        let detail =
            format!("{has} of {average} on average, too large for inserts to be delayed; {will}");
        return Check::ok(PARTS, detail);
    }
    if throw > 0 && parts >= throw {
        let from = count(throw);
        let detail =
            format!("{has}; the server rejects inserts from {from} on (parts_to_throw_insert)");
        let check = Check::blocked(PARTS, detail);
        return lifted(check, job, "parts_to_throw_insert", throw.max(parts));
    }
    if delay > 0 && parts >= delay {
        let from = count(delay);
        let detail =
            format!("{has}; inserts are delayed from {from} on (parts_to_delay_insert); {will}");
        let check = Check::warning(PARTS, detail);
        return lifted(check, job, "parts_to_delay_insert", delay.max(parts));
    }
    let limits = format!("delayed from {} on, rejected from {}", count(delay), count(throw));
    Check::ok(PARTS, format!("{has}; inserts are {limits}; {will}, which merges reduce meanwhile"))
}

fn lifted(check: Check, job: &BoundJob, setting: &str, value: u64) -> Check {
    let name = &job.target.name;
    check
        .lifted_by(format!(
            "wait for merges: SELECT partition_id, count() FROM system.parts WHERE active AND {} GROUP BY 1",
            of_table(name)
        ))
        .lifted_by(format!("ALTER TABLE {} MODIFY SETTING {setting} = {}", name.quoted(), value.saturating_mul(2)))
}
