//! The ledger's tables.

use crate::clickhouse::TableName;

/// A table of the ledger.
pub(super) struct Table {
    pub name: &'static str,
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
pub(super) const LOADS: Table = Table { name: "load_state", definition: include_str!("load_state.sql") };
/// One row for each chunk of each load.
pub(super) const CHUNKS: Table = Table { name: "load_state_chunks", definition: include_str!("load_state_chunks.sql") };
/// One row for each process that worked on a load.
pub(super) const CLAIMS: Table = Table { name: "load_claims", definition: include_str!("load_claims.sql") };
