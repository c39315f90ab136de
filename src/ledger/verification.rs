//! What a comparison of a load's target found.

use serde::{Deserialize, Serialize};

use super::{LoadKey, Timestamp};

/// One comparison: one row of `load_verifications`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// What was compared.
    #[serde(flatten)]
    pub key: LoadKey,
    /// The load that was current.
    pub run_id: String,
    /// When the comparison ended; `None` lets the ledger's clock say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Timestamp>,
    /// Whether the target was what the job makes of the source.
    pub equal: bool,
    /// Rows that the job makes.
    pub expected_rows: u64,
    /// Rows of the target that it answers for.
    pub target_rows: u64,
    /// Rows that differ.
    pub differences: u64,
    /// The share of keys that was compared, such as `1/100`; empty for all.
    pub sample: String,
    /// How long it took.
    pub seconds: f64,
    /// The version of this program.
    pub tool_version: String,
    /// All that was found, as JSON.
    pub report: String,
}
