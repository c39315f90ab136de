//! What a process was started with, for its samples in the ledger. No password is in it.

use std::collections::BTreeMap;

use super::request::LoadRequest;
use crate::engine::stream::{Concurrency, RowFormat};
use crate::ledger::WorkerPart;

/// A JSON object of texts, by the names of flags with underscores where there are flags.
pub(super) fn settings(request: &LoadRequest, part: WorkerPart) -> String {
    let LoadRequest { servers, server_version, plan, pipeline, allow_duplicates, .. } = request;
    let at_once = |concurrency: Concurrency| match concurrency {
        Concurrency::Fixed(number) => number.to_string(),
        Concurrency::Auto { first, most } => format!("auto, {first} to begin with, at most {most}"),
    };
    let format =
        if matches!(pipeline.format, RowFormat::Native(_)) { "native" } else { "rowbinary" };
    let server = |connection: &crate::clickhouse::Connection| {
        let endpoint = connection.endpoint();
        format!("{} as {}", endpoint.url(), endpoint.user())
    };
    let mut settings = BTreeMap::from([
        ("clickhouse_url", server(&servers.target)),
        ("server_version", server_version.clone()),
        ("tool_version", env!("CARGO_PKG_VERSION").to_owned()),
        ("memory", bytes(plan.memory.total)),
        ("chunk_rows", plan.chunk_rows.to_string()),
        ("batch_size", pipeline.batch_rows.to_string()),
        ("batch_bytes", bytes(pipeline.batch_bytes)),
        ("queue", bytes(pipeline.queue_bytes)),
        ("readers", at_once(pipeline.readers)),
        ("inserters", at_once(pipeline.inserters)),
        ("insert_format", format.to_owned()),
        ("rows_in_key_order", if pipeline.ordered { "yes" } else { "no" }.to_owned()),
        ("max_retries", pipeline.retry.max_retries.to_string()),
        ("max_failed_chunks", pipeline.max_failed_chunks.to_string()),
        ("outage_wait", format!("{} s", pipeline.outage_wait.as_secs_f64())),
        ("drain_timeout", format!("{} s", pipeline.drain_timeout.as_secs_f64())),
        ("allow_duplicates", if *allow_duplicates { "yes" } else { "no" }.to_owned()),
        ("worker", part.to_string()),
    ]);
    if !servers.is_one_server() {
        settings.insert("source_url", server(&servers.source));
    }
    if let Some(rows) = pipeline.stream_block_rows {
        settings.insert("stream_block_size", rows.to_string());
    }
    // Texts can always be written.
    serde_json::to_string(&settings).unwrap_or_default()
}

fn bytes(bytes: u64) -> String {
    format!("{bytes} bytes")
}
