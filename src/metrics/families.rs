//! All figures, each with its name, its kind and what it means. docs/reference/metrics.md has the same in a table, and
//! `grafana/` shows them; tests hold the three together.
//!
//! Names and units follow Prometheus's [conventions](https://prometheus.io/docs/practices/naming/):
//! base units, and `_total` where a counter only grows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::exposition::{Exposition, Kind};
use super::observed::{Observed, RunState};
use crate::engine::stream::{Activities, Activity, Phase, Snapshot};
use crate::progress::{memory_bytes, peak_memory_bytes};

/// Everything that is known now. Before a run is known, only the program is.
pub(super) fn text(run: Option<&Observed>) -> String {
    let labels = run.map(|run| {
        let subject = run.control().subject();
        [
            ("backfill", &*subject.job),
            ("partition", &*subject.partition),
            ("worker", &*run.info().worker),
        ]
    });
    let mut exposition = Exposition::new(labels.as_ref().map_or(&[], |labels| &labels[..]));
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    exposition
        .family("build_info", Kind::Gauge, "The program, by its version; always 1.")
        .labelled(&version, 1);
    exposition
        .family("memory_bytes", Kind::Gauge, "Memory that the process holds.")
        .known(memory_bytes());
    exposition
        .family("memory_peak_bytes", Kind::Gauge, "The most memory that the process has held.")
        .known(peak_memory_bytes());
    if let Some(run) = run {
        let numbers = run.control().counters().snapshot();
        the_run(&mut exposition, run);
        progress(&mut exposition, run, &numbers);
        rows(&mut exposition, run, &numbers);
        stages(&mut exposition, run);
        inserts(&mut exposition, run, &numbers);
        faults(&mut exposition, run, &numbers);
        memory(&mut exposition, run, &numbers);
        server(&mut exposition, run);
    }
    exposition.finish()
}

fn the_run(exposition: &mut Exposition, run: &Observed) {
    let (subject, run_id) = (run.control().subject(), run.control().run_id().unwrap_or_default());
    let dry_run = if subject.dry_run { "true" } else { "false" };
    let labels = [
        ("run_id", &*run_id),
        ("source", &*subject.source),
        ("target", &*subject.target),
        ("dry_run", dry_run),
    ];
    exposition
        .family("run_info", Kind::Gauge, "The run, by its id and its tables; always 1.")
        .labelled(&labels, 1);
    exposition
        .family("start_time_seconds", Kind::Gauge, "When the run began, in seconds since 1970.")
        .value(since_1970(run.began));
    let states = [
        ("running", RunState::Running),
        ("completed", RunState::Completed),
        ("failed", RunState::Failed),
        ("interrupted", RunState::Interrupted),
    ];
    let mut family = exposition.family(
        "status",
        Kind::Gauge,
        "1 for the state that the run is in, 0 for the others.",
    );
    for (name, state) in states {
        family.labelled(&[("status", name)], u8::from(run.state() == state));
    }
    let mut family = exposition.family(
        "phase",
        Kind::Gauge,
        "1 for what the run is busy with, 0 for the others.",
    );
    for phase in Phase::ALL {
        family.labelled(
            &[("phase", phase.name())],
            u8::from(run.control().counters().phase() == phase),
        );
    }
    let (lookup, stream) = run.control().counters().times();
    let help =
        "Time that attributes were loaded and rows were streamed, of the phases that have ended.";
    let mut family = exposition.family("phase_seconds_total", Kind::Counter, help);
    for (phase, time) in [(Phase::Lookup, lookup), (Phase::Stream, stream)] {
        family.labelled(&[("phase", phase.name())], time.as_secs_f64());
    }
}

