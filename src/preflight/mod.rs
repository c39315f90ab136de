//! The checks before a run: each has a finding, a verdict, and what would make it pass.
//!
//! The checks query the servers' tables of `system`, all at once and each within a few seconds. A
//! table that may not be read makes its check `unknown`, which blocks nothing. Binding a job is
//! [`job`](crate::job)'s, and what becomes of rows that are sent twice
//! [`engine::stream`](crate::engine::stream)'s; their callers turn those results into checks by
//! [`Check::passed`] and [`Check::refused`]. Nothing here decides what is done about a check.

mod activity;
mod check;
mod delivery;
mod doctor;
mod groups;
mod job_checks;
mod limits;
mod partitions;
mod publishing;
mod reads;
mod rows;
mod servers;
mod storage;
mod visibility;

use activity::{
    LIVE_WRITES, MERGES, MUTATIONS, VIEWS, check_live_writes, check_merges, check_mutations,
    check_views,
};
pub(crate) use check::{Check, Verdict};
use delivery::{DELIVERY, check_delivery};
pub(crate) use doctor::{Doctor, JobTables};
use groups::{GROUPS, HORIZON, VIEW_QUERY, check_groups, check_horizon, check_view_query};
use job_checks::{JOB_CHECKS, check_job};
use limits::{LIMITS, MEMORY, check_limits, check_memory};
use partitions::{PARTITIONS, check_partitions};
use publishing::{PUBLISH, SNAPSHOT, check_publish, check_snapshot};
use reads::{READS, check_join, check_reads};
pub(crate) use rows::blocked_removal;
use rows::{
    DELETIONS, EQUAL_VERSIONS, REMOVAL, TTL, check_deletions, check_equal_versions, check_removal,
    check_ttl,
};
use servers::{
    CLUSTER, REPLICAS, TIME_ZONES, VERSION, check_cluster, check_replicas, check_time_zones,
    check_version,
};
pub(crate) use servers::{Cluster, Topology};
pub(crate) use storage::Disk;
use storage::{DISK, PARTS, check_disk, check_parts};
use visibility::{ROW_POLICIES, check_visible_reads, check_visible_target};

use crate::clickhouse::{Connection, Servers};
use crate::engine::stream::{PipelineOptions, estimated_batches};
use crate::job::BoundJob;
use crate::plan::Plan;

/// The check that sends an insert without rows.
pub(crate) const INSERT: &str = "insert";
/// The check of what becomes of rows that are sent twice.
pub(crate) const REPEATS: &str = "repeats";
/// The check that a measurement makes, shown where it fails.
pub(crate) const DRY_RUN: &str = "dry-run";

/// The names of all checks, in the order in which they are shown.
pub(crate) const NAMES: [&str; 29] = [
    VERSION,
    READS,
    ROW_POLICIES,
    INSERT,
    REPEATS,
    PUBLISH,
    SNAPSHOT,
    DELIVERY,
    VIEWS,
    VIEW_QUERY,
    GROUPS,
    HORIZON,
    PARTITIONS,
    PARTS,
    MERGES,
    MUTATIONS,
    DISK,
    TTL,
    MEMORY,
    LIMITS,
    REPLICAS,
    CLUSTER,
    LIVE_WRITES,
    DELETIONS,
    REMOVAL,
    EQUAL_VERSIONS,
    JOB_CHECKS,
    TIME_ZONES,
    DRY_RUN,
];

/// The checks that a user may skip: they rely on estimates and on the present state of the server.
pub(crate) const SKIPPABLE: [&str; 5] = [PARTITIONS, PARTS, DISK, REPLICAS, TTL];

/// What the checks are made of.
#[derive(Clone, Copy)]
pub(crate) struct Preflight<'a> {
    /// The servers of the source and of the target.
    pub servers: &'a Servers,
    /// The target's version of ClickHouse.
    pub server_version: &'a str,
    /// The source's version of ClickHouse.
    pub source_version: &'a str,
    /// The bound job.
    pub job: &'a BoundJob,
    /// The plan.
    pub plan: &'a Plan,
    /// How the run works; a dry run omits the checks of writing.
    pub pipeline: &'a PipelineOptions,
    /// The share of the chunks that is left to do, from 0 to 1.
    pub share: f64,
    /// Checks of [`SKIPPABLE`] that are downgraded to warnings.
    pub skipped_checks: &'a [String],
}

/// The results.
#[derive(Clone, Debug)]
pub(crate) struct Findings {
    /// The checks in the order of [`NAMES`].
    pub checks: Vec<Check>,
    /// The target's server and its cluster.
    pub topology: Topology,
    /// Disk that is needed and free.
    pub disk: Disk,
    /// About how many parts the run will make.
    pub parts: u64,
    /// The ids of the target's partitions that the run replaces, where these are known.
    pub replaced_partitions: Option<Vec<String>>,
}

