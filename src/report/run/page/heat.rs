//! Heat maps: one cell per chunk, darker for greater values.

use maud::{Markup, html};

use crate::ledger::ChunkStatus;
use crate::progress::{bytes, count, duration};
use crate::report::run::figures::ChunkFigures;

/// Side of a cell.
const CELL: usize = 13;
/// Distance between cells.
const STEP: usize = 16;
const MAX_COLUMNS: usize = 56;
/// Number of shades, from the lightest.
const SHADES: usize = 6;

/// The chunks shaded by duration.
pub(super) fn by_duration(chunks: &[ChunkFigures]) -> Markup {
    let times = || chunks.iter().filter_map(|chunk| chunk.seconds);
    let (least, most) =
        (times().reduce(f64::min).unwrap_or(0.0), times().reduce(f64::max).unwrap_or(0.0));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a shade, from 0 to the last"
    )]
    let shade = |seconds: f64| {
        if most > least {
            (((seconds - least) / (most - least)) * (SHADES - 1) as f64).round() as usize
        } else {
            0
        }
    };
    let legend = [(Some(0), duration_text(least)), (Some(SHADES - 1), duration_text(most))];
    cells("Chunks by duration", "duration", chunks, |chunk| chunk.seconds.map(shade), &legend, true)
}

/// The chunks shaded by number of repeated reads.
pub(super) fn by_retries(chunks: &[ChunkFigures]) -> Markup {
    let shade = |retries: u64| usize::try_from(retries).unwrap_or(usize::MAX).min(SHADES - 1);
    let most = chunks.iter().map(|chunk| chunk.retries).max().unwrap_or_default();
    let legend: Vec<_> = (0..=shade(most))
        .map(|shade| {
            (
                Some(shade),
                if shade == SHADES - 1 { format!("{shade} or more") } else { shade.to_string() },
            )
        })
        .collect();
    let seen =
        |chunk: &ChunkFigures| (chunk.status != ChunkStatus::Pending).then(|| shade(chunk.retries));
    cells("Chunks by retries", "retries", chunks, seen, &legend, false)
}

fn cells(
    title: &str,
    kind: &str,
    chunks: &[ChunkFigures],
    shade: impl Fn(&ChunkFigures) -> Option<usize>,
    legend: &[(Option<usize>, String)],
    shades_between: bool,
) -> Markup {
    let columns = chunks.len().clamp(1, MAX_COLUMNS);
    let rows = chunks.len().div_ceil(columns).max(1);
    let (width, height) = (columns * STEP, rows * STEP);
    let failed = chunks.iter().any(|chunk| chunk.status == ChunkStatus::Failed);
    let pending = chunks.iter().any(|chunk| chunk.status == ChunkStatus::Pending);
    html! {
        figure.heat {
            figcaption {
                span.name { (title) }
                @for (number, (shade, words)) in legend.iter().enumerate() {
                    @if shades_between && number > 0 {
                        span.ramp { @for shade in 1..SHADES - 1 { i class={ "h" (shade) } {} } }
                    }
                    span.key { i class={ "h" (shade.unwrap_or_default()) } {} (words) }
                }
                @if failed { span.key { i.failed {} "failed" } }
                @if pending { span.key { i.pending {} "pending" } }
            }
            svg.cells viewBox={ "0 0 " (width) " " (height) } width=(width) role="img" aria-label=(title) data-heat=(kind) {
                @for (place, chunk) in chunks.iter().enumerate() {
                    @let (x, y) = (place % columns * STEP + 1, place / columns * STEP + 1);
                    rect x=(x) y=(y) width=(CELL) height=(CELL) rx="2.5" class=(class(chunk, shade(chunk))) { title { (tooltip(chunk)) } }
                }
            }
        }
    }
}

fn class(chunk: &ChunkFigures, shade: Option<usize>) -> String {
    match (chunk.status, shade) {
        (ChunkStatus::Failed, _) => "failed".to_owned(),
        (ChunkStatus::Completed, Some(shade)) => format!("h{shade}"),
        _ => "pending".to_owned(),
    }
}

fn tooltip(chunk: &ChunkFigures) -> String {
    let number = chunk.chunk;
    match chunk.status {
        ChunkStatus::Pending => format!("chunk {number}: pending"),
        ChunkStatus::Failed => format!("chunk {number}: failed\n{}", chunk.error),
        ChunkStatus::Completed => {
            let took = chunk.seconds.map(duration_text).unwrap_or_default();
            let (rows, size) = (count(chunk.rows_inserted), bytes(chunk.bytes_inserted));
            format!("chunk {number}: {took}, {rows} rows, {size}, {} retries", chunk.retries)
        }
    }
}

fn duration_text(seconds: f64) -> String {
    duration(std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default())
}
