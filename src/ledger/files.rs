//! A ledger in files, for users who may not create tables: the same records as JSON.
//!
//! ```text
//! DIR/loads/<run id>.json             a load
//! DIR/chunks/<run id>/pending.json    its chunks as they were when it began
//! DIR/chunks/<run id>/<number>.json   a chunk that was completed, failed or divided, or a part
//! DIR/claims/<claim id>.json          a process that works on a load
//! DIR/samples/<run id>/<claim id>.jsonl     how a process went, a line every ten seconds or so
//! DIR/verifications/<run id>/<time>.json     what a comparison found
//! DIR/lock                            held while claims are read or written
//! ```
//!
//! Processes on several machines can share the folder where its file system keeps locks.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::claim::StoredClaim;
use super::{
    ChunkRecord, ChunkStatus, Claim, ClaimStatus, LedgerError, LiveClaim, LoadKey, LoadRecord,
    LoadSample, Timestamp, Verification,
};
use crate::files;
use crate::state::LoadState;
use crate::sync::Mutex;

/// The folder of a ledger.
pub(super) struct FileStore {
    folder: PathBuf,
    /// Damaged files that were named.
    named: Mutex<HashSet<PathBuf>>,
}

impl FileStore {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, named: Mutex::default() }
    }

    pub(super) fn describe(&self) -> String {
        format!("files in {}", self.folder.display())
    }

    pub(super) fn create(&self) -> Result<(), LedgerError> {
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

    /// A damaged file stops only the load to which it belongs; what the others are is known.
    pub(super) fn loads(&self, key: Option<&LoadKey>) -> Result<Vec<LoadRecord>, LedgerError> {
        let mut loads = Vec::new();
        for (path, load) in read_each::<LoadRecord>(&self.folder.join("loads"), "", LOADS)? {
            match load {
                Ok(load) => loads.push(load),
                Err(error) => match key {
                    Some(key) if self.may_belong_to(&path, key)? => return Err(error),
                    _ => self.warn(&path, &error),
                },
            }
        }
        loads.retain(|load| key.is_none_or(|key| load.key == *key));
        Ok(loads)
    }

    /// Whether a file of a load may be that of this key: the claims of its processes have the run id
    /// that is its name.
    fn may_belong_to(&self, path: &Path, key: &LoadKey) -> Result<bool, LedgerError> {
        let run_id = path.file_stem().unwrap_or_default();
        let claims = read_each::<StoredClaim>(&self.folder.join("claims"), "", CLAIMS)?;
        let mut claims = claims.into_iter().filter_map(|(_, claim)| claim.ok());
        let of_run = claims.find(|claim| run_id == claim.claim.run_id.as_str());
        Ok(of_run.is_none_or(|claim| claim.claim.key == *key))
    }

    /// Names a damaged file once.
    fn warn(&self, path: &Path, error: &LedgerError) {
        if self.named.lock().insert(path.to_owned()) {
            tracing::warn!(%error, "a file of the ledger is left out");
        }
    }

    pub(super) fn chunks(&self, run_id: &str) -> Result<Vec<ChunkRecord>, LedgerError> {
        let folder = self.folder.join("chunks").join(run_id);
        let mut chunks: Vec<ChunkRecord> = read(&folder.join(PENDING), CHUNKS)?.unwrap_or_default();
        for (_, done) in read_each::<ChunkRecord>(&folder, PENDING, CHUNKS)? {
            let done = done?;
            match chunks.iter_mut().find(|chunk| chunk.chunk == done.chunk) {
                Some(chunk) => *chunk = done,
                None => chunks.push(done),
            }
        }
        chunks.sort_by_key(|chunk| chunk.chunk);
        Ok(chunks)
    }

    /// One after the other; readers take the newest completed version for the current one.
    pub(super) fn write_loads(&self, loads: &[LoadRecord]) -> Result<(), LedgerError> {
        for load in loads.iter().rev() {
            let mut load = load.clone();
            load.started_at.get_or_insert_with(Timestamp::now);
            if load.status == LoadState::Completed {
                load.completed_at.get_or_insert_with(Timestamp::now);
            }
            write(&self.folder.join("loads").join(format!("{}.json", load.run_id)), &load)?;
        }
        Ok(())
    }

    /// All pending chunks of the plan together in one file, any other in a file of its own, which no
    /// other process writes at the same time.
    pub(super) fn write_chunks(&self, chunks: &[ChunkRecord]) -> Result<(), LedgerError> {
        let Some(first) = chunks.first() else { return Ok(()) };
        let folder = self.folder.join("chunks").join(&first.run_id);
        fs::create_dir_all(&folder).map_err(failed("creating", &folder))?;
        let (pending, done): (Vec<_>, Vec<_>) = chunks.iter().partition(|chunk| {
            chunk.status == ChunkStatus::Pending && chunk.id().whole().is_none()
        });
        if !pending.is_empty() {
            write(&folder.join(PENDING), &pending)?;
        }
        done.into_iter()
            .try_for_each(|chunk| write(&folder.join(format!("{:06}.json", chunk.chunk)), chunk))
    }

    pub(super) fn claims(&self, key: &LoadKey) -> Result<Vec<LiveClaim>, LedgerError> {
        let folder = self.folder.join("claims");
        let all = self.while_nobody_writes(|| read_each::<StoredClaim>(&folder, "", CLAIMS))?;
        let mut claims = Vec::new();
        for (path, claim) in all {
            match claim {
                Ok(claim) => claims.push(claim),
                // A living process would have written it anew.
                Err(error) if is_older_than(&path, REWRITTEN) => self.warn(&path, &error),
                Err(LedgerError::Damaged { path, message, advice, .. }) => {
                    return Err(LedgerError::Damaged { path, message, advice, may_pass: true });
                }
                Err(error) => return Err(error),
            }
        }
        let now = Timestamp::now();
        let claims = claims.into_iter().filter(|file| file.claim.key == *key);
        Ok(claims.map(|file| file.into_live_at(now)).collect())
    }

    pub(super) fn write_claim(&self, claim: &Claim) -> Result<(), LedgerError> {
        let path = self.folder.join("claims").join(format!("{}.json", claim.claim_id));
        self.locked(|| {
            // The time is taken under the lock: who reads later sees every earlier claim.
            let heartbeat_at = Timestamp::now();
            // A heartbeat that was under way when its claim ended is nothing any more.
            // A damaged file is written anew.
            let known = match read::<StoredClaim>(&path, CLAIMS) {
                Err(LedgerError::Damaged { .. }) => None,
                known => known?,
            };
            let ended = known.is_some_and(|known| known.claim.status != ClaimStatus::Held);
            if ended && claim.status == ClaimStatus::Held {
                return Ok(());
            }
            let claim = Claim {
                claimed_at: Some(claim.claimed_at.unwrap_or(heartbeat_at)),
                ..claim.clone()
            };
            write(&path, &StoredClaim::new(claim, heartbeat_at))
        })
    }

    /// The line that a process was about to write when it died counts for nothing.
    pub(super) fn samples(&self, run_id: &str) -> Result<Vec<LoadSample>, LedgerError> {
        let folder = self.folder.join("samples").join(run_id);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("reading", &folder)(error)),
        };
        let mut samples: Vec<LoadSample> = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed("reading", &folder))?.path();
            let text = fs::read(&path).map_err(failed("reading", &path))?;
            let text = String::from_utf8_lossy(&text);
            samples.extend(text.lines().filter_map(|line| serde_json::from_str(line).ok()));
        }
        samples.sort_by(|one, other| {
            (one.sampled_at, &one.claim_id).cmp(&(other.sampled_at, &other.claim_id))
        });
        Ok(samples)
    }

    /// Each process has a file of its own, and appends to it.
    pub(super) fn write_sample(&self, sample: &LoadSample) -> Result<(), LedgerError> {
        let folder = self.folder.join("samples").join(&sample.run_id);
        fs::create_dir_all(&folder).map_err(failed("creating", &folder))?;
        let path = folder.join(format!("{}.jsonl", sample.claim_id));
        let sample = LoadSample {
            sampled_at: Some(sample.sampled_at.unwrap_or_else(Timestamp::now)),
            ..sample.clone()
        };
        let mut line = serde_json::to_vec(&sample).map_err(|error| malformed(&path, &error))?;
        line.push(b'\n');
        let mut file = files::open_for_append(&path).map_err(failed("opening", &path))?;
        file.write_all(&line).map_err(failed("writing", &path))
    }

    pub(super) fn verifications(&self, run_id: &str) -> Result<Vec<Verification>, LedgerError> {
        let folder = self.folder.join("verifications").join(run_id);
        let mut all: Vec<Verification> = Vec::new();
        for (path, verification) in read_each(&folder, "", CHUNKS)? {
            match verification {
                Ok(verification) => all.push(verification),
                Err(error) => self.warn(&path, &error),
            }
        }
        all.sort_by_key(|verification| verification.verified_at);
        Ok(all)
    }

    pub(super) fn write_verification(
        &self,
        verification: &Verification,
    ) -> Result<(), LedgerError> {
        let folder = self.folder.join("verifications").join(&verification.run_id);
        fs::create_dir_all(&folder).map_err(failed("creating", &folder))?;
        let verified_at = verification.verified_at.unwrap_or_else(Timestamp::now);
        let path = folder.join(format!("{}-{}.json", verified_at.0, std::process::id()));
        write(&path, &Verification { verified_at: Some(verified_at), ..verification.clone() })
    }

    /// Reads while no other process writes. A user without the right to open the lock file reads
    /// without it.
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
            // The folder of the ledger does not exist yet, so the work can only be reading.
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

