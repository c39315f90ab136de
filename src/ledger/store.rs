//! A ledger, wherever it is kept.

use std::sync::Arc;
use std::time::Duration;

use super::files::FileStore;
use super::tables::TableStore;
use super::{
    ChunkRecord, Claim, LedgerError, LedgerLocation, LiveClaim, LoadKey, LoadRecord, LoadSample,
    ProcessIdentity, Timestamp, Verification,
};
use crate::clickhouse::Connection;

/// A ledger. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    store: Store,
}

#[derive(Clone)]
enum Store {
    Tables(Arc<TableStore>),
    Files(Arc<FileStore>),
}

impl Ledger {
    /// A ledger at this place. Nothing is asked or created yet. Tables are in `database` of the
    /// connection's server.
    pub fn new(location: &LedgerLocation, connection: &Connection, database: &str) -> Self {
        let store = match location {
            LedgerLocation::Tables => {
                Store::Tables(Arc::new(TableStore::new(connection.clone(), database)))
            }
            LedgerLocation::Files(folder) => Store::Files(Arc::new(FileStore::new(folder.clone()))),
        };
        Self { store }
    }

    /// The same with other query ids.
    #[must_use]
    pub fn with_queries_of(self, connection: &Connection) -> Self {
        let store = match self.store {
            Store::Tables(tables) => Store::Tables(Arc::new(tables.with_queries_of(connection))),
            files @ Store::Files(_) => files,
        };
        Self { store }
    }

    /// Where it is, for people.
    pub fn describe(&self) -> String {
        match &self.store {
            Store::Tables(tables) => tables.describe(),
            Store::Files(files) => files.describe(),
        }
    }

    /// Makes what is missing of its tables or folders. Reading works without: what is not there is
    /// empty.
    ///
    /// # Errors
    /// [`LedgerError::MayNotCreate`] among others.
    pub async fn create(&self) -> Result<(), LedgerError> {
        match &self.store {
            Store::Tables(tables) => tables.create().await,
            Store::Files(files) => in_background(files, FileStore::create).await,
        }
    }

    /// The version of the load that counts, if there is one. Of several that were begun at once it
    /// is the oldest.
    pub async fn current_load(&self, key: &LoadKey) -> Result<Option<LoadRecord>, LedgerError> {
        let mut loads = self.current_loads(key).await?;
        loads.sort_by(|one, other| {
            (one.started_at, &one.run_id).cmp(&(other.started_at, &other.run_id))
        });
        Ok(loads.into_iter().next())
    }

    async fn current_loads(&self, key: &LoadKey) -> Result<Vec<LoadRecord>, LedgerError> {
        match &self.store {
            Store::Tables(tables) => tables.current_loads(key).await,
            Store::Files(files) => {
                let key = key.clone();
                in_background(files, move |files| files.current_loads(&key)).await
            }
        }
    }

    /// Every version of every load.
    pub async fn all_loads(&self) -> Result<Vec<LoadRecord>, LedgerError> {
        match &self.store {
            Store::Tables(tables) => tables.all_loads().await,
            Store::Files(files) => in_background(files, FileStore::all_loads).await,
        }
    }

    /// The claims on a load whose processes may still be at work; one of another host that was
    /// silent for longer than `timeout` is not.
    pub async fn at_work(
        &self,
        key: &LoadKey,
        timeout: Duration,
    ) -> Result<Vec<LiveClaim>, LedgerError> {
        let here = ProcessIdentity::current();
        let mut claims = self.held_claims(key).await?;
        claims.retain(|claim| claim.is_alive(timeout, &here));
        Ok(claims)
    }

    /// The chunks of a load, by their numbers.
    pub async fn chunks(&self, run_id: &str) -> Result<Vec<ChunkRecord>, LedgerError> {
        match &self.store {
            Store::Tables(tables) => tables.chunks(run_id).await,
            Store::Files(files) => {
                let run_id = run_id.to_owned();
                in_background(files, move |files| files.chunks(&run_id)).await
            }
        }
    }

    /// Writes a load, new or changed.
    pub async fn write_load(&self, load: &LoadRecord) -> Result<(), LedgerError> {
        match &self.store {
            Store::Tables(tables) => tables.write_load(load).await,
            Store::Files(files) => {
                let load = load.clone();
                in_background(files, move |files| files.write_load(&load)).await
            }
        }
    }

