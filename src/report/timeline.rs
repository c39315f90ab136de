//! The timeline of a load: the samples of all of its processes, merged.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::ledger::{LoadSample, Timestamp};

/// Approximate limit on the number of points.
const MAX_POINTS: u64 = 240;
/// Least width of a point in seconds if several processes ran concurrently: each takes its samples
/// at its own times, ten seconds apart.
const MERGE_SECONDS: u64 = 30;
/// A longer gap between samples means that no process was running.
const PAUSE: Duration = Duration::from_secs(60);

/// The values of all processes over a short span of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct TimelinePoint {
    /// Start of the span.
    pub at: Option<Timestamp>,
    /// Seconds since the first sample, excluding time without a running process.
    pub seconds: f64,
    /// Whether no process was running before it.
    pub resumed: bool,
    /// Number of processes.
    pub processes: u64,
    /// Rows read per second.
    pub rows_read_per_second: f64,
    /// Rows inserted per second.
    pub rows_inserted_per_second: f64,
    /// Bytes inserted per second.
    pub bytes_inserted_per_second: f64,
    /// Median duration of an insert; of several processes the greatest.
    pub insert_p50_seconds: Option<f64>,
    /// 95th percentile of the duration; of several processes the greatest.
    pub insert_p95_seconds: Option<f64>,
    /// The slowest insert.
    pub insert_max_seconds: Option<f64>,
    /// Active parts of the fullest target partition.
    pub active_parts: Option<u64>,
    /// Merges in progress on the server.
    pub merges: Option<u64>,
    /// Memory used by the server.
    pub server_memory_bytes: Option<u64>,
    /// Memory limit of the server.
    pub server_memory_limit_bytes: Option<u64>,
    /// Memory used by the processes.
    pub client_memory_bytes: Option<u64>,
    /// Bytes of batches that were queued or being inserted.
    pub queue_bytes: u64,
    /// Why the processes waited; empty if they did not.
    pub waiting: String,
}

/// Merges the samples of all processes.
pub(super) fn timeline(samples: &[LoadSample]) -> Vec<TimelinePoint> {
    let mut samples: Vec<_> =
        samples.iter().filter_map(|sample| Some((sample.sampled_at?, sample))).collect();
    samples.sort_by_key(|(at, _)| *at);
    let working = working_times(&samples);
    let concurrent = ran_concurrently(&samples);
    let last = working.last().map_or(0.0, |(seconds, _)| *seconds);
    let narrowest = if concurrent { MERGE_SECONDS as f64 } else { 0.0 };
    let width = (last / MAX_POINTS as f64).max(narrowest);
    let mut points: Vec<TimelinePoint> = Vec::new();
    let mut group: Vec<&LoadSample> = Vec::new();
    let mut until = f64::NEG_INFINITY;
    for ((at, sample), (seconds, resumed)) in samples.iter().zip(working) {
        if seconds >= until || resumed {
            if let Some(point) = points.last_mut() {
                merge_samples(point, &group);
            }
            group.clear();
            // With a width of 0 every sample becomes a point.
            until = seconds + width;
            points.push(TimelinePoint {
                at: Some(*at),
                seconds,
                resumed,
                ..TimelinePoint::default()
            });
        }
        group.push(sample);
    }
    if let Some(point) = points.last_mut() {
        merge_samples(point, &group);
    }
    points
}

/// For each sample, the seconds of work before it and whether it follows a pause.
fn working_times(samples: &[(Timestamp, &LoadSample)]) -> Vec<(f64, bool)> {
    let (mut seconds, mut before, mut times) =
        (0.0, None::<Timestamp>, Vec::with_capacity(samples.len()));
    for (at, _) in samples {
        let gap = before.map_or(Duration::ZERO, |before| before.age_at(*at));
        let resumed = gap > PAUSE;
        seconds += if resumed { 1.0 } else { gap.as_secs_f64() };
        times.push((seconds, resumed));
        before = Some(*at);
    }
    times
}

/// Whether processes ran concurrently.
fn ran_concurrently(samples: &[(Timestamp, &LoadSample)]) -> bool {
    let mut spans: BTreeMap<&str, (Timestamp, Timestamp)> = BTreeMap::new();
    for (at, sample) in samples {
        spans.entry(&sample.claim_id).or_insert((*at, *at)).1 = *at;
    }
    let mut spans: Vec<_> = spans.into_values().collect();
    spans.sort_unstable();
    spans.windows(2).any(|pair| matches!(pair, [(_, end), (begin, _)] if begin < end))
}

