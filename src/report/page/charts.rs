//! The drawings of the page, as SVG: line charts over time with their axes, and heat maps with one cell
//! per chunk, darker for greater values.

use std::fmt::Write;
use std::time::Duration;

use maud::{Markup, html};

use crate::ledger::ChunkStatus;
use crate::progress::{bytes, count, duration};
use crate::report::figures::ChunkFigures;
use crate::report::timeline::TimelinePoint;

const HEIGHT: f64 = 210.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 26.0;

/// A line of a chart. An unknown value leaves a gap.
pub(super) struct Series {
    pub name: &'static str,
    /// Its field in the JSON.
    pub field: &'static str,
    pub value: fn(&TimelinePoint) -> Option<f64>,
}

/// A chart of lines with one axis.
pub(super) struct Chart {
    pub title: &'static str,
    pub unit: Unit,
    /// Width of the drawing in user units; text is 11 units high.
    pub width: f64,
    pub series: &'static [Series],
}

impl Chart {
    /// The drawing; `None` if no value is known.
    pub(super) fn draw(&self, timeline: &[TimelinePoint]) -> Option<Markup> {
        let values =
            || self.series.iter().flat_map(|series| timeline.iter().filter_map(series.value));
        let most = values().reduce(f64::max)?;
        let (ticks, last) =
            (ticks(most, self.unit), timeline.last().map_or(0.0, |point| point.seconds).max(0.001));
        let top = ticks.last().copied().unwrap_or(1.0);
        let x = |seconds: f64| LEFT + seconds / last * (self.width - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP);
        Some(html! {
            figure.chart {
                figcaption {
                    span.name { (self.title) }
                    @for (number, series) in self.series.iter().enumerate() {
                        span.key {
                            svg.swatch viewBox="0 0 22 8" aria-hidden="true" { path class={ "line s" (number + 1) } d="M0 4H22" {} }
                            (series.name)
                        }
                    }
                }
                svg viewBox={ "0 0 " (self.width) " " (HEIGHT) } role="img" aria-label=(self.title) {
                    text.unit x=(LEFT - 8.0) y="10" text-anchor="end" { (self.unit.name()) }
                    @for tick in &ticks {
                        line.grid x1=(LEFT) x2=(self.width - RIGHT) y1=(place(y(*tick))) y2=(place(y(*tick))) {}
                        text.tick x=(LEFT - 8.0) y=(place(y(*tick) + 3.5)) text-anchor="end" { (self.unit.text(*tick)) }
                    }
                    @for tick in time_ticks(last) {
                        line.mark x1=(place(x(tick))) x2=(place(x(tick))) y1=(HEIGHT - BOTTOM) y2=(HEIGHT - BOTTOM + 4.0) {}
                        text.tick x=(place(x(tick))) y=(HEIGHT - BOTTOM + 17.0) text-anchor="middle" { (time_text(tick)) }
                    }
                    @for (from, to, reason) in waits(timeline) {
                        rect.wait x=(place(x(from))) y=(TOP) width=(place((x(to) - x(from)).max(2.0))) height=(HEIGHT - BOTTOM - TOP) {
                            title { "waiting: " (reason) }
                        }
                    }
                    @for point in timeline.iter().filter(|point| point.resumed) {
                        line.resumed x1=(place(x(point.seconds))) x2=(place(x(point.seconds))) y1=(TOP) y2=(HEIGHT - BOTTOM) { title { "resumed here" } }
                    }
                    @for (number, series) in self.series.iter().enumerate() {
                        (line(series, number, timeline, &x, &y))
                    }
                    @for (from, to, point) in columns(timeline, last) {
                        rect.hover x=(place(x(from))) y=(TOP) width=(place(x(to) - x(from))) height=(HEIGHT - BOTTOM - TOP) {
                            title { (self.tooltip(point)) }
                        }
                    }
                }
            }
        })
    }

    /// The text of a tooltip.
    fn tooltip(&self, point: &TimelinePoint) -> String {
        let mut text = time_text(point.seconds);
        for series in self.series {
            if let Some(value) = (series.value)(point) {
                // Writing to a string cannot fail.
                let _ = write!(text, "\n{}: {}", series.name, self.unit.text(value));
                if self.unit != Unit::Bytes && self.unit != Unit::Count {
                    let _ = write!(
                        text,
                        " {}",
                        if self.unit == Unit::Seconds { "s" } else { self.unit.name() }
                    );
                }
            }
        }
        if !point.waiting.is_empty() {
            let _ = write!(text, "\nwaiting: {}", point.waiting);
        }
        text
    }
}

