//! Counting the source, to know that no row was left out.

use serde::Deserialize;

use super::error::PipelineError;
use super::shared::Shared;
use crate::job::statements::{self, Scope};

#[derive(Deserialize)]
struct Count {
    rows: u64,
}

/// Counts the scope's rows as the source query gives them, by a query that knows nothing of chunks.
pub(super) async fn count(shared: &Shared, scope: &Scope) -> Result<u64, PipelineError> {
    let sql = statements::count(&shared.job, scope);
    let what = "counting the rows";
    let counted = shared
        .at_source()
        .ask(what, async || shared.servers.source.row::<Count>("count", &sql).await)
        .await;
    counted.map(|count| count.rows).map_err(|error| PipelineError::Query {
        what,
        table: shared.job.source.name.clone(),
        source: Box::new(error.into_error()),
    })
}

/// The chunks together must have given every row of the partition: ranges that overlap or leave a
/// gap, or granules that the server skipped, show here. Where the source was written to meanwhile,
/// the count before and the count after bound what is right.
pub(super) async fn check_count(
    shared: &Shared,
    scope: &Scope,
    before: u64,
    streamed: u64,
) -> Result<(), PipelineError> {
    if streamed == before {
        return Ok(());
    }
    let after = count(shared, scope).await?;
    if after != before && (before.min(after)..=before.max(after)).contains(&streamed) {
        tracing::warn!(
            before,
            after,
            streamed,
            "the source was written to during the run; run it again when the partition is quiet"
        );
        return Ok(());
    }
    shared.counters.errors.add(1);
    Err(PipelineError::Count { table: shared.job.source.name.clone(), streamed, before, after })
}
