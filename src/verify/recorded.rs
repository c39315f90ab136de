//! The load that filled a partition: its chunks, and the result of comparing what it filled.

use crate::causes::error_chain;
use crate::clickhouse::Servers;
use crate::job::BoundJob;
use crate::ledger::{FORMAT_VERSION, Ledger, LoadRecord, Publication, Verification, load_key};
use crate::plan::{ChunkBounds, Partition, Plan, PlanError, PlanOptions, plan};
use crate::state::LoadState;

use super::report::Report;
use super::state::ComparedParts;

/// The load that filled a partition, as the ledger has it.
pub(crate) struct RecordedLoad {
    ledger: Ledger,
    load: LoadRecord,
}

impl RecordedLoad {
    /// The load that filled this partition; `None` if the ledger has none or cannot be read.
    pub(crate) async fn find(
        ledger: Ledger,
        job: &BoundJob,
        partition: &Partition,
    ) -> Option<Self> {
        match ledger.newest_load(&load_key(job, partition.id())).await {
            Ok(load) => Some(Self { ledger, load: load? }),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "the ledger cannot be read: chunks are not those of the load, and rows that live writers have added since it began count as extra"
                );
                None
            }
        }
    }

    /// The ledger, and the load as it is there.
    pub(crate) fn recorded(&self) -> (&Ledger, &LoadRecord) {
        (&self.ledger, &self.load)
    }

    /// When the load began, in microseconds since 1970.
    pub(crate) fn began(&self) -> Option<i64> {
        self.load.started_at.map(|began| began.0)
    }

    /// The partitions of the target that the load has replaced.
    pub(crate) fn replaced(&self) -> Vec<String> {
        let published = self.load.status == LoadState::Completed;
        let publication = self.load.publication.as_ref().filter(|_| published);
        publication.map(Publication::ids).unwrap_or_default()
    }

    fn chunk_bounds(&self) -> Option<ChunkBounds> {
        match serde_json::from_str(&self.load.chunk_bounds) {
            Ok(bounds) => Some(bounds),
            Err(error) => {
                let run_id = &self.load.run_id;
                tracing::warn!(run_id, %error, "the ledger's chunk bounds cannot be read, the comparison uses others");
                None
            }
        }
    }

    /// Records a result in the ledger, for `report`. `part` names what was compared if that was not
    /// everything, `parts` are those of the target then. A failure is logged and does not affect the
    /// result.
    pub(crate) async fn record_result(
        &self,
        report: &Report,
        part: Option<&str>,
        parts: Option<&ComparedParts>,
    ) {
        let Self { ledger, load } = self;
        let verification = Verification {
            format_version: FORMAT_VERSION,
            key: load.key.clone(),
            run_id: load.run_id.clone(),
            verified_at: None,
            equal: report.equal,
            expected_rows: report.expected_rows,
            target_rows: report.target_rows,
            differences: report.difference_count(),
            sample: part.map(str::to_owned).or_else(|| report.sample.clone()).unwrap_or_default(),
            seconds: report.seconds,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            // This structure always serializes.
            report: serde_json::to_string(report).unwrap_or_default(),
            target_parts: parts
                .and_then(|parts| serde_json::to_string(parts).ok())
                .unwrap_or_default(),
        };
        if let Err(error) = ledger.write_verification(&verification).await {
            let error = error_chain(&error);
            tracing::warn!(
                "the result is not in the ledger, so `report` will not show it: {error}"
            );
        }
    }
}

/// A plan with the chunks of the load, so that chunk numbers match the ledger, and the load's run
/// id; with chunks of its own if there is no load or its chunks cannot be rebuilt.
///
/// # Errors
/// Those of the plan.
pub(crate) async fn plan_with_chunks_of(
    load: Option<&RecordedLoad>,
    servers: &Servers,
    job: &BoundJob,
    partition: &Partition,
    options: PlanOptions,
) -> Result<(Plan, Option<String>), PlanError> {
    if let Some(load) = load
        && let Some(bounds) = load.chunk_bounds()
    {
        let options = PlanOptions { bounds: Some(bounds), ..options.clone() };
        match plan(&servers.source, job, partition, options).await {
            Ok(plan) => return Ok((plan, Some(load.load.run_id.clone()))),
            Err(error @ (PlanError::OtherKey { .. } | PlanError::OtherRange { .. })) => {
                tracing::warn!(%error, "chunks are not those of the load");
            }
            Err(error) => return Err(error),
        }
    }
    Ok((plan(&servers.source, job, partition, options).await?, None))
}
