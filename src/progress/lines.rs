//! Progress as lines, for logs and for output that is not a terminal: sentences for people, events
//! for machines.

use super::figures::Figures;
use super::screen::{server, waiting};
use crate::engine::stream::Phase;
use crate::units::{byte_rate, bytes, count, counted, duration, row_rate};

/// The line for now; `None` while there is nothing to say.
pub(super) fn line(figures: &Figures) -> Option<String> {
    let (numbers, rates) = (&figures.numbers, &figures.rates);
    let mut parts = match figures.phase {
        Phase::Plan | Phase::Done => return None,
        Phase::Lookup => {
            let mut parts =
                vec![format!("loading attributes: {}", counted(numbers.lookup_rows, "row"))];
            parts.extend(rates.lookup_rows.map(row_rate));
            parts.push(bytes(numbers.lookup_bytes));
            parts.push(format!("{} in the map", bytes(numbers.lookup_memory_bytes)));
            parts
        }
        Phase::Stream => {
            let done = if figures.dry_run { "evaluated" } else { "inserted" };
            let share = match (figures.numbers.rows_expected(), figures.percent()) {
                (Some(expected), Some(percent)) => {
                    format!(" of {} ({percent:.1} %)", count(expected))
                }
                _ => String::new(),
            };
            let mut parts =
                vec![format!("{done} {}{share}", counted(numbers.inserted_rows, "row"))];
            parts.extend(rates.inserted_rows.map(row_rate));
            parts.extend(rates.inserted_bytes.map(byte_rate));
            parts.extend(figures.left.map(|left| format!("{} left", duration(left))));
            parts.push(format!(
                "{} of {}",
                count(numbers.chunks_done),
                counted(numbers.chunks, "chunk")
            ));
            parts.push(format!("{} in flight", counted(numbers.inserts_in_flight, "insert")));
            parts
        }
    };
    parts.push(counted(numbers.retries, "retry"));
    parts.extend(figures.memory.map(|memory| format!("{} memory", bytes(memory))));
    parts.extend(figures.bottleneck.map(|stage| format!("{} is the bottleneck", stage.name())));
    if figures.server.parts.is_some() || figures.server.memory_used.is_some() {
        parts.push(format!("server: {}", server(&figures.server)));
    }
    parts.extend(waiting(figures));
    let last_retry = figures.last_retry.as_ref();
    parts.extend(last_retry.map(|(ago, reason)| {
        format!("last retry {} ago: {}", duration(*ago), reason.replace('\n', " "))
    }));
    Some(parts.join(", "))
}

/// The same for machines. The names of the fields are a contract, as those of the summary are; one
/// that is not known is left out.
pub(super) fn event(figures: &Figures) {
    let (numbers, rates) = (&figures.numbers, &figures.rates);
    tracing::info!(
        phase = figures.phase.name(),
        lookup_rows = numbers.lookup_rows,
        source_rows = numbers.source_rows,
        inserted_rows = numbers.inserted_rows,
        expected_rows = figures.numbers.rows_expected(),
        percent = figures.percent(),
        seconds = figures.elapsed.as_secs_f64(),
        seconds_left = figures.left.map(|left| left.as_secs_f64()),
        lookup_rows_per_second = rates.lookup_rows,
        source_rows_per_second = rates.read_rows,
        source_bytes_per_second = rates.read_bytes,
        inserted_rows_per_second = rates.inserted_rows,
        inserted_bytes_per_second = rates.inserted_bytes,
        waves = numbers.waves,
        chunks = numbers.chunks,
        chunks_done = numbers.chunks_done,
        chunks_failed = numbers.chunks_failed,
        inserts_in_flight = numbers.inserts_in_flight,
        retries = numbers.retries,
        last_retry = figures.last_retry.as_ref().map(|(_, reason)| reason),
        memory_bytes = figures.memory,
        memory_limit_bytes = figures.memory_limit,
        queued_bytes = numbers.queued_bytes,
        bottleneck = figures.bottleneck.map(super::bottleneck::Stage::name),
        parts = figures.server.parts.as_ref().map(|parts| parts.parts),
        merges = figures.server.merges,
        server_memory_used_bytes = figures.server.memory_used,
        server_memory_total_bytes = figures.server.memory_total,
        replica_delay_seconds = figures.server.replica_delay_seconds,
        waiting = (!figures.waiting.is_empty()).then(|| figures.waiting.join("; ")),
        "progress"
    );
}
