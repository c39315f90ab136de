//! What the server was like at one moment.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize, Serializer};

use crate::units::counted;

/// The figures of one moment. Each is `None` where it is not known: it may not be read, or the
/// server has no such thing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// When it was taken, by this machine's clock; as JSON, seconds since 1970.
    #[serde(serialize_with = "seconds")]
    pub at: SystemTime,
    /// Of the target's partitions that are being written to, the one with the most active parts.
    pub parts: Option<PartitionParts>,
    /// From so many parts of one partition on, the server slows inserts down
    /// ([`parts_to_delay_insert`](https://clickhouse.com/docs/operations/settings/merge-tree-settings#parts_to_delay_insert));
    /// 0 means never.
    pub parts_to_delay_insert: Option<u64>,
    /// From so many on, it refuses them
    /// ([`parts_to_throw_insert`](https://clickhouse.com/docs/operations/settings/merge-tree-settings#parts_to_throw_insert));
    /// 0 means never.
    pub parts_to_throw_insert: Option<u64>,
    /// Inserts that the server slows down at this moment, of anybody, because of too many parts.
    pub delayed_inserts: Option<u64>,
    /// Merges under way on the server, of all tables.
    pub merges: Option<u64>,
    /// Memory that the server counts as its own, in bytes.
    pub memory_used: Option<u64>,
    /// Memory that it may take, in bytes.
    pub memory_total: Option<u64>,
    /// How far the target's replica on this server is behind the others, in seconds.
    pub replica_delay_seconds: Option<u64>,
    /// Mutations of the target that are not done.
    pub mutations: Option<u64>,
}

/// How many active parts a partition has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionParts {
    /// The partition's name, such as `202511`; `tuple()` is that of a table without partitions.
    pub partition: String,
    /// Its active parts.
    pub parts: u64,
}

/// `262 parts in 202511`
impl fmt::Display for PartitionParts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.partition == "tuple()" { "the table" } else { &self.partition };
        write!(formatter, "{} in {place}", counted(self.parts, "part"))
    }
}

impl Sample {
    /// A moment of which nothing is known.
    pub fn unknown() -> Self {
        Self {
            at: SystemTime::now(),
            parts: None,
            parts_to_delay_insert: None,
            parts_to_throw_insert: None,
            delayed_inserts: None,
            merges: None,
            memory_used: None,
            memory_total: None,
            replica_delay_seconds: None,
            mutations: None,
        }
    }

    /// Memory of the server that is used, in percent of what it may take.
    pub fn memory_percent(&self) -> Option<f64> {
        match (self.memory_used, self.memory_total) {
            (Some(used), Some(total)) if total > 0 => Some(used as f64 * 100.0 / total as f64),
            _ => None,
        }
    }
}

fn seconds<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(at.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()))
}
