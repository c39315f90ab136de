//! What is kept of a comparison that was interrupted: the sums of the pieces that were compared
//! already.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::VerifyError;
use super::sums::Sums;
use crate::files;
use crate::job::statements::LookupTimes;

/// While a comparison goes on, its state is written this often at most.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// The state of a comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct State {
    /// A digest of all that decides what is compared; another job, another table or another share
    /// is another comparison.
    pub identity: String,
    /// The ranges of the source's chunks: they stay as they were, whatever merges do.
    pub chunks: Vec<Option<String>>,
    /// The lookup's window, as microseconds.
    pub window: Option<(i64, i64)>,
    /// Into how many buckets keys are divided.
    pub buckets: u32,
    /// How many chunks were compared, and their sums.
    pub expected: Progress,
    /// The ranges of the target: partition id and predicate. None until all chunks of the source
    /// were read.
    pub parts: Option<Vec<(String, Option<String>)>>,
    /// How many of them were compared, and their sums.
    pub found: Progress,
}

/// Of one side.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Progress {
    pub done: usize,
    pub sums: Sums,
}

impl State {
    pub fn window(&self) -> Option<LookupTimes> {
        self.window.map(|(from, to)| LookupTimes { from, to })
    }
}

/// The file in which the state is kept.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
    written: Instant,
}

impl StateFile {
    pub fn new(path: PathBuf) -> Self {
        Self { path, written: Instant::now() }
    }

    /// The state of an earlier comparison of the same; `None` where there is none.
    ///
    /// # Errors
    /// Where the file cannot be read, or is of another comparison.
    pub fn read(&self, identity: &str) -> Result<Option<State>, VerifyError> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(&format!("it cannot be read: {error}"))),
        };
        let state: State = serde_json::from_str(&text)
            .map_err(|error| self.failed(&format!("it holds no state of verify: {error}")))?;
        if state.identity != identity {
            return Err(
                self.failed("it belongs to another comparison, or the job or the tables were changed since; remove it to begin again")
            );
        }
        Ok(Some(state))
    }

    /// Writes the state if some time has passed since the last time.
    pub fn write_now_and_then(&mut self, state: &State) -> Result<(), VerifyError> {
        if self.written.elapsed() < WRITE_EVERY { Ok(()) } else { self.write(state) }
    }

    /// Writes the state, whole or not at all.
    pub fn write(&mut self, state: &State) -> Result<(), VerifyError> {
        let text = serde_json::to_string(state).map_err(|error| self.failed(&error.to_string()))?;
        files::replace(&self.path, text.as_bytes())
            .map_err(|error| self.failed(&format!("it cannot be written: {error}")))?;
        self.written = Instant::now();
        Ok(())
    }

    /// The comparison is done.
    pub fn remove(&self) -> Result<(), VerifyError> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(self.failed(&format!("it cannot be removed: {error}")))
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, message: &str) -> VerifyError {
        VerifyError::State { path: self.path.clone(), message: message.to_owned() }
    }
}
