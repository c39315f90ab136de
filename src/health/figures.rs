//! The result of looking at a server. Field names are a contract.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rollups::{Rollup, RollupJob};

/// What is looked at.
#[derive(Clone, Debug)]
pub(crate) struct HealthOptions {
    /// The tables of a pack; `None` for all of the database.
    pub tables: Option<Vec<String>>,
    /// The roll-ups whose counts are compared with those of their raw tables.
    pub rollups: Vec<RollupJob>,
    /// The age from which a mutation or a merge counts as stuck.
    pub stuck_after: Duration,
}

/// The result. Field names are a contract; what the user may not read is `null`.
#[derive(Debug, Serialize)]
pub(crate) struct Health {
    /// Whether nothing is wrong.
    pub healthy: bool,
    pub database: String,
    pub version: String,
    pub uptime_seconds: u64,
    pub ping_milliseconds: f64,
    pub tables: Vec<Table>,
    pub mutations: Option<Vec<Mutation>>,
    pub merges: Option<Vec<Merge>>,
    pub replicas: Option<Vec<Replica>>,
    pub views: Option<Vec<View>>,
    pub rollups: Vec<Rollup>,
    pub problems: Vec<Problem>,
}

/// A table or a view.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Table {
    pub name: String,
    pub engine: String,
    pub rows: Option<u64>,
    pub bytes: Option<u64>,
    pub uncompressed_bytes: u64,
    pub compression_ratio: Option<f64>,
    pub parts: u64,
    pub oldest_partition: Option<String>,
    pub newest_partition: Option<String>,
    /// Parts with rows that the TTL has expired and no merge has removed.
    pub parts_with_expired_rows: u64,
    /// The seconds since the first of them expired.
    pub ttl_overdue_seconds: u64,
}

/// A mutation that is not done.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Mutation {
    pub table: String,
    pub mutation_id: String,
    pub command: String,
    pub age_seconds: u64,
    pub parts_to_do: u64,
    pub failure: String,
}

/// A merge in progress.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Merge {
    pub table: String,
    pub part: String,
    pub elapsed_seconds: f64,
    pub progress: f64,
}

/// A replicated table.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Replica {
    pub table: String,
    pub delay_seconds: u64,
    pub is_readonly: bool,
    pub exception: String,
}

/// A materialized view.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct View {
    pub name: String,
    #[serde(skip_serializing)]
    pub query: String,
    #[serde(skip_serializing)]
    pub has_target: bool,
    /// Why it cannot work; empty if it can.
    #[serde(default)]
    pub error: String,
}

/// Something that is wrong.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// The table or the view.
    pub subject: String,
    /// What is wrong with it.
    pub message: String,
    /// What helps.
    pub advice: String,
}
