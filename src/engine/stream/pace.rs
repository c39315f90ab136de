//! How fast chunks are read, and so into how many parts one is divided before it is begun.
//!
//! What a chunk has inserted is inserted again when its run is killed or its stream breaks off, so a
//! chunk is to be about 15 s of work. Plans cut by size; how long that takes shows during the run.

use std::time::{Duration, Instant};

use crate::plan::MOST_PARTS;
use crate::sync::Mutex;

/// What a part should take.
const AIM: Duration = Duration::from_secs(15);
/// A chunk that takes a little longer is not divided, since each cut reads granules twice.
const WORTHWHILE: f64 = 2.0;
/// After this time, rows of chunks that are being read tell enough.
const FIRST_ESTIMATE: Duration = Duration::from_secs(15);

/// The pace of one reader.
#[derive(Debug, Default)]
pub(in crate::engine) struct Pace(Mutex<Measured>);

#[derive(Debug, Default)]
struct Measured {
    began: Option<Instant>,
    /// In rows a second, mostly that of the last chunks.
    rate: Option<f64>,
}

impl Pace {
    /// Notes that a chunk of this many rows was read.
    pub(in crate::engine) fn read(&self, rows: u64, took: Duration) {
        if rows == 0 || took.is_zero() {
            return;
        }
        let rate = rows as f64 / took.as_secs_f64();
        let mut measured = self.0.lock();
        measured.rate = Some(measured.rate.map_or(rate, |before| f64::midpoint(before, rate)));
    }

    /// Into how many parts a chunk of about this many rows is to be divided; `None` for one that is
    /// small enough, and while nothing is known. `inserted` rows of the run were inserted by this
    /// many readers.
    pub(super) fn parts(&self, rows: u64, inserted: u64, readers: usize) -> Option<usize> {
        let mut measured = self.0.lock();
        let elapsed = measured.began.get_or_insert_with(Instant::now).elapsed();
        let so_far = || {
            (elapsed >= FIRST_ESTIMATE)
                .then(|| inserted as f64 / elapsed.as_secs_f64() / readers.max(1) as f64)
        };
        parts_at(measured.rate.or_else(so_far)?, rows)
    }
}

fn parts_at(rate: f64, rows: u64) -> Option<usize> {
    let parts = rows as f64 / rate.max(1.0) / AIM.as_secs_f64();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small number of parts, never negative"
    )]
    let whole = parts.ceil().min(MOST_PARTS as f64) as usize;
    (parts > WORTHWHILE).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_chunks_are_divided_into_quarters_of_a_minute() {
        assert_eq!(parts_at(10_000.0, 250_000), None, "25 s");
        assert_eq!(parts_at(10_000.0, 1_000_000), Some(7), "100 s");
        assert_eq!(parts_at(0.0, 1_000_000), Some(MOST_PARTS));
        assert_eq!(parts_at(10_000.0, 0), None, "the number of rows is unknown");
    }

    #[test]
    fn the_last_chunks_count_most() {
        let pace = Pace::default();
        assert_eq!(pace.parts(1_000_000, 0, 2), None, "nothing is known");
        pace.read(100_000, Duration::from_secs(1));
        assert_eq!(pace.parts(1_000_000, 0, 2), None);
        for _ in 0..8 {
            pace.read(100_000, Duration::from_secs(10));
        }
        assert_eq!(pace.parts(1_000_000, 0, 2), Some(7));
    }
}
