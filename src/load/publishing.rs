//! Publishing a load that is built beside its target, and recording each step of it.
//!
//! ```text
//! staging ─► (build, compare) ─► staged ─► (keep) ─► publishing ─► REPLACE PARTITION ─► published ─► (drop) ─► done
//! ```
//!
//! A step is recorded when it is done, `publishing` before the partition is replaced. A run that
//! continues repeats the step that is not recorded; each can be repeated.

use std::collections::BTreeMap;

use super::LoadError;
use super::record::Record;
use super::request::LoadRequest;
use super::run::Load;
use crate::clickhouse::{Connection, Settings, TableName, table_schema};
use crate::engine::stream::PipelineOptions;
use crate::job::{BoundJob, statements};
use crate::ledger::{
    ChunkRecord, Ledger, LoadKey, LoadRecord, Publication, PublicationStep, ReplacedPartition, ask,
    persist,
};
use crate::publish::{
    Build, PublishError, PublishTables, Stage, StagedAttempt, drop_snapshots, kept_name,
    publish_name, target_partitions,
};
use crate::state::LoadState;
use crate::units::counted;
use crate::verify::{GroupVerifier, Kind, Report, Verifier, VerifyError, VerifyOptions};

/// Rows that differ and are named.
const NAMED: usize = 5;

/// How far publishing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Published {
    /// The partition was replaced, or rows were inserted in place.
    Yes,
    /// Stopping was asked for.
    Stopped,
}

impl Load {
    /// Decides which partitions are replaced, unless these are `known`, and notes what stands there. A load
    /// that is continued keeps what was decided when it began.
    pub(super) async fn prepare_publication(
        &mut self,
        known: Option<Vec<String>>,
    ) -> Result<(), LoadError> {
        let Some(stage) = Stage::of(&self.request.job, &self.run_id) else { return Ok(()) };
        if self.record.is_none() || self.publication().is_some() {
            return Ok(());
        }
        let cut = self.planned_cut().await?;
        let LoadRequest { servers, job, .. } = &self.request;
        let (startup, target) = (self.request.startup_retry(), &job.target.name);
        let source_partition = &self.plan.scope.partition_id;
        let before = self.published_before().await?;
        let asking = async || target_partitions(servers, job, source_partition, &before).await;
        let ids = match known {
            Some(known) if before.iter().all(|id| known.contains(id)) => known,
            _ => startup.ask("asking for the partitions that are replaced", asking).await?,
        };
        self.require_own_partitions(&ids).await?;
        let partitions = self.standing(&ids).await?;
        let publication = Publication {
            step: PublicationStep::Staging,
            kept: self.kept(&partitions),
            rows_before: partitions.iter().map(|partition| partition.rows_before).sum(),
            rows_published: None,
            partitions,
            database: target.database.clone(),
            stage: stage.table().table.clone(),
            publish: publish_name(target, &self.run_id),
            cut,
        };
        let Some(record) = &mut self.record else { return Ok(()) };
        record.load.publication = Some(publication);
        Ok(())
    }

    /// The partitions that the current version of the load has published.
    async fn published_before(&self) -> Result<Vec<String>, LoadError> {
        let Some(record) = &self.record else { return Ok(Vec::new()) };
        let (ledger, key) = (&record.ledger, &record.load.key);
        let versions = ask(record.options.patience, || ledger.versions(key)).await?;
        let publication = versions.current().and_then(|load| load.publication.as_ref());
        Ok(publication.map(Publication::ids).unwrap_or_default())
    }

    /// These partitions of the target as they are.
    pub(super) async fn standing(
        &self,
        ids: &[String],
    ) -> Result<Vec<ReplacedPartition>, LoadError> {
        let LoadRequest { servers, job, .. } = &self.request;
        let tables = PublishTables { connection: &servers.target, target: &job.target.name };
        let asking = async || tables.standing(ids).await;
        Ok(self.request.startup_retry().ask("asking for the partition's parts", asking).await?)
    }

    /// The table that keeps what stands in these partitions, if that is to be kept.
    pub(super) fn kept(&self, partitions: &[ReplacedPartition]) -> Option<String> {
        let job = &self.request.job;
        let stands = partitions.iter().any(|partition| partition.rows_before > 0);
        (job.keep_versions > 0 && stands).then(|| kept_name(&job.target.name, &self.run_id))
    }

