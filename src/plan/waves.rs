//! Grouping chunks into waves whose attributes fit into memory.
//!
//! Chunks are fixed when the plan is made. Waves are determined one by one during the run, because
//! only loading shows how much memory attributes take. A wave is a run of chunks and the matching
//! range of the lookup's leading column. If one chunk's range is too large, or the tables share no
//! leading column, the wave is split by hash buckets of the join key, and its chunks are read once
//! for each bucket.

use std::ops::Range;

use super::attributes::{AttributeStatistics, LeadingColumn};
use crate::job::statements::Bucket;

/// A run of chunks whose look-up rows are in memory at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Wave {
    /// Its number, from 0.
    pub number: usize,
    /// The numbers of its chunks. Those that [`WavePlanner::is_pending`] names are streamed, always
    /// including the first and the last.
    pub chunks: Range<usize>,
    /// Predicate on the lookup's rows, already quoted; `None` for the whole window.
    pub lookup_range: Option<String>,
    /// The bucket of keys, if the wave is split.
    pub bucket: Option<Bucket>,
    /// Estimated lookup rows.
    pub estimated_rows: u64,
    /// Their estimated bytes in the map.
    pub estimated_bytes: u64,
    /// Limit of the map's bytes.
    pub limit_bytes: u64,
}

/// The most buckets of keys.
const MOST_BUCKETS: u32 = 1 << 20;

/// Yields the waves of a plan one by one.
#[derive(Clone, Debug)]
pub struct WavePlanner {
    /// Which chunks are to be streamed.
    pending: Vec<bool>,
    leading: Option<LeadingColumn>,
    statistics: Option<AttributeStatistics>,
    /// For all attributes that are in memory at once.
    attributes_bytes: u64,
    bytes_per_row: f64,
    next_chunk: usize,
    next_number: usize,
    /// Remaining buckets of a run of chunks.
    buckets: Vec<(Range<usize>, Bucket)>,
    /// Maximum of chunks in a wave; lowered when a wave turns out too large.
    most_chunks: usize,
}

impl WavePlanner {
    /// `statistics` is `None` for a job without a lookup: then all chunks are one wave.
    pub(super) fn new(
        chunks: usize,
        leading: Option<LeadingColumn>,
        statistics: Option<AttributeStatistics>,
        attributes_bytes: u64,
    ) -> Self {
        let bytes_per_row = statistics.as_ref().map_or(0.0, |statistics| statistics.bytes_per_row);
        let (next_chunk, next_number, buckets) = (0, 0, Vec::new());
        let pending = vec![true; chunks];
        Self {
            pending,
            leading,
            statistics,
            attributes_bytes,
            bytes_per_row,
            next_chunk,
            next_number,
            buckets,
            most_chunks: usize::MAX,
        }
    }

    /// Restricts the plan to pending chunks: no wave begins or ends with another chunk.
    ///
    /// Chunks beyond the end of `pending` are not pending.
    #[must_use]
    pub fn only(mut self, pending: &[bool]) -> Self {
        for (number, is_pending) in self.pending.iter_mut().enumerate() {
            *is_pending &= pending.get(number).copied().unwrap_or_default();
        }
        self
    }