fn line(
    series: &Series,
    number: usize,
    timeline: &[TimelinePoint],
    x: &dyn Fn(f64) -> f64,
    y: &dyn Fn(f64) -> f64,
) -> Markup {
    let (mut path, mut points, mut drawn, mut alone) = (String::new(), 0, false, Vec::new());
    let mut run = Vec::new();
    for point in timeline.iter().map(Some).chain([None]) {
        let value = point.and_then(|point| Some((point, (series.value)(point)?)));
        if value.is_none() || point.is_some_and(|point| point.resumed) {
            if let [only] = run.as_slice() {
                alone.push(*only);
            }
            run.clear();
            drawn = false;
        }
        let Some((point, value)) = value else { continue };
        let (px, py) = (place(x(point.seconds)), place(y(value)));
        // Writing to a string cannot fail.
        let _ = write!(path, "{}{px} {py}", if drawn { "L" } else { "M" });
        run.push((px, py));
        (drawn, points) = (true, points + 1);
    }
    html! {
        path class={ "line s" (number + 1) } d=(path) data-field=(series.field) data-points=(points) {}
        // A path of a single point is invisible.
        @for (px, py) in alone {
            circle class={ "dot s" (number + 1) } cx=(px) cy=(py) r="2.5" {}
        }
    }
}

/// The spans in which the run waited, each with its first reason.
fn waits(timeline: &[TimelinePoint]) -> Vec<(f64, f64, &str)> {
    let mut waits: Vec<(f64, f64, &str)> = Vec::new();
    let mut open = false;
    for point in timeline {
        if open && let Some((_, to, _)) = waits.last_mut() {
            *to = point.seconds;
        }
        if point.waiting.is_empty() {
            open = false;
        } else if !open {
            waits.push((point.seconds, point.seconds, &point.waiting));
            open = true;
        }
    }
    waits
}

/// The span in seconds that belongs to each point.
fn columns(timeline: &[TimelinePoint], last: f64) -> Vec<(f64, f64, &TimelinePoint)> {
    let middle = |one: Option<&TimelinePoint>, other: Option<&TimelinePoint>| {
        Some(f64::midpoint(one?.seconds, other?.seconds))
    };
    let of = |(place, point): (usize, _)| {
        let before = place.checked_sub(1).and_then(|before| timeline.get(before));
        (
            middle(before, Some(point)).unwrap_or(0.0),
            middle(Some(point), timeline.get(place + 1)).unwrap_or(last),
            point,
        )
    };
    timeline.iter().enumerate().map(of).collect()
}

/// A coordinate, rounded to a tenth of a unit.
fn place(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// The unit of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    RowsPerSecond,
    Seconds,
    Count,
    Bytes,
}

impl Unit {
    /// Its label.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RowsPerSecond => "rows/s",
            Self::Seconds => "seconds",
            Self::Count => "count",
            Self::Bytes => "bytes",
        }
    }

    /// A value as shown at the axis and in tooltips.
    pub(super) fn text(self, value: f64) -> String {
        match self {
            Self::RowsPerSecond | Self::Count => short(value),
            Self::Seconds if value >= 100.0 => format!("{value:.0}"),
            Self::Seconds => trimmed(format!("{value:.3}")),
            Self::Bytes => in_units(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"], " "),
        }
    }
}

/// `250`, `1.5k`, `12M`
fn short(value: f64) -> String {
    in_units(value, 1000.0, &["", "k", "M", "G", "T"], "")
}

fn in_units(value: f64, step: f64, units: &[&str], blank: &str) -> String {
    let mut scaled = value;
    let mut chosen = units.first().copied().unwrap_or_default();
    for unit in units {
        chosen = unit;
        if scaled < step {
            break;
        }
        if Some(unit) != units.last() {
            scaled /= step;
        }
    }
    let number =
        if scaled >= 100.0 { format!("{scaled:.0}") } else { trimmed(format!("{scaled:.1}")) };
    format!("{number}{blank}{chosen}")
}

