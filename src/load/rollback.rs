//! Putting back what a load has replaced.
//!
//! The version that was published becomes `superseded`, so the completed version before it, if there is
//! one, is current again. What is put back is what stood in the partition, whoever wrote it.

use std::time::Duration;

use serde::Serialize;

use super::LoadError;
use super::claim::ExclusiveClaim;
use super::publishing::{drop_leftovers, target_of};
use crate::clickhouse::{Servers, TableName};
use crate::ledger::{Ledger, LoadKey, LoadRecord, LoadVersions, Publication};
use crate::publish::{PublishError, PublishTables};
use crate::state::LoadState;
use crate::stop::Stop;

/// What a rollback would do. Its field names are a contract with scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Rollback {
    /// The target table, with its database.
    pub target: String,
    /// The ids of its partitions.
    pub partitions: Vec<String>,
    /// The run whose rows are removed.
    pub run_id: String,
    /// The table whose rows are put back; `null` where the partition had none.
    pub kept: Option<String>,
    /// Rows in the partition now.
    pub rows_now: u64,
    /// Rows that the run published.
    pub rows_published: Option<u64>,
    /// Rows that are put back.
    pub rows_kept: u64,
    /// The run whose version is current afterwards; `null` if there is none.
    pub current_run_id: Option<String>,
    /// Whether it was carried out.
    pub done: bool,
}

/// The ledger and the server of a load that is rolled back.
pub(crate) struct RollbackRequest<'a> {
    pub ledger: &'a Ledger,
    pub key: &'a LoadKey,
    pub servers: &'a Servers,
}

impl RollbackRequest<'_> {
    /// Says what would be put back. Nothing is changed.
    ///
    /// # Errors
    /// [`PublishError::Unfit`] where nothing is kept; those of the ledger and the server.
    pub(crate) async fn plan(&self) -> Result<Rollback, LoadError> {
        self.plan_of(&self.ledger.versions(self.key).await?).await
    }

    async fn plan_of(&self, versions: &LoadVersions) -> Result<Rollback, LoadError> {
        let (load, publication) = self.published(versions)?;
        let target = target_of(load, publication);
        let tables = PublishTables { connection: &self.servers.target, target: &target };
        let ids = publication.ids();
        let standing = tables.standing(&ids).await?;
        let rows_kept = match &publication.kept {
            Some(kept) => tables.rows_of(&tables.beside(kept)).await?,
            None => 0,
        };
        Ok(Rollback {
            target: self.key.target_table.clone(),
            partitions: ids,
            run_id: load.run_id.clone(),
            kept: publication.kept.as_ref().map(|kept| tables.beside(kept).to_string()),
            rows_now: standing.iter().map(|partition| partition.rows_before).sum(),
            rows_published: publication.rows_published,
            rows_kept,
            current_run_id: before(versions, load).map(|load| load.run_id.clone()),
            done: false,
        })
    }

    /// Puts back what the current version has replaced.
    ///
    /// # Errors
    /// Those of [`Self::plan`]; another process works on the load.
    pub(crate) async fn carry_out(&self) -> Result<Rollback, LoadError> {
        let versions = self.ledger.versions(self.key).await?;
        let Some(newest) = versions.newest() else { return self.plan().await };
        let (patience, stop) = (Duration::ZERO, Stop::new());
        let claim =
            ExclusiveClaim::take(self.ledger, newest, self.servers, patience, &stop).await?;
        let servers = self.servers.clone().with_queries(&claim.queries(&newest.run_id));
        let rolled_back = RollbackRequest { servers: &servers, ..*self }.put_back().await;
        claim.end().await?;
        rolled_back
    }

    async fn put_back(&self) -> Result<Rollback, LoadError> {
        let connection = &self.servers.target;
        let versions = self.ledger.versions(self.key).await?;
        let is_over =
            |load: &LoadRecord| matches!(load.status, LoadState::Completed | LoadState::Superseded);
        if !versions.newest().is_none_or(is_over) {
            // An unfinished version keeps its tables where nothing can be put back.
            self.published(&versions)?;
        }
        // Finishes a rollback that was killed: otherwise its kept table would remain.
        drop_leftovers(self.ledger, self.key, connection, None).await?;
        let versions = self.ledger.versions(self.key).await?;
        let rollback = self.plan_of(&versions).await?;
        let (load, publication) = self.published(&versions)?;
        let target = target_of(load, publication);
        let tables = PublishTables { connection, target: &target };
        let ids = publication.ids();
        match &publication.kept {
            Some(kept) => tables.replace(&ids, &tables.beside(kept)).await?,
            None => tables.drop_partitions(&ids).await?,
        }
        let load = LoadRecord { status: LoadState::Superseded, ..load.clone() };
        self.ledger.write_load(&load).await?;
        drop_leftovers(self.ledger, self.key, connection, None).await?;
        Ok(Rollback { done: true, ..rollback })
    }

    /// The current version, if what it has replaced can be put back.
    fn published<'v>(
        &self,
        versions: &'v LoadVersions,
    ) -> Result<(&'v LoadRecord, &'v Publication), LoadError> {
        let unfit = |message: &str| {
            let database = self.servers.target.endpoint().database();
            let table = TableName::parse(&self.key.target_table, database);
            LoadError::from(PublishError::Nothing { table, message: message.to_owned() })
        };
        let Some(load) = versions.current() else {
            return Err(unfit("the ledger has no completed version of this load"));
        };
        let Some(publication) = &load.publication else {
            return Err(unfit("its current version was inserted in place"));
        };
        if publication.kept.is_none() && publication.rows_before > 0 {
            return Err(unfit("what its current version replaced is not kept"));
        }
        Ok((load, publication))
    }
}

/// The completed version that is current without this one.
fn before<'v>(versions: &'v LoadVersions, load: &LoadRecord) -> Option<&'v LoadRecord> {
    versions
        .newest_first()
        .find(|other| other.status == LoadState::Completed && other.run_id != load.run_id)
}
