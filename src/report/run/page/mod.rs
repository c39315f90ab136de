//! The page: one HTML file that asks for nothing else, readable in light and dark, and on paper.
//!
//! All text goes through [`maud`], which escapes it. The figures are in the page as they are in the
//! JSON, in a script element of the type `application/json`, and every figure that is shown names
//! its place there (`data-figure`), so that a test can hold the two against each other.

mod axis;
mod chart;
mod heat;
pub(super) mod overview;
mod tables;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::axis::Unit;
use self::chart::{Chart, Series};
use super::RunReport;

/// Widths of drawings, about as they are shown on a wide screen.
const WIDE: f64 = 980.0;
const HALF: f64 = 470.0;

/// What is drawn over time.
const CHARTS: [Chart; 5] = [
    Chart {
        title: "Throughput",
        width: WIDE,
        unit: Unit::RowsPerSecond,
        series: &[
            Series {
                name: "read",
                field: "rows_read_per_second",
                value: |point| Some(point.rows_read_per_second),
            },
            Series {
                name: "inserted",
                field: "rows_inserted_per_second",
                value: |point| Some(point.rows_inserted_per_second),
            },
        ],
    },
    Chart {
        title: "Insert latency",
        width: HALF,
        unit: Unit::Seconds,
        series: &[
            Series {
                name: "half",
                field: "insert_p50_seconds",
                value: |point| point.insert_p50_seconds,
            },
            Series {
                name: "95 %",
                field: "insert_p95_seconds",
                value: |point| point.insert_p95_seconds,
            },
            Series {
                name: "slowest",
                field: "insert_max_seconds",
                value: |point| point.insert_max_seconds,
            },
        ],
    },
    Chart {
        title: "Parts and merges",
        width: HALF,
        unit: Unit::Count,
        series: &[
            Series {
                name: "active parts",
                field: "active_parts",
                value: |point| point.active_parts.map(|parts| parts as f64),
            },
            Series {
                name: "merges",
                field: "merges",
                value: |point| point.merges.map(|merges| merges as f64),
            },
        ],
    },
    Chart {
        title: "Memory of the server",
        width: HALF,
        unit: Unit::Bytes,
        series: &[
            Series {
                name: "held",
                field: "server_memory_bytes",
                value: |point| point.server_memory_bytes.map(|bytes| bytes as f64),
            },
            Series {
                name: "limit",
                field: "server_memory_limit_bytes",
                value: |point| point.server_memory_limit_bytes.map(|bytes| bytes as f64),
            },
        ],
    },
    Chart {
        title: "Memory of the client",
        width: HALF,
        unit: Unit::Bytes,
        series: &[
            Series {
                name: "held",
                field: "client_memory_bytes",
                value: |point| point.client_memory_bytes.map(|bytes| bytes as f64),
            },
            Series {
                name: "queue",
                field: "queue_bytes",
                value: |point| Some(point.queue_bytes as f64),
            },
        ],
    },
];

/// The page. `json` is the same report as JSON.
pub fn page(report: &RunReport, json: &str) -> String {
    let title = format!("{}, partition {}", report.load.job, report.load.partition);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // A browser asks for an icon unless the page has one.
                link rel="icon" href="data:,";
                title { (title) " · backfill report" }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                (overview::overview(report))
                (course(report))
                @if !report.chunks.is_empty() {
                    h2 { "Chunks" }
                    div.maps { (heat::by_duration(&report.chunks)) (heat::by_retries(&report.chunks)) }
                    (tables::chunks(&report.chunks))
                }
                (tables::verifications(report))
                (tables::mapping(&report.mapping))
                (tables::processes(&report.processes))
                (tables::definition(&report.definition))
                footer { "Made by " (report.reported_by) " at " (overview::time(Some(report.reported_at))) "." }
                script type="application/json" id="figures" { (PreEscaped(in_script(json))) }
            }
        }
    };
    page.into_string()
}

fn course(report: &RunReport) -> Markup {
    let charts: Vec<_> = CHARTS.iter().filter_map(|chart| chart.draw(&report.course)).collect();
    html! {
        h2 { "Course" }
        @if charts.is_empty() {
            p.soft { "No samples of this run are in the ledger." }
        } @else {
            div.charts { @for chart in &charts { (chart) } }
            @if report.course.iter().any(|point| point.resumed) {
                p.soft { "Time in which no process was at work is left out; dashed lines show where one went on." }
            }
            @if report.course.iter().any(|point| !point.waiting.is_empty()) {
                p.soft { "Shaded: no chunk was started. The reason shows under the pointer." }
            }
        }
    }
}

/// The same JSON without a character that means something in HTML: what looks like an end of the
/// script would be one.
fn in_script(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => text.push_str("\\u003c"),
            '>' => text.push_str("\\u003e"),
            '&' => text.push_str("\\u0026"),
            '\u{2028}' => text.push_str("\\u2028"),
            '\u{2029}' => text.push_str("\\u2029"),
            c => text.push(c),
        }
    }
    text
}
