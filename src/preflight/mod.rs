//! What is looked at before a run: each check says what it found, what that means, and what would
//! lift it.
//!
//! The checks ask the servers' tables of `system`, all at once and each within a few seconds. Where
//! a table may not be read, a check says so and forbids nothing. What holding a job against its
//! tables finds is [`job`](crate::job)'s, and what becomes of rows that are sent twice
//! [`pipeline::repeats`](crate::engine::stream::repeats)'s; who asks them makes checks of what they say,
//! by [`Check::passed`] and [`Check::refused`]. Nothing here decides what is done about a check.

mod ask;
mod check;
mod disk;
mod limits;
mod live_writes;
mod memory;
mod merges;
mod mutations;
mod parts;
mod replicas;
mod time_zones;
mod topology;
mod version;
mod views;

use serde::Serialize;

pub use check::{Check, Verdict};
pub use topology::{Cluster, Replicas, Topology};

use crate::clickhouse::{Connection, Servers};
use crate::engine::stream::{PipelineOptions, estimated_batches};
use crate::job::BoundJob;
use crate::plan::Plan;

/// The check that sends an insert without rows.
pub const INSERT: &str = "insert";
/// The check of what becomes of rows that are sent twice.
pub const REPEATS: &str = "repeats";

/// The names of all checks, in the order in which they are shown.
pub const NAMES: [&str; 14] = [
    version::NAME,
    INSERT,
    REPEATS,
    views::NAME,
    parts::NAME,
    merges::NAME,
    mutations::NAME,
    disk::NAME,
    memory::NAME,
    limits::NAME,
    replicas::NAME,
    topology::NAME,
    live_writes::NAME,
    time_zones::NAME,
];

/// Those that a person may overrule: they judge by estimates, and by what is there at this moment.
pub const OVERRULED: [&str; 3] = [parts::NAME, disk::NAME, replicas::NAME];

/// What a run would be.
#[derive(Clone, Copy)]
pub struct Preflight<'a> {
    /// Where it reads and writes.
    pub servers: &'a Servers,
    /// The version of ClickHouse at the target.
    pub server_version: &'a str,
    /// The same at the source.
    pub source_version: &'a str,
    /// The job, held against its tables.
    pub job: &'a BoundJob,
    /// The plan.
    pub plan: &'a Plan,
    /// How it would be done; in a dry run, nothing is asked that only concerns writing.
    pub pipeline: &'a PipelineOptions,
    /// The part of the chunks that is left to do, from 0 to 1.
    pub share: f64,
    /// Names of checks that forbid nothing, of [`OVERRULED`].
    pub overruled: &'a [String],
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The checks that are made here, in their order.
    pub checks: Vec<Check>,
    /// What is around the target's server.
    pub topology: Topology,
    /// What the disk has to hold.
    pub disk: Disk,
    /// About how many parts the run will make.
    pub parts: u64,
}

/// Disk that is needed and free, where that is known, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// By the rows, once merged.
    pub needed_bytes: Option<u64>,
    /// On the target's disks; unknown for object storage.
    pub free_bytes: Option<u64>,
}

impl Preflight<'_> {
    /// Makes the checks.
    pub async fn look(&self) -> Findings {
        let Self { servers, job, plan, pipeline, share, .. } = *self;
        let target = &servers.target;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of parts, never negative"
        )]
        let parts = (estimated_batches(plan, pipeline) as f64 * share).ceil() as u64;
        // On the heap: together they are large.
        let of_writing = Box::pin(async {
            tokio::join!(
                views::check(target, job),
                parts::check(target, job, parts),
                merges::check(target, job),
                disk::check(servers, job, plan, share),
                topology::check(target, job),
            )
        });
        let of_both = Box::pin(async {
            tokio::join!(
                mutations::check(servers, job),
                memory::check(target, job, plan, pipeline),
                limits::check(servers, job, plan, pipeline),
                replicas::check(servers, job),
                live_writes::check(&servers.source, job, plan),
                time_zones::check(servers, job),
            )
        });
        let (
            (views, parts_check, merges, (disk_check, disk), (cluster, topology)),
            (mutations, memory, limits, replicas, live, zones),
        ) = tokio::join!(of_writing, of_both);
        let version = version::check(self.server_version, self.source_version);
        let mut checks = vec![version, mutations, memory, limits, replicas, live, zones];
        if !pipeline.dry_run {
            checks.extend([views, parts_check, merges, disk_check, cluster]);
        }
        let checks = in_order(checks).into_iter().map(|check| self.ruled(check)).collect();
        Findings { checks, topology, disk, parts }
    }

    /// Makes the checks, and gives what they warn of, each in one line.
    ///
    /// # Errors
    /// Those that forbid the run.
    pub async fn pass(&self) -> Result<Vec<String>, Vec<Check>> {
        let (mut warnings, mut forbidding) = (Vec::new(), Vec::new());
        for check in self.look().await.checks {
            match check.verdict {
                Verdict::Ok => {}
                Verdict::Warning => warnings.push(format!("{}: {}", check.name, check.detail)),
                Verdict::Unknown => {
                    tracing::debug!(check = check.name, "not checked: {}", check.detail);
                }
                Verdict::Forbids => forbidding.push(check),
            }
        }
        if forbidding.is_empty() { Ok(warnings) } else { Err(forbidding) }
    }

    /// A check as it counts: one that a person has overruled forbids nothing.
    pub fn ruled(&self, check: Check) -> Check {
        if self.overruled.iter().any(|name| name == check.name) { check.overruled() } else { check }
    }
}

/// Whether there is room for one more part: asked before an insert is tried, which the server would
/// refuse in vaguer words. `None` where nothing forbids it.
pub async fn room_for_parts(
    target: &Connection,
    job: &BoundJob,
    overruled: &[String],
) -> Option<Check> {
    if overruled.iter().any(|name| name == parts::NAME) {
        return None;
    }
    Some(parts::check(target, job, 0).await).filter(|check| check.verdict == Verdict::Forbids)
}

/// The checks in the order of [`NAMES`].
pub fn in_order(mut checks: Vec<Check>) -> Vec<Check> {
    checks.sort_by_key(|check| NAMES.iter().position(|name| *name == check.name));
    checks
}
