//! All metrics, each with its name, type and help text. docs/reference/metrics.md lists the same and
//! `grafana/` shows them; a test compares the three.
//!
//! Names and units follow Prometheus's [conventions](https://prometheus.io/docs/practices/naming/):
//! base units, and `_total` for counters.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::ObservedRun;
use super::exposition::{Exposition, Kind};
use crate::engine::stream::{Activities, Activity, Phase, Snapshot};
use crate::progress::{memory_bytes, peak_memory_bytes};
use crate::state::LoadState;

/// The current metrics; without a run, only those of the process.
pub(super) fn current(run: Option<&ObservedRun>) -> Exposition {
    let labels = run.map(|run| {
        let subject = run.control().subject();
        [
            ("backfill", &*subject.job),
            ("partition", &*subject.partition),
            ("worker", &*run.info().worker),
        ]
    });
    let mut to = Exposition::new(labels.as_ref().map_or(&[], |labels| &labels[..]));
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    to.family("build_info", Kind::Gauge, "Version of the program; always 1.").labelled(&version, 1);
    to.known("memory_bytes", "Resident memory of the process.", memory_bytes());
    to.known("memory_peak_bytes", "Peak resident memory of the process.", peak_memory_bytes());
    if let Some(run) = run {
        let numbers = run.control().counters().snapshot();
        run_state(&mut to, run);
        progress(&mut to, run, &numbers);
        rows(&mut to, run, &numbers);
        stages(&mut to, run);
        inserts(&mut to, run, &numbers);
        faults(&mut to, &numbers);
        memory(&mut to, run, &numbers);
        server(&mut to, run);
    }
    to
}

fn run_state(to: &mut Exposition, run: &ObservedRun) {
    let (subject, run_id) = (run.control().subject(), run.control().run_id().unwrap_or_default());
    let labels = [
        ("run_id", &*run_id),
        ("source", &*subject.source),
        ("target", &*subject.target),
        ("dry_run", if subject.dry_run { "true" } else { "false" }),
    ];
    let help = "Id and tables of the run; always 1.";
    to.family("run_info", Kind::Gauge, help).labelled(&labels, 1);
    let help = "Start time of the run, in seconds since 1970.";
    to.gauge("start_time_seconds", help, since_1970(run.began));
    let states =
        [LoadState::Started, LoadState::Completed, LoadState::Failed, LoadState::Interrupted];
    let help = "1 for the current state of the run, 0 for every other state.";
    let is_current = |state: LoadState| (state.name(), u8::from(run.state() == state));
    to.family("status", Kind::Gauge, help).each("status", states.map(is_current));
    let counters = run.control().counters();
    let help = "1 for the current phase of the run, 0 for every other phase.";
    let is_current = |phase: Phase| (phase.name(), u8::from(counters.phase() == phase));
    to.family("phase", Kind::Gauge, help).each("phase", Phase::ALL.map(is_current));
    let (lookup, stream) = counters.times();
    let help = "Duration of the finished phases: loading attributes, streaming rows.";
    let times = [(Phase::Lookup, lookup), (Phase::Stream, stream)];
    to.family("phase_seconds_total", Kind::Counter, help)
        .each("phase", times.map(|(phase, time)| (phase.name(), time.as_secs_f64())));
}

fn progress(to: &mut Exposition, run: &ObservedRun, numbers: &Snapshot) {
    let help = "Share of this process's work that is done, from 0 to 1; 1 only after completion.";
    to.gauge("progress_ratio", help, ratio(run.state(), numbers));
    let help = "Rows that this process has to insert; absent until they are counted.";
    to.known("expected_rows", help, numbers.rows_expected());
    let open = numbers.chunks.saturating_sub(numbers.chunks_done + numbers.chunks_failed);
    let states =
        [("pending", open), ("completed", numbers.chunks_done), ("failed", numbers.chunks_failed)];
    let help = "Chunks of this process by state.";
    to.family("chunks", Kind::Gauge, help).each("state", states);
    to.counter("waves_total", "Waves whose attributes were loaded.", numbers.waves);
}