fn progress(exposition: &mut Exposition, run: &Observed, numbers: &Snapshot) {
    let help = "Share of this process's work that is done, from 0 to 1; 1 when it was completed.";
    exposition.family("progress_ratio", Kind::Gauge, help).value(ratio(run.state(), numbers));
    let help = "Rows that this process has to insert, as soon as they were counted.";
    exposition.family("expected_rows", Kind::Gauge, help).known(numbers.rows_expected());
    let open = numbers.chunks.saturating_sub(numbers.chunks_done + numbers.chunks_failed);
    let mut family =
        exposition.family("chunks", Kind::Gauge, "Chunks of this process by their state.");
    family
        .labelled(&[("state", "pending")], open)
        .labelled(&[("state", "completed")], numbers.chunks_done);
    family.labelled(&[("state", "failed")], numbers.chunks_failed);
    exposition
        .family("waves_total", Kind::Counter, "Waves of which attributes were loaded.")
        .value(numbers.waves);
}

fn ratio(state: RunState, numbers: &Snapshot) -> f64 {
    const ALMOST: f64 = 0.9999;
    let share =
        |done: u64, of: u64| if of == 0 { 0.0 } else { (done as f64 / of as f64).min(ALMOST) };
    match (state, numbers.rows_expected()) {
        (RunState::Completed, _) => 1.0,
        (_, Some(expected)) => share(numbers.inserted_rows, expected),
        (_, None) => share(numbers.chunks_done, numbers.chunks),
    }
}

fn rows(exposition: &mut Exposition, run: &Observed, numbers: &Snapshot) {
    let greatest = &run.greatest;
    let mut counter = |name, help, value| exposition.family(name, Kind::Counter, help).value(value);
    counter(
        "lookup_rows_total",
        "Rows read from the lookup table, all versions.",
        greatest.lookup_rows.of(numbers.lookup_rows, numbers.lookup_rows_given_up),
    );
    counter(
        "lookup_bytes_total",
        "Their bytes.",
        greatest.lookup_bytes.of(numbers.lookup_bytes, numbers.lookup_bytes_given_up),
    );
    counter(
        "source_rows_total",
        "Rows read from the source, those that were read again included.",
        greatest.source_rows.of(numbers.source_rows, numbers.source_rows_given_up),
    );
    counter(
        "source_bytes_total",
        "Their bytes.",
        greatest.source_bytes.of(numbers.source_bytes, numbers.source_bytes_given_up),
    );
    counter(
        "inserted_rows_total",
        "Rows whose insert was acknowledged, those that were inserted again included.",
        greatest.inserted_rows.of(numbers.inserted_rows, numbers.repeated_rows),
    );
    counter("inserted_bytes_total", "Their bytes, as they were sent.", numbers.inserted_bytes);
    counter(
        "repeated_rows_total",
        "Rows that were inserted and then again, since their chunk was read again.",
        numbers.repeated_rows,
    );
    let help = "Rows that found attributes in the lookup's window, outside of it, or not at all.";
    let mut family = exposition.family("attribute_rows", Kind::Gauge, help);
    family.labelled(&[("result", "matched")], numbers.matched_rows);
    family
        .labelled(&[("result", "late")], numbers.matched_late_rows)
        .labelled(&[("result", "unmatched")], numbers.unmatched_rows);
    exposition
        .family("lookup_keys", Kind::Gauge, "Keys of which attributes were loaded.")
        .value(numbers.lookup_keys);
}

fn stages(exposition: &mut Exposition, run: &Observed) {
    // None is left out: one that is added does not compile here.
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
    let help = "Time that tasks were at a stage, all together: waiting for source rows, enriching, waiting for late lookups, waiting for room in the \
        queue, waiting because of the limit of rows a second, waiting for a batch, inserting.";
    let mut family = exposition.family("stage_seconds_total", Kind::Counter, help);
    for (name, stage) in stages {
        family.labelled(&[("stage", name)], stage.time().as_secs_f64());
    }
    let mut family = exposition.family("stage_tasks", Kind::Gauge, "Tasks at a stage now.");
    for (name, stage) in stages {
        family.labelled(&[("stage", name)], stage.tasks());
    }
}

