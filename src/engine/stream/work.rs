//! What a run is to do of a plan.

use tokio::sync::mpsc::UnboundedSender;

use super::report::ChunkReport;
use crate::plan::Plan;

/// The part of a plan that a run does, and who hears of it.
#[derive(Clone, Debug)]
pub struct Work {
    /// For each chunk of the plan, whether it is to be done.
    pub pending: Vec<bool>,
    /// Whether the partition's rows are counted while the run goes on, by a query that knows
    /// nothing of chunks.
    pub count: bool,
    /// Rows that the other chunks gave in earlier runs; of what was counted, they are not expected
    /// any more.
    pub rows_before: u64,
    /// Who is told of each chunk that comes to its end.
    pub reports: Option<UnboundedSender<ChunkReport>>,
    /// Who is told how many rows were counted, those of the other chunks among them.
    pub counted: Option<UnboundedSender<u64>>,
}

impl Work {
    /// The whole plan, counted; nobody is told.
    pub fn all(plan: &Plan) -> Self {
        Self {
            pending: vec![true; plan.chunks.len()],
            count: true,
            rows_before: 0,
            reports: None,
            counted: None,
        }
    }

    /// Whether the chunk of this number is to be done.
    pub(super) fn is_pending(&self, chunk: usize) -> bool {
        self.pending.get(chunk).copied().unwrap_or_default()
    }
}