/// What can be done about a damaged file of a load, of its chunks, and of a claim.
const LOADS: &str = "nothing was written; put the file back from a backup, or move it away: then the load starts from its beginning";
const CHUNKS: &str =
    "inserted rows stay; move the file away, and the chunks that it records are read again";
const CLAIMS: &str = "nothing was written; move the file away if no process works on its load";

/// A living process has written its claim anew within this time.
const REWRITTEN: Duration = Duration::from_secs(25);

/// Whether the last write to a file lies further away than `age`, before or after the present: clocks
/// may differ.
fn is_older_than(path: &Path, age: Duration) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| {
        let now = SystemTime::now();
        now.duration_since(modified)
            .or_else(|_| modified.duration_since(now))
            .is_ok_and(|apart| apart > age)
    })
}

/// A file that is not there is `None`. `advice` goes with one that is damaged.
fn read<T: DeserializeOwned>(path: &Path, advice: &'static str) -> Result<Option<T>, LedgerError> {
    let damaged = |message: String| LedgerError::Damaged {
        path: path.to_owned(),
        message,
        advice,
        may_pass: false,
    };
    match fs::read(path) {
        Ok(text) => {
            serde_json::from_slice(&text).map(Some).map_err(|error| damaged(error.to_string()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(damaged(error.to_string())),
    }
}

/// A file, and the record in it.
type ReadFile<T> = (PathBuf, Result<T, LedgerError>);

/// Every record of a folder with its path, but for the file of this name. A folder that is not there
/// has none.
fn read_each<T: DeserializeOwned>(
    folder: &Path,
    but: &str,
    advice: &'static str,
) -> Result<Vec<ReadFile<T>>, LedgerError> {
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
            // It may have been moved away since.
            if let Some(record) = read(&path, advice).transpose() {
                found.push((path, record));
            }
        }
    }
    Ok(found)
}

fn malformed(path: &Path, error: &serde_json::Error) -> LedgerError {
    LedgerError::Malformed { what: format!("file {}", path.display()), message: error.to_string() }
}
