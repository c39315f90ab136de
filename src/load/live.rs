//! A load into a partition to which live writers add rows: its cut, and its publication with late rows.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::LoadError;
use super::request::LoadRequest;
use super::run::Load;
use crate::clickhouse::{Connection, TableName, TableSchema};
use crate::job::BoundJob;
use crate::ledger::{
    ChunkRecord, LateRows, LoadRecord, Publication, PublicationStep, ReplacedPartition, SourceCut,
};
use crate::publish::{
    Counts, DRAIN_SECONDS, LateTables, PublishError, PublishTables, Replaced, counts,
    is_in_target_partitions, snapshot_name, target_partitions, views_into_table,
};
use crate::state::LoadState;

/// Attempts to pause inserts before the load is given up.
const TRIES: u32 = 20;
/// Attempts after the partition was replaced and rows came in between: the next one takes them in.
const TRIES_AFTER: u32 = 200;
/// Between two attempts.
const BETWEEN: Duration = Duration::from_millis(500);
/// Comparisons of the counts while inserts go on.
const COUNTS: u32 = 3;

impl Load {
    /// The cut of a load whose target views write into.
    pub(super) async fn planned_cut(&self) -> Result<Option<SourceCut>, LoadError> {
        let LoadRequest { servers, job, .. } = &self.request;
        let asking = async || views_into_table(&servers.target, &job.target.name).await;
        let views =
            self.request.startup_retry().ask("asking for views into the target", asking).await?;
        Ok((!views.is_empty()).then(|| SourceCut {
            snapshot: snapshot_name(&job.source.name, &self.run_id),
            is_made: false,
            late: LateRows::new(&job.target.name.table, &self.run_id),
        }))
    }

    /// Makes the cut of a load that needs one, unless it is made; from then on chunks read the copy.
    pub(super) async fn cut_source(&mut self) -> Result<(), LoadError> {
        let Some(publication) = self.publication() else { return Ok(()) };
        let Some(cut) = &publication.cut else { return Ok(()) };
        let snapshot =
            TableName { database: publication.database.clone(), table: cut.snapshot.clone() };
        if !cut.is_made {
            let (partitions, paused) = self.try_to_cut(&publication, cut).await?;
            let mut made = SourceCut { is_made: true, ..cut.clone() };
            made.late.paused_ms += milliseconds(paused);
            let publication = Publication {
                cut: Some(made),
                kept: self.kept(&partitions),
                rows_before: partitions.iter().map(|partition| partition.rows_before).sum(),
                partitions,
                ..publication.clone()
            };
            self.record_publication(publication, LoadState::Started, None).await?;
        }
        if !self.read_copy(&snapshot).await? {
            return Err(self.lost(format!("{snapshot} was dropped")).await);
        }
        Ok(())
    }

    /// Tries to make the cut. Gives the partitions that are replaced, and for how long writers were paused.
    async fn try_to_cut(
        &self,
        publication: &Publication,
        cut: &SourceCut,
    ) -> Result<(Vec<ReplacedPartition>, Duration), LoadError> {
        let LoadRequest { servers, job, .. } = &self.request;
        let (mut partitions, mut paused) = (publication.partitions.clone(), Duration::ZERO);
        let source_partition = &self.plan.scope.partition_id;
        let startup = self.request.startup_retry();
        for _ in 0..TRIES {
            let ids: Vec<_> = partitions.iter().map(|partition| partition.id.clone()).collect();
            let late = late_tables(&servers.target, job, &ids, cut);
            let cutting = async || late.cut(&job.source.name, source_partition).await;
            if let Some(pause) = startup.ask("copying the partition of the source", cutting).await?
            {
                paused += pause;
                let source = TableSchema { name: late.snapshot(), ..job.source.clone() };
                let copied = BoundJob { source, ..(**job).clone() };
                let asking =
                    async || target_partitions(servers, &copied, source_partition, &ids).await;
                let found = startup.ask("asking for the partitions of the copy", asking).await?;
                if found.iter().all(|id| ids.contains(id)) {
                    return Ok((partitions, paused));
                }
                // The first rows of a partition came before the copy, so its late rows were not caught.
                partitions = self.standing(&found).await?;
                continue;
            }
            self.wait_between().await?;
        }
        let ids: Vec<_> = partitions.iter().map(|partition| partition.id.clone()).collect();
        let rows = late_tables(&servers.target, job, &ids, cut).caught(job).await?;
        Err(busy(&job.target.name, rows).into())
    }

