//! Disk that the rows will take, against what is free where the target keeps its parts.
//!
//! A row is taken to need as many bytes as the target's rows do now; where it has few, as the
//! source's. Merging parts needs room for the result beside them: [disk space and
//! merges](https://clickhouse.com/docs/operations/settings/merge-tree-settings#max_bytes_to_merge_at_max_space_in_pool).

use serde::Deserialize;

use super::ask::{ask_one, of_table};
use super::{Check, Disk};
use crate::clickhouse::{Servers, quote_literal};
use crate::job::BoundJob;
use crate::plan::Plan;
use crate::units::bytes;

pub(super) const NAME: &str = "disk";

/// With fewer rows than this, the target does not tell how large a row of it is.
const ENOUGH_ROWS: u64 = 100_000;
/// Disks that have more free than this are no disks, but object storage.
const UNLIMITED: f64 = 1e18;
/// Merges make no larger parts than this by themselves.
const LARGEST_MERGE: u64 = 150 << 30;

#[derive(Deserialize)]
struct Stored {
    rows: u64,
    bytes: u64,
}

#[derive(Deserialize)]
struct Free {
    free: f64,
}

/// What is needed and what is free, for `share` of the partition's rows; and what that means.
pub(super) async fn check(
    servers: &Servers,
    job: &BoundJob,
    plan: &Plan,
    share: f64,
) -> (Check, Disk) {
    let (need, free) = tokio::join!(need(servers, job, plan, share), free(servers, job));
    let found = Disk {
        needed_bytes: need.as_ref().ok().map(|need| need.bytes),
        free_bytes: free.as_ref().ok().copied().flatten(),
    };
    let check = match (need, free) {
        (_, Ok(None)) => Check::ok(NAME, "the target is in object storage"),
        (Ok(need), Ok(Some(free))) => judge(&need, free),
        (Err(reason), _) | (_, Err(reason)) => Check::unknown(NAME, reason),
    };
    (check, found)
}

struct Need {
    bytes: u64,
    /// Whose rows are so large.
    like: String,
}

fn judge(need: &Need, free: u64) -> Check {
    let merging = need.bytes.min(LARGEST_MERGE);
    let words = format!(
        "the rows will take about {} if they are as large as those of {}, and merging them {} more for a while; {} are free",
        bytes(need.bytes),
        need.like,
        bytes(merging),
        bytes(free)
    );
    let room = "free some disk: SELECT name, path, free_space, keep_free_space FROM system.disks";
    if need.bytes > free {
        Check::forbids(NAME, words).lifted_by(room)
    } else if need.bytes.saturating_add(merging) > free {
        Check::warning(NAME, words).lifted_by(room)
    } else {
        Check::ok(NAME, words)
    }
}

async fn need(servers: &Servers, job: &BoundJob, plan: &Plan, share: f64) -> Result<Need, String> {
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
        ask_one::<Stored>(&servers.source, "system.parts", &of_source),
        ask_one::<Stored>(&servers.target, "system.parts", &of_target)
    );
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
    let bytes = (row * plan.stored_rows as f64 * share) as u64;
    Ok(Need { bytes, like })
}

/// In bytes; `None` for object storage, which has no end.
async fn free(servers: &Servers, job: &BoundJob) -> Result<Option<u64>, String> {
    let name = &job.target.name;
    let sql = format!(
        "SELECT sum(toFloat64(least(free_space, unreserved_space))) AS free FROM system.disks WHERE name IN \
         (SELECT arrayJoin(disks) FROM system.storage_policies WHERE policy_name = \
         (SELECT any(storage_policy) FROM system.tables WHERE database = {} AND name = {}))",
        quote_literal(&name.database),
        quote_literal(&name.table)
    );
    let Free { free } = ask_one(&servers.target, "system.disks", &sql).await?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bytes of disks, never negative"
    )]
    let free = (free < UNLIMITED).then_some(free as u64);
    Ok(free)
}
