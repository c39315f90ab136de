//! The figures of the lookup map on many traces, each way once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use clickhouse_backfill::internals::lookup::{FrozenLookupMap, GROUP, LookupMap};

use crate::traces::{self, Metadata, Trace, Traces};

/// Traces made at once, so that making them is not timed.
const BATCH: usize = 8192;
/// Lookups of each kind.
const LOOKUPS: usize = 4_000_000;

/// Loads and looks up with and without metadata, and prints time and memory.
pub fn print(count: usize) {
    for metadata in [Metadata::None, Metadata::Distinct, Metadata::Shared] {
        let traces = Traces::new(count, metadata);
        println!(
            "{count} traces, metadata: {metadata:?}, {:.1} bytes of different metadata a trace",
            traces.metadata_bytes()
        );
        let map = load(&traces);
        look_up(&map, &traces);
    }
}

fn load(traces: &Traces) -> FrozenLookupMap {
    let before = resident_bytes();
    let mut map = LookupMap::new(Traces::SHAPE);
    let mut batch: Vec<Trace> = (0..BATCH).map(|_| Trace::default()).collect();
    let mut time = Stopwatch::default();
    let mut slowest = Duration::ZERO;
    for start in (0..traces.len()).step_by(BATCH) {
        let end = (start + BATCH).min(traces.len());
        for (number, trace) in (start..end).zip(&mut batch) {
            // Not in the order of sessions: a hundred streams, one after the other.
            let number = number % 100 * (traces.len() / 100) + number / 100;
            traces.write(number.min(traces.len() - 1), trace);
        }
        let rows: Vec<_> = batch.iter().take(end - start).map(Trace::row).collect();
        let took = time.measure(|| map.insert_group(&rows).expect("well-formed traces"));
        slowest = slowest.max(took);
    }
    let per = |bytes: usize| bytes as f64 / traces.len() as f64;
    println!(
        "  loading: {}, slowest {BATCH} took {slowest:?}",
        time.per_item(traces.len(), "inserts")
    );
    println!("  loading: {:.1} bytes a trace", per(map.memory_bytes()));
    if traces.metadata_bytes() == 0.0 {
        // Only the first map: later ones take memory that the process already has.
        println!(
            "  loading: {:.1} resident bytes a trace",
            per(resident_bytes().saturating_sub(before))
        );
    }
    let begin = Instant::now();
    let map = map.freeze().expect("memory for the traces");
    let took = begin.elapsed();
    println!(
        "  frozen:  {took:?}, {:.1} bytes a trace, {} traces",
        per(map.memory_bytes()),
        map.len()
    );
    map
}

fn look_up(map: &FrozenLookupMap, traces: &Traces) {
    let mut batch: Vec<Trace> = (0..BATCH).map(|_| Trace::default()).collect();
    let mut found = vec![None; BATCH];
    let mut out = Vec::new();
    let ways: [(&str, &mut dyn FnMut(&[&[u8]])); 5] = [
        ("one at a time", &mut |keys| {
            for (key, found) in keys.iter().zip(&mut found) {
                *found = map.find(key);
            }
        }),
        ("in groups", &mut |keys| map.find_group(keys, &mut vec![None; keys.len()])),
        ("one at a time, appended", &mut |keys| {
            out.clear();
            for key in keys {
                if let Some(found) = map.find(key) {
                    map.append_to(found, &mut out).expect("an answer of this map");
                }
            }
        }),
        ("in groups, appended", &mut |keys| {
            let mut out = Vec::with_capacity(4 << 20);
            let mut found = [None; GROUP];
            for keys in keys.chunks(GROUP) {
                map.find_group(keys, &mut found);
                for found in found.into_iter().flatten() {
                    map.append_to(found, &mut out).expect("an answer of this map");
                }
            }
        }),
        ("in groups, attributes prefetched, appended", &mut |keys| {
            let mut out = Vec::with_capacity(4 << 20);
            let mut found = [None; GROUP];
            for keys in keys.chunks(GROUP) {
                map.find_group(keys, &mut found);
                map.prefetch_attributes(&found);
                for found in found.into_iter().flatten() {
                    map.append_to(found, &mut out).expect("an answer of this map");
                }
            }
        }),
    ];
    for (name, way) in ways {
        let mut time = Stopwatch::default();
        for start in (0..LOOKUPS).step_by(BATCH) {
            for (index, trace) in batch.iter_mut().enumerate() {
                traces.write(traces::scattered(start + index, traces.len()), trace);
            }
            let keys: Vec<&[u8]> = batch.iter().map(|trace| trace.key.as_slice()).collect();
            time.measure(|| way(&keys));
        }
        println!("  {name}: {}", time.per_item(LOOKUPS.next_multiple_of(BATCH), "lookups"));
    }
}

