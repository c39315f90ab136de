//! Why a plan cannot be made.

use super::partition::PartitionError;
use crate::clickhouse::{Error as ServerError, TableName};
use crate::job::ObjectChange;
use crate::units::bytes;

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
    /// The ranges of an earlier plan are those of another column.
    #[error(
        "the chunks cannot be rebuilt: they were planned by {bounds}, and the range of {table} is {range}"
    )]
    OtherRange {
        /// The source.
        table: TableName,
        /// The column of the ranges.
        bounds: String,
        /// The column of the job.
        range: String,
    },
    /// The objects are not those of an earlier plan.
    #[error("the objects {objects} have changed since they were planned: {}", words(changes))]
    OtherObjects {
        /// Their pattern in the job.
        objects: TableName,
        /// How.
        changes: Vec<ObjectChange>,
    },
    /// The attributes of one key do not fit the memory.
    #[error(
        "the attributes of one key of the lookup table {table} have {}, and {} of memory leave {} for those of one key: {key}",
        bytes(*longest),
        bytes(*total),
        bytes(*limit)
    )]
    LongAttributes {
        /// The lookup table.
        table: TableName,
        /// The key's columns and values.
        key: String,
        /// The bytes of the attributes.
        longest: u64,
        /// The memory of the run.
        total: u64,
        /// The most bytes that fit.
        limit: u64,
        /// The memory with which they fit.
        needed: u64,
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

/// How many changes are named.
const NAMED: usize = 5;

/// Changes of objects, in words.
pub(crate) fn words(changes: &[ObjectChange]) -> String {
    let mut words: Vec<_> = changes.iter().take(NAMED).map(ToString::to_string).collect();
    if changes.len() > NAMED {
        words.push(format!("and {} more", changes.len() - NAMED));
    }
    words.join("; ")
}

impl PlanError {
    /// The table that the error is about, if any.
    pub fn table(&self) -> Option<&TableName> {
        match self {
            Self::Partition(_) => None,
            Self::PartitionedOtherwise { table, .. }
            | Self::OtherKey { table, .. }
            | Self::OtherRange { table, .. }
            | Self::OtherObjects { objects: table, .. }
            | Self::LongAttributes { table, .. }
            | Self::Server { table, .. } => Some(table),
        }
    }
}
