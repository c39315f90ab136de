//! A run in progress as a page for a browser. `/` is the page, which asks for `/live` every 2 s; its
//! style and its script are served beside it, and nothing comes from elsewhere.
//!
//! The words are those of the screen; all text goes through [`maud`], which escapes it.

use maud::{Markup, html};

use super::ObservedRun;
use crate::engine::stream::ChunkState;
use crate::plan::ChunkId;
use crate::progress::words;
use crate::progress::{Figures, count, counted, duration, title};
use crate::report::{STYLE, document};
use crate::state::LoadState;

/// The script of the page.
pub(super) const SCRIPT: &str = include_str!("live.js");
/// The most cells of the map of chunks; more chunks share a cell.
const MAX_CELLS: usize = 1200;
/// Cells in a row of the map.
const COLUMNS: usize = 60;
/// Pixels from one cell to the next, and of a cell.
const STEP: usize = 15;
const CELL: usize = 12;

/// The style of the page.
pub(super) fn style() -> String {
    format!("{STYLE}{}", include_str!("live.css"))
}

/// The whole page.
pub(super) fn page(run: Option<&ObservedRun>) -> String {
    let head = html! {
        link rel="stylesheet" href="live.css";
        title { "clickhouse-backfill" }
        script src="live.js" defer {}
    };
    let body = html! {
        p.verdict.bad #gone hidden {
            b { "No answer" } " since " span #since {} ". The run has ended, or this page cannot reach it. "
            code { "clickhouse-backfill status" } " and " code { "clickhouse-backfill history" } " show what is recorded of it."
        }
        main #live { (view(run)) }
        noscript { p.soft { "Without scripts the page does not change by itself: reload it." } }
    };
    document(&head, &body)
}

/// What changes.
pub(super) fn fragment(run: Option<&ObservedRun>) -> String {
    view(run).into_string()
}

fn view(run: Option<&ObservedRun>) -> Markup {
    let Some(run) = run else {
        return html! {
            h1 data-title="clickhouse-backfill" { small { "clickhouse-backfill " (env!("CARGO_PKG_VERSION")) } "Preparing" }
            p.verdict.good { b { "Preparing" } ": no rows move yet." }
        };
    };
    let figures = run.figures();
    html! {
        (head(run, &figures))
        (progress(&figures))
        (cards(&figures))
        h2 { "Stages" }
        (stages(&figures))
        (chunks(run))
        footer {
            "Figures of " time { (now()) } ", again every 2 s. " a href="metrics" { "Metrics for Prometheus" } "."
        }
    }
}

fn head(run: &ObservedRun, figures: &Figures) -> Markup {
    let subject = run.control().subject();
    let run_id = run.control().run_id();
    let (level, word) = match run.state() {
        LoadState::Completed => ("good", "Completed"),
        LoadState::Failed => ("bad", "Failed"),
        LoadState::Interrupted => ("open", "Interrupted"),
        _ if figures.stopping.is_some() => ("open", "Stopping"),
        _ if !figures.waiting.is_empty() => ("open", "Waiting"),
        _ => ("good", "Running"),
    };
    html! {
        header {
            h1 data-title=(title(figures)) {
                small { "clickhouse-backfill " (env!("CARGO_PKG_VERSION")) @if let Some(id) = &run_id { ", run " (id) } }
                @if subject.dry_run { "Dry run of " } (subject.job) ", partition " (subject.partition)
            }
            p.soft { (subject.source) " → " (subject.target) }
        }
        div class={ "verdict " (level) } {
            b { (word) } ": " (words::doing(figures))
            @for reason in &figures.waiting { p { "waiting: " (reason) } }
            @if let Some(safe) = words::safe(figures) { p { "safe: " (safe) } }
            @if let Some(retries) = words::retries(figures) { p.soft { "retries: " (retries) } }
        }
    }
}

fn progress(figures: &Figures) -> Markup {
    let rows = count(figures.numbers.inserted_rows);
    html! {
        div.progress {
            @match (figures.percent(), figures.numbers.rows_expected()) {
                (Some(percent), Some(expected)) => {
                    progress max="100" value=(format!("{percent:.1}")) aria-label="rows inserted" {}
                    p { b { (format!("{percent:.1} %")) } "  " (rows) " of " (count(expected)) " rows" }
                }
                _ => {
                    progress aria-label="rows inserted" {}
                    p { (rows) " rows; the total is being counted" }
                }
            }
            p.soft { (words::pace(figures)) }
        }
    }
}