/// The same with a standard map of strings, in a process of its own so that its memory can be measured.
pub fn print_baseline(count: usize) {
    let traces = Traces::new(count, Metadata::None);
    println!("{count} traces in a HashMap<(String, String), (u64, Vec<Vec<u8>>)>, no metadata");
    let before = resident_bytes();
    let mut map: HashMap<(String, String), (u64, Vec<Vec<u8>>)> = HashMap::new();
    let mut batch: Vec<Trace> = (0..BATCH).map(|_| Trace::default()).collect();
    let mut time = Stopwatch::default();
    for start in (0..count).step_by(BATCH) {
        let end = (start + BATCH).min(count);
        for (number, trace) in (start..end).zip(&mut batch) {
            traces.write(number, trace);
        }
        time.measure(|| {
            for trace in batch.iter().take(end - start) {
                let mut start = 0;
                let columns = trace.attribute_ends.iter().map(|&end| {
                    let column = trace.attributes[start..end].to_vec();
                    start = end;
                    column
                });
                map.insert(strings(trace), (trace.version, columns.collect()));
            }
        });
    }
    println!("  loading: {}", time.per_item(count, "inserts"));
    println!(
        "  loading: {:.1} resident bytes a trace",
        resident_bytes().saturating_sub(before) as f64 / count as f64
    );
    let mut time = Stopwatch::default();
    for start in (0..LOOKUPS).step_by(BATCH) {
        let mut trace = Trace::default();
        let keys = (start..start + BATCH).map(|index| {
            traces.write(traces::scattered(index, count), &mut trace);
            strings(&trace)
        });
        let keys: Vec<_> = keys.collect();
        time.measure(|| {
            for key in &keys {
                std::hint::black_box(map.get(key));
            }
        });
    }
    println!("  one at a time: {}", time.per_item(LOOKUPS.next_multiple_of(BATCH), "lookups"));
}

fn strings(trace: &Trace) -> (String, String) {
    let text = |column: &[u8]| String::from_utf8_lossy(&column[1..]).into_owned();
    let (project, id) = trace.key.split_at(trace.key_ends[0]);
    (text(project), text(id))
}

/// Elapsed time, and processor time of this thread; the difference went to other processes.
#[derive(Default)]
struct Stopwatch {
    wall: Duration,
    processor: Duration,
}

impl Stopwatch {
    /// Adds the times of `work`, and returns the elapsed time.
    fn measure(&mut self, work: impl FnOnce()) -> Duration {
        let (begin, processor) = (Instant::now(), processor_time());
        work();
        let took = begin.elapsed();
        self.processor += processor_time().saturating_sub(processor);
        self.wall += took;
        took
    }

    fn per_item(&self, items: usize, name: &str) -> String {
        let [wall, processor] =
            [self.wall, self.processor].map(|time| time.as_secs_f64() * 1e9 / items as f64);
        format!(
            "{wall:.0} ns, {:.2} M {name}/s (processor: {processor:.0} ns, {:.2} M/s)",
            1e3 / wall,
            1e3 / processor
        )
    }
}

/// Processor time of this thread; zero if the system does not report it.
fn processor_time() -> Duration {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(
        times.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok()).unwrap_or(0),
    )
}

/// The process's resident memory; zero if the system does not report it.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|kilobytes| kilobytes.parse::<usize>().ok())
        .unwrap_or(0)
        * 1024
}
