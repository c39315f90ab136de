//! How a run went, over all of its processes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::ledger::{LoadSample, Timestamp};

/// About so many points at most.
const POINTS: u64 = 240;
/// Processes take their samples at times of their own, and ten seconds apart.
const TOGETHER: u64 = 30;
/// Where for so long nothing was heard of any process, none was at work.
const PAUSE: Duration = Duration::from_secs(60);

/// All processes together, over a short span of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CoursePoint {
    /// When.
    pub at: Option<Timestamp>,
    /// Seconds since the first sample, without the time in which no process was at work.
    pub seconds: f64,
    /// Whether no process was at work before it.
    pub resumed: bool,
    /// How many processes it is of.
    pub processes: u64,
    /// Rows read a second.
    pub rows_read_per_second: f64,
    /// Rows inserted a second.
    pub rows_inserted_per_second: f64,
    /// Bytes inserted a second.
    pub bytes_inserted_per_second: f64,
    /// Half of the inserts took no longer; of several processes the slowest.
    pub insert_p50_seconds: Option<f64>,
    /// 95 % of them took no longer; of several processes the slowest.
    pub insert_p95_seconds: Option<f64>,
    /// The slowest.
    pub insert_max_seconds: Option<f64>,
    /// Active parts of the fullest partition of the target.
    pub active_parts: Option<u64>,
    /// Merges under way on the server.
    pub merges: Option<u64>,
    /// Memory that the server held.
    pub server_memory_bytes: Option<u64>,
    /// Memory that it may hold.
    pub server_memory_limit_bytes: Option<u64>,
    /// Memory that the processes held.
    pub client_memory_bytes: Option<u64>,
    /// Bytes of batches that waited or were on their way.
    pub queue_bytes: u64,
    /// Why they waited; empty where they did not.
    pub waiting: String,
}

/// Puts the samples of all processes together.
pub(super) fn course(samples: &[LoadSample]) -> Vec<CoursePoint> {
    let mut samples: Vec<_> =
        samples.iter().filter_map(|sample| Some((sample.sampled_at?, sample))).collect();
    samples.sort_by_key(|(at, _)| *at);
    let working = working_times(&samples);
    let spans = spans(&samples);
    let last = working.last().map_or(0.0, |(seconds, _)| *seconds);
    let narrowest = if spans { TOGETHER as f64 } else { 0.0 };
    let width = (last / POINTS as f64).max(narrowest);
    let mut points: Vec<CoursePoint> = Vec::new();
    let mut group: Vec<&LoadSample> = Vec::new();
    let mut until = f64::NEG_INFINITY;
    for ((at, sample), (seconds, resumed)) in samples.iter().zip(working) {
        if seconds >= until || resumed {
            if let Some(point) = points.last_mut() {
                put_together(point, &group);
            }
            group.clear();
            // A width of nothing gives each sample a point of its own.
            until = seconds + width;
            points.push(CoursePoint { at: Some(*at), seconds, resumed, ..CoursePoint::default() });
        }
        group.push(sample);
    }
    if let Some(point) = points.last_mut() {
        put_together(point, &group);
    }
    points
}

/// For each sample, the seconds of work until then, and whether none was done before.
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

/// Whether processes were at work at the same time.
fn spans(samples: &[(Timestamp, &LoadSample)]) -> bool {
    let mut spans: BTreeMap<&str, (Timestamp, Timestamp)> = BTreeMap::new();
    for (at, sample) in samples {
        spans.entry(&sample.claim_id).or_insert((*at, *at)).1 = *at;
    }
    let mut spans: Vec<_> = spans.into_values().collect();
    spans.sort_unstable();
    spans.windows(2).any(|pair| matches!(pair, [(_, end), (begin, _)] if begin < end))
}

/// Rates and memory of the processes are added up; of one process, rates are averaged, and of
/// figures of the server the greatest counts.
fn put_together(point: &mut CoursePoint, group: &[&LoadSample]) {
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
        let point = |point: CoursePoint| {
            (
                point.seconds,
                point.resumed,
                point.processes,
                point.rows_inserted_per_second,
                point.client_memory_bytes,
            )
        };
        course(samples).into_iter().map(point).collect()
    }

    #[test]
    fn one_process_is_shown_as_it_was() {
        let samples = [sample("a", 100, 0.0), sample("a", 101, 5.0), sample("a", 103, 7.0)];
        let one = |seconds, rate| (seconds, false, 1, rate, Some(100));
        assert_eq!(shown(&samples), [one(0.0, 0.0), one(1.0, 5.0), one(3.0, 7.0)]);
        assert_eq!(course(&samples)[0].insert_max_seconds, None);
        assert!(course(&[]).is_empty());
    }

    #[test]
    fn time_in_which_nobody_worked_is_left_out() {
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
    fn workers_of_the_same_time_are_added_up() {
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
    fn long_runs_have_not_more_points_than_can_be_seen() {
        let samples: Vec<_> = (0..20_000).map(|step| sample("a", step * 10, 5.0)).collect();
        let points = shown(&samples);
        assert!((200..=260).contains(&points.len()), "{}", points.len());
        assert!(points.iter().all(|point| (point.3 - 5.0).abs() < 1e-9));
    }
}