    /// Drops what earlier versions of the load left, and creates the stage, once the load is recorded.
    pub(super) async fn create_stage(&self) -> Result<(), LoadError> {
        let LoadRequest { servers, job, .. } = &self.request;
        let Some(record) = &self.record else { return Ok(()) };
        let key = &record.load.key;
        drop_leftovers(&record.ledger, key, &servers.target, Some(&self.run_id)).await?;
        let Some(stage) = Stage::of(job, &self.run_id) else { return Ok(()) };
        let tables = PublishTables { connection: &servers.target, target: &job.target.name };
        let creating = async || tables.create_stage(&stage).await;
        Ok(self.request.startup_retry().ask("creating the stage", creating).await?)
    }

    /// Publishes what the chunks have staged.
    pub(super) async fn publish(&mut self, chunks: &[ChunkRecord]) -> Result<Published, LoadError> {
        match self.publish_steps(chunks).await {
            Err(
                LoadError::Publish(PublishError::Stopped) | LoadError::Verify(VerifyError::Stopped),
            ) => Ok(Published::Stopped),
            Err(error) => Err(error),
            Ok(()) => Ok(Published::Yes),
        }
    }

    async fn publish_steps(&mut self, chunks: &[ChunkRecord]) -> Result<(), LoadError> {
        let Some(mut publication) = self.publication() else { return Ok(()) };
        if publication.step == PublicationStep::Staging {
            let built = self.build(&publication, chunks).await?;
            for partition in &mut publication.partitions {
                let rows = built.get(&partition.id).copied().unwrap_or_default();
                partition.rows_published = Some(rows);
            }
            publication.rows_published = Some(built.values().sum());
            publication.step = PublicationStep::Staged;
            self.record_publication(publication.clone(), LoadState::Staged, Some(chunks)).await?;
        }
        if publication.cut.is_some() {
            return self.publish_with_late_rows(chunks).await;
        }
        let target = self.request.job.target.name.clone();
        let connection = self.request.servers.target.clone();
        let tables = PublishTables { connection: &connection, target: &target };
        let startup = self.request.startup_retry();
        let published = tables.beside(&publication.publish);
        let mut left = publication.partitions.clone();
        if publication.step == PublicationStep::Publishing {
            let asking = async || tables.unreplaced(&publication).await;
            left = startup.ask("asking whether the partition was replaced", asking).await?;
        }
        if !left.is_empty() {
            let unwritten = async || tables.require_unwritten(&left).await;
            startup.ask("asking for rows that were written meanwhile", unwritten).await?;
            self.begin_replacing(&mut publication, chunks).await?;
            let ids: Vec<_> = left.into_iter().map(|partition| partition.id).collect();
            let replacing = async || tables.replace(&ids, &published).await;
            startup.ask("replacing the partition", replacing).await?;
        }
        publication.step = PublicationStep::Published;
        if let Some(record) = &mut self.record {
            record.load.publication = Some(publication);
        }
        Ok(())
    }

    /// Keeps what stands in the partition, if it is to be kept, and records that the partition may be
    /// replaced from now on.
    pub(super) async fn begin_replacing(
        &mut self,
        publication: &mut Publication,
        chunks: &[ChunkRecord],
    ) -> Result<(), LoadError> {
        if publication.step != PublicationStep::Staged {
            return Ok(());
        }
        if let Some(kept) = &publication.kept {
            let LoadRequest { servers, job, .. } = &self.request;
            let tables = PublishTables { connection: &servers.target, target: &job.target.name };
            let (ids, kept) = (publication.ids(), tables.beside(kept));
            let keeping = async || tables.keep(&ids, &kept).await;
            self.request.startup_retry().ask("keeping the partition", keeping).await?;
        }
        publication.step = PublicationStep::Publishing;
        self.record_publication(publication.clone(), LoadState::Staged, Some(chunks)).await
    }

    pub(super) fn publication(&self) -> Option<Publication> {
        self.record.as_ref()?.load.publication.clone()
    }

    /// Records how far the publication is, after confirming that this process still holds the claim.
    /// Without chunks they are as this process found them.
    pub(super) async fn record_publication(
        &mut self,
        publication: Publication,
        state: LoadState,
        chunks: Option<&[ChunkRecord]>,
    ) -> Result<(), LoadError> {
        let Some(record) = &mut self.record else { return Ok(()) };
        persist(record.options.patience, || record.claim.beat()).await?;
        record.load.publication = Some(publication);
        let found = record.chunks.clone();
        Ok(record.write(state, "", chunks.unwrap_or(&found)).await?)
    }