/// Sums the rates and the memory of the processes; a process's rate is the mean of its samples. Of
/// the server's values the greatest is taken.
fn merge_samples(point: &mut TimelinePoint, group: &[&LoadSample]) {
    let mut by_process: BTreeMap<&str, Vec<&LoadSample>> = BTreeMap::new();
    for &sample in group {
        by_process.entry(&sample.claim_id).or_default().push(sample);
    }
    let sum_of_means = |figure: fn(&LoadSample) -> f64| {
        let mean = |samples: &Vec<&LoadSample>| {
            samples.iter().map(|sample| figure(sample)).sum::<f64>() / samples.len() as f64
        };
        by_process.values().map(mean).sum()
    };
    let slowest = |figure: fn(&LoadSample) -> Option<f64>| {
        group.iter().filter_map(|sample| figure(sample)).reduce(f64::max)
    };
    let greatest = |figure: fn(&LoadSample) -> Option<u64>| {
        group.iter().filter_map(|sample| figure(sample)).max()
    };
    let newest = || by_process.values().filter_map(|samples| samples.last());
    point.processes = by_process.len() as u64;
    point.rows_read_per_second = sum_of_means(|sample| sample.rows_read_per_second);
    point.rows_inserted_per_second = sum_of_means(|sample| sample.rows_inserted_per_second);
    point.bytes_inserted_per_second = sum_of_means(|sample| sample.bytes_inserted_per_second);
    point.insert_p50_seconds = slowest(|sample| sample.insert_p50_seconds);
    point.insert_p95_seconds = slowest(|sample| sample.insert_p95_seconds);
    point.insert_max_seconds = slowest(|sample| sample.insert_max_seconds);
    point.active_parts = greatest(|sample| sample.active_parts);
    point.merges = greatest(|sample| sample.merges);
    point.server_memory_bytes = greatest(|sample| sample.server_memory_bytes);
    point.server_memory_limit_bytes = greatest(|sample| sample.server_memory_limit_bytes);
    point.client_memory_bytes =
        newest().filter_map(|sample| sample.client_memory_bytes).reduce(|one, other| one + other);
    point.queue_bytes = newest().map(|sample| sample.queue_bytes).sum();
    let waiting =
        newest().map(|sample| sample.waiting.as_str()).find(|waiting| !waiting.is_empty());
    waiting.unwrap_or_default().clone_into(&mut point.waiting);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(claim: &str, second: i64, rate: f64) -> LoadSample {
        LoadSample {
            claim_id: claim.to_owned(),
            sampled_at: Some(Timestamp(second * 1_000_000)),
            rows_inserted_per_second: rate,
            insert_max_seconds: (rate > 0.0).then_some(rate / 100.0),
            client_memory_bytes: Some(100),
            ..LoadSample::default()
        }
    }

    fn shown(samples: &[LoadSample]) -> Vec<(f64, bool, u64, f64, Option<u64>)> {
        let point = |point: TimelinePoint| {
            (
                point.seconds,
                point.resumed,
                point.processes,
                point.rows_inserted_per_second,
                point.client_memory_bytes,
            )
        };
        timeline(samples).into_iter().map(point).collect()
    }

    #[test]
    fn samples_of_one_process_are_kept() {
        let samples = [sample("a", 100, 0.0), sample("a", 101, 5.0), sample("a", 103, 7.0)];
        let one = |seconds, rate| (seconds, false, 1, rate, Some(100));
        assert_eq!(shown(&samples), [one(0.0, 0.0), one(1.0, 5.0), one(3.0, 7.0)]);
        assert_eq!(timeline(&samples)[0].insert_max_seconds, None);
        assert!(timeline(&[]).is_empty());
    }

    #[test]
    fn pauses_are_left_out() {
        let samples = [
            sample("a", 0, 1.0),
            sample("a", 10, 2.0),
            sample("b", 90_000, 3.0),
            sample("b", 90_010, 4.0),
        ];
        let points: Vec<_> =
            shown(&samples).into_iter().map(|(seconds, resumed, ..)| (seconds, resumed)).collect();
        assert_eq!(points, [(0.0, false), (10.0, false), (11.0, true), (21.0, false)]);
    }

    #[test]
    fn concurrent_workers_are_summed() {
        let mut samples: Vec<_> = (0..10).map(|step| sample("a", step * 10, 5.0)).collect();
        samples.extend((0..10).map(|step| sample("b", step * 10 + 3, 2.0)));
        let points = shown(&samples);
        assert!(points.len() <= 4, "{points:?}");
        assert!(
            points.iter().all(|point| (point.2, point.3, point.4) == (2, 7.0, Some(200))),
            "{points:?}"
        );
    }

    #[test]
    fn the_number_of_points_is_limited() {
        let samples: Vec<_> = (0..20_000).map(|step| sample("a", step * 10, 5.0)).collect();
        let points = shown(&samples);
        assert!((200..=260).contains(&points.len()), "{}", points.len());
        assert!(points.iter().all(|point| (point.3 - 5.0).abs() < 1e-9));
    }
}
