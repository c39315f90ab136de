//! Removing what loads of a partition have inserted in place.
//!
//! The rows are those that the job owns of this partition of the source. Every version of the load
//! becomes `superseded`: none is current, and a run needs `--restart`. The record is written before the
//! rows are removed, so that a load whose removal was killed is not taken for complete.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::claim::ExclusiveClaim;
use super::publishing::drop_leftover_snapshots;
use crate::causes::error_chain;
use crate::clickhouse::{
    Error as ServerError, Servers, Settings, TableName, deduplication, is_granted,
};
use crate::job::BoundJob;
use crate::job::removal::removal_settings;
use crate::ledger::{Lease, Ledger, LedgerError, LoadKey, LoadRecord};
use crate::state::LoadState;
use crate::stop::Stop;
use crate::verify::{VerifyError, rows_of_partition};

/// What an undo would do, or has done. Its field names are a contract with scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Undo {
    /// The target table, with its database.
    pub target: String,
    /// The partition of the source.
    pub partition: String,
    /// The newest run of the load.
    pub run_id: String,
    /// The state of the load before.
    pub state: LoadState,
    /// Rows that are removed, all versions.
    pub rows: u64,
    /// Rows of the same partition of the source that stay, since the job does not own them.
    pub other_rows: u64,
    /// Tables that views of the target fill; their rows stay.
    pub views: Vec<String>,
    /// Whether it was carried out.
    pub done: bool,
}

/// Why a load cannot be undone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UndoError {
    /// The ledger has no load of the partition.
    #[error("the ledger has no load of {0}: nothing is known to be written")]
    NoLoad(LoadKey),
    /// The load replaced the partition.
    #[error(
        "the load of {0} was published by replacing its partition, which the job no longer says"
    )]
    Published(LoadKey),
    /// Rows cannot be removed from the target.
    #[error("rows cannot be removed from {target}: {reason}")]
    NotRemovable {
        /// The target table.
        target: TableName,
        /// Why.
        reason: String,
    },
    /// The job does not say which rows are its own.
    #[error("the job {job} does not say which rows of {target} are its own")]
    NoOwner {
        /// The job's name.
        job: String,
        /// The target table.
        target: TableName,
    },
    /// The rows of the partition are not known.
    #[error("which rows of {target} come from this partition is not known: {reason}")]
    Unattributed {
        /// The target table.
        target: TableName,
        /// Why.
        reason: String,
    },
    /// The source cannot be asked.
    #[error("reading how the source is partitioned failed")]
    Source(#[source] Box<VerifyError>),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A statement failed.
    #[error("{what} of {target} failed")]
    Server {
        /// What was done.
        what: &'static str,
        /// The target table.
        target: TableName,
        /// The server's error.
        source: Box<ServerError>,
    },
}

/// The ledger, the job and the servers of a load that is undone.
pub(crate) struct UndoRequest<'a> {
    pub ledger: &'a Ledger,
    pub key: &'a LoadKey,
    pub servers: &'a Servers,
    pub job: &'a BoundJob,
}

#[derive(Deserialize)]
struct Counts {
    own: u64,
    other: u64,
}