    /// Builds the table that is published from the attempts that count, and compares it with what the
    /// job makes of the source. Gives its rows by partition.
    async fn build(
        &self,
        publication: &Publication,
        chunks: &[ChunkRecord],
    ) -> Result<BTreeMap<String, u64>, LoadError> {
        let LoadRequest { servers, job, pipeline, stop, .. } = &self.request;
        let Some(stage) = Stage::of(job, &self.run_id) else { return Ok(BTreeMap::new()) };
        let tables = PublishTables { connection: &servers.target, target: &job.target.name };
        let published = tables.beside(&publication.publish);
        let attempts: Vec<_> = chunks
            .iter()
            .map(|chunk| StagedAttempt { chunk: chunk.id(), attempt: chunk.stage_attempt })
            .collect();
        let horizon = job.group.as_ref().and_then(|group| group.horizon.as_ref());
        let base = publication.cut.as_ref().map(|cut| tables.beside(&cut.late.base));
        let build = Build {
            stage: &stage,
            attempts: &attempts,
            rows: chunks.iter().map(|chunk| chunk.rows_read).sum(),
            kept: horizon.map(|horizon| (horizon, base.as_ref().unwrap_or(&job.target.name))),
            settings: &copy_settings(job, pipeline),
        };
        let startup = self.request.startup_retry();
        let ids = publication.ids();
        let building =
            async || tables.build(&published, &ids, &build, || stop.is_requested()).await;
        startup.ask("building the table that is published", building).await?;
        Box::pin(self.compare(&published, publication)).await?;
        let counting = async || tables.rows_by_partition(&published).await;
        Ok(startup.ask("counting the rows that are published", counting).await?)
    }

    /// Compares the table that is published with the equivalent join, as `verify` compares a target.
    async fn compare(
        &self,
        published: &TableName,
        publication: &Publication,
    ) -> Result<(), LoadError> {
        let LoadRequest { servers, job, pipeline, stop, .. } = &self.request;
        let reading = async || {
            let schema = table_schema(&servers.target, published).await;
            schema.map_err(PublishError::of("reading", published))
        };
        let startup = self.request.startup_retry();
        let Some(built) = startup.ask("reading the table that is published", reading).await? else {
            let message = format!("{published} was dropped by someone else");
            return Err(PublishError::Unfit { table: job.target.name.clone(), message }.into());
        };
        let built = BoundJob { target: built, ..(**job).clone() };
        let state = std::env::temp_dir().join(format!("clickhouse-backfill-{}.json", self.run_id));
        let options = VerifyOptions {
            max_differences: NAMED,
            retry: pipeline.retry,
            run_id: Some(self.run_id.clone()),
            ..VerifyOptions::new(state)
        };
        let (servers, progress) = (servers.clone(), std::sync::Arc::default());
        let report = if let Some(group) = &built.group {
            let verifier = GroupVerifier {
                servers: &servers,
                job: &built,
                group,
                plan: &self.plan,
                target_partitions: publication.ids(),
                options: &options,
                progress,
                stop: stop.clone(),
            };
            Box::pin(verifier.run()).await?
        } else {
            let (plan, stop) = (&self.plan, stop.clone());
            Verifier::new(servers, &built, plan, options, progress, stop).await?.run().await?
        };
        if report.equal {
            return Ok(());
        }
        Err(PublishError::Differs {
            table: job.target.name.clone(),
            partitions: publication.partitions_in_words(),
            differences: differences(&report),
        }
        .into())
    }

    /// Drops the tables of a load that was published, and the versions that are kept no longer. A
    /// failure is logged: the next run drops them.
    pub(super) async fn drop_built(&self) {
        let LoadRequest { servers, job, .. } = &self.request;
        let Some(Record { ledger, load, .. }) = &self.record else { return };
        if load.publication.is_none() {
            return;
        }
        let dropped = async {
            drop_leftovers(ledger, &load.key, &servers.target, None).await?;
            drop_old_versions(ledger, &load.key, &servers.target, job.keep_versions).await
        };
        if let Err(error) = dropped.await {
            let error = crate::causes::error_chain(&error);
            tracing::warn!(
                error,
                "tables of this load are left beside the target; the next run of the same load drops them"
            );
        }
    }
}

/// The settings of the inserts that copy the stage: like those of chunks, but blocks of equal rows are
/// all inserted, whatever the target's window.
fn copy_settings(job: &BoundJob, options: &PipelineOptions) -> Settings {
    let recognition = job.deduplication_settings.iter().map(|(name, _)| (name, "disable"));
    statements::insert_join_settings(job, options.batch_rows, options.batch_bytes)
        .with_all(recognition)
        .with("insert_deduplicate", "0")
}

