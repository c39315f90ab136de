//! The figures of the lookup map on many traces, each way once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use clickhouse_backfill::lookup::{FrozenLookupMap, GROUP, LookupMap};

use crate::traces::{self, Metadata, Trace, Traces};

/// Traces made at once, so that making them is not timed.
const BATCH: usize = 8192;
/// Lookups of each kind.
const LOOKUPS: usize = 4_000_000;

/// Loads and looks up with and without metadata, and prints what it took.
pub fn print(count: usize) {
    for metadata in [Metadata::None, Metadata::Distinct, Metadata::Shared] {
        let traces = Traces::new(count, metadata);
        println!("{count} traces, metadata: {metadata:?}");
        let map = load(&traces);
        look_up(&map, &traces);
    }
    baseline(&Traces::new(count.min(2_000_000), Metadata::None));
}

fn load(traces: &Traces) -> FrozenLookupMap {
    let before = resident_bytes();
    let mut map = LookupMap::new(Traces::SHAPE);
    let mut batch: Vec<Trace> = (0..BATCH).map(|_| Trace::default()).collect();
    let mut time = Duration::ZERO;
    let mut slowest = Duration::ZERO;
    for start in (0..traces.len()).step_by(BATCH) {
        let end = (start + BATCH).min(traces.len());
        for (number, trace) in (start..end).zip(&mut batch) {
            // Not in the order of sessions: a hundred streams, one after the other.
            let number = number % 100 * (traces.len() / 100) + number / 100;
            traces.write(number.min(traces.len() - 1), trace);
        }
        let begin = Instant::now();
        let rows: Vec<_> = batch.iter().take(end - start).map(Trace::row).collect();
        map.insert_group(&rows).expect("well-formed traces");
        let took = begin.elapsed();
        time += took;
        slowest = slowest.max(took);
    }
    let per = |bytes: usize| bytes as f64 / traces.len() as f64;
    println!(
        "  loading: {:.2} M inserts/s, slowest {BATCH} took {slowest:?}, {:.1} bytes a trace (resident {:.1})",
        traces.len() as f64 / time.as_secs_f64() / 1e6,
        per(map.memory_bytes()),
        per(resident_bytes().saturating_sub(before)),
    );
    let begin = Instant::now();
    let map = map.freeze().expect("memory for the traces");
    let took = begin.elapsed();
    println!(
        "  frozen:  {took:?}, {:.1} bytes a trace (resident {:.1}), {} traces",
        per(map.memory_bytes()),
        per(resident_bytes().saturating_sub(before)),
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
        let mut time = Duration::ZERO;
        for start in (0..LOOKUPS).step_by(BATCH) {
            for (index, trace) in batch.iter_mut().enumerate() {
                traces.write(traces::scattered(start + index, traces.len()), trace);
            }
            let keys: Vec<&[u8]> = batch.iter().map(|trace| trace.key.as_slice()).collect();
            let begin = Instant::now();
            way(&keys);
            time += begin.elapsed();
        }
        let nanoseconds = time.as_secs_f64() * 1e9 / LOOKUPS as f64;
        println!("  {name}: {nanoseconds:.0} ns, {:.1} M lookups/s", 1e3 / nanoseconds);
    }
}

/// The same with a standard map of strings.
fn baseline(traces: &Traces) {
    let before = resident_bytes();
    let mut trace = Trace::default();
    let mut map: HashMap<(String, String), (u64, Vec<Vec<u8>>)> = HashMap::new();
    let mut time = Duration::ZERO;
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[1..]).into_owned();
    let split = |key: &[u8], end: usize| (text(&key[..end]), text(&key[end..]));
    for number in 0..traces.len() {
        traces.write(number, &mut trace);
        let begin = Instant::now();
        let mut start = 0;
        let columns = trace.attribute_ends.iter().map(|&end| {
            let column = trace.attributes[start..end].to_vec();
            start = end;
            column
        });
        map.insert(split(&trace.key, trace.key_ends[0]), (trace.version, columns.collect()));
        time += begin.elapsed();
    }
    println!(
        "{} traces in a HashMap<(String, String), (u64, Vec<Vec<u8>>)>, no metadata\n  loading: {:.2} M inserts/s, resident {:.0} bytes a trace",
        traces.len(),
        traces.len() as f64 / time.as_secs_f64() / 1e6,
        resident_bytes().saturating_sub(before) as f64 / traces.len() as f64
    );
    let mut time = Duration::ZERO;
    let count = LOOKUPS / 4 / BATCH * BATCH;
    for start in (0..count).step_by(BATCH) {
        let keys: Vec<_> = (start..start + BATCH)
            .map(|index| {
                traces.write(traces::scattered(index, traces.len()), &mut trace);
                split(&trace.key, trace.key_ends[0])
            })
            .collect();
        let begin = Instant::now();
        for key in &keys {
            std::hint::black_box(map.get(key));
        }
        time += begin.elapsed();
    }
    let nanoseconds = time.as_secs_f64() * 1e9 / count as f64;
    println!("  one at a time: {nanoseconds:.0} ns, {:.1} M lookups/s", 1e3 / nanoseconds);
}

/// The process's resident memory, zero where the system does not tell.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<usize>().ok()).unwrap_or(0) * 1024
}
