//! A ledger in files, for users who may not create tables: the same records as JSON.
//!
//! ```text
//! DIR/loads/<run id>.json             a load
//! DIR/chunks/<run id>/pending.json    its chunks as they were when it began
//! DIR/chunks/<run id>/<number>.json   a chunk that was completed or failed
//! DIR/claims/<claim id>.json          a process that works on a load
//! DIR/samples/<run id>/<claim id>.jsonl     how a process went, a line every ten seconds or so
//! DIR/verifications/<run id>/<time>.json     what a comparison found
//! DIR/lock                            held while claims are read or written
//! ```
//!
//! Processes on several machines can share the folder where its file system keeps locks and the
//! machines' clocks agree.

mod observations;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{
    ChunkRecord, ChunkStatus, Claim, ClaimStatus, LedgerError, LiveClaim, LoadKey, LoadRecord,
    LoadStatus, Timestamp,
};
use crate::files;

/// The folder of a ledger.
pub(super) struct FileStore {
    folder: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct ClaimFile {
    #[serde(flatten)]
    claim: Claim,
    heartbeat_at: Timestamp,
}

impl FileStore {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub fn describe(&self) -> String {
        format!("files in {}", self.folder.display())
    }

    pub fn create(&self) -> Result<(), LedgerError> {
        for folder in [
            self.folder.clone(),
            self.folder.join("loads"),
            self.folder.join("chunks"),
            self.folder.join("claims"),
        ] {
            fs::create_dir_all(&folder).map_err(failed("creating", &folder))?;
        }
        self.locked(|| Ok(()))
    }

    pub fn current_loads(&self, key: &LoadKey) -> Result<Vec<LoadRecord>, LedgerError> {
        let all = read_all::<LoadRecord>(&self.folder.join("loads"))?;
        Ok(all.into_iter().filter(|load| load.is_current && load.key == *key).collect())
    }

    pub fn all_loads(&self) -> Result<Vec<LoadRecord>, LedgerError> {
        read_all(&self.folder.join("loads"))
    }

    pub fn chunks(&self, run_id: &str) -> Result<Vec<ChunkRecord>, LedgerError> {
        let folder = self.folder.join("chunks").join(run_id);
        let mut chunks: Vec<ChunkRecord> = read(&folder.join(PENDING))?.unwrap_or_default();
        for done in read_all_but::<ChunkRecord>(&folder, PENDING)? {
            match chunks.iter_mut().find(|chunk| chunk.chunk == done.chunk) {
                Some(chunk) => *chunk = done,
                None => chunks.push(done),
            }
        }
        chunks.sort_by_key(|chunk| chunk.chunk);
        Ok(chunks)
    }

    pub fn write_load(&self, load: &LoadRecord) -> Result<(), LedgerError> {
        let mut load = load.clone();
        load.started_at.get_or_insert_with(Timestamp::now);
        if load.status == LoadStatus::Completed {
            load.completed_at.get_or_insert_with(Timestamp::now);
        }
        write(&self.folder.join("loads").join(format!("{}.json", load.run_id)), &load)
    }

    /// All pending chunks together in one file, any other in a file of its own, which no other
    /// process writes at the same time.
    pub fn write_chunks(&self, chunks: &[ChunkRecord]) -> Result<(), LedgerError> {
        let Some(first) = chunks.first() else { return Ok(()) };
        let folder = self.folder.join("chunks").join(&first.run_id);
        fs::create_dir_all(&folder).map_err(failed("creating", &folder))?;
        let (pending, done): (Vec<_>, Vec<_>) =
            chunks.iter().partition(|chunk| chunk.status == ChunkStatus::Pending);
        if !pending.is_empty() {
            write(&folder.join(PENDING), &pending)?;
        }
        done.into_iter()
            .try_for_each(|chunk| write(&folder.join(format!("{:06}.json", chunk.chunk)), chunk))
    }