fn cards(figures: &Figures) -> Markup {
    let numbers = &figures.numbers;
    let left = figures.left.filter(|_| figures.stopping.is_none());
    let mut cards = vec![
        ("time", duration(figures.elapsed)),
        ("left", left.map_or_else(|| "–".to_owned(), duration)),
        ("this process", words::memory(figures)),
        ("server", words::server(&figures.server)),
        ("retries, errors", format!("{}, {}", count(numbers.retries), count(numbers.errors))),
    ];
    cards.extend(words::chunks_in_flight(figures).map(|text| ("chunks", text)));
    html! { dl.cards { @for (name, text) in cards { div { dt { (name) } dd.words { (text) } } } } }
}

fn stages(figures: &Figures) -> Markup {
    html! {
        div.table {
            table {
                thead { tr { th { "Stage" } th.number { "Rows" } th.number { "Bytes" } th { "Details" } } }
                tbody {
                    @for stage in words::stages(figures) {
                        @let [rows, bytes] = stage.rates;
                        tr.slowest[stage.is_bottleneck] {
                            th { (stage.name) }
                            td.number { (rows.unwrap_or_default()) }
                            td.number { (bytes.unwrap_or_default()) }
                            td { (stage.details.join(", ")) @if stage.is_bottleneck { ", the bottleneck" } }
                        }
                    }
                }
            }
        }
    }
}

/// What a cell of the map shows: the worst of its chunks, by the order of attention.
fn class(chunks: &[(ChunkId, ChunkState)]) -> &'static str {
    let any = |state| chunks.iter().any(|(_, one)| *one == state);
    if any(ChunkState::Failed) {
        "failed"
    } else if any(ChunkState::Started) {
        "started"
    } else if any(ChunkState::Pending) {
        "pending"
    } else if any(ChunkState::Completed) {
        "completed"
    } else {
        "left-out"
    }
}

const LEGEND: [(&str, &str); 5] = [
    ("completed", "completed"),
    ("started", "in progress"),
    ("pending", "not started"),
    ("failed", "failed"),
    ("left-out", "not of this run"),
];

fn chunks(run: &ObservedRun) -> Markup {
    let all = run.control().counters().chunk_states.in_order();
    if all.is_empty() {
        return html! {};
    }
    let per_cell = all.len().div_ceil(MAX_CELLS);
    let cells: Vec<_> = all.chunks(per_cell).map(|chunks| (class(chunks), chunks)).collect();
    let columns = cells.len().min(COLUMNS);
    let (width, height) = (columns * STEP, cells.len().div_ceil(columns) * STEP);
    let label = |chunks: &[(ChunkId, ChunkState)]| match chunks {
        [(one, _)] => format!("chunk {one}"),
        [(first, _), .., (last, _)] => format!("chunks {first} to {last}"),
        [] => String::new(),
    };
    let words =
        |class: &str| LEGEND.iter().find(|(name, _)| *name == class).map_or("", |(_, words)| words);
    html! {
        h2 { "Chunks" }
        figure.live {
            figcaption {
                span.name { (counted(all.len() as u64, "chunk")) @if per_cell > 1 { ", " (per_cell) " in a cell" } }
                @for (class, words) in LEGEND {
                    @if cells.iter().any(|(one, _)| *one == class) { span.key { i class=(class) {} (words) } }
                }
            }
            svg.cells viewBox={ "0 0 " (width) " " (height) } width=(width) role="img" aria-label="chunks by state" {
                @for (place, (class, chunks)) in cells.iter().enumerate() {
                    @let (x, y) = (place % columns * STEP + 1, place / columns * STEP + 1);
                    rect x=(x) y=(y) width=(CELL) height=(CELL) rx="2.5" class=(class) { title { (label(chunks)) ": " (words(class)) } }
                }
            }
        }
    }
}

/// The time of day, in UTC as everywhere in the program.
fn now() -> String {
    jiff::Timestamp::now().strftime("%H:%M:%S UTC").to_string()
}
