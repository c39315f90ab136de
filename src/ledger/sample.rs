//! How a run went, moment by moment.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// The figures of one process at one moment: one row of `load_samples`. A figure that is not known
/// is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadSample {
    /// The load.
    pub run_id: String,
    /// The process, by its claim.
    pub claim_id: String,
    /// When; `None` lets the ledger's clock say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampled_at: Option<Timestamp>,
    /// Whose figures these are: worker, host and process.
    pub worker: String,
    /// `plan`, `lookup`, `stream` or `done`.
    pub phase: String,
    /// How long ago the sample before was taken, to which rates and latencies refer.
    pub interval_seconds: f64,
    /// Rows that the process has read so far.
    pub rows_read: u64,
    /// Rows of it that were acknowledged.
    pub rows_inserted: u64,
    /// Their bytes.
    pub bytes_inserted: u64,
    /// Over the interval.
    pub rows_read_per_second: f64,
    /// Over the interval.
    pub rows_inserted_per_second: f64,
    /// Over the interval.
    pub bytes_inserted_per_second: f64,
    /// Batches acknowledged in the interval.
    pub inserts: u64,
    /// Half of them took no longer.
    pub insert_p50_seconds: Option<f64>,
    /// 95 % of them took no longer.
    pub insert_p95_seconds: Option<f64>,
    /// The longest of them.
    pub insert_max_seconds: Option<f64>,
    /// Active parts of the fullest partition of the target.
    pub active_parts: Option<u64>,
    /// Merges under way on the server.
    pub merges: Option<u64>,
    /// Memory that the server holds, in bytes.
    pub server_memory_bytes: Option<u64>,
    /// Memory that it may hold, in bytes.
    pub server_memory_limit_bytes: Option<u64>,
    /// Memory that the process holds, in bytes.
    pub client_memory_bytes: Option<u64>,
    /// Bytes of batches that wait or are on their way.
    pub queue_bytes: u64,
    /// Inserts under way.
    pub inserts_in_flight: u64,
    /// Statements that were tried again so far.
    pub retries: u64,
    /// Why it starts no chunk; empty where it does not wait.
    pub waiting: String,
    /// What the process was started with, as a JSON object of texts; in its first sample only.
    pub settings: String,
}