    pub fn claims(&self, key: &LoadKey, own_id: &str) -> Result<Vec<LiveClaim>, LedgerError> {
        let folder = self.folder.join("claims");
        let all = self.while_nobody_writes(|| read_all::<ClaimFile>(&folder))?;
        let now = Timestamp::now();
        let concerned = |file: &ClaimFile| {
            file.claim.key == *key
                && (file.claim.status == ClaimStatus::Held || file.claim.claim_id == own_id)
        };
        let live = |file: ClaimFile| LiveClaim {
            age: file.heartbeat_at.age_at(now),
            heartbeat_at: file.heartbeat_at,
            claim: file.claim,
        };
        Ok(all.into_iter().filter(concerned).map(live).collect())
    }

    pub fn write_claim(&self, claim: &Claim) -> Result<(), LedgerError> {
        let path = self.folder.join("claims").join(format!("{}.json", claim.claim_id));
        self.locked(|| {
            // The time is taken under the lock: who reads later sees every earlier claim.
            let heartbeat_at = Timestamp::now();
            // A heartbeat that was under way when its claim ended is nothing any more.
            let ended = read::<ClaimFile>(&path)?
                .is_some_and(|known| known.claim.status != ClaimStatus::Held);
            if ended && claim.status == ClaimStatus::Held {
                return Ok(());
            }
            let claim = Claim {
                claimed_at: Some(claim.claimed_at.unwrap_or(heartbeat_at)),
                ..claim.clone()
            };
            write(&path, &ClaimFile { claim, heartbeat_at })
        })
    }

    /// Reads while no other process writes. Who may not write, and so cannot be in the way of those
    /// who do, reads all the same.
    fn while_nobody_writes<T>(
        &self,
        work: impl FnOnce() -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let path = self.folder.join("lock");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) =>
            {
                return work();
            }
            Err(error) => return Err(failed("opening", &path)(error)),
        };
        file.lock_shared().map_err(failed("locking", &path))?;
        work()
    }

    /// Does something while no other process does. The system ends the lock of a process that dies.
    fn locked<T>(&self, work: impl FnOnce() -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        let path = self.folder.join("lock");
        let file = match File::options().create(true).truncate(false).write(true).open(&path) {
            Ok(file) => file,
            // A ledger that nobody has made yet is only read.
            Err(error) if error.kind() == ErrorKind::NotFound => return work(),
            Err(error) => return Err(failed("opening", &path)(error)),
        };
        file.lock().map_err(failed("locking", &path))?;
        work()
    }
}

/// The chunks of a load as they were when it began.
const PENDING: &str = "pending.json";

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> LedgerError {
    let path = path.to_owned();
    move |source| LedgerError::File { doing, path, source }
}

fn write(path: &Path, value: &impl Serialize) -> Result<(), LedgerError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| malformed(path, &error))?;
    text.push(b'\n');
    files::replace_durably(path, &text).map_err(failed("writing", path))
}

/// A file that is not there is `None`.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, LedgerError> {
    match fs::read(path) {
        Ok(text) => {
            serde_json::from_slice(&text).map(Some).map_err(|error| malformed(path, &error))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("reading", path)(error)),
    }
}

fn read_all<T: DeserializeOwned>(folder: &Path) -> Result<Vec<T>, LedgerError> {
    read_all_but(folder, "")
}

/// Every record of a folder, but for the file of this name. A folder that is not there has none.
fn read_all_but<T: DeserializeOwned>(folder: &Path, but: &str) -> Result<Vec<T>, LedgerError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("reading", folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed("reading", folder))?.path();
        let name = path.file_name().unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == "json") && name != but {
            found.extend(read(&path)?);
        }
    }
    Ok(found)
}

fn malformed(path: &Path, error: &serde_json::Error) -> LedgerError {
    LedgerError::Malformed { what: format!("file {}", path.display()), message: error.to_string() }
}
