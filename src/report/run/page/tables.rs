//! The tables of the page.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::overview::{counted, seconds, time};
use crate::ledger::ChunkStatus;
use crate::progress::bytes;
use crate::report::run::{ChunkFigures, Column, ProcessFigures, RunReport};

/// So many chunks are listed by name; all are in the maps and in the JSON.
const LISTED: usize = 20;

/// Chunks that failed or had to be read again.
pub(super) fn chunks(chunks: &[ChunkFigures]) -> Markup {
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
                table {
                    thead { tr { th.number { "chunk" } th { "status" } th.number { "retries" } th { "reason" } th { "range" } } }
                    tbody {
                        @for chunk in concerned.iter().take(LISTED) {
                            tr {
                                td.number { (chunk.chunk) }
                                td { @if chunk.status == ChunkStatus::Failed { "failed" } @else { "completed" } }
                                td.number { (chunk.retries) }
                                td { (chunk.error) }
                                td.range { code { @if chunk.range.is_empty() { "the whole partition" } @else { (chunk.range) } } }
                            }
                        }
                    }
                }
            }
            @if concerned.len() > LISTED { p.soft { "and " (concerned.len() - LISTED) " more" } }
        }
    }
}

pub(super) fn verifications(report: &RunReport) -> Markup {
    html! {
        h2 { "Verification" }
        @if report.verifications.is_empty() {
            p.soft { "The target has not been compared with the equivalent join. " code { "clickhouse-backfill verify" } " does so." }
        } @else {
            div.table {
                table {
                    thead {
                        tr { th { "when" } th { "result" } th { "compared" } th.number { "rows of the job" } th.number { "rows of the target" } th.number { "that differ" } th.number { "time" } }
                    }
                    tbody {
                        @for (number, found) in report.verifications.iter().enumerate() {
                            @let place = |name: &str| format!("verifications.{number}.{name}");
                            tr {
                                td { (time(found.verified_at)) }
                                td { @if found.equal { "equal" } @else { "different" } }
                                td { @if found.sample.is_empty() { "every row" } @else { span data-figure=(place("sample")) { (found.sample) } } }
                                td.number { (counted(&place("expected_rows"), found.expected_rows)) }
                                td.number { (counted(&place("target_rows"), found.target_rows)) }
                                td.number { (counted(&place("differences"), found.differences)) }
                                td.number { (seconds(found.seconds)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn mapping(columns: &[Column]) -> Markup {
    html! {
        h2 { "Mapping" }
        div.table {
            table {
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

/// Who worked, and with what settings; settings that all share are shown once.
pub(super) fn processes(processes: &[ProcessFigures]) -> Markup {
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
                table {
                    thead {
                        tr { th { "worker, host, process" } th { "from" } th { "to" } th.number { "rows inserted" } th.number { "retries" } th.number { "most memory" } th.number { "slowest insert" } }
                    }
                    tbody {
                        @for (number, process) in processes.iter().enumerate() {
                            @let place = |name: &str| format!("processes.{number}.{name}");
                            tr {
                                td data-figure=(place("worker")) { (process.worker) }
                                td { (time(process.began_at)) }
                                td { (time(process.ended_at)) }
                                td.number { (counted(&place("rows_inserted"), process.rows_inserted)) }
                                td.number { (counted(&place("retries"), process.retries)) }
                                td.number { (process.memory_bytes.map_or_else(|| "–".to_owned(), bytes)) }
                                td.number { (process.insert_max_seconds.map_or_else(|| "–".to_owned(), seconds)) }
                            }
                        }
                    }
                }
            }
        }
        @if !settings.is_empty() {
            h2 { "Settings" }
            div.table {
                table {
                    tbody { @for (name, values) in &settings { tr { th { (name) } td { (values.join("; ")) } } } }
                }
            }
        }
    }
}

/// Statements, keys and engines: long, and seldom looked at.
pub(super) fn definition(definition: &BTreeMap<String, String>) -> Markup {
    html! {
        details {
            summary { "Definition: statements, settings, keys and engines that decide the result" }
            div.table {
                table {
                    tbody { @for (name, value) in definition { tr { th { (name) } td { code { (value) } } } } }
                }
            }
        }
    }
}
