//! Stopping a run: finish what is in flight, or abandon it.

use tokio_util::sync::CancellationToken;

/// The stop signals of a run, shared by all of its tasks.
///
/// Each signal implies the weaker one before it: *requested* ends reading, *failed* ends retries as
/// well, *abandoned* ends inserts in flight.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    requested: CancellationToken,
    failed: CancellationToken,
    abandoned: CancellationToken,
}

impl Stop {
    /// Signals that were not given yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Signals for a part of the work. The part stops when the whole is asked to stop; a failure of
    /// the part does not affect the whole.
    #[must_use]
    pub fn part(&self) -> Self {
        Self { requested: self.requested.child_token(), ..Self::default() }
    }

    /// Ends reading. Rows that were read are still inserted.
    pub fn request(&self) {
        self.requested.cancel();
    }

    /// Whether reading is to end.
    pub fn is_requested(&self) -> bool {
        self.requested.is_cancelled()
    }

    /// Reports a permanent failure: the run cannot complete, so reading and retries end.
    pub(crate) fn fail(&self) {
        self.failed.cancel();
        self.requested.cancel();
    }

    /// Abandons inserts in flight.
    pub(crate) fn abandon(&self) {
        self.abandoned.cancel();
    }

    /// Waits until reading is to end.
    pub(crate) async fn reading_ends(&self) {
        self.requested.cancelled().await;
    }

    /// Waits for a permanent failure.
    pub(crate) async fn failing(&self) {
        self.failed.cancelled().await;
    }

    /// Waits until inserts in flight are to be abandoned.
    pub(crate) async fn abandoning(&self) {
        self.abandoned.cancelled().await;
    }

    /// The signal behind [`reading_ends`](Self::reading_ends).
    pub(crate) fn requested(&self) -> CancellationToken {
        self.requested.clone()
    }

    /// The signal behind [`failing`](Self::failing).
    pub(crate) fn failed(&self) -> CancellationToken {
        self.failed.clone()
    }
}
