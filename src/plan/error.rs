//! Why a plan cannot be made.

use super::partition::PartitionError;
use crate::clickhouse::{Error as ServerError, TableName};

/// A plan that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The partition does not fit the table.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// The table is not partitioned as the partition's name supposes.
    #[error(
        "the source table {table} is partitioned by {partition_key}, and --partition YYYYMM names a month"
    )]
    PartitionedOtherwise {
        /// Which table.
        table: TableName,
        /// Its partition key.
        partition_key: String,
    },
    /// The chunks of an earlier plan cannot be rebuilt: their bounds are in other columns than the
    /// table's primary key now begins with.
    #[error(
        "the chunks were planned by {bounds}, and the primary key of the source table {table} is now {key}; they cannot be rebuilt"
    )]
    OtherKey {
        /// Which table.
        table: TableName,
        /// The key's columns in the bounds, with their types.
        bounds: String,
        /// Those of the table.
        key: String,
    },
    /// The server could not be asked.
    #[error("{what} of the table {table} failed")]
    Server {
        /// What was asked.
        what: &'static str,
        /// Which table.
        table: TableName,
        /// The server's words.
        #[source]
        source: ServerError,
    },
}

impl PlanError {
    /// The table that it is about, where it is one.
    pub fn table(&self) -> Option<&TableName> {
        match self {
            Self::Partition(_) => None,
            Self::PartitionedOtherwise { table, .. }
            | Self::OtherKey { table, .. }
            | Self::Server { table, .. } => Some(table),
        }
    }
}
