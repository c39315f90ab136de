//! How fast a load goes: by the figures that its processes keep every ten seconds, or else by the
//! chunks that were completed lately.

use super::{ChunkRecord, ChunkStatus, LoadSample, Timestamp};

/// How far back is looked, in microseconds.
pub(super) const SPAN: i64 = 5 * 60 * 1_000_000;

/// The least number of chunks to look at, where the last minutes had fewer.
const FEWEST: usize = 3;

/// A shorter time says nothing about speed, in microseconds.
const SHORTEST: i64 = 500_000;

/// Figures of a process that are older than this say nothing about now, in microseconds.
const STALE: i64 = 60 * 1_000_000;

/// Rows a second that the processes with these claims inserted together, by their figures of the
/// last minutes. `None` where not all of them have any.
pub(super) fn by_samples(
    samples: &[LoadSample],
    claim_ids: &[&str],
    now: Timestamp,
) -> Option<f64> {
    let of_one = |claim_id: &&str| {
        let mut own = samples.iter().filter(|sample| sample.claim_id == **claim_id);
        let (first, last) = (own.next()?, own.next_back()?);
        let (begin, end) = (first.sampled_at?.0, last.sampled_at?.0);
        let length = end.saturating_sub(begin);
        let is_known = length >= SHORTEST && now.0.saturating_sub(end) <= STALE;
        // Rows of attempts that were given up are taken out again.
        is_known.then(|| {
            last.rows_inserted.saturating_sub(first.rows_inserted) as f64 * 1e6 / length as f64
        })
    };
    if claim_ids.is_empty() {
        return None;
    }
    claim_ids.iter().map(of_one).sum()
}

/// Rows a second of the chunks that were completed over the last minutes; of a chunk that reaches
/// further back, the share of its rows that its time within them is. `since` is when the first of
/// the processes came that are at work now: rows of earlier ones say nothing about these.
///
/// Chunks that are not completed do not count, so the time ends with the last one that was. `None`
/// where none was lately.
pub(super) fn by_chunks(chunks: &[ChunkRecord], since: Timestamp, now: Timestamp) -> Option<f64> {
    let completed = chunks.iter().filter(|chunk| chunk.status == ChunkStatus::Completed);
    let timed = completed.filter_map(|chunk| {
        Some((chunk.started_at?.0, chunk.completed_at?.0, chunk.rows_inserted))
    });
    let mut timed: Vec<_> = timed.filter(|(_, end, _)| *end >= since.0).collect();
    timed.sort_unstable_by_key(|(_, end, _)| *end);
    let (_, end, _) = *timed.last()?;
    let few = timed.iter().rev().take(FEWEST).map(|(start, _, _)| *start).min()?;
    let begin = few.min(now.0.saturating_sub(SPAN)).max(since.0).min(end);
    let first = timed.iter().map(|(start, _, _)| *start).min()?;
    // Before the first chunk there was nothing to insert.
    let begin = begin.max(first);
    let length = end.saturating_sub(begin);
    let stands_still = now.0.saturating_sub(end) > SPAN.max(end.saturating_sub(few));
    if length < SHORTEST || stands_still {
        return None;
    }
    let rows: f64 = timed
        .iter()
        .map(|(start, end, rows)| *rows as f64 * share_after(begin, *start, *end))
        .sum();
    (rows > 0.0).then(|| rows * 1e6 / length as f64)
}

/// How much of the time from `start` to `end` lies after `begin`.
fn share_after(begin: i64, start: i64, end: i64) -> f64 {
    if end <= begin {
        return 0.0;
    }
    if end <= start { 1.0 } else { (end - begin.max(start)) as f64 / (end - start) as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    /// Chunks of (from, to, rows), in seconds.
    fn rate(chunks: &[(i64, i64, u64)], since: i64, now: i64) -> Option<f64> {
        let chunk = |&(start, end, rows): &(i64, i64, u64)| ChunkRecord {
            status: ChunkStatus::Completed,
            rows_inserted: rows,
            started_at: Some(Timestamp(start * SECOND)),
            completed_at: Some(Timestamp(end * SECOND)),
            ..ChunkRecord::pending("run", 0, "")
        };
        let chunks: Vec<_> =
            chunks.iter().map(chunk).chain([ChunkRecord::pending("run", 1, "")]).collect();
        by_chunks(&chunks, Timestamp(since * SECOND), Timestamp(now * SECOND)).map(f64::round)
    }

    #[test]
    fn the_last_minutes_count() {
        assert_eq!(rate(&[], 0, 100), None);
        assert_eq!(rate(&[(10, 20, 1000)], 0, 25), Some(100.0));
        // One after the other, and two at once.
        assert_eq!(rate(&[(10, 20, 1000), (20, 40, 1000)], 0, 45), Some(67.0));
        assert_eq!(rate(&[(10, 20, 1000), (10, 20, 1000)], 0, 45), Some(200.0));
        // An hour ago it was faster.
        let slow: Vec<_> = (0..100).map(|n| (n * 10, n * 10 + 10, 100)).collect();
        let chunks: Vec<_> = [(0, 1, 1_000_000)].into_iter().chain(slow).collect();
        assert_eq!(rate(&chunks, 0, 1000), Some(10.0));
    }

    #[test]
    fn large_chunks_need_longer() {
        assert_eq!(
            rate(
                &[(0, 1000, 1000), (1000, 2000, 3000), (2000, 3000, 5000), (3000, 4000, 1000)],
                0,
                4100
            ),
            Some(3.0)
        );
    }

    #[test]
    fn what_earlier_processes_did_does_not_count() {
        let chunks = [(0, 100, 100_000), (5000, 5010, 100), (5010, 5020, 100)];
        assert_eq!(rate(&chunks, 4990, 5021), Some(10.0));
        assert_eq!(
            rate(&chunks[..1], 4990, 5021),
            None,
            "the process that is here now has done nothing yet"
        );
    }

    #[test]
    fn what_stands_still_has_no_speed() {
        let chunks: Vec<_> = (0..10).map(|n| (n * 10, n * 10 + 10, 100)).collect();
        assert_eq!(rate(&chunks, 0, 110), Some(10.0));
        assert_eq!(rate(&chunks, 0, 1000), None, "the last chunk was long ago");
    }

    #[test]
    fn figures_of_processes_are_added_up() {
        let sample = |claim: &str, at: i64, rows: u64| LoadSample {
            claim_id: claim.to_owned(),
            sampled_at: Some(Timestamp(at * SECOND)),
            rows_inserted: rows,
            ..LoadSample::default()
        };
        let samples = [
            sample("a", 100, 1000),
            sample("b", 101, 50),
            sample("a", 110, 2000),
            sample("b", 111, 150),
            sample("a", 120, 3000),
        ];
        let rate =
            |claims: &[&str], now: i64| by_samples(&samples, claims, Timestamp(now * SECOND));
        assert_eq!(rate(&["a"], 125).map(f64::round), Some(100.0));
        assert_eq!(rate(&["a", "b"], 125).map(f64::round), Some(110.0));
        assert_eq!(rate(&["a", "c"], 125), None, "one has just come");
        assert_eq!(rate(&["b"], 172), None, "it has been silent for too long");
        assert_eq!(rate(&[], 125), None);
        // A process that waits has a speed, which is none.
        let waiting = [sample("a", 100, 1000), sample("a", 110, 1000)];
        assert_eq!(
            by_samples(&waiting, &["a"], Timestamp(112 * SECOND)).map(f64::round),
            Some(0.0)
        );
    }
}