    /// Writes chunks, new or changed.
    pub async fn write_chunks(&self, chunks: Vec<ChunkRecord>) -> Result<(), LedgerError> {
        match &self.store {
            Store::Tables(tables) => tables.write_chunks(&chunks).await,
            Store::Files(files) => {
                in_background(files, move |files| files.write_chunks(&chunks)).await
            }
        }
    }

    /// How the processes of a load went, by time.
    pub async fn samples(&self, run_id: &str) -> Result<Vec<LoadSample>, LedgerError> {
        match &self.store {
            Store::Tables(tables) => tables.samples(run_id).await,
            Store::Files(files) => {
                let run_id = run_id.to_owned();
                in_background(files, move |files| files.samples(&run_id)).await
            }
        }
    }

    /// The same, no older than this.
    pub async fn samples_since(
        &self,
        run_id: &str,
        since: Timestamp,
    ) -> Result<Vec<LoadSample>, LedgerError> {
        match &self.store {
            Store::Tables(tables) => tables.samples_since(run_id, since).await,
            Store::Files(_) => {
                let mut samples = self.samples(run_id).await?;
                samples.retain(|sample| sample.sampled_at >= Some(since));
                Ok(samples)
            }
        }
    }

    /// Writes figures of this moment.
    pub async fn write_sample(&self, sample: &LoadSample) -> Result<(), LedgerError> {
        match &self.store {
            Store::Tables(tables) => tables.write_sample(sample).await,
            Store::Files(files) => {
                let sample = sample.clone();
                in_background(files, move |files| files.write_sample(&sample)).await
            }
        }
    }

    /// What comparisons of a load's target found, by time.
    pub async fn verifications(&self, run_id: &str) -> Result<Vec<Verification>, LedgerError> {
        match &self.store {
            Store::Tables(tables) => tables.verifications(run_id).await,
            Store::Files(files) => {
                let run_id = run_id.to_owned();
                in_background(files, move |files| files.verifications(&run_id)).await
            }
        }
    }

    /// Writes what a comparison found.
    pub async fn write_verification(&self, verification: &Verification) -> Result<(), LedgerError> {
        match &self.store {
            Store::Tables(tables) => tables.write_verification(verification).await,
            Store::Files(files) => {
                let verification = verification.clone();
                in_background(files, move |files| files.write_verification(&verification)).await
            }
        }
    }

    /// All claims on a load that are held, and the one of this id whatever became of it.
    pub(super) async fn claims(
        &self,
        key: &LoadKey,
        own_id: &str,
    ) -> Result<Vec<LiveClaim>, LedgerError> {
        match &self.store {
            Store::Tables(tables) => tables.claims(key, own_id).await,
            Store::Files(files) => {
                let (key, own_id) = (key.clone(), own_id.to_owned());
                in_background(files, move |files| files.claims(&key, &own_id)).await
            }
        }
    }

    /// The claims on a load that were not given back, of living processes and of dead ones.
    pub async fn held_claims(&self, key: &LoadKey) -> Result<Vec<LiveClaim>, LedgerError> {
        self.claims(key, "").await
    }

    /// What the clock says by which the times of its records are to be understood.
    pub async fn now(&self) -> Result<Timestamp, LedgerError> {
        match &self.store {
            Store::Tables(tables) => tables.now().await,
            Store::Files(_) => Ok(Timestamp::now()),
        }
    }

    /// Writes a claim, new or changed; that is a heartbeat of it.
    pub(super) async fn write_claim(&self, claim: &Claim) -> Result<(), LedgerError> {
        match &self.store {
            Store::Tables(tables) => tables.write_claim(claim).await,
            Store::Files(files) => {
                let claim = claim.clone();
                in_background(files, move |files| files.write_claim(&claim)).await
            }
        }
    }

    /// How long to wait between writing a claim and reading all back. A claim whose writing took
    /// longer than that gives way to others: they may not have seen it. `None` where nobody can
    /// read while a claim is written.
    pub(super) fn settling(&self) -> Option<Duration> {
        match &self.store {
            Store::Tables(_) => Some(Duration::from_millis(250)),
            Store::Files(_) => None,
        }
    }
}

/// Disks may take their time.
async fn in_background<T: Send + 'static>(
    files: &Arc<FileStore>,
    work: impl FnOnce(&FileStore) -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, LedgerError> {
    let files = files.clone();
    tokio::task::spawn_blocking(move || work(&files))
        .await
        .unwrap_or_else(|error| Err(LedgerError::Task(error.to_string())))
}
