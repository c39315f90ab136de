//! The versions of a load: which of them a run continues, and which of them readers may trust.
//!
//! A version gets the number behind that of the one before. Workers that begin a version at the same
//! time give it the same number: the one that began first counts, and the others withdraw theirs by
//! the number 0. The newest version is the one to continue, whether or not it is completed. The
//! newest completed version is the current one: `--restart` changes that only when the new version is
//! completed.

use super::LoadRecord;
use super::columns::FORMAT_VERSION;
use crate::state::LoadState;

/// Begins the error of a version of 0.1 that was withdrawn. Such versions had no numbers.
const WITHDRAWN_BY_0_1: &str = "begun at the same time as run ";

/// All versions of one load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadVersions {
    /// From the oldest to the newest; those that were withdrawn come first.
    versions: Vec<LoadRecord>,
    /// The run ids of versions whose row says otherwise of `is_current`.
    stale: Vec<String>,
}

impl LoadVersions {
    /// The versions of one key, as they are recorded.
    pub(super) fn of(mut recorded: Vec<LoadRecord>) -> Self {
        recorded.sort_by(|one, other| {
            (one.started_at, &one.run_id).cmp(&(other.started_at, &other.run_id))
        });
        number_those_of_0_1(&mut recorded);
        // Of equal numbers, the one that began first counts: it comes last.
        recorded.reverse();
        recorded.sort_by_key(|load| load.load_version);
        let current = recorded.iter().rev().find(|load| load.status == LoadState::Completed);
        let current = current.map(|load| load.run_id.clone());
        let mut stale = Vec::new();
        for load in &mut recorded {
            let is_current = current.as_ref() == Some(&load.run_id);
            if load.is_current != is_current {
                stale.push(load.run_id.clone());
                load.is_current = is_current;
            }
        }
        Self { versions: recorded, stale }
    }

    /// The version that a run continues.
    pub fn newest(&self) -> Option<&LoadRecord> {
        self.versions.last().filter(|load| load.load_version > 0)
    }

    /// The version that readers may trust.
    pub fn current(&self) -> Option<&LoadRecord> {
        self.versions.iter().find(|load| load.is_current)
    }

    /// All of them, from the newest.
    pub fn newest_first(&self) -> impl Iterator<Item = &LoadRecord> + Clone {
        self.versions.iter().rev()
    }

    /// All of them, from the newest.
    pub fn into_newest_first(self) -> Vec<LoadRecord> {
        self.versions.into_iter().rev().collect()
    }

    /// What is to be written when `changed` is: its row, and those of other versions that say
    /// otherwise of `is_current`.
    pub(super) fn rows_with(self, changed: &LoadRecord) -> Vec<LoadRecord> {
        let mut all = self.versions;
        all.retain(|load| load.run_id != changed.run_id);
        for load in &mut all {
            // As it is in the ledger.
            load.is_current ^= self.stale.contains(&load.run_id);
        }
        all.push(changed.clone());
        let Self { versions, stale } = Self::of(all);
        let is_written =
            |load: &LoadRecord| load.run_id == changed.run_id || stale.contains(&load.run_id);
        versions.into_iter().filter(is_written).collect()
    }
}

