//! A word to whoever runs a job most of whose rows find their attributes outside of the lookup's
//! window.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::stream::Counters;
use crate::job::BoundLookup;

/// Fewer rows cost nothing worth a word.
const ROWS: u64 = 10_000;

/// Given once in a run.
#[derive(Debug, Default)]
pub(in crate::engine::stream) struct Advice {
    given: AtomicBool,
}

impl Advice {
    /// Says it, if it is time to.
    pub fn consider(&self, counters: &Counters, lookup: &BoundLookup) {
        let (in_window, late) = (counters.matched_rows.get(), counters.matched_late_rows.get());
        if late < ROWS || late <= in_window || self.given.swap(true, Ordering::Relaxed) {
            return;
        }
        let Some(window) = &lookup.window else { return };
        tracing::warn!(
            late,
            in_window,
            column = window.column,
            days_before = window.days_before,
            days_after = window.days_after,
            "most rows find their attributes outside of the lookup's window, where each look-up scans the keys of {}: with a wider \
             window in the job, they are loaded beforehand",
            lookup.table.name
        );
    }
}