impl UndoRequest<'_> {
    /// Counts what would be removed. Nothing is changed.
    ///
    /// # Errors
    /// [`UndoError::NoLoad`], [`UndoError::NoOwner`] and [`UndoError::Unattributed`] where it is not
    /// known what to remove; [`UndoError::Published`] and [`UndoError::NotRemovable`]; those of the
    /// ledger and the servers.
    pub(crate) async fn plan(&self) -> Result<Undo, UndoError> {
        let newest = self.ledger.newest_load(self.key).await?;
        let newest = newest.ok_or_else(|| UndoError::NoLoad(self.key.clone()))?;
        Ok(self.plan_of(&newest).await?.0)
    }

    /// What is removed, and SQL over the target that is true for its rows.
    async fn plan_of(&self, newest: &LoadRecord) -> Result<(Undo, String), UndoError> {
        let target = &self.job.target.name;
        if newest.publication.is_some() {
            return Err(UndoError::Published(self.key.clone()));
        }
        let (partition, owned) = self.conditions().await?;
        self.require_deletion().await?;
        let sql = format!(
            "SELECT countIf({owned}) AS own, countIf(NOT ({owned})) AS other FROM {} WHERE {partition}",
            target.quoted()
        );
        let connection = &self.servers.target;
        let counts = connection.row_with::<Counts>("undo", &sql, &Settings::read()).await;
        let counts = counts.map_err(self.failed("counting rows"))?;
        let filled = deduplication(connection, target).await;
        let filled = filled.map_err(self.failed("listing the views"))?;
        let of_views = filled.into_iter().filter(|table| table.view.is_some());
        let undo = Undo {
            target: target.to_string(),
            partition: self.key.partition_id.clone(),
            run_id: newest.run_id.clone(),
            state: newest.status,
            rows: counts.own,
            other_rows: counts.other,
            views: of_views.map(|table| table.name.to_string()).collect(),
            done: false,
        };
        Ok((undo, format!("{partition} AND {owned}")))
    }

    /// Removes the rows.
    ///
    /// # Errors
    /// Those of [`Self::plan`]; another process works on the load.
    pub(crate) async fn carry_out(&self) -> Result<Undo, UndoError> {
        let newest = self.ledger.newest_load(self.key).await?;
        let newest = newest.ok_or_else(|| UndoError::NoLoad(self.key.clone()))?;
        let (ledger, servers, stop) = (self.ledger, self.servers, Stop::new());
        let claim = ExclusiveClaim::take(ledger, &newest, servers, Duration::ZERO, &stop).await?;
        // Whoever takes the claim over finds the statements by their ids, and ends them.
        let servers = servers.clone().with_queries(&claim.queries(&newest.run_id));
        let undone = UndoRequest { servers: &servers, ..*self }.remove(claim.lease()).await;
        claim.end().await?;
        undone
    }

    async fn remove(&self, lease: &Lease) -> Result<Undo, UndoError> {
        // Under the claim: no version begins from here on.
        let versions = self.ledger.versions(self.key).await?;
        let newest = versions.newest();
        let newest = newest.ok_or_else(|| UndoError::NoLoad(self.key.clone()))?;
        let (undo, condition) = self.plan_of(newest).await?;
        let held = async || {
            let lost = |_| LedgerError::ClaimLost { by: None, silence: None };
            lease.held().await.map_err(lost)
        };
        for load in versions.into_newest_first() {
            held().await?;
            let load = LoadRecord { status: LoadState::Superseded, ..load };
            self.ledger.write_load(&load).await?;
        }
        held().await?;
        let target = &self.job.target.name;
        let sql = format!("DELETE FROM {} WHERE {condition}", target.quoted());
        let removed = self.servers.target.execute("undo", &sql, &removal_settings(&sql)).await;
        removed.map_err(self.failed("removing rows"))?;
        if self.job.snapshot {
            let source = &self.servers.source;
            if let Err(error) = drop_leftover_snapshots(self.ledger, self.key, source, None).await {
                let error = error_chain(&error);
                tracing::warn!(error, "a copy that the load has read is left beside the source");
            }
        }
        Ok(Undo { done: true, ..undo })
    }

    /// Refuses where the server would refuse to remove rows. A server that does not know the question
    /// is not asked again.
    async fn require_deletion(&self) -> Result<(), UndoError> {
        let target = &self.job.target;
        let reason = if target.is_merge_tree() {
            let right = format!("ALTER DELETE ON {}", target.name.quoted());
            match is_granted(&self.servers.target, "undo", &right).await {
                Ok(false) => "this user lacks ALTER DELETE on it".to_owned(),
                _ => return Ok(()),
            }
        } else {
            format!("its engine is {}", target.engine)
        };
        Err(UndoError::NotRemovable { target: target.name.clone(), reason })
    }

    /// SQL over the target that is true for rows of this partition of the source, and for those that
    /// the job owns.
    async fn conditions(&self) -> Result<(String, String), UndoError> {
        let Self { servers, job, key, .. } = self;
        if job.owned.is_none() {
            let (job, target) = (job.name.clone(), job.target.name.clone());
            return Err(UndoError::NoOwner { job, target });
        }
        let of_partition = rows_of_partition(servers, job, &key.partition_id).await;
        let of_partition = of_partition.map_err(|error| UndoError::Source(Box::new(error)))?;
        let of_partition = of_partition.map_err(|reason| UndoError::Unattributed {
            target: job.target.name.clone(),
            reason,
        })?;
        Ok((of_partition, job.is_owned()))
    }

    fn failed(&self, what: &'static str) -> impl FnOnce(ServerError) -> UndoError {
        let target = self.job.target.name.clone();
        move |source| UndoError::Server { what, target, source: Box::new(source) }
    }
}