/// Gives the versions of 0.1 the numbers that they would have had. They stay the same when some of
/// these versions are written again.
fn number_those_of_0_1(by_start: &mut [LoadRecord]) {
    let is_withdrawn = |load: &LoadRecord| {
        load.format_version < FORMAT_VERSION
            && !load.is_current
            && load.error.starts_with(WITHDRAWN_BY_0_1)
    };
    let mut number = 0;
    for load in by_start.iter_mut().filter(|load| !is_withdrawn(load)) {
        if load.format_version >= FORMAT_VERSION {
            number = number.max(load.load_version);
        } else {
            number += 1;
            load.load_version = number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{LoadKey, Timestamp};

    fn load(run_id: &str, started: i64, number: u32, status: LoadState) -> LoadRecord {
        let text = String::new;
        let key = LoadKey {
            job: text(),
            source_table: text(),
            target_table: text(),
            partition_id: text(),
        };
        LoadRecord {
            load_version: number,
            status,
            started_at: Some(Timestamp(started)),
            ..LoadRecord::new(key, run_id.to_owned())
        }
    }

    /// As 0.1 wrote it.
    fn old(run_id: &str, started: i64, status: LoadState, is_current: bool) -> LoadRecord {
        LoadRecord { format_version: 1, is_current, ..load(run_id, started, 0, status) }
    }

    fn ids(load: Option<&LoadRecord>) -> Option<&str> {
        load.map(|load| load.run_id.as_str())
    }

    #[test]
    fn the_newest_is_continued_and_the_newest_completed_one_is_current() {
        use LoadState::{Completed, Started};
        let versions = LoadVersions::of(vec![
            load("c", 30, 3, Started),
            load("a", 10, 1, Completed),
            load("b", 20, 2, Completed),
        ]);
        assert_eq!((ids(versions.newest()), ids(versions.current())), (Some("c"), Some("b")));
        let none = LoadVersions::of(vec![load("c", 30, 1, Started)]);
        assert_eq!((ids(none.newest()), ids(none.current())), (Some("c"), None));
    }

    #[test]
    fn of_versions_that_began_at_once_the_first_counts() {
        use LoadState::{Interrupted, Started};
        let versions = LoadVersions::of(vec![load("b", 21, 2, Started), load("a", 20, 2, Started)]);
        assert_eq!(ids(versions.newest()), Some("a"));
        let versions =
            LoadVersions::of(vec![load("b", 21, 0, Interrupted), load("a", 20, 2, Started)]);
        assert_eq!(ids(versions.newest()), Some("a"));
        assert_eq!(ids(LoadVersions::of(vec![load("b", 21, 0, Interrupted)]).newest()), None);
    }

    #[test]
    fn a_completed_version_takes_over() {
        use LoadState::{Completed, Started};
        let before = LoadRecord { is_current: true, ..load("a", 10, 1, Completed) };
        let versions = LoadVersions::of(vec![before, load("b", 20, 2, Started)]);
        let rows = versions.clone().rows_with(&load("b", 20, 2, Started));
        assert_eq!(rows.len(), 1, "nothing changes while it is not completed");
        let rows = versions.rows_with(&load("b", 20, 2, Completed));
        let written: Vec<_> =
            rows.iter().map(|load| (load.run_id.as_str(), load.is_current)).collect();
        assert_eq!(written, [("a", false), ("b", true)]);
    }

    #[test]
    fn versions_of_0_1_are_numbered_by_their_start() {
        use LoadState::{Completed, Interrupted, Started};
        let withdrawn = LoadRecord {
            error: "begun at the same time as run b, which counts".to_owned(),
            ..old("x", 21, Interrupted, false)
        };
        // In 0.1, a version was current from its beginning on.
        let recorded = vec![old("a", 10, Completed, false), old("b", 20, Started, true), withdrawn];
        let versions = LoadVersions::of(recorded.clone());
        assert_eq!((ids(versions.newest()), ids(versions.current())), (Some("b"), Some("a")));
        assert_eq!(versions.newest().map(|load| load.load_version), Some(2));
        // Resumed: the rows of both are corrected, and the numbers stay.
        let resumed = LoadRecord { format_version: 2, ..versions.newest().unwrap().clone() };
        let rows = versions.rows_with(&resumed);
        let written: Vec<_> = rows
            .iter()
            .map(|load| (load.run_id.as_str(), load.load_version, load.is_current))
            .collect();
        assert_eq!(written, [("a", 1, true), ("b", 2, false)]);
        let half = LoadVersions::of(vec![recorded[0].clone(), rows[1].clone()]);
        assert_eq!(half.newest().map(|load| load.load_version), Some(2));
    }
}
