//! What the inserts of chunks have done so far, from the server's list of running statements.
//!
//! An insert acknowledges its rows at its end. Until then, this shows that it moves: one query for all
//! inserts of the run, every two seconds. Its figures are of the statements: rows of all tables that
//! they read, and rows that they and the views of the target write.

use std::convert::Infallible;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::sleep;

use crate::clickhouse::{Connection, quote_literal};
use crate::engine::stream::counters::Counters;

/// Time between two questions.
const INTERVAL: Duration = Duration::from_secs(2);

/// The beginning of the labels of inserts of chunks.
pub(super) const LABEL: &str = "chunk";

/// What the running inserts have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
struct InsertProgress {
    rows_read: u64,
    rows_written: u64,
    memory_bytes: u64,
}

impl InsertProgress {
    fn note(self, counters: &Counters) {
        let Self { rows_read, rows_written, memory_bytes } = self;
        counters.chunk_rows_read.set(rows_read);
        counters.chunk_rows_written.set(rows_written);
        counters.chunk_memory_bytes.set(memory_bytes);
    }
}

/// Waits for `filling`, and meanwhile keeps the counters of its inserts up to date.
pub(super) async fn watched<T>(
    target: &Connection,
    counters: &Counters,
    filling: impl Future<Output = T>,
) -> T {
    let filled = tokio::select! {
        filled = filling => filled,
        never = watch(target, counters) => match never {},
    };
    InsertProgress::default().note(counters);
    filled
}

async fn watch(target: &Connection, counters: &Counters) -> Infallible {
    let prefix = format!("{}-{LABEL}", target.queries().as_str());
    // See https://clickhouse.com/docs/operations/system-tables/processes.
    let sql = format!(
        "SELECT sum(read_rows) AS rows_read, sum(written_rows) AS rows_written, toUInt64(greatest(sum(memory_usage), 0)) AS memory_bytes \
         FROM system.processes WHERE startsWith(query_id, {})",
        quote_literal(&prefix)
    );
    loop {
        sleep(INTERVAL).await;
        if counters.inserts_in_flight.get() == 0 {
            InsertProgress::default().note(counters);
            continue;
        }
        let asked = target.row::<InsertProgress>("progress", &sql).await;
        let progress = asked.unwrap_or_else(|error| {
            tracing::debug!(%error, "the progress of the inserts is unknown");
            InsertProgress::default()
        });
        progress.note(counters);
    }
}
