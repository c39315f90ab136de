//! The report as one self-contained HTML page, in a light, a dark and a print style.
//!
//! All text goes through [`maud`], which escapes it. The page contains the report's JSON in a script
//! element of type `application/json`; every value on the page names its path in that JSON
//! (`data-figure`), so that a test can compare the two.

mod charts;
mod heat;
mod sections;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::charts::{Chart, Series, Unit};
use super::figures::{RunReport, time_or_unknown};

/// Widths of drawings, about their size on a wide screen.
const WIDE: f64 = 980.0;
const HALF: f64 = 470.0;

/// The charts over time.
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
                name: "median",
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
        title: "Server memory",
        width: HALF,
        unit: Unit::Bytes,
        series: &[
            Series {
                name: "used",
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
        title: "Client memory",
        width: HALF,
        unit: Unit::Bytes,
        series: &[
            Series {
                name: "used",
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

/// The page of a report. `json` is the same report as JSON.
pub(crate) fn page(report: &RunReport, json: &str) -> String {
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
                (sections::overview(report))
                (timeline(report))
                @if !report.chunks.is_empty() {
                    h2 { "Chunks" }
                    div.maps { (heat::by_duration(&report.chunks)) (heat::by_retries(&report.chunks)) }
                    (sections::chunks(&report.chunks))
                }
                (sections::verifications(report))
                (sections::mapping(&report.mapping))
                (sections::processes(&report.processes))
                (sections::definition(&report.definition_parts))
                footer { "Created by " (report.reported_by) " at " (time_or_unknown(Some(report.reported_at))) "." }
                script type="application/json" id="figures" { (PreEscaped(escape_for_script(json))) }
            }
        }
    };
    page.into_string()
}

fn timeline(report: &RunReport) -> Markup {
    let charts: Vec<_> = CHARTS.iter().filter_map(|chart| chart.draw(&report.course)).collect();
    html! {
        h2 { "Timeline" }
        @if charts.is_empty() {
            p.soft { "The ledger has no samples of this load." }
        } @else {
            div.charts { @for chart in &charts { (chart) } }
            @if report.course.iter().any(|point| point.resumed) {
                p.soft { "Time without a running process is left out; dashed lines mark where a run resumed." }
            }
            @if report.course.iter().any(|point| !point.waiting.is_empty()) {
                p.soft { "Shaded: the run waited; hover for the reason." }
            }
        }
    }
}

/// The JSON with every character escaped that has a meaning in HTML, such as that of `</script>`.
fn escape_for_script(json: &str) -> String {
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
