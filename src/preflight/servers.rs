//! The servers themselves: version, time zones, clusters, replicas.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::{Check, ask, ask_one, ask_with, of_table};
use crate::clickhouse::{Connection, Servers, Settings, TableSchema};
use crate::job::{BoundJob, statements};
use crate::units::{count, counted, duration};

pub(super) const VERSION: &str = "version";

/// The version that the tests use.
const TESTED: &str = "26.7";

/// From this version on, an error in the middle of a response carries
/// [a tag of its own](https://clickhouse.com/docs/interfaces/http#response-buffering).
const TAGS_ERRORS: (u32, u32) = (25, 11);

/// Checks the versions of the target and of the source.
pub(super) fn check_version(target: &str, source: &str) -> Check {
    let found = if target == source {
        format!("ClickHouse {target}")
    } else {
        format!("ClickHouse {source} to {target}")
    };
    let old = [target, source]
        .into_iter()
        .find(|version| parse_version(version).is_some_and(|version| version < TAGS_ERRORS));
    match (old, parse_version(target)) {
        (Some(old), _) => Check::warning(
            VERSION,
            format!(
                "{found}; tested with {TESTED}. ClickHouse {old} does not tag errors in the middle of a response (25.11 and later do): \
                 the end of what was received is held back until more arrives, and rows are counted afterwards"
            ),
        )
        .lifted_by("ClickHouse 25.11 or newer"),
        (None, Some(_)) => Check::ok(VERSION, format!("{found}; tested with {TESTED}")),
        (None, None) => Check::unknown(VERSION, format!("the server reports the version {target}; tested with ClickHouse {TESTED}")),
    }
}

fn parse_version(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

pub(super) const TIME_ZONES: &str = "time-zones";

#[derive(Deserialize)]
struct Zone {
    zone: String,
}

/// Compares the time zones in which the two servers evaluate, with the settings of their statements.
pub(super) async fn check_time_zones(servers: &Servers, job: &BoundJob) -> Check {
    let (read, insert) =
        (statements::source_settings(job), Settings::common().with_all(&job.settings.insert.0));
    let (source, target) =
        tokio::join!(time_zone(&servers.source, &read), time_zone(&servers.target, &insert));
    match (source, target) {
        (Ok(source), Ok(target)) if is_same_zone(&source, &target) => Check::ok(TIME_ZONES, format!("{target} on both servers")),
        (Ok(source), Ok(target)) => Check::warning(
            TIME_ZONES,
            format!(
                "the source server uses {source} and the target server {target}, where expressions are evaluated: functions of \
                 times without a zone, such as toDate, use {target}"
            ),
        )
        .lifted_by(format!("session_timezone = '{source}' under [settings.insert] of the job")),
        (Err(reason), _) | (_, Err(reason)) => Check::unknown(TIME_ZONES, reason),
    }
}

/// Whether two names mean the same zone.
fn is_same_zone(one: &str, other: &str) -> bool {
    let plain =
        |zone: &str| matches!(zone, "UTC" | "Etc/UTC" | "Universal" | "Etc/Universal" | "Zulu");
    one == other || (plain(one) && plain(other))
}

async fn time_zone(connection: &Connection, settings: &Settings) -> Result<String, String> {
    let rows =
        ask_with::<Zone>(connection, "the server", "SELECT timezone() AS zone", settings).await?;
    rows.into_iter()
        .next()
        .map(|zone| zone.zone)
        .ok_or_else(|| "the server did not report its time zone".to_owned())
}

pub(super) const CLUSTER: &str = "cluster";

/// The target's server and its clusters and replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Topology {
    /// The server's host name; `None` if unknown.
    pub host: Option<String>,
    /// Clusters of more than one server to which it belongs; `None` if unknown.
    pub clusters: Option<Vec<Cluster>>,
    /// Replicas of the target; `None` if it is not replicated, or if they are unknown.
    pub target_replicas: Option<Replicas>,
}

/// A cluster of the server's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cluster {
    /// Its name.
    pub name: String,
    /// Number of shards.
    pub shards: u64,
    /// Number of servers.
    pub servers: u64,
}

/// Replicas of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replicas {
    /// All replicas.
    pub total: u64,
    /// Replicas that are connected.
    pub active: u64,
}

#[derive(Deserialize)]
struct Host {
    host: String,
}

/// Checks the clusters of the target's server: one of several shards has only its own rows.
pub(super) async fn check_cluster(target: &Connection, job: &BoundJob) -> (Check, Topology) {
    // Example clusters of the default configuration consist of this server alone.
    let clusters = "SELECT cluster AS name, uniqExact(shard_num) AS shards, count() AS servers FROM system.clusters \
        WHERE cluster IN (SELECT cluster FROM system.clusters WHERE is_local OR host_name IN (hostName(), FQDN())) GROUP BY cluster \
        HAVING servers > 1 AND countIf(NOT startsWith(host_address, '127.') AND host_address != '::1') > 0 ORDER BY cluster";
    let replicas = async {
        if !job.target.engine.starts_with("Replicated") {
            return None;
        }
        let sql = format!(
            "SELECT toUInt64(total_replicas) AS total, toUInt64(active_replicas) AS active FROM system.replicas WHERE {}",
            of_table(&job.target.name)
        );
        ask_one::<Replicas>(target, "system.replicas", &sql).await.ok()
    };
    let (host, clusters, target_replicas) = tokio::join!(
        ask_one::<Host>(target, "the server", "SELECT hostName() AS host"),
        ask::<Cluster>(target, "system.clusters", clusters),
        replicas
    );
    let check = match &clusters {
        Err(reason) => Check::unknown(CLUSTER, reason.clone()),
        Ok(clusters) => judge_clusters(clusters),
    };
    (
        check,
        Topology {
            host: host.ok().map(|host| host.host),
            clusters: clusters.ok(),
            target_replicas,
        },
    )
}

