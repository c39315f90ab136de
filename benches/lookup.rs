//! How much memory the lookup map takes, and how fast it is, on synthetic traces.
//!
//! `cargo bench --bench lookup` runs the micro-benchmarks over a million traces. `cargo bench
//! --bench lookup -- report [TRACES]` loads ten million without metadata, with distinct and with
//! shared metadata, and prints bytes a trace, inserts a second and lookups a second; `-- baseline
//! [TRACES]` does the same with a standard `HashMap` of strings.

#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::manual_is_multiple_of,
    clippy::type_complexity,
    reason = "a program, and figures for people"
)]
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "data of its own making"
)]

#[path = "lookup/traces.rs"]
mod traces;

#[path = "lookup/report.rs"]
mod report;

use clickhouse_backfill::internals::lookup::{
    FrozenLookupMap, GROUP, LookupHit, LookupMap, LookupRow,
};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use traces::{Metadata, Trace, Traces};

/// Traces of the micro-benchmarks.
const TRACES: usize = 1_000_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let count = arguments.iter().find_map(|argument| argument.parse().ok());
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if has("report") {
        report::print(count.unwrap_or(10_000_000));
    } else if has("baseline") {
        report::print_baseline(count.unwrap_or(2_000_000));
    } else {
        divan::main();
    }
}

/// All traces, made in advance.
fn made(traces: &Traces) -> Vec<Trace> {
    (0..traces.len())
        .map(|number| {
            let mut trace = Trace::default();
            traces.write(number, &mut trace);
            trace
        })
        .collect()
}

fn load(rows: &[LookupRow<'_>]) -> LookupMap {
    let mut map = LookupMap::new(Traces::SHAPE);
    map.insert_group(rows).expect("well-formed traces");
    map
}

fn frozen(traces: &Traces) -> FrozenLookupMap {
    let made = made(traces);
    let rows: Vec<_> = made.iter().map(Trace::row).collect();
    load(&rows).freeze().expect("memory for a million traces")
}

/// The keys of traces, in an order unrelated to that of loading.
fn shuffled_keys(traces: &Traces, count: usize) -> Vec<Vec<u8>> {
    let mut trace = Trace::default();
    (0..count)
        .map(|index| {
            traces.write(traces::scattered(index, traces.len()), &mut trace);
            trace.key.clone()
        })
        .collect()
}

#[divan::bench(args = [Metadata::None, Metadata::Distinct], sample_count = 5)]
fn insert_group(bencher: Bencher, metadata: Metadata) {
    let made = made(&Traces::new(TRACES, metadata));
    let rows: Vec<_> = made.iter().map(Trace::row).collect();
    bencher.counter(ItemsCount::new(TRACES)).bench(|| black_box(load(&rows)));
}

#[divan::bench(sample_count = 5)]
fn insert(bencher: Bencher) {
    let made = made(&Traces::new(TRACES, Metadata::None));
    let rows: Vec<_> = made.iter().map(Trace::row).collect();
    bencher.counter(ItemsCount::new(TRACES)).bench(|| {
        let mut map = LookupMap::new(Traces::SHAPE);
        for row in &rows {
            map.insert(
                row.key,
                row.key_ends,
                row.version,
                row.deleted,
                row.attributes,
                row.attribute_ends,
            )
            .expect("a well-formed trace");
        }
        map
    });
}

#[divan::bench(sample_count = 10)]
fn find(bencher: Bencher) {
    let traces = Traces::new(TRACES, Metadata::None);
    let (map, keys) = (frozen(&traces), shuffled_keys(&traces, TRACES));
    bencher.counter(ItemsCount::new(TRACES)).bench(|| {
        for key in &keys {
            black_box(map.find(key));
        }
    });
}

#[divan::bench(args = [false, true], sample_count = 10)]
fn find_group(bencher: Bencher, append: bool) {
    let traces = Traces::new(TRACES, Metadata::None);
    let (map, keys) = (frozen(&traces), shuffled_keys(&traces, TRACES));
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let mut found: [Option<LookupHit>; GROUP] = [None; GROUP];
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(TRACES)).bench_local(|| {
        for keys in keys.chunks(GROUP) {
            map.find_group(keys, &mut found);
            if append {
                out.clear();
                for found in found.into_iter().flatten() {
                    map.append_to(found, &mut out).expect("an answer of this map");
                }
            }
            black_box((&found, &out));
        }
    });
}