    /// Waits before another attempt.
    async fn wait_between(&self) -> Result<(), LoadError> {
        sleep(BETWEEN).await;
        if self.request.stop.is_requested() {
            return Err(PublishError::Stopped.into());
        }
        Ok(())
    }

    /// Replaces the partition by what was built and the late rows, until no row came in between.
    pub(super) async fn publish_with_late_rows(
        &mut self,
        chunks: &[ChunkRecord],
    ) -> Result<(), LoadError> {
        let Some(mut publication) = self.publication() else { return Ok(()) };
        let Some(mut cut) = publication.cut.clone() else { return Ok(()) };
        let job = Arc::clone(&self.request.job);
        let connection = self.request.servers.target.clone();
        let tables = PublishTables { connection: &connection, target: &job.target.name };
        let published = tables.beside(&publication.publish);
        let startup = self.request.startup_retry();
        self.require_alive(&publication, &cut).await?;
        self.begin_replacing(&mut publication, chunks).await?;
        let ids = publication.ids();
        let (replacements, paused, caught) = {
            let late = late_tables(&connection, &job, &ids, &cut);
            let (replacements, paused) = self.replace_until_exact(&late, &published).await?;
            let counting = async || late.caught(&job).await;
            (replacements, paused, startup.ask("counting the late rows", counting).await?)
        };
        self.require_alive(&publication, &cut).await?;
        cut.late.replacements += replacements;
        cut.late.caught = caught;
        cut.late.paused_ms += milliseconds(paused);
        self.require_equal_counts(&publication, &cut).await?;
        self.require_alive(&publication, &cut).await?;
        publication.step = PublicationStep::Published;
        publication.cut = Some(cut);
        if let Some(record) = &mut self.record {
            record.load.publication = Some(publication);
        }
        Ok(())
    }

    /// Replaces the partition until no row came in between. Returns how often, and for how long inserts
    /// were paused.
    async fn replace_until_exact(
        &self,
        late: &LateTables<'_>,
        published: &TableName,
    ) -> Result<(u64, Duration), LoadError> {
        let job = &self.request.job;
        let startup = self.request.startup_retry();
        let (mut tries, mut replacements, mut paused) = (0, 0, Duration::ZERO);
        loop {
            let replacing = async || late.replace(published).await;
            match startup.ask("replacing the partition", replacing).await? {
                Replaced::Exactly(pause) => return Ok((replacements + 1, paused + pause)),
                Replaced::InBetween(pause) => {
                    replacements += 1;
                    paused += pause;
                }
                Replaced::Not => {}
                Replaced::Lost => return Ok((replacements, paused)),
            }
            tries += 1;
            let rows = async || late.caught(job).await;
            if replacements == 0 {
                if tries >= TRIES {
                    return Err(busy(&job.target.name, rows().await?).into());
                }
                self.wait_between().await?;
                continue;
            }
            // The partition lacks rows that came in between until the next attempt: a stop waits.
            if tries >= TRIES_AFTER {
                let (table, rows) = (job.target.name.clone(), rows().await?);
                return Err(PublishError::Behind { table, rows }.into());
            }
            sleep(BETWEEN).await;
        }
    }