fn judge_clusters(clusters: &[Cluster]) -> Check {
    if clusters.is_empty() {
        return Check::ok(CLUSTER, "the server is in no cluster of several servers");
    }
    let words: Vec<_> = clusters.iter().map(Cluster::words).collect();
    let words = words.join("; ");
    if clusters.iter().all(|cluster| cluster.shards < 2) {
        return Check::ok(CLUSTER, words);
    }
    Check::warning(
        CLUSTER,
        format!("{words}: a run reads and fills only the tables of this server"),
    )
    .lifted_by("run once for each shard, each with its own ledger")
}

impl Cluster {
    /// `cluster main: 2 shards, 6 servers`
    pub(crate) fn words(&self) -> String {
        format!(
            "cluster {}: {}, {}",
            self.name,
            counted(self.shards, "shard"),
            counted(self.servers, "server")
        )
    }
}

pub(super) const REPLICAS: &str = "replicas";

/// A replica that lags at most this many seconds is ok.
const BEHIND: u64 = 60;

#[derive(Deserialize)]
struct ReplicaState {
    is_readonly: u8,
    absolute_delay: u64,
    queue_size: u64,
}

/// Checks the replicas of the job's tables on the two servers.
pub(super) async fn check_replicas(servers: &Servers, job: &BoundJob) -> Check {
    let mut reading = vec![&job.source];
    reading.extend(job.lookup.as_ref().map(|lookup| &lookup.table));
    let reading: Vec<_> = reading.into_iter().filter(|table| is_replicated(table)).collect();
    let writing: Vec<_> = [&job.target].into_iter().filter(|table| is_replicated(table)).collect();
    if reading.is_empty() && writing.is_empty() {
        return Check::ok(REPLICAS, "no table is replicated");
    }
    let mut behind = Vec::new();
    for (table, is_target) in
        reading.iter().map(|table| (table, false)).chain(writing.iter().map(|table| (table, true)))
    {
        let connection = if is_target { &servers.target } else { &servers.source };
        let replica = match replica_state(connection, table).await {
            Ok(Some(replica)) => replica,
            Ok(None) => {
                return Check::unknown(
                    REPLICAS,
                    format!("system.replicas has no row for {}", table.name),
                );
            }
            Err(reason) => return Check::unknown(REPLICAS, reason),
        };
        if is_target && replica.is_readonly != 0 {
            return Check::blocked(
                REPLICAS,
                format!("the replica of {} on this server is read-only", table.name),
            )
            .lifted_by(format!(
                "find out why: SELECT * FROM system.replicas WHERE {}",
                of_table(&table.name)
            ))
            .lifted_by(format!(
                "SYSTEM RESTART REPLICA {}, or use another replica as --clickhouse-url",
                table.name.quoted()
            ));
        }
        if replica.absolute_delay > BEHIND {
            let (delay, queue) =
                (duration(Duration::from_secs(replica.absolute_delay)), count(replica.queue_size));
            let effect = if is_target {
                "inserted rows are merged late"
            } else {
                "its newest rows are missing"
            };
            behind.push(format!(
                "the replica of {} lags by {delay}, with {queue} entries in its queue: {effect}",
                table.name
            ));
        }
    }
    if behind.is_empty() {
        return Check::ok(REPLICAS, "no replica lags");
    }
    Check::warning(REPLICAS, behind.join("; "))
        .lifted_by("wait: SELECT database, table, absolute_delay, queue_size FROM system.replicas")
        .lifted_by("use another replica as --source-url or --clickhouse-url")
}

async fn replica_state(
    connection: &Connection,
    table: &TableSchema,
) -> Result<Option<ReplicaState>, String> {
    let sql = format!(
        "SELECT is_readonly, toUInt64(absolute_delay) AS absolute_delay, toUInt64(queue_size) AS queue_size FROM system.replicas WHERE {}",
        of_table(&table.name)
    );
    Ok(ask(connection, "system.replicas", &sql).await?.into_iter().next())
}

fn is_replicated(table: &TableSchema) -> bool {
    table.engine.starts_with("Replicated")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Verdict;

    #[test]
    fn versions_without_tags_are_a_warning() {
        for (target, source, verdict) in [
            ("26.7.2.1", "26.7.2.1", Verdict::Ok),
            ("25.11.1.1", "26.5.1.1", Verdict::Ok),
            ("25.10.9.1", "25.10.9.1", Verdict::Warning),
            ("26.7.2.1", "24.8.1.1", Verdict::Warning),
            ("custom build", "custom build", Verdict::Unknown),
        ] {
            assert_eq!(check_version(target, source).verdict, verdict, "{target} {source}");
        }
    }
}
