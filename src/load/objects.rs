//! The objects of a load while it runs: whether they are still those that were planned.

use super::LoadError;
use super::request::LoadRequest;
use super::run::Load;
use crate::clickhouse::Error as ServerError;
use crate::job::{
    BoundJob, BoundObjects, ObjectChange, PinnedObject, Publish, changes, statements,
};
use crate::ledger::{Ledger, LedgerError, LoadKey, LoadRecord, ask};
use crate::plan::{ChunkBounds, changes_in_words};
use crate::publish::PublishError;
use crate::state::LoadState;

/// How the objects have changed since this load planned them; none where that cannot be told.
pub(super) fn changed_since(objects: &BoundObjects, load: &LoadRecord) -> Vec<ObjectChange> {
    let planned = serde_json::from_str::<ChunkBounds>(&load.chunk_bounds);
    planned.map_or_else(|_| Vec::new(), |bounds| objects.changes_since(&bounds.objects))
}

/// Whether the objects of a job have changed since its load was planned, so that a run begins a new version.
///
/// # Errors
/// The ledger cannot be read.
pub(crate) async fn begins_anew(
    ledger: &Ledger,
    key: &LoadKey,
    job: &BoundJob,
) -> Result<bool, LedgerError> {
    let Some(objects) = &job.objects else { return Ok(false) };
    let load = ledger.newest_load(key).await?;
    Ok(load.is_some_and(|load| !changed_since(objects, &load).is_empty()))
}

impl Load {
    /// Refuses to replace a partition that another load of objects or of PostgreSQL has published: of a table it is
    /// known which rows its other partitions have there.
    pub(super) async fn require_own_partitions(&self, ids: &[String]) -> Result<(), LoadError> {
        let LoadRequest { job, .. } = &self.request;
        let Some(record) = self.record.as_ref().filter(|_| job.reads_outside()) else {
            return Ok(());
        };
        let loads = ask(record.options.patience, || record.ledger.all_loads()).await?;
        let key = &record.load.key;
        let of_others = loads
            .into_iter()
            .filter(|(other, _)| other != key && other.target_table == key.target_table);
        for (other, versions) in of_others {
            let current = versions.current().filter(|load| load.status == LoadState::Completed);
            let published = current.and_then(|load| load.publication.as_ref());
            let of_both = published.and_then(|of| of.ids().into_iter().find(|id| ids.contains(id)));
            if let Some(id) = of_both {
                let message = format!(
                    "its partition {id} has the rows of another load, {other}, and replacing it would remove them"
                );
                return Err(PublishError::Unfit { table: job.target.name.clone(), message }.into());
            }
        }
        Ok(())
    }

    /// Compares the objects with those that were planned.
    ///
    /// # Errors
    /// [`LoadError::Superseded`].
    pub(super) async fn require_same_objects(&self) -> Result<(), LoadError> {
        let LoadRequest { servers, job, .. } = &self.request;
        let Some(objects) = &job.objects else { return Ok(()) };
        let (sql, settings) = (objects.list(), statements::count_settings(job));
        let listing = async || {
            let found: Result<Vec<PinnedObject>, ServerError> =
                servers.source.rows_with("objects", &sql, &settings).await;
            found
        };
        let now = self.request.startup_retry().ask("listing the objects", listing).await;
        let now = match now {
            Ok(now) => now,
            Err(error) => {
                tracing::warn!(%error, "the objects cannot be listed again");
                return Ok(());
            }
        };
        let changes = changes(&objects.pins, &now);
        if changes.is_empty() {
            return Ok(());
        }
        Err(LoadError::Superseded { run_id: self.run_id.clone(), changes })
    }

    /// What a person should know of a version that begins because objects have changed.
    pub(super) fn remark_on_objects(&self) -> Option<String> {
        let objects = self.request.job.objects.as_ref()?;
        let before = self.record.as_ref()?.replaces.as_ref()?;
        let changes = changed_since(objects, before);
        if changes.is_empty() {
            return None;
        }
        let stay = match self.request.job.publish {
            Publish::Replace => "",
            Publish::InPlace => {
                "; rows of the earlier objects stay in the target unless a row of the new ones replaces them"
            }
        };
        Some(format!(
            "objects have changed since run {}, a new version of the load begins: {}{stay}",
            before.run_id,
            changes_in_words(&changes)
        ))
    }
}