    /// Refuses a target that stands for another number of rows than the source has.
    async fn require_equal_counts(
        &mut self,
        publication: &Publication,
        cut: &SourceCut,
    ) -> Result<(), LoadError> {
        let Some(job) = self.live_job.clone() else { return Ok(()) };
        let servers = self.request.servers.clone();
        let startup = self.request.startup_retry();
        // Rows may have come into partitions that there were not at the cut: the view alone fills these.
        let scope = &self.plan.scope;
        let asking = async || is_in_target_partitions(&servers, &job, &scope.partition_id).await;
        let condition = startup.ask("asking for the keys of the target", asking).await?;
        let Some(sql) = counts(&job, scope, &condition) else { return Ok(()) };
        let (connection, ids) = (servers.target.clone(), publication.ids());
        let late = late_tables(&connection, &job, &ids, cut);
        let words = publication.partitions_in_words();
        let are_equal = |counts: &Counts| counts.source == counts.target;
        for _ in 0..COUNTS {
            let counting = async || late.counted(&job, &sql).await;
            if are_equal(&startup.ask("counting the published rows", counting).await?) {
                return Ok(());
            }
            self.wait_between().await?;
        }
        // They differ, or rows came in between the two counts.
        for _ in 0..TRIES {
            let counting = async || late.counted_while_paused(&job, &sql).await;
            match startup.ask("counting the published rows", counting).await? {
                Some(counts) if are_equal(&counts) => return Ok(()),
                Some(Counts { source, target }) => {
                    let message =
                        format!("{words} stands for {target} rows, and the source has {source}");
                    return Err(self.lost(message).await);
                }
                None => self.wait_between().await?,
            }
        }
        tracing::warn!(
            partition = %words,
            "inserts could not be paused, so the rows of source and target were not counted"
        );
        Ok(())
    }

    /// Refuses to go on where the server was restarted since the cut.
    async fn require_alive(
        &mut self,
        publication: &Publication,
        cut: &SourceCut,
    ) -> Result<(), LoadError> {
        let (connection, ids) = (self.request.servers.target.clone(), publication.ids());
        let job = Arc::clone(&self.request.job);
        let late = late_tables(&connection, &job, &ids, cut);
        let asking = async || late.is_alive().await;
        let startup = self.request.startup_retry();
        if startup.ask("asking whether late rows are caught", asking).await? {
            return Ok(());
        }
        Err(self.lost("the server was restarted while late rows were caught".to_owned()).await)
    }

    /// Records that this version cannot be published, so that the next run begins another.
    async fn lost(&mut self, message: String) -> LoadError {
        let table = self.request.job.target.name.clone();
        let Some(mut publication) = self.publication() else {
            return PublishError::Lost { table, message }.into();
        };
        if let Some(cut) = &mut publication.cut {
            cut.late.is_lost = true;
        }
        match self.record_publication(publication, LoadState::Failed, None).await {
            Ok(()) => PublishError::Lost { table, message }.into(),
            Err(error) => error,
        }
    }
}

fn late_tables<'a>(
    connection: &'a Connection,
    job: &'a BoundJob,
    partitions: &'a [String],
    cut: &'a SourceCut,
) -> LateTables<'a> {
    LateTables {
        tables: PublishTables { connection, target: &job.target.name },
        target: &job.target,
        partitions,
        cut,
        keeps_groups: job.group.as_ref().is_some_and(|group| group.horizon.is_some()),
    }
}

fn busy(table: &TableName, rows: u64) -> PublishError {
    PublishError::Busy { table: table.clone(), tries: TRIES, seconds: DRAIN_SECONDS, rows }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whether late rows of an unfinished load may be lost, or its tables are gone, so that another version
/// has to begin.
///
/// # Errors
/// The server cannot be asked.
pub(super) async fn is_lost(
    connection: &Connection,
    job: &BoundJob,
    load: &LoadRecord,
) -> Result<bool, PublishError> {
    let Some(publication) = &load.publication else { return Ok(false) };
    // A rollback has dropped the tables of an unfinished version.
    let is_over = matches!(load.status, LoadState::Completed | LoadState::Superseded);
    if publication.step == PublicationStep::Abandoned && !is_over {
        return Ok(true);
    }
    let Some(cut) = publication.cut.as_ref().filter(|cut| cut.is_made) else { return Ok(false) };
    if load.status == LoadState::Completed || publication.step >= PublicationStep::Published {
        return Ok(false);
    }
    let ids = publication.ids();
    Ok(cut.late.is_lost || !late_tables(connection, job, &ids, cut).is_alive().await?)
}
