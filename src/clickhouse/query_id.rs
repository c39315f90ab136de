//! Query ids with the run's prefix, so that what is left of a dead run can be found in `system.processes` and killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes query ids of the form `clickhouse-backfill-<run id>-<label>-<number>`; clones share the number.
#[derive(Clone, Debug)]
pub struct QueryPrefix {
    prefix: Arc<str>,
    next: Arc<AtomicU64>,
}

impl QueryPrefix {
    /// Ids for the run of this id.
    pub fn new(run_id: &str) -> Self {
        Self { prefix: format!("clickhouse-backfill-{run_id}").into(), next: Arc::new(AtomicU64::new(0)) }
    }

    /// What all the ids begin with.
    pub fn as_str(&self) -> &str {
        &self.prefix
    }

    /// A new id. Every attempt of a statement needs its own: the server refuses a second query under a running id (code 216).
    pub(super) fn next(&self, label: &str) -> String {
        format!("{}-{label}-{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }
}