impl Preflight<'_> {
    /// Makes the checks.
    pub(crate) async fn run(&self) -> Findings {
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
            let others = async {
                if pipeline.dry_run {
                    Default::default()
                } else {
                    Box::pin(self.checks_of_writing(parts)).await
                }
            };
            tokio::join!(others, check_disk(servers, job, plan, share), check_cluster(target, job),)
        });
        let of_both = Box::pin(async {
            tokio::join!(
                check_mutations(servers, job),
                check_memory(target, job, plan, pipeline),
                check_limits(servers, job, plan, pipeline),
                check_replicas(servers, job),
                check_live_writes(&servers.source, job, plan),
                check_time_zones(servers, job),
                check_reads(servers, job, plan, pipeline),
                check_visible_reads(servers, job, plan.partition.id()),
            )
        });
        let (
            ((of_writing, replaced_partitions), (disk_check, disk), (cluster, topology)),
            (mutations, memory, limits, replicas, live, zones, reads, policies),
        ) = tokio::join!(of_writing, of_both);
        let version = check_version(self.server_version, self.source_version);
        let mut checks = vec![version, reads, policies, mutations, memory, limits, replicas, zones];
        // The server does not know who writes objects, for which statements throw where one has changed, or
        // PostgreSQL.
        checks.extend((!job.reads_outside()).then_some(live));
        if !pipeline.dry_run {
            checks.extend([disk_check, cluster].into_iter().chain(of_writing));
        }
        let checks = in_order(checks).into_iter().map(|check| self.ruled(check)).collect();
        Findings { checks, topology, disk, parts, replaced_partitions }
    }

    /// Makes the checks that only a run that writes needs; some of them read the partition. Also gives
    /// the partitions that are replaced.
    async fn checks_of_writing(&self, parts: u64) -> (Vec<Check>, Option<Vec<String>>) {
        let Self { servers, job, plan, pipeline, share, .. } = *self;
        let target = &servers.target;
        // Those that some jobs need.
        let of_some = async {
            let checks = tokio::join!(
                check_delivery(target, job, pipeline),
                check_ttl(servers, job, plan),
                check_equal_versions(servers, job, plan, share),
                check_deletions(&servers.source, job),
                check_removal(target, job),
                check_job(target, job),
                check_view_query(target, job),
                check_snapshot(servers, job, plan),
            );
            <[_; 8]>::from(checks)
        };
        let (views, partitions, publish, parts, merges, of_some) = tokio::join!(
            check_views(target, job),
            check_partitions(servers, job, plan, pipeline),
            check_publish(servers, job, plan),
            check_parts(target, job, parts),
            check_merges(target, job),
            of_some,
        );
        let (publish, replaced_partitions) = publish.unzip();
        let always = [views, partitions, parts, merges];
        let checks = always
            .into_iter()
            .chain([publish].into_iter().chain(of_some).flatten())
            .chain(self.checks_of_groups().await);
        (checks.collect(), replaced_partitions.flatten())
    }

    /// Makes the checks of a job with groups.
    async fn checks_of_groups(&self) -> Vec<Check> {
        let Self { servers, job, plan, .. } = *self;
        let Some(group) = &job.group else { return Vec::new() };
        let (groups, horizon) = tokio::join!(
            check_groups(servers, job, group, plan),
            check_horizon(servers, job, group, plan),
        );
        [Some(groups), horizon].into_iter().flatten().collect()
    }

    /// Makes the checks; returns the warnings, each as one line, and the partitions that are replaced,
    /// where these are known.
    ///
    /// # Errors
    /// The checks that block the run.
    pub(crate) async fn require_runnable(
        &self,
    ) -> Result<(Vec<String>, Option<Vec<String>>), Vec<Check>> {
        let (mut warnings, mut blocked) = (Vec::new(), Vec::new());
        let Findings { checks, replaced_partitions, .. } = self.run().await;
        for check in checks {
            match check.verdict {
                Verdict::Ok => {}
                Verdict::Warning => warnings.push(format!("{}: {}", check.name, check.detail)),
                Verdict::Unknown => {
                    tracing::debug!(check = check.name, "not checked: {}", check.detail);
                }
                Verdict::Blocked => blocked.push(check),
            }
        }
        if blocked.is_empty() { Ok((warnings, replaced_partitions)) } else { Err(blocked) }
    }

    /// A check as it counts: a skipped one is at most a warning.
    pub(crate) fn ruled(&self, check: Check) -> Check {
        if self.skipped_checks.iter().any(|name| name == check.name) {
            check.skipped()
        } else {
            check
        }
    }
}

/// The check of parts, where it blocks one more part. Asked before an insert is tried, which the
/// server would reject with a vaguer message.
pub(crate) async fn room_for_parts(
    target: &Connection,
    job: &BoundJob,
    skipped_checks: &[String],
) -> Option<Check> {
    if skipped_checks.iter().any(|name| name == PARTS) {
        return None;
    }
    Some(check_parts(target, job, 0).await).filter(|check| check.verdict == Verdict::Blocked)
}

/// The check of row policies, where it blocks because the user does not see all rows of the source's
/// partition or of the lookup: none may be left.
pub(crate) async fn hidden_rows(
    servers: &Servers,
    job: &BoundJob,
    partition_id: &str,
) -> Option<Check> {
    let check = check_visible_reads(servers, job, partition_id).await;
    Some(check).filter(|check| check.verdict == Verdict::Blocked)
}

/// Makes the checks of a comparison: whether the server accepts the join, and whether the user sees
/// all rows of all tables. Gives those that block it.
pub(crate) async fn blocked_comparison(
    servers: &Servers,
    job: &BoundJob,
    plan: &Plan,
) -> Vec<Check> {
    let (join, reads, target) = tokio::join!(
        check_join(servers, job, plan),
        check_visible_reads(servers, job, plan.partition.id()),
        check_visible_target(&servers.target, job),
    );
    let groups = match &job.group {
        Some(group) => Some(check_groups(servers, job, group, plan).await),
        None => None,
    };
    let checks = [join, reads, target].into_iter().chain(groups);
    checks.filter(|check| check.verdict == Verdict::Blocked).collect()
}

/// The checks in the order of [`NAMES`].
pub(crate) fn in_order(mut checks: Vec<Check>) -> Vec<Check> {
    checks.sort_by_key(|check| NAMES.iter().position(|name| *name == check.name));
    checks
}