fn ratio(state: LoadState, numbers: &Snapshot) -> f64 {
    const ALMOST: f64 = 0.9999;
    let share =
        |done: u64, of: u64| if of == 0 { 0.0 } else { (done as f64 / of as f64).min(ALMOST) };
    match (state, numbers.rows_expected()) {
        (LoadState::Completed, _) => 1.0,
        (_, Some(expected)) => share(numbers.inserted_rows, expected),
        (_, None) => share(numbers.chunks_done, numbers.chunks),
    }
}

fn rows(to: &mut Exposition, run: &ObservedRun, numbers: &Snapshot) {
    let sums = &run.sums;
    to.counter(
        "lookup_rows_total",
        "Rows read from the lookup table, including superseded versions.",
        sums.lookup_rows.of(numbers.lookup_rows, numbers.lookup_rows_given_up),
    );
    to.counter(
        "lookup_bytes_total",
        "Bytes read from the lookup table.",
        sums.lookup_bytes.of(numbers.lookup_bytes, numbers.lookup_bytes_given_up),
    );
    to.counter(
        "source_rows_total",
        "Rows read from the source, including repeated reads.",
        sums.source_rows.of(numbers.source_rows, numbers.source_rows_given_up),
    );
    to.counter(
        "source_bytes_total",
        "Bytes read from the source.",
        sums.source_bytes.of(numbers.source_bytes, numbers.source_bytes_given_up),
    );
    to.counter(
        "inserted_rows_total",
        "Rows whose insert was acknowledged, including repeated inserts.",
        sums.inserted_rows.of(numbers.inserted_rows, numbers.repeated_rows),
    );
    let help = "Bytes of acknowledged batches, as sent.";
    to.counter("inserted_bytes_total", help, numbers.inserted_bytes);
    let help = "Rows that were inserted more than once because their chunk was read again.";
    to.counter("repeated_rows_total", help, numbers.repeated_rows);
    let help =
        "Rows by lookup result: matched in the window, matched outside of it (late), or unmatched.";
    let results = [
        ("matched", numbers.matched_rows),
        ("late", numbers.matched_late_rows),
        ("unmatched", numbers.unmatched_rows),
    ];
    to.family("attribute_rows", Kind::Gauge, help).each("result", results);
    to.gauge("lookup_keys", "Lookup keys whose attributes were loaded.", numbers.lookup_keys);
}

fn stages(to: &mut Exposition, run: &ObservedRun) {
    // Destructured, so that a new activity does not compile until it is exported.
    let Activities { reading, enriching, looking_up, queueing, throttling, idling, inserting } =
        &run.control().counters().activities;
    let stages: [(&str, &Activity); 7] = [
        ("read", reading),
        ("enrich", enriching),
        ("late_lookup", looking_up),
        ("queue", queueing),
        ("limit", throttling),
        ("idle", idling),
        ("insert", inserting),
    ];
    let help = "Time that all tasks together spent in a stage: waiting for source rows, enriching, waiting for late lookups, waiting for room in \
        the queue, waiting for the row rate limit, waiting for a batch, inserting.";
    to.family("stage_seconds_total", Kind::Counter, help)
        .each("stage", stages.map(|(name, stage)| (name, stage.time().as_secs_f64())));
    to.family("stage_tasks", Kind::Gauge, "Tasks currently in a stage.")
        .each("stage", stages.map(|(name, stage)| (name, stage.tasks())));
}