fn trimmed(text: String) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Equidistant round values from 0 to at least `most`.
fn ticks(most: f64, unit: Unit) -> Vec<f64> {
    let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
    let whole = matches!(unit, Unit::Count | Unit::Bytes);
    // Four or five steps of 1, 2, 2.5 or 5 times a power of ten; for bytes, of a power of two.
    let raw = most / 4.0;
    let step = if unit == Unit::Bytes {
        2.0_f64.powf(raw.log2().ceil())
    } else {
        let power = 10.0_f64.powf(raw.log10().floor());
        [1.0, 2.0, 2.5, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| *step >= raw * 0.999)
            .unwrap_or(raw)
    };
    let step = if whole { step.ceil().max(1.0) } else { step };
    let mut ticks = vec![0.0];
    while ticks.last().is_some_and(|last| *last < most * 0.999) && ticks.len() < 12 {
        ticks.push(ticks.len() as f64 * step);
    }
    ticks
}

/// About six round times within this number of seconds.
fn time_ticks(seconds: f64) -> Vec<f64> {
    const STEPS: [f64; 22] = [
        0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0,
        3600.0, 7200.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0, 172_800.0,
    ];
    let step = STEPS.into_iter().find(|step| seconds / step <= 7.0).unwrap_or(604_800.0);
    let mut ticks = Vec::new();
    while ticks.len() < 40 && ticks.len() as f64 * step <= seconds * 1.0001 {
        ticks.push(ticks.len() as f64 * step);
    }
    ticks
}

/// `0`, `30 s`, `1:30 min`, `2:15 h`, `3 h`
fn time_text(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "times of a run, never negative"
    )]
    let whole = seconds.round() as u64;
    match whole {
        0 if seconds == 0.0 => "0".to_owned(),
        _ if seconds < 60.0 => format!("{} s", trimmed(format!("{seconds:.1}"))),
        60..3600 if whole.is_multiple_of(60) => format!("{} min", whole / 60),
        60..3600 => format!("{}:{:02} min", whole / 60, whole % 60),
        3600..172_800 if whole.is_multiple_of(3600) => format!("{} h", whole / 3600),
        3600..172_800 => format!("{}:{:02} h", whole / 3600, whole / 60 % 60),
        _ => duration(Duration::from_secs(whole)),
    }
}

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
        ChunkStatus::Pending | ChunkStatus::Divided => format!("chunk {number}: pending"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_greatest_value() {
        assert_eq!(
            ticks(83_000.0, Unit::RowsPerSecond),
            [0.0, 25_000.0, 50_000.0, 75_000.0, 100_000.0]
        );
        assert_eq!(ticks(3.0, Unit::Count), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(ticks(0.0, Unit::Count), [0.0, 1.0]);
        let gib = f64::from(1 << 30);
        assert_eq!(
            ticks(1.9 * gib, Unit::Bytes).last().map(|last| Unit::Bytes.text(*last)),
            Some("2 GiB".to_owned())
        );
        for most in [1e-4, 0.3, 1.0, 7.7, 999.0, 12_345.0, 8.8e9, 3.3e12] {
            for unit in [Unit::RowsPerSecond, Unit::Seconds, Unit::Count, Unit::Bytes] {
                let ticks = ticks(most, unit);
                assert!(
                    ticks.len() >= 2 && ticks.len() <= 8 && ticks.last() >= Some(&(most * 0.99)),
                    "{most} {unit:?} {ticks:?}"
                );
            }
        }
    }

    #[test]
    fn values_are_abbreviated() {
        let rows = |value| Unit::RowsPerSecond.text(value);
        assert_eq!(
            [rows(0.0), rows(250.0), rows(1500.0), rows(25_000.0), rows(1.2e6)],
            ["0", "250", "1.5k", "25k", "1.2M"]
        );
        assert_eq!(
            [Unit::Seconds.text(0.025), Unit::Seconds.text(2.0), Unit::Bytes.text(512.0)],
            ["0.025", "2", "512 B"]
        );
        assert_eq!(time_ticks(59.0), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        let times: Vec<_> = [0.0, 0.5, 30.0, 90.0, 8100.0].map(time_text).into();
        assert_eq!(times, ["0", "0.5 s", "30 s", "1:30 min", "2:15 h"]);
    }
}
