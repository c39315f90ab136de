//! The report as one self-contained HTML page, in a light, a dark and a print style.
//!
//! All text goes through [`maud`], which escapes it. The page contains the report's JSON in a script
//! element of type `application/json`; every value on the page names its path in that JSON
//! (`data-figure`), so that a test can compare the two.

mod charts;

use std::collections::BTreeMap;
use std::time::Duration;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::figures::{
    AssessmentLevel, ChunkFigures, Column, ProcessFigures, RunReport, setting_text,
    time_or_unknown as time,
};
use crate::ledger::ChunkStatus;
use crate::progress::{bytes, count, duration, row_rate};
use charts::{Chart, Series, Unit};

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

/// The styles of the page, which other pages share.
pub(crate) const STYLE: &str = include_str!("style.css");

/// The page of a report. `json` is the same report as JSON.
pub(crate) fn page(report: &RunReport, json: &str) -> String {
    let title = format!("{}, partition {}", report.load.job, report.load.partition);
    let head = html! {
        title { (title) " · backfill report" }
        style { (PreEscaped(STYLE)) }
    };
    let body = html! {
        (overview(report))
        (timeline(report))
        @if !report.chunks.is_empty() {
            h2 { "Chunks" }
            div.maps { (charts::by_duration(&report.chunks)) (charts::by_retries(&report.chunks)) }
            (chunks(&report.chunks))
        }
        (verifications(report))
        (mapping(&report.mapping))
        (processes(&report.processes))
        (definition(&report.definition_parts))
        footer { "Created by " (report.reported_by) " at " (time(Some(report.reported_at))) "." }
        script type="application/json" id="figures" { (PreEscaped(escape_for_script(json))) }
    };
    document(&head, &body)
}

/// A page with this content, for screens of any width.
pub(crate) fn document(head: &Markup, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // A browser asks for an icon unless the page has one.
                link rel="icon" href="data:,";
                (head)
            }
            body { (body) }
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

/// The head of the page: what was loaded, the result, the most important values.
fn overview(report: &RunReport) -> Markup {
    let (load, verdict) = (&report.load, &report.verdict);
    let level = match verdict.level {
        AssessmentLevel::Good => "good",
        AssessmentLevel::Open => "open",
        AssessmentLevel::Bad => "bad",
    };
    html! {
        header {
            h1 {
                small { "Backfill report" }
                span data-figure="load.job" { (load.job) } ", partition " span data-figure="load.partition" { (load.partition) }
            }
            p.soft {
                span data-figure="load.source" { (load.source) } " → " span data-figure="load.target" { (load.target) } " · run "
                code data-figure="load.run_id" { (load.run_id) } " · " (time(load.started_at)) " to " (time(load.ended_at))
            }
        }
        section class={ "verdict " (level) } {
            b data-figure="verdict.text" { (verdict.text) }
            @if !verdict.next.is_empty() { p { (verdict.next) } }
            @if !load.error.is_empty() { pre data-figure="load.error" { (load.error) } }
        }
        dl.cards {
            (card("Rows inserted", &counted("load.rows_inserted", load.rows_inserted)))
            (card("Time after planning", &html! { span data-figure="load.seconds" data-kind="seconds" data-value=(load.seconds) { (seconds(load.seconds)) } }))
            (card("Throughput", &html! { span data-figure="load.rows_per_second" data-kind="rate" data-value=(load.rows_per_second) { (row_rate(load.rows_per_second)) } }))
            (card("Chunks completed", &html! { (counted("load.chunks_completed", load.chunks_completed)) " of " (counted("load.chunks", load.chunks)) }))
            (card("Inserted", &html! { span data-figure="load.bytes_inserted" data-kind="bytes" data-value=(load.bytes_inserted) { (bytes(load.bytes_inserted)) } }))
            (card("Batches", &counted("load.batches", load.batches)))
            (card("Retries", &counted("load.retries", load.retries)))
            (card("Matched", &counted("load.matched", load.matched)))
            (card("Matched late", &counted("load.matched_late", load.matched_late)))
            (card("Without attributes", &counted("load.unmatched", load.unmatched)))
            @if let Some(expected) = load.rows_expected { (card("Rows of the source", &counted("load.rows_expected", expected))) }
            (card("ClickHouse", &html! { span data-figure="load.server_version" { (load.server_version) } }))
        }
    }
}

