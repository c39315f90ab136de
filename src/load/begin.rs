//! Beginning a load, or going on with it: the record that it has begun.

use std::time::Duration;

use tokio::time::sleep;

use super::LoadError;
use super::claim::give_back;
use super::prepare::planned;
use super::record::{Record, recorded_cuts};
use super::request::LoadRequest;
use super::run::Load;
use crate::clickhouse::QueryPrefix;
use crate::engine::stream::{DedupStrategy, find_dedup_strategy};
use crate::job::Publish;
use crate::ledger::{ChunkRecord, LedgerError, LoadRecord, persist, undivided};
use crate::plan::PlanOptions;
use crate::preflight::Preflight;
use crate::state::LoadState;

/// Between writing a new load and looking whether another worker has begun the same.
const SETTLING: Duration = Duration::from_millis(250);

impl Load {
    /// Finds out what becomes of rows that are sent twice; then writes that the load has begun,
    /// with all of its chunks. Where another worker has done so at the same time, joins that one.
    /// Gives what a person should know.
    ///
    /// # Errors
    /// [`LoadError::Repeats`], and those of the ledger.
    pub(crate) async fn begin(&mut self) -> Result<Vec<String>, LoadError> {
        let begun = self.try_begin().await;
        if let (Err(_), Some(record)) = (&begun, &self.record) {
            give_back(&record.claim).await;
        }
        begun
    }

    /// Gives the claim back: the load is not begun.
    pub(crate) async fn decline(self) {
        if let Some(record) = &self.record {
            give_back(&record.claim).await;
        }
    }

    async fn try_begin(&mut self) -> Result<Vec<String>, LoadError> {
        let mut remarks = self.settle_repeats().await?;
        remarks.extend(self.remark_on_objects());
        let (warnings, replaced_partitions) = self.run_preflight().await?;
        remarks.extend(warnings);
        self.prepare_publication(replaced_partitions).await?;
        self.write_beginning().await?;
        self.create_stage().await?;
        self.cut_source().await?;
        self.take_snapshot().await?;
        if let Some(record) = &self.record {
            // Planning may have taken long. From here on others see that this claim works on the
            // run, and rows move.
            persist(record.options.patience, || record.claim.beat()).await?;
        }
        Ok(remarks)
    }

    async fn settle_repeats(&mut self) -> Result<Vec<String>, LoadError> {
        let startup = self.request.startup_retry();
        let LoadRequest { servers, job, pipeline, allow_duplicates, .. } = &mut self.request;
        if pipeline.dry_run || job.publish == Publish::Replace {
            return Ok(Vec::new());
        }
        let asking = async || {
            find_dedup_strategy(&servers.target, job, &self.plan, pipeline, *allow_duplicates).await
        };
        let mut found =
            startup.ask("asking what becomes of rows that are sent twice", asking).await?;
        if let Some(before) = self.record.as_ref().and_then(|record| record.replaces.as_ref())
            && !before.is_untouched
        {
            found = found.anew(&job.target.name, &before.run_id, *allow_duplicates)?;
        }
        pipeline.ordered = matches!(found.strategy, DedupStrategy::Recognized { .. });
        pipeline.least_batch_rows = found.least_batch_rows;
        self.rebuild_pipeline();
        Ok(found.remarks)
    }

    /// Makes the checks of the preflight; returns their warnings, and the partition that is replaced,
    /// where that is known.
    async fn run_preflight(&self) -> Result<(Vec<String>, Option<Vec<String>>), LoadError> {
        let LoadRequest {
            servers,
            server_version,
            source_version,
            job,
            pipeline,
            skipped_checks,
            ..
        } = &self.request;
        let chunks = self.plan.chunks.len();
        let left = self.record.as_ref().map_or(chunks, |record| {
            record.left(&self.plan).pending.into_iter().filter(|pending| *pending).count()
        });
        let share = left as f64 / chunks.max(1) as f64;
        let preflight = Preflight {
            servers,
            server_version,
            source_version,
            job,
            plan: &self.plan,
            pipeline,
            share,
            skipped_checks,
        };
        preflight.require_runnable().await.map_err(|checks| LoadError::Blocked { checks })
    }

    async fn write_beginning(&mut self) -> Result<(), LoadError> {
        let Some(record) = &mut self.record else { return Ok(()) };
        persist(record.options.patience, || record.claim.ensure()).await?;
        if record.load.started_at.is_some() {
            // It is resumed. Its chunks say what is done; here it is only said that somebody is at
            // it again.
            if record.load.status != LoadState::Started || record.load.is_untouched {
                record.load.is_untouched = false;
                let chunks = record.chunks.clone();
                record.write(LoadState::Started, "", &chunks).await?;
            }
            return Ok(());
        }
        let bounds = serde_json::to_string(&self.plan.bounds).map_err(|error| {
            LedgerError::Malformed { what: "chunk bounds".to_owned(), message: error.to_string() }
        })?;
        record.load.chunk_bounds = bounds;
        record.load.chunks = self.plan.chunks.len() as u64;
        let run_id = record.load.run_id.clone();
        let pending = |chunk: &crate::plan::Chunk| {
            ChunkRecord::pending(
                &run_id,
                chunk.id.record(),
                chunk.range.as_deref().unwrap_or_default(),
            )
        };
        record.chunks = self.plan.chunks.iter().map(pending).collect();
        let patience = record.options.patience;
        // The load comes last: where it is, its chunks are as well.
        persist(patience, || record.ledger.write_chunks(record.chunks.clone())).await?;
        persist(patience, || record.ledger.write_load(&record.load)).await?;
        if record.part().workers > 1 {
            sleep(SETTLING).await;
        }
        let newest = persist(patience, || record.ledger.newest_load(&record.load.key)).await?;
        let newest = newest.ok_or(LedgerError::ClaimLost { by: None, silence: None })?;
        if newest.run_id == record.load.run_id {
            record.load = newest;
            return Ok(());
        }
        self.join(newest).await
    }

    /// Another worker began the same version at the same time, and a little earlier: all work on its
    /// run. The version of this process is withdrawn.
    async fn join(&mut self, current: LoadRecord) -> Result<(), LoadError> {
        let Some(record) = &mut self.record else { return Ok(()) };
        tracing::info!(run = %current.run_id, "another worker has begun the load, this one joins it");
        record.load.load_version = 0;
        let error = format!("begun at the same time as run {}, which counts", current.run_id);
        record.write(LoadState::Interrupted, &error, &[]).await?;
        let bounds = serde_json::from_str(&current.chunk_bounds).map_err(|error| {
            LedgerError::Malformed { what: "chunk bounds".to_owned(), message: error.to_string() }
        })?;
        let records =
            persist(record.options.patience, || record.ledger.chunk_records(&current.run_id))
                .await?;
        record.cuts = recorded_cuts(&records, &bounds)?;
        record.chunks = undivided(&records);
        record.claim.set_run(&current.run_id);
        let options = PlanOptions { bounds: Some(bounds), ..self.request.plan.clone() };
        self.plan = planned(&self.request, &options).await?;
        self.run_id.clone_from(&current.run_id);
        let queries = QueryPrefix::of_process(&current.run_id, record.claim.id());
        self.request.servers = self.request.servers.clone().with_queries(&queries);
        self.rebuild_pipeline();
        if let Some(Record { load, .. }) = &mut self.record {
            *load = current;
        }
        Ok(())
    }
}
