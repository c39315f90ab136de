//! Of what the target's server is a part.

use serde::{Deserialize, Serialize};

use super::Check;
use super::ask::{ask, ask_one, of_table};
use crate::clickhouse::Connection;
use crate::job::BoundJob;
use crate::units::counted;

pub(super) const NAME: &str = "cluster";

/// The target's server and what is around it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Topology {
    /// The server's name for itself; `None` where it does not tell.
    pub host: Option<String>,
    /// Clusters of more than one server to which it belongs; `None` where it does not tell.
    pub clusters: Option<Vec<Cluster>>,
    /// Replicas of the target: how many there are and how many are active; `None` where it is not
    /// replicated, or the server does not tell.
    pub target_replicas: Option<Replicas>,
}

/// A cluster in the server's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// How many shards it has.
    pub shards: u64,
    /// How many servers.
    pub servers: u64,
}

/// Replicas of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicas {
    /// All.
    pub total: u64,
    /// Those that are there.
    pub active: u64,
}

#[derive(Deserialize)]
struct Host {
    host: String,
}

/// Asks the target's server, and judges: one of several shards has only its own rows.
pub(super) async fn check(target: &Connection, job: &BoundJob) -> (Check, Topology) {
    // Configurations come with clusters for trying things out, all of whose servers are this one.
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
        Err(reason) => Check::unknown(NAME, reason.clone()),
        Ok(clusters) => judge(clusters),
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

fn judge(clusters: &[Cluster]) -> Check {
    if clusters.is_empty() {
        return Check::ok(NAME, "the server is in no cluster of several servers");
    }
    let words: Vec<_> = clusters.iter().map(Cluster::words).collect();
    let words = words.join("; ");
    if clusters.iter().all(|cluster| cluster.shards < 2) {
        return Check::ok(NAME, words);
    }
    Check::warning(NAME, format!("{words}: a run reads and fills the tables of this server alone"))
        .lifted_by("a run for each shard, with a ledger of its own in each")
}

impl Cluster {
    /// `cluster main: 2 shards, 6 servers`
    pub fn words(&self) -> String {
        format!(
            "cluster {}: {}, {}",
            self.name,
            counted(self.shards, "shard"),
            counted(self.servers, "server")
        )
    }
}