fn inserts(to: &mut Exposition, run: &ObservedRun, numbers: &Snapshot) {
    let latency = run.control().counters().insert_latency.snapshot();
    let help = "Time from sending a batch to its acknowledgement.";
    let buckets: Vec<_> =
        latency.buckets.iter().map(|(bound, count)| (bound.as_secs_f64(), *count)).collect();
    to.family("insert_duration_seconds", Kind::Histogram, help).histogram(
        &buckets,
        latency.larger,
        latency.sum.as_secs_f64(),
    );
    to.gauge("inserts_in_flight", "Inserts in progress.", numbers.inserts_in_flight);
    let limits = run.control().limits();
    to.gauge("readers", "Most chunks that are read concurrently.", limits.readers);
    to.gauge("inserters", "Most batches that are inserted concurrently.", limits.inserters);
    let help = "Number of reasons for which no new chunk is started; 0 if the run is not waiting.";
    to.gauge("waiting_reasons", help, run.control().reasons().len());
}

fn faults(to: &mut Exposition, numbers: &Snapshot) {
    let help = "Retried statements by reason: refused by the server for now, no answer (ambiguous), server unreachable (outage), or a reader that the \
        server closed while it waited for inserts (stalled).";
    let classes = [
        ("refused", numbers.retries_refused),
        ("ambiguous", numbers.retries_ambiguous),
        ("outage", numbers.retries_outage),
        ("stalled", numbers.retries_stalled),
    ];
    to.family("retries_total", Kind::Counter, help).each("class", classes);
    to.counter("errors_total", "Statements that failed and are not retried.", numbers.errors);
    let help = "Number of outages: periods in which a server could not be reached.";
    to.counter("outages_total", help, numbers.outages);
    let outage = Duration::from_millis(numbers.outage_milliseconds).as_secs_f64();
    let help = "Time spent waiting for a server during outages.";
    to.counter("outage_seconds_total", help, outage);
}

fn memory(to: &mut Exposition, run: &ObservedRun, numbers: &Snapshot) {
    let limit = run.info().memory_limit_bytes;
    to.gauge("memory_limit_bytes", "Memory limit of the process.", limit);
    to.gauge("lookup_memory_bytes", "Memory used by attributes.", numbers.lookup_memory_bytes);
    let help = "Bytes of batches that are queued or being inserted.";
    to.gauge("queue_bytes", help, numbers.queued_bytes);
    let help = "Server engine: memory of the server used by the inserts of chunks in flight.";
    to.gauge("chunk_memory_bytes", help, numbers.chunk_memory_bytes);
    let help = "Server engine: rows of all tables that the inserts of chunks in flight have read.";
    to.gauge("chunk_read_rows", help, numbers.chunk_rows_read);
    let help = "Server engine: rows that the inserts of chunks in flight have written.";
    to.gauge("chunk_written_rows", help, numbers.chunk_rows_written);
}

fn server(to: &mut Exposition, run: &ObservedRun) {
    let stats = run.control().server_stats();
    let help = "Active parts of the fullest target partition among those being written.";
    let parts = stats.parts.as_ref().map(|parts| (&*parts.partition, parts.parts));
    to.family("server_parts", Kind::Gauge, help).each("target_partition", parts);
    let help =
        "Active parts in a partition above which the server delays inserts; 0 means no limit.";
    to.known("server_parts_delay_limit", help, stats.parts_to_delay_insert);
    let help =
        "Active parts in a partition above which the server refuses inserts; 0 means no limit.";
    to.known("server_parts_refuse_limit", help, stats.parts_to_throw_insert);
    let help = "Inserts from all clients that the server is delaying.";
    to.known("server_delayed_inserts", help, stats.delayed_inserts);
    to.known("server_merges", "Merges in progress on the server, all tables.", stats.merges);
    to.known("server_mutations", "Unfinished mutations of the target.", stats.mutations);
    to.known("server_memory_bytes", "Memory used by the server.", stats.memory_used);
    to.known("server_memory_limit_bytes", "Memory limit of the server.", stats.memory_total);
    let help = "Replication delay of the target's replica.";
    to.known("server_replica_delay_seconds", help, stats.replica_delay_seconds);
}

fn since_1970(moment: SystemTime) -> f64 {
    moment.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