fn inserts(exposition: &mut Exposition, run: &Observed, numbers: &Snapshot) {
    let latency = run.control().counters().insert_latency.snapshot();
    let help = "Time from sending a batch to its acknowledgement, of acknowledged batches.";
    let buckets: Vec<_> =
        latency.buckets.iter().map(|(bound, count)| (bound.as_secs_f64(), *count)).collect();
    exposition.family("insert_duration_seconds", Kind::Histogram, help).histogram(
        &buckets,
        latency.larger,
        latency.sum.as_secs_f64(),
    );
    exposition
        .family("inserts_in_flight", Kind::Gauge, "Inserts under way.")
        .value(numbers.inserts_in_flight);
    let limits = run.control().limits();
    exposition
        .family("readers", Kind::Gauge, "Chunks that may be read at once.")
        .value(limits.readers);
    exposition
        .family("inserters", Kind::Gauge, "Batches that may be inserted at once.")
        .value(limits.inserters);
    let help = "Reasons for which no new chunk is begun; 0 where the run does not wait.";
    exposition.family("waiting_reasons", Kind::Gauge, help).value(run.control().reasons().len());
}

fn faults(exposition: &mut Exposition, _run: &Observed, numbers: &Snapshot) {
    let help = "Statements that were tried again: the server refused for now, the connection broke or the answer did not come, the server could not be \
        reached at all, or it gave up a reader that waited for inserts.";
    let mut family = exposition.family("retries_total", Kind::Counter, help);
    family
        .labelled(&[("class", "refused")], numbers.retries_refused)
        .labelled(&[("class", "ambiguous")], numbers.retries_ambiguous);
    family
        .labelled(&[("class", "outage")], numbers.retries_outage)
        .labelled(&[("class", "stalled")], numbers.retries_stalled);
    exposition
        .family("errors_total", Kind::Counter, "Statements that failed for good.")
        .value(numbers.errors);
    exposition
        .family("outages_total", Kind::Counter, "Times that a server could not be reached.")
        .value(numbers.outages);
    let outage = Duration::from_millis(numbers.outage_milliseconds).as_secs_f64();
    exposition
        .family("outage_seconds_total", Kind::Counter, "Time for which it was waited for then.")
        .value(outage);
}

fn memory(exposition: &mut Exposition, run: &Observed, numbers: &Snapshot) {
    let mut gauge =
        |name, help, value: u64| exposition.family(name, Kind::Gauge, help).value(value);
    gauge(
        "memory_limit_bytes",
        "The ceiling on the process's memory.",
        run.info().memory_limit_bytes,
    );
    gauge("lookup_memory_bytes", "Memory that attributes take.", numbers.lookup_memory_bytes);
    gauge("queue_bytes", "Bytes of batches that wait or are being inserted.", numbers.queued_bytes);
}

fn server(exposition: &mut Exposition, run: &Observed) {
    let sample = run.control().sample();
    let parts = sample.parts.as_ref();
    let mut family = exposition.family(
        "server_parts",
        Kind::Gauge,
        "Active parts of the target's partition that has the most of those being written.",
    );
    if let Some(parts) = parts {
        family.labelled(&[("target_partition", &parts.partition)], parts.parts);
    }
    let mut gauge =
        |name, help, value: Option<u64>| exposition.family(name, Kind::Gauge, help).known(value);
    gauge(
        "server_parts_delay_limit",
        "Active parts of a partition from which on the server delays inserts; 0 means never.",
        sample.parts_to_delay_insert,
    );
    gauge(
        "server_parts_refuse_limit",
        "Active parts of a partition from which on the server refuses inserts; 0 means never.",
        sample.parts_to_throw_insert,
    );
    gauge(
        "server_delayed_inserts",
        "Inserts of anybody that the server delays now.",
        sample.delayed_inserts,
    );
    gauge("server_merges", "Merges under way on the server, of all tables.", sample.merges);
    gauge("server_mutations", "Mutations of the target that are not done.", sample.mutations);
    gauge("server_memory_bytes", "Memory that the server takes.", sample.memory_used);
    gauge("server_memory_limit_bytes", "Memory that the server may take.", sample.memory_total);
    gauge(
        "server_replica_delay_seconds",
        "How far the target's replica is behind.",
        sample.replica_delay_seconds,
    );
}

fn since_1970(moment: SystemTime) -> f64 {
    moment.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
