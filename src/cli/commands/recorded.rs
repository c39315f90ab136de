//! What the ledger knows of the load that filled what is compared.

use crate::cli::args::CompareArguments;
use crate::cli::failure::Failure;
use crate::clickhouse::Servers;
use crate::job::BoundJob;
use crate::ledger::{Ledger, LoadRecord};
use crate::load::load_key;
use crate::plan::{ChunkBounds, Partition, Plan, PlanError, PlanOptions, plan};

/// The load that filled this partition, if the ledger knows it, and the ledger.
pub(crate) async fn recorded(
    arguments: &CompareArguments,
    servers: &Servers,
    job: &BoundJob,
    partition: &Partition,
) -> Option<(Ledger, LoadRecord)> {
    let database = arguments
        .ledger_db
        .as_deref()
        .filter(|name| !name.is_empty())
        .unwrap_or(servers.target.endpoint().database());
    let key = load_key(job, partition.id());
    let ledger = Ledger::new(&arguments.ledger, &servers.target, database);
    match ledger.current_load(&key).await {
        Ok(load) => Some((ledger, load?)),
        Err(error) => {
            tracing::warn!(
                %error,
                "the ledger cannot be read: chunks are not those of the load, and rows that live writers have added since it began count as extra"
            );
            None
        }
    }
}

/// When it began, in microseconds since 1970.
pub(crate) fn began(load: Option<&(Ledger, LoadRecord)>) -> Option<i64> {
    load.and_then(|(_, load)| load.started_at).map(|began| began.0)
}

/// A plan in the chunks of this load, so that their numbers are those of the ledger; in chunks of
/// its own where there is no load, or where its chunks cannot be rebuilt. With it comes the id of
/// the load whose chunks they are.
pub(crate) async fn plan_of(
    load: Option<&(Ledger, LoadRecord)>,
    servers: &Servers,
    job: &BoundJob,
    partition: &Partition,
    options: PlanOptions,
) -> Result<(Plan, Option<String>), Failure> {
    let bounds = load.and_then(|(_, load)| match serde_json::from_str::<ChunkBounds>(&load.chunk_bounds) {
        Ok(bounds) => Some(bounds),
        Err(error) => {
            tracing::warn!(run_id = load.run_id, %error, "the ledger's bounds of chunks cannot be understood, others are made");
            None
        }
    });
    if bounds.is_some() {
        match plan(&servers.source, job, partition, PlanOptions { bounds, ..options.clone() }).await
        {
            Ok(plan) => return Ok((plan, load.map(|(_, load)| load.run_id.clone()))),
            Err(error @ PlanError::OtherKey { .. }) => {
                tracing::warn!(%error, "chunks are not those of the load");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok((plan(&servers.source, job, partition, options).await?, None))
}
