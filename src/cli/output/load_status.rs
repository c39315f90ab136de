//! The status of a load, as text and as JSON.

use crate::escape::escape_line;
use crate::ledger::Timestamp;
use crate::ledger::status::{LoadStatus, Process};
use crate::units::{count, duration, row_rate};
use serde::Serialize;
use std::fmt::Write;
use std::time::Duration;

/// One line of JSON.
pub(crate) fn json(standing: &LoadStatus, next: &str) -> String {
    #[derive(Serialize)]
    struct WithNext<'a> {
        #[serde(flatten)]
        standing: &'a LoadStatus,
        next_command: &'a str,
    }
    // This structure always serializes.
    let mut text =
        serde_json::to_string(&WithNext { standing, next_command: next }).unwrap_or_default();
    text.push('\n');
    text
}

/// The text block.
pub(crate) fn text(standing: &LoadStatus, ledger: &str, next: &str) -> String {
    let LoadStatus { state, job, partition, source, target, .. } = standing;
    let state = state.text();
    let mut text = format!("{state}: partition {partition} of {source} into {target} by {job}\n");
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<12}{value}");
    };
    if let Some(run_id) = &standing.run_id {
        line("run", run_id);
        line("rows", &rows(standing));
        let (completed, failed, pending) =
            (standing.chunks_completed, standing.chunks_failed, standing.chunks_pending);
        let (total, failed, pending) = (count(standing.chunks), count(failed), count(pending));
        line(
            "chunks",
            &format!(
                "{} of {total} completed, {failed} failed, {pending} pending",
                count(completed)
            ),
        );
    }
    if let Some(rate) = standing.rows_per_second {
        let left = standing
            .remaining_seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let left = left.map(|left| format!(", about {} left", duration(left))).unwrap_or_default();
        line("speed", &format!("{} over the last minutes{left}", row_rate(rate)));
    }
    if let Some(reasons) = &standing.waiting {
        line("waiting", &escape_line(reasons));
    }
    for process in &standing.processes {
        line("process", &process_words(process));
    }
    for (name, moment) in [
        ("began", standing.started_at),
        ("last chunk", standing.last_chunk_at),
        ("completed", standing.completed_at),
    ] {
        if let Some(moment) = moment {
            line(name, &to_the_second(moment));
        }
    }
    if let Some(error) = &standing.last_error {
        line("last error", &escape_line(error));
    }
    line("ledger", ledger);
    line("next", next);
    text
}

fn rows(standing: &LoadStatus) -> String {
    let done = count(standing.rows_inserted);
    let percentage = format!("{:.1} %", (standing.progress_ratio * 1000.0).floor() / 10.0);
    match standing.rows_expected {
        Some(expected) => format!("{done} of {} ({percentage})", count(expected)),
        None => format!("{done}, about {percentage}"),
    }
}

/// A process: its host, its worker number, its last heartbeat.
pub(crate) fn process_words(process: &Process) -> String {
    let Process { host, pid, worker, alive, heartbeat_age_seconds, .. } = process;
    let part = if worker == "1/1" { String::new() } else { format!(", worker {worker}") };
    let age = duration(Duration::try_from_secs_f64(*heartbeat_age_seconds).unwrap_or_default());
    let fate = if *alive { "" } else { ", dead" };
    format!("{pid} on {host}{part}{fate}, last heartbeat {age} ago")
}

/// A time without fractions of a second.
pub(crate) fn to_the_second(moment: Timestamp) -> String {
    Timestamp(moment.0 - moment.0.rem_euclid(1_000_000)).to_string()
}

/// The sequences that redraw the text in place without flicker: they overwrite every line and clear its
/// rest. See
/// [ECMA-48](https://ecma-international.org/publications-and-standards/standards/ecma-48/) for CUP,
/// EL and ED.
pub(crate) fn in_place(text: &str) -> String {
    format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n"))
}
