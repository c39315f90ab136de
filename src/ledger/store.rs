//! A ledger, wherever it is kept.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::columns::FORMAT_VERSION;
use super::files::FileStore;
use super::record::undivided;
use super::tables::TableStore;
use super::{
    ChunkRecord, Claim, ClaimStatus, LedgerError, LiveClaim, LoadKey, LoadRecord, LoadSample,
    LoadVersions, ProcessIdentity, Timestamp, Verification,
};
use crate::clickhouse::Connection;

/// Where a ledger is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerLocation {
    /// In tables of ClickHouse.
    Tables,
    /// In files of this folder.
    Files(PathBuf),
}

/// A text that names no place for a ledger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no place for a ledger; give tables, or file:DIR for files in the folder DIR")]
pub struct LedgerLocationError(String);

impl FromStr for LedgerLocation {
    type Err = LedgerLocationError;

    fn from_str(text: &str) -> Result<Self, LedgerLocationError> {
        match text.strip_prefix("file:") {
            Some(folder) if !folder.is_empty() => Ok(Self::Files(folder.into())),
            None if text == "tables" => Ok(Self::Tables),
            _ => Err(LedgerLocationError(text.to_owned())),
        }
    }
}

impl fmt::Display for LedgerLocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tables => formatter.write_str("tables"),
            Self::Files(folder) => write!(formatter, "file:{}", folder.display()),
        }
    }
}

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

    /// All versions of a load.
    pub async fn versions(&self, key: &LoadKey) -> Result<LoadVersions, LedgerError> {
        Ok(LoadVersions::of(self.loads(Some(key)).await?))
    }

    /// The version of a load that a run continues.
    pub async fn newest_load(&self, key: &LoadKey) -> Result<Option<LoadRecord>, LedgerError> {
        Ok(self.versions(key).await?.newest().cloned())
    }

    /// The versions of every load.
    pub async fn all_loads(&self) -> Result<BTreeMap<LoadKey, LoadVersions>, LedgerError> {
        let mut by_key: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for load in self.loads(None).await? {
            by_key.entry(load.key.clone()).or_default().push(load);
        }
        Ok(by_key.into_iter().map(|(key, loads)| (key, LoadVersions::of(loads))).collect())
    }

    async fn loads(&self, key: Option<&LoadKey>) -> Result<Vec<LoadRecord>, LedgerError> {
        match &self.store {
            Store::Tables(tables) => tables.loads(key).await,
            Store::Files(files) => {
                let key = key.cloned();
                in_background(files, move |files| files.loads(key.as_ref())).await
            }
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

    /// The chunks of a load, by their numbers; in the place of those that were divided, their parts.
    pub async fn chunks(&self, run_id: &str) -> Result<Vec<ChunkRecord>, LedgerError> {
        Ok(undivided(&self.chunk_records(run_id).await?))
    }

    /// All records of chunks, of those that were divided as well.
    pub async fn chunk_records(&self, run_id: &str) -> Result<Vec<ChunkRecord>, LedgerError> {
        match &self.store {
            Store::Tables(tables) => tables.chunks(run_id).await,
            Store::Files(files) => {
                let run_id = run_id.to_owned();
                in_background(files, move |files| files.chunks(&run_id)).await
            }
        }
    }

    /// Writes a version of a load, new or changed, and what follows from it for which version is
    /// current.
    pub async fn write_load(&self, load: &LoadRecord) -> Result<(), LedgerError> {
        let mut rows = self.versions(&load.key).await?.rows_with(load);
        for row in &mut rows {
            row.format_version = FORMAT_VERSION;
        }
        match &self.store {
            Store::Tables(tables) => tables.write_loads(&rows).await,
            Store::Files(files) => {
                in_background(files, move |files| files.write_loads(&rows)).await
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
        let mut claims = self.all_claims(key).await?;
        claims.retain(|claim| {
            claim.claim.status == ClaimStatus::Held || claim.claim.claim_id == own_id
        });
        Ok(claims)
    }

    /// The newest claim on a load but the one of this id, whatever became of it.
    pub(super) async fn last_claim(
        &self,
        key: &LoadKey,
        but: &str,
    ) -> Result<Option<Box<LiveClaim>>, LedgerError> {
        let mut claims = self.all_claims(key).await?;
        claims.retain(|claim| claim.claim.claim_id != but);
        Ok(claims.into_iter().max_by_key(|claim| claim.claim.claimed_at).map(Box::new))
    }

    async fn all_claims(&self, key: &LoadKey) -> Result<Vec<LiveClaim>, LedgerError> {
        match &self.store {
            Store::Tables(tables) => tables.claims(key).await,
            Store::Files(files) => {
                let key = key.clone();
                in_background(files, move |files| files.claims(&key)).await
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        assert_eq!("tables".parse(), Ok(LedgerLocation::Tables));
        assert_eq!(
            "file:/var/lib/ledger".parse(),
            Ok(LedgerLocation::Files("/var/lib/ledger".into()))
        );
        for text in ["", "file:", "files:x", "table"] {
            assert!(text.parse::<LedgerLocation>().is_err(), "{text:?}");
        }
    }
}
