//! The states of loads and the outcomes of runs. Their names are used in the ledger, in JSON, in hooks
//! and in metrics.

use serde::{Deserialize, Serialize, Serializer};

/// The state of a load.
///
/// In the ledger, `started` is the state of every load that has not ended, whether or not a process
/// still works on it. In the state that users see, a load without a process is `interrupted`: see
/// [`LoadState::observed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadState {
    /// Nothing is recorded.
    NotStarted,
    /// A process works on it.
    Started,
    /// It was stopped, or its process was killed.
    Interrupted,
    /// Some of it failed.
    Failed,
    /// Its result is built beside the target and equals the equivalent join. It is not published.
    Staged,
    /// All chunks are completed, and a count of the source agrees.
    Completed,
    /// It was completed, and `rollback` put back what it had replaced.
    Superseded,
}

impl LoadState {
    /// The states in which a load can be seen.
    pub const ALL: [Self; 7] = [
        Self::NotStarted,
        Self::Started,
        Self::Interrupted,
        Self::Failed,
        Self::Staged,
        Self::Completed,
        Self::Superseded,
    ];

    /// The name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::Started => "started",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
            Self::Staged => "staged",
            Self::Completed => "completed",
            Self::Superseded => "superseded",
        }
    }

    /// The name in sentences and tables.
    pub fn text(self) -> &'static str {
        match self {
            Self::NotStarted => "not started",
            other => other.name(),
        }
    }

    /// The state of a load from its record, if there is one, and from whether a live process holds a
    /// claim on it.
    pub fn observed(recorded: Option<Self>, is_claimed: bool) -> Self {
        match recorded {
            Some(Self::Completed) => Self::Completed,
            _ if is_claimed => Self::Started,
            // Its process ended and did not record how.
            Some(Self::Started) => Self::Interrupted,
            Some(ended) => ended,
            None => Self::NotStarted,
        }
    }
}

/// The outcome of a run for one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// The run has not come to the partition.
    NotStarted,
    /// The run completed the load; in a dry run, it evaluated all rows.
    Completed,
    /// An earlier run completed the load.
    CompletedBefore,
    /// The partition has no rows.
    Empty,
    /// The run completed its part of the load.
    PartCompleted {
        /// The chunks of other workers that are not completed.
        chunks_left: u64,
    },
    /// The run filled some chunks, whose rows are equal.
    CanaryEqual {
        /// The chunks that are not completed.
        chunks_left: u64,
    },
    /// The run filled some chunks, whose rows differ.
    CanaryDifferent,
    /// The run was stopped. Completed chunks stay completed.
    Interrupted,
    /// The run failed. Completed chunks stay completed.
    Failed,
}

impl RunOutcome {
    /// The name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::Completed => "completed",
            Self::CompletedBefore => "completed_before",
            Self::Empty => "empty",
            Self::PartCompleted { .. } => "part_completed",
            Self::CanaryEqual { .. } => "canary_equal",
            Self::CanaryDifferent => "canary_different",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }

    /// The state of the run's own work.
    pub fn state(self) -> LoadState {
        match self {
            Self::NotStarted => LoadState::NotStarted,
            Self::Completed
            | Self::CompletedBefore
            | Self::Empty
            | Self::PartCompleted { .. }
            | Self::CanaryEqual { .. }
            | Self::CanaryDifferent => LoadState::Completed,
            Self::Interrupted => LoadState::Interrupted,
            Self::Failed => LoadState::Failed,
        }
    }
}

impl Serialize for RunOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_json() {
        for state in LoadState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
        let part = RunOutcome::PartCompleted { chunks_left: 3 };
        assert_eq!(serde_json::to_value(part).unwrap(), "part_completed");
    }

    #[test]
    fn a_record_and_a_claim_make_a_state() {
        use LoadState::{Completed, Failed, Interrupted, NotStarted, Started};
        for (recorded, unclaimed, claimed) in [
            (None, NotStarted, Started),
            (Some(Started), Interrupted, Started),
            (Some(Interrupted), Interrupted, Started),
            (Some(Failed), Failed, Started),
            (Some(Completed), Completed, Completed),
        ] {
            assert_eq!(LoadState::observed(recorded, false), unclaimed, "{recorded:?}");
            assert_eq!(LoadState::observed(recorded, true), claimed, "{recorded:?}");
        }
    }
}
