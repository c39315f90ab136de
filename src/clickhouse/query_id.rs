//! Query ids with the run's prefix, so that what is left of a dead run can be found in
//! `system.processes` and killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What every query id of the program begins with.
pub const QUERY_ID_BEGINNING: &str = "clickhouse-backfill-";

/// Makes query ids of the form `clickhouse-backfill-<run id>-<process id>-<label>-<number>`; clones
/// share the number.
///
/// A run may be the work of several processes, one after the other or at once, so that each has an
/// id of its own in between: what a dead one left can then be killed without touching the others.
#[derive(Clone, Debug)]
pub struct QueryPrefix {
    run_id: Arc<str>,
    prefix: Arc<str>,
    next: Arc<AtomicU64>,
}

impl QueryPrefix {
    /// Ids for the run of this id, of which no other process is a part.
    pub fn new(run_id: &str) -> Self {
        Self {
            run_id: run_id.into(),
            prefix: format!("{QUERY_ID_BEGINNING}{run_id}").into(),
            next: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Ids for one process's part of the run of this id.
    pub fn of_process(run_id: &str, process_id: &str) -> Self {
        let prefix = format!("{QUERY_ID_BEGINNING}{run_id}-{process_id}");
        Self { run_id: run_id.into(), prefix: prefix.into(), next: Arc::new(AtomicU64::new(0)) }
    }

    /// The run's id, which is the same in all processes that work on it.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// What all the ids begin with.
    pub fn as_str(&self) -> &str {
        &self.prefix
    }

    /// A new id. Every attempt of a statement needs its own: the server refuses a second query
    /// under a running id (code 216).
    pub(super) fn next(&self, label: &str) -> String {
        format!("{}-{label}-{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }
}
