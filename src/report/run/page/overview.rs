//! The beginning of the page: what ran, the verdict, the figures that matter most.

use std::time::Duration;

use maud::{Markup, html};

use crate::ledger::Timestamp;
use crate::progress::{bytes, count, duration, row_rate};
use crate::report::run::{RunReport, VerdictLevel};

pub(super) fn overview(report: &RunReport) -> Markup {
    let (load, verdict) = (&report.load, &report.verdict);
    let level = match verdict.level {
        VerdictLevel::Good => "good",
        VerdictLevel::Open => "open",
        VerdictLevel::Bad => "bad",
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
            (card("Time", &html! { span data-figure="load.seconds" data-kind="seconds" data-value=(load.seconds) { (seconds(load.seconds)) } }))
            (card("Throughput", &html! { span data-figure="load.rows_per_second" data-kind="rate" data-value=(load.rows_per_second) { (row_rate(load.rows_per_second)) } }))
            (card("Chunks completed", &html! { (counted("load.chunks_completed", load.chunks_completed)) " of " (counted("load.chunks", load.chunks)) }))
            (card("Inserted", &html! { span data-figure="load.bytes_inserted" data-kind="bytes" data-value=(load.bytes_inserted) { (bytes(load.bytes_inserted)) } }))
            (card("Batches", &counted("load.batches", load.batches)))
            (card("Retries", &counted("load.retries", load.retries)))
            (card("Matched in the window", &counted("load.matched", load.matched)))
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

/// A count that names its place in the JSON.
pub(super) fn counted(figure: &str, value: u64) -> Markup {
    html! { span data-figure=(figure) data-kind="count" { (count(value)) } }
}

pub(super) fn seconds(value: f64) -> String {
    duration(Duration::try_from_secs_f64(value).unwrap_or_default())
}

/// `2025-11-20T14:46:40Z`
pub(in crate::report::run) fn time(time: Option<Timestamp>) -> String {
    let text =
        |time: Timestamp| format!("{}Z", time.to_string().chars().take(19).collect::<String>());
    time.map_or_else(|| "unknown".to_owned(), text)
}
