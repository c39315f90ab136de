//! What is kept beside the records themselves, and may be missing: how runs went, and what
//! comparisons found.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};

use super::{FileStore, failed, malformed, read_all, write};
use crate::ledger::{LedgerError, LoadSample, Timestamp, Verification};

impl FileStore {
    /// The line that a process was about to write when it died counts for nothing.
    pub fn samples(&self, run_id: &str) -> Result<Vec<LoadSample>, LedgerError> {
        let folder = self.folder.join("samples").join(run_id);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("reading", &folder)(error)),
        };
        let mut samples: Vec<LoadSample> = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed("reading", &folder))?.path();
            let text = fs::read_to_string(&path).map_err(failed("reading", &path))?;
            samples.extend(text.lines().filter_map(|line| serde_json::from_str(line).ok()));
        }
        samples.sort_by(|one, other| {
            (one.sampled_at, &one.claim_id).cmp(&(other.sampled_at, &other.claim_id))
        });
        Ok(samples)
    }

    /// Each process has a file of its own, and appends to it.
    pub fn write_sample(&self, sample: &LoadSample) -> Result<(), LedgerError> {
        let folder = self.folder.join("samples").join(&sample.run_id);
        fs::create_dir_all(&folder).map_err(failed("creating", &folder))?;
        let path = folder.join(format!("{}.jsonl", sample.claim_id));
        let sample = LoadSample {
            sampled_at: Some(sample.sampled_at.unwrap_or_else(Timestamp::now)),
            ..sample.clone()
        };
        let mut line = serde_json::to_vec(&sample).map_err(|error| malformed(&path, &error))?;
        line.push(b'\n');
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(failed("opening", &path))?;
        file.write_all(&line).map_err(failed("writing", &path))
    }

    pub fn verifications(&self, run_id: &str) -> Result<Vec<Verification>, LedgerError> {
        let mut all: Vec<Verification> = read_all(&self.folder.join("verifications").join(run_id))?;
        all.sort_by_key(|verification| verification.verified_at);
        Ok(all)
    }

    pub fn write_verification(&self, verification: &Verification) -> Result<(), LedgerError> {
        let folder = self.folder.join("verifications").join(&verification.run_id);
        fs::create_dir_all(&folder).map_err(failed("creating", &folder))?;
        let verified_at = verification.verified_at.unwrap_or_else(Timestamp::now);
        let path = folder.join(format!("{}-{}.json", verified_at.0, std::process::id()));
        write(&path, &Verification { verified_at: Some(verified_at), ..verification.clone() })
    }
}
