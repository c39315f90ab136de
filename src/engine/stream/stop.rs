//! Stopping: finishing what is in flight, or giving up.

use tokio_util::sync::CancellationToken;

/// Shared by all tasks of a pipeline.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    requested: CancellationToken,
    failed: CancellationToken,
    abandoned: CancellationToken,
}

impl Stop {
    /// Nothing asks to stop yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One for a part of the work: it is asked to stop when the whole is, and what becomes of it
    /// does not concern the whole.
    #[must_use]
    pub fn part(&self) -> Self {
        Self { requested: self.requested.child_token(), ..Self::default() }
    }

    /// Asks to read nothing more and to insert what was read.
    pub fn request(&self) {
        self.requested.cancel();
    }

    /// Whether that was asked.
    pub fn is_requested(&self) -> bool {
        self.requested.is_cancelled()
    }

    /// Says that something failed for good, so that going on is useless.
    pub(super) fn fail(&self) {
        self.failed.cancel();
        self.requested.cancel();
    }

    /// Waits until reading should end.
    pub(crate) async fn reading_ends(&self) {
        self.requested.cancelled().await;
    }

    /// Waits until something failed for good.
    pub(super) async fn failing(&self) {
        self.failed.cancelled().await;
    }

    /// Says that what is in flight has had its time.
    pub(super) fn abandon(&self) {
        self.abandoned.cancel();
    }

    /// Waits until inserts in flight should be left to themselves.
    pub(super) async fn abandoning(&self) {
        self.abandoned.cancelled().await;
    }
}
