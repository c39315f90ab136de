//! The ledger's tables.

use crate::clickhouse::TableName;

/// A table of the ledger.
pub(super) struct Table {
    pub name: &'static str,
    /// What the ids of its statements contain.
    pub label: &'static str,
    /// From the columns' parenthesis to the comment.
    definition: &'static str,
}

impl Table {
    /// The statement that creates it.
    pub fn create(&self, name: &TableName) -> String {
        format!("CREATE TABLE IF NOT EXISTS {} {}", name.quoted(), self.definition)
    }
}

/// One row for each load.
pub(super) const LOADS: Table =
    Table { name: "load_state", label: "ledger", definition: include_str!("load_state.sql") };
/// One row for each chunk of each load.
pub(super) const CHUNKS: Table = Table {
    name: "load_state_chunks",
    label: "ledger",
    definition: include_str!("load_state_chunks.sql"),
};
/// One row for each process that worked on a load.
pub(super) const CLAIMS: Table =
    Table { name: "load_claims", label: "ledger", definition: include_str!("load_claims.sql") };
/// A row every ten seconds or so of each process. It may be missing.
pub(super) const SAMPLES: Table =
    Table { name: "load_samples", label: "samples", definition: include_str!("load_samples.sql") };
/// One row for each comparison. It may be missing.
pub(super) const VERIFICATIONS: Table = Table {
    name: "load_verifications",
    label: "verifications",
    definition: include_str!("load_verifications.sql"),
};