    /// Whether the plan has chunks.
    pub(super) fn has_chunks(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether the chunk of this number is to be streamed.
    pub fn is_pending(&self, chunk: usize) -> bool {
        self.pending.get(chunk).copied().unwrap_or_default()
    }

    /// The next wave; `None` if no chunk is left.
    pub fn next_wave(&mut self) -> Option<Wave> {
        if let Some((chunks, bucket)) = self.buckets.pop() {
            return Some(self.wave(chunks, Some(bucket), self.attributes_bytes / 2));
        }
        let is_first = self.next_chunk == 0;
        let first = (self.next_chunk..self.pending.len()).find(|&chunk| self.is_pending(chunk))?;
        let end = (first..self.pending.len()).rfind(|&chunk| self.is_pending(chunk))? + 1;
        let all = first..end;
        if is_first
            && all.len() <= self.most_chunks
            && self.bytes(&all) <= self.attributes_bytes as f64
        {
            self.next_chunk = end;
            return Some(self.wave(all, None, self.attributes_bytes));
        }
        let limit = self.attributes_bytes / 2;
        let mut run = first..first + 1;
        if self.bytes(&run) > limit as f64 {
            // Chunks that need the same rows share their buckets.
            while run.end < end && self.rows(&(first..run.end + 1)) == self.rows(&run) {
                run.end += 1;
            }
            let run = self.up_to_the_last_pending(run);
            self.next_chunk = run.end;
            self.split(run.clone(), self.bytes(&run) / limit.max(1) as f64);
            return self.next_wave();
        }
        while run.end < end
            && run.len() < self.most_chunks
            && self.bytes(&(first..run.end + 1)) <= limit as f64
        {
            run.end += 1;
        }
        let run = self.up_to_the_last_pending(run);
        self.next_chunk = run.end;
        Some(self.wave(run, None, limit))
    }

    /// The run up to its last pending chunk.
    fn up_to_the_last_pending(&self, run: Range<usize>) -> Range<usize> {
        let end =
            run.clone().rfind(|&chunk| self.is_pending(chunk)).map_or(run.start, |last| last + 1);
        run.start..end
    }

    /// Takes back the last wave, because its map outgrew the limit after `loaded_rows` rows; the
    /// following waves are smaller. Returns whether it could be divided.
    #[must_use]
    pub fn take_back(&mut self, wave: &Wave, loaded_rows: u64) -> bool {
        if wave.bucket.is_some_and(|bucket| bucket.count >= MOST_BUCKETS) {
            return false;
        }
        self.next_number = wave.number;
        let observed = wave.limit_bytes as f64 / loaded_rows.max(1) as f64;
        self.bytes_per_row = self.bytes_per_row.max(observed * 1.1);
        match wave.bucket {
            Some(Bucket { index, count }) => {
                self.buckets
                    .push((wave.chunks.clone(), Bucket { index: index + count, count: count * 2 }));
                self.buckets.push((wave.chunks.clone(), Bucket { index, count: count * 2 }));
            }
            None if wave.chunks.len() > 1 => {
                self.next_chunk = wave.chunks.start;
                self.most_chunks = wave.chunks.len() / 2;
            }
            None => {
                self.next_chunk = wave.chunks.end;
                self.split(
                    wave.chunks.clone(),
                    self.bytes(&wave.chunks) / wave.limit_bytes.max(1) as f64,
                );
            }
        }
        true
    }

    /// Leaves room for the longest attributes beside those of the waves: they are received before
    /// they are stored.
    pub(super) fn reserve(&mut self, longest_bytes: u64) {
        self.attributes_bytes =
            self.attributes_bytes.saturating_sub(longest_bytes.saturating_mul(2));
    }

    /// Replaces the estimated bytes of a row by those of a loaded wave.
    pub fn learn(&mut self, rows: u64, map_bytes: u64) {
        if rows >= 10_000 {
            self.bytes_per_row = map_bytes as f64 / rows as f64 * 1.1;
        }
    }

    /// Splits a run of chunks into at least two buckets; the first is on top of the stack.
    fn split(&mut self, chunks: Range<usize>, parts: f64) {
        let mut count: u32 = 2;
        while f64::from(count) < parts && count < MOST_BUCKETS {
            count *= 2;
        }
        self.buckets
            .extend((0..count).rev().map(|index| (chunks.clone(), Bucket { index, count })));
    }

    fn wave(&mut self, chunks: Range<usize>, bucket: Option<Bucket>, limit_bytes: u64) -> Wave {
        let number = self.next_number;
        self.next_number += 1;
        let parts = bucket.map_or(1, |bucket| u64::from(bucket.count));
        let estimated_rows = self.rows(&chunks) / parts;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate, never negative"
        )]
        let estimated_bytes = (self.bytes(&chunks) / parts as f64) as u64;
        let lookup_range = self.lookup_range(&chunks);
        Wave { number, chunks, lookup_range, bucket, estimated_rows, estimated_bytes, limit_bytes }
    }

    fn bytes(&self, chunks: &Range<usize>) -> f64 {
        self.rows(chunks) as f64 * self.bytes_per_row
    }

    /// Lookup rows that may match these chunks.
    fn rows(&self, chunks: &Range<usize>) -> u64 {
        let Some(statistics) = &self.statistics else { return 0 };
        let (from, to) = self.slots(chunks);
        let last = statistics.slots.len();
        statistics
            .slots
            .get(from.min(last)..to.saturating_add(1).min(last))
            .unwrap_or_default()
            .iter()
            .sum()
    }

    /// The first and the last slot of lookup rows that these chunks need.
    fn slots(&self, chunks: &Range<usize>) -> (usize, usize) {
        let Some(leading) = &self.leading else { return (0, usize::MAX) };
        let (below, above) = (leading.below(chunks.start), leading.below(chunks.end));
        (below.map_or(0, |value| 2 * value + 1), above.map_or(usize::MAX, |value| 2 * value + 1))
    }

    fn lookup_range(&self, chunks: &Range<usize>) -> Option<String> {
        let leading = self.leading.as_ref()?;
        let value = |position: usize| leading.values.get(position);
        let below = leading
            .below(chunks.start)
            .and_then(value)
            .map(|value| format!("{} >= {value}", leading.lookup));
        let above = leading
            .below(chunks.end)
            .and_then(value)
            .map(|value| format!("{} <= {value}", leading.lookup));
        match (below, above) {
            (Some(below), Some(above)) => Some(format!("{below} AND {above}")),
            (one, other) => one.or(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five chunks: up to a, a to b, inside b, b to d, beyond d.
    fn planner(slots: [u64; 7], attributes_bytes: u64) -> WavePlanner {
        let values = ["'a'", "'b'", "'d'"].map(str::to_owned).to_vec();
        let leading =
            LeadingColumn { lookup: "`p`".to_owned(), values, of_bound: vec![0, 1, 1, 2] };
        let statistics = AttributeStatistics { slots: slots.to_vec(), bytes_per_row: 10.0 };
        WavePlanner::new(5, Some(leading), Some(statistics), attributes_bytes)
    }

    type Shown<Text> = (Range<usize>, Option<Text>, Option<(u32, u32)>, u64);

    fn waves(planner: &mut WavePlanner) -> Vec<Shown<String>> {
        std::iter::from_fn(|| planner.next_wave())
            .map(|wave| {
                (
                    wave.chunks,
                    wave.lookup_range,
                    wave.bucket.map(|bucket| (bucket.index, bucket.count)),
                    wave.estimated_rows,
                )
            })
            .collect()
    }

    fn shown(expected: &[Shown<&str>]) -> Vec<Shown<String>> {
        expected
            .iter()
            .map(|(chunks, range, bucket, rows)| {
                (chunks.clone(), range.map(str::to_owned), *bucket, *rows)
            })
            .collect()
    }

    #[test]
    fn what_fits_is_one_wave() {
        let found = waves(&mut planner([1, 2, 3, 4, 5, 6, 7], 280));
        assert_eq!(found, shown(&[(0..5, None, None, 28)]));
    }

    #[test]
    fn runs_of_chunks_fill_half_of_the_memory() {
        // Rows of each chunk: up to a 3, a to b 9, inside b 4, b to d 15, beyond d 13; room for 13.
        let found = waves(&mut planner([1, 2, 3, 4, 5, 6, 7], 270));
        let b_to_d = Some("`p` >= 'b' AND `p` <= 'd'");
        let expected = [
            (0..3, Some("`p` <= 'b'"), None, 10),
            (3..4, b_to_d, Some((0, 2)), 7),
            (3..4, b_to_d, Some((1, 2)), 7),
            (4..5, Some("`p` >= 'd'"), None, 13),
        ];
        assert_eq!(found, shown(&expected));
    }

    #[test]
    fn chunks_of_one_value_share_their_buckets() {
        let found = waves(&mut planner([0, 0, 0, 100, 0, 0, 0], 500));
        assert_eq!(
            found.first(),
            shown(&[(0..1, Some("`p` <= 'a'"), None, 0)]).first(),
            "there are no rows up to a"
        );
        // All others need b, and nothing else.
        let buckets = (0..4)
            .map(|index| (1..5, Some("`p` >= 'a'"), Some((index, 4)), 25))
            .collect::<Vec<_>>();
        assert_eq!(found.get(1..), Some(shown(&buckets).as_slice()));
        // Every chunk is in exactly one run, and every run has all of its buckets.
        let mut covered = vec![0.0; 5];
        for (chunks, _, bucket, _) in &found {
            for chunk in chunks.clone() {
                covered[chunk] += bucket.map_or(1.0, |(_, count)| 1.0 / f64::from(count));
            }
        }
        assert!(covered.iter().all(|share: &f64| (share - 1.0).abs() < 1e-9), "{covered:?}");
    }

    #[test]
    fn a_wave_that_is_too_large_comes_back_smaller() {
        let mut planner = planner([1, 2, 3, 4, 5, 6, 7], 400);
        let whole = planner.next_wave().unwrap();
        assert_eq!(whole.chunks, 0..5);
        assert!(planner.take_back(&whole, 10));
        let smaller = planner.next_wave().unwrap();
        assert!(
            smaller.number == 0 && smaller.chunks.start == 0 && smaller.chunks.len() <= 2,
            "{smaller:?}"
        );
        let mut single = smaller.clone();
        while single.bucket.is_none() {
            assert!(planner.take_back(&single, 1));
            single = planner.next_wave().unwrap();
        }
        assert_eq!(single.chunks, 0..1);
        let before = single.bucket.unwrap();
        assert!(planner.take_back(&single, 1));
        let after = planner.next_wave().unwrap().bucket.unwrap();
        assert_eq!((after.index, after.count), (before.index, before.count * 2));
    }

    #[test]
    fn completed_chunks_are_neither_looked_up_nor_streamed() {
        let done = |pending: [bool; 5], memory| {
            waves(&mut planner([1, 2, 3, 4, 5, 6, 7], memory).only(&pending))
        };
        assert_eq!(done([false; 5], 280), []);
        let middle = [false, true, false, true, false];
        assert_eq!(
            done(middle, 280),
            shown(&[(1..4, Some("`p` >= 'a' AND `p` <= 'd'"), None, 20)])
        );
        // Room for 9 rows: the completed chunk between the two would not fit and is not needed.
        // Each fits by itself, or is split.
        let b_to_d = Some("`p` >= 'b' AND `p` <= 'd'");
        let expected = [
            (1..2, Some("`p` >= 'a' AND `p` <= 'b'"), None, 9),
            (3..4, b_to_d, Some((0, 2)), 7),
            (3..4, b_to_d, Some((1, 2)), 7),
        ];
        assert_eq!(done(middle, 180), shown(&expected));
        // Chunks beyond the end of the list are not pending.
        let short = waves(&mut planner([1, 2, 3, 4, 5, 6, 7], 280).only(&[true]));
        assert_eq!((short.len(), short.first().map(|wave| wave.0.clone())), (1, Some(0..1)));
        // A wave that is taken back leaves out completed chunks as well.
        let mut planner =
            planner([1, 2, 3, 4, 5, 6, 7], 400).only(&[true, false, false, false, true]);
        let whole = planner.next_wave().unwrap();
        assert_eq!(whole.chunks, 0..5);
        assert!(planner.take_back(&whole, 10));
        assert_eq!(
            waves(&mut planner).iter().map(|wave| wave.0.clone()).collect::<Vec<_>>().first(),
            Some(&(0..1))
        );
    }

    #[test]
    fn attributes_that_never_fit_end_the_division() {
        for attributes_bytes in [0, 1, 40, 280] {
            let mut planner = planner([1, 2, 3, 4, 5, 6, 7], attributes_bytes);
            let mut wave = planner.next_wave().unwrap();
            let mut steps = 0;
            while planner.take_back(&wave, 1) {
                wave = planner.next_wave().unwrap();
                let Bucket { index, count } = wave.bucket.unwrap_or(Bucket { index: 0, count: 1 });
                assert!(index < count && count <= MOST_BUCKETS, "{wave:?}");
                steps += 1;
                assert!(steps < 100, "{wave:?}");
            }
            assert_eq!(wave.bucket.map(|bucket| bucket.count), Some(MOST_BUCKETS));
        }
    }

    #[test]
    fn huge_attributes_leave_room_for_the_one_that_is_received() {
        let attributes = |longest| {
            let mut planner = planner([0, 6, 0, 6, 0, 0, 0], 1000);
            planner.reserve(longest);
            planner.next_wave().unwrap()
        };
        assert_eq!((attributes(0).limit_bytes, attributes(0).chunks), (1000, 0..5));
        assert_eq!(attributes(460).limit_bytes, 40);
        assert_eq!(attributes(u64::MAX).limit_bytes, 0);
    }

    #[test]
    fn without_a_lookup_there_is_one_wave() {
        let mut planner = WavePlanner::new(3, None, None, 0);
        assert_eq!(planner.next_wave().map(|wave| wave.chunks), Some(0..3));
        assert_eq!(planner.next_wave(), None);
    }
}
