//! Why a plan cannot be made.

use super::partition::PartitionError;
use crate::clickhouse::{Error as ServerError, TableName};

/// A plan that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The partition does not fit the table.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// A month was given for a table that is not partitioned by months.
    #[error(
        "the source table {table} is partitioned by {partition_key}, but --partition YYYYMM names a month"
    )]
    PartitionedOtherwise {
        /// The table.
        table: TableName,
        /// Its partition key.
        partition_key: String,
    },
    /// The chunks of an earlier plan cannot be rebuilt, because the table's primary key has changed.
    #[error(
        "the chunks cannot be rebuilt: they were planned by {bounds}, and the primary key of the source table {table} is now {key}"
    )]
    OtherKey {
        /// The table.
        table: TableName,
        /// The key columns of the bounds, with their types.
        bounds: String,
        /// The table's key columns, with their types.
        key: String,
    },
    /// A query failed.
    #[error("{what} of the table {table} failed")]
    Server {
        /// What the query was for.
        what: &'static str,
        /// The table.
        table: TableName,
        /// Why it failed.
        #[source]
        source: ServerError,
    },
}

impl PlanError {
    /// The table that the error is about, if any.
    pub fn table(&self) -> Option<&TableName> {
        match self {
            Self::Partition(_) => None,
            Self::PartitionedOtherwise { table, .. }
            | Self::OtherKey { table, .. }
            | Self::Server { table, .. } => Some(table),
        }
    }
}