fn card(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// A count with its path in the JSON.
fn counted(figure: &str, value: u64) -> Markup {
    html! { span data-figure=(figure) data-kind="count" { (count(value)) } }
}

fn seconds(value: f64) -> String {
    duration(Duration::try_from_secs_f64(value).unwrap_or_default())
}

/// Most chunks that are listed; the maps and the JSON have all.
const MAX_LISTED: usize = 20;

/// Chunks that failed or were read again.
fn chunks(chunks: &[ChunkFigures]) -> Markup {
    let mut concerned: Vec<_> = chunks
        .iter()
        .filter(|chunk| chunk.retries > 0 || chunk.status == ChunkStatus::Failed)
        .collect();
    concerned.sort_by_key(|chunk| {
        (chunk.status != ChunkStatus::Failed, std::cmp::Reverse(chunk.retries))
    });
    html! {
        @if !concerned.is_empty() {
            h2 { "Chunks that failed or were read again" }
            div.table {
                table.stacked {
                    thead { tr { th.number { "chunk" } th { "status" } th.number { "retries" } th { "reason" } th { "range" } } }
                    tbody {
                        @for chunk in concerned.iter().take(MAX_LISTED) {
                            tr {
                                td.number data-label="chunk" { (chunk.chunk) }
                                td data-label="status" { @if chunk.status == ChunkStatus::Failed { "failed" } @else { "completed" } }
                                td.number data-label="retries" { (chunk.retries) }
                                td data-label="reason" { (chunk.error) }
                                td.range data-label="range" { code { @if chunk.range.is_empty() { "the whole partition" } @else { (chunk.range) } } }
                            }
                        }
                    }
                }
            }
            @if concerned.len() > MAX_LISTED { p.soft { "and " (concerned.len() - MAX_LISTED) " more" } }
        }
    }
}

/// The results of `verify`.
fn verifications(report: &RunReport) -> Markup {
    html! {
        h2 { "Verification" }
        @if report.verifications.is_empty() {
            p.soft { "Not verified yet. " code { "clickhouse-backfill verify" } " compares the target with the equivalent join." }
        } @else {
            div.table {
                table.stacked {
                    thead {
                        tr { th { "when" } th { "result" } th { "compared" } th.number { "expected rows" } th.number { "target rows" } th.number { "differing rows" } th.number { "time" } }
                    }
                    tbody {
                        @for (number, found) in report.verifications.iter().enumerate() {
                            @let place = |name: &str| format!("verifications.{number}.{name}");
                            tr {
                                td data-label="when" { (time(found.verified_at)) }
                                td data-label="result" { @if found.equal { "equal" } @else { "different" } }
                                td data-label="compared" { @if found.sample.is_empty() { "every row" } @else { span data-figure=(place("sample")) { (found.sample) } } }
                                td.number data-label="expected rows" { (counted(&place("expected_rows"), found.expected_rows)) }
                                td.number data-label="target rows" { (counted(&place("target_rows"), found.target_rows)) }
                                td.number data-label="differing rows" { (counted(&place("differences"), found.differences)) }
                                td.number data-label="time" { (seconds(found.seconds)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The expression of each target column.
fn mapping(columns: &[Column]) -> Markup {
    html! {
        h2 { "Mapping" }
        details {
            summary { (crate::progress::counted(columns.len() as u64, "column")) ": the expression of each" }
            div.table {
            table.stacked {
                thead { tr { th { "column" } th { "type" } th { "expression" } } }
                tbody {
                    @for (number, column) in columns.iter().enumerate() {
                        @let place = |name: &str| format!("mapping.{number}.{name}");
                        tr {
                            th data-figure=(place("column")) { (column.column) }
                            td { code data-figure=(place("type")) { (column.type_name) } }
                            td { code data-figure=(place("expression")) { (column.expression) } }
                        }
                    }
                }
            }
        }
        }
    }
}

/// The processes and their settings; a setting that is equal in all of them is shown once.
fn processes(processes: &[ProcessFigures]) -> Markup {
    let mut settings: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for process in processes {
        for (name, value) in &process.settings {
            let values = settings.entry(name).or_default();
            if !values.contains(&value.as_str()) {
                values.push(value);
            }
        }
    }
    html! {
        @if !processes.is_empty() {
            h2 { "Processes" }
            div.table {
                table.stacked {
                    thead {
                        tr { th { "worker, host, pid" } th { "from" } th { "to" } th.number { "rows inserted" } th.number { "retries" } th.number { "peak memory" } th.number { "slowest insert" } }
                    }
                    tbody {
                        @for (number, process) in processes.iter().enumerate() {
                            @let place = |name: &str| format!("processes.{number}.{name}");
                            tr {
                                td data-label="worker, host, pid" data-figure=(place("worker")) { (process.worker) }
                                td data-label="from" { (time(process.began_at)) }
                                td data-label="to" { (time(process.ended_at)) }
                                td.number data-label="rows inserted" { (counted(&place("rows_inserted"), process.rows_inserted)) }
                                td.number data-label="retries" { (counted(&place("retries"), process.retries)) }
                                td.number data-label="peak memory" { (process.memory_bytes.map_or_else(|| "–".to_owned(), bytes)) }
                                td.number data-label="slowest insert" { (process.insert_max_seconds.map_or_else(|| "–".to_owned(), seconds)) }
                            }
                        }
                    }
                }
            }
        }
        @if !settings.is_empty() {
            details {
                summary { "Settings of the processes" }
                div.table {
                    table.stacked {
                        tbody {
                            @for (name, values) in &settings {
                                tr {
                                    th { (name) }
                                    td { (values.iter().map(|value| setting_text(value)).collect::<Vec<_>>().join("; ")) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Statements, settings, keys and engines.
fn definition(definition: &BTreeMap<String, String>) -> Markup {
    html! {
        details {
            summary { "Definition: tables, keys, settings and types" }
            div.table {
                table.stacked {
                    tbody { @for (name, value) in definition { tr { th { (name) } td { code { (value) } } } } }
                }
            }
        }
    }
}