fn differences(report: &Report) -> String {
    let kinds = report.differences.iter().filter(|(_, rows)| **rows > 0);
    let mut words: Vec<_> = kinds
        .map(|(kind, rows)| {
            let differs = match kind {
                Kind::Missing => "missing",
                Kind::Differing | Kind::Stale => "with other values",
                _ => "too many",
            };
            format!("{} {differs}", counted(*rows, "row"))
        })
        .collect();
    if !report.columns.is_empty() {
        let names: Vec<_> = report.columns.iter().map(|column| column.name.as_str()).collect();
        words.push(format!("in the columns {}", names.join(", ")));
    }
    let keys = report.rows.iter().map(|row| {
        let parts: Vec<_> =
            row.key.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        parts.join(", ")
    });
    let keys: Vec<_> = keys.map(|key| format!("({key})")).collect();
    if !keys.is_empty() {
        words.push(format!("among them {}", keys.join(", ")));
    }
    words.join("; ")
}

/// Drops the stages and the built tables of the versions of a load, except those of the run `except`,
/// and what was kept of versions that were rolled back.
///
/// # Errors
/// The ledger or the server cannot be asked.
pub(super) async fn drop_leftovers(
    ledger: &Ledger,
    key: &LoadKey,
    connection: &Connection,
    except: Option<&str>,
) -> Result<(), LoadError> {
    let versions = ledger.versions(key).await?.into_newest_first();
    for load in versions.into_iter().filter(|load| Some(load.run_id.as_str()) != except) {
        let Some(publication) = &load.publication else { continue };
        let target = target_of(&load, publication);
        let tables = PublishTables { connection, target: &target };
        if load.status == LoadState::Superseded && publication.kept.is_some() {
            // The rollback has put its rows back.
            drop_kept(ledger, connection, load).await?;
            continue;
        }
        if !publication.may_have_tables() {
            continue;
        }
        for table in publication.temporary() {
            tables.drop_table(&tables.beside(&table)).await?;
        }
        let step = match publication.step {
            PublicationStep::Published => PublicationStep::Done,
            _ => PublicationStep::Abandoned,
        };
        let publication = Some(Publication { step, ..publication.clone() });
        ledger.write_load(&LoadRecord { publication, ..load }).await?;
    }
    Ok(())
}

/// Drops the copies that the versions of a load have read, except that of the run `except`.
///
/// # Errors
/// The ledger or the server cannot be asked.
pub(super) async fn drop_leftover_snapshots(
    ledger: &Ledger,
    key: &LoadKey,
    source: &Connection,
    except: Option<&str>,
) -> Result<(), LoadError> {
    let table = TableName::parse(&key.source_table, source.endpoint().database());
    let versions = ledger.versions(key).await?.into_newest_first();
    let run_ids = versions.iter().map(|load| load.run_id.as_str());
    let run_ids = run_ids.filter(|run_id| Some(*run_id) != except);
    Ok(drop_snapshots(source, &table, run_ids).await?)
}

/// Drops what was kept of versions beyond the newest ones.
async fn drop_old_versions(
    ledger: &Ledger,
    key: &LoadKey,
    connection: &Connection,
    keep: u32,
) -> Result<(), LoadError> {
    let versions = ledger.versions(key).await?.into_newest_first();
    let kept = versions.into_iter().filter(|load| {
        load.publication.as_ref().is_some_and(|publication| publication.kept.is_some())
    });
    for load in kept.skip(usize::try_from(keep).unwrap_or(usize::MAX)) {
        drop_kept(ledger, connection, load).await?;
    }
    Ok(())
}

/// Drops what was kept of a version, if that is still there.
async fn drop_kept(
    ledger: &Ledger,
    connection: &Connection,
    load: LoadRecord,
) -> Result<(), LoadError> {
    let Some(publication) = &load.publication else { return Ok(()) };
    let Some(kept) = &publication.kept else { return Ok(()) };
    let target = target_of(&load, publication);
    let tables = PublishTables { connection, target: &target };
    tables.drop_table(&tables.beside(kept)).await?;
    let publication = Some(Publication { kept: None, ..publication.clone() });
    ledger.write_load(&LoadRecord { publication, ..load }).await?;
    Ok(())
}

/// The target of a load, in the database of its tables.
pub(super) fn target_of(load: &LoadRecord, publication: &Publication) -> TableName {
    TableName::parse(&load.key.target_table, &publication.database)
}
