//! The state of the planned load in the ledger, and what a run would do. The ledger is only read.

use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

use crate::causes::error_chain;
use crate::cli::commands::session::BoundSession;
use crate::cli::commands::status::{process_words, to_the_second};
use crate::cli::config::LedgerConfig;
use crate::engine::stream::PipelineOptions;
use crate::ledger::status::{LoadStatus, read};
use crate::ledger::{LedgerError, load_key};
use crate::load::{begins_anew, changed, definition};
use crate::plan::Partition;
use crate::state::LoadState;
use crate::units::{count, counted};

/// How long the ledger is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The state of the load.
#[derive(Debug, Serialize)]
pub(crate) struct LedgerShown {
    /// The ledger.
    pub place: String,
    /// What `run` would do; `null` if the ledger cannot be read.
    pub run: Option<Would>,
    /// The status, as in `status --json`.
    pub standing: Option<LoadStatus>,
    /// What has changed since the load started, so that it cannot be continued.
    pub changed: Vec<String>,
    /// Why the ledger cannot be read.
    pub unknown: Option<String>,
}

/// What `run` would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Would {
    /// Start the load.
    Begin,
    /// Continue with the missing chunks.
    Resume,
    /// Start a new version, since the objects have changed.
    NewVersion,
    /// Report that it is complete.
    Nothing,
    /// Refuse: another process works on it, or something has changed since it started.
    Refuse,
}

/// Reads the ledger.
pub(crate) async fn known(
    config: &LedgerConfig,
    claim_timeout: Duration,
    opened: &BoundSession,
    partition: &Partition,
    options: &PipelineOptions,
) -> LedgerShown {
    let BoundSession { servers, server_version, job, .. } = opened;
    let ledger = config.open(&servers.target);
    let (key, definition) = (
        load_key(job, partition.id()),
        definition(job, options, opened.chunk_rows(), servers, server_version),
    );
    let reading = async {
        let standing = read(&ledger, &key, claim_timeout).await?;
        Ok::<_, LedgerError>((
            standing,
            changed(&ledger, &key, &definition, opened.keeps_chunk_rows()).await?,
            begins_anew(&ledger, &key, job).await?,
        ))
    };
    let place = ledger.describe();
    match timeout(PATIENCE, reading).await.unwrap_or(Err(LedgerError::Silent { after: PATIENCE })) {
        Ok((standing, changed, begins_anew)) => {
            let changed = if begins_anew { Vec::new() } else { changed };
            let run = match standing.state {
                LoadState::NotStarted => Would::Begin,
                state if begins_anew && state != LoadState::Started => Would::NewVersion,
                LoadState::Started | LoadState::Superseded => Would::Refuse,
                _ if !changed.is_empty() => Would::Refuse,
                LoadState::Interrupted | LoadState::Failed | LoadState::Staged => Would::Resume,
                LoadState::Completed => Would::Nothing,
            };
            let changed = changed.iter().map(ToString::to_string).collect();
            LedgerShown { place, run: Some(run), standing: Some(standing), changed, unknown: None }
        }
        Err(error) => LedgerShown {
            place,
            run: None,
            standing: None,
            changed: Vec::new(),
            unknown: Some(error_chain(&error)),
        },
    }
}

impl LedgerShown {
    /// The state in one sentence.
    pub(super) fn words(&self) -> String {
        let Some(standing) = &self.standing else {
            return format!(
                "unknown, cannot read {}: {}",
                self.place,
                self.unknown.as_deref().unwrap_or_default()
            );
        };
        let mut words = vec![self.of_load(standing)];
        words.extend(
            standing.processes.iter().map(|process| format!("process {}", process_words(process))),
        );
        let would = match self.run {
            Some(Would::Resume) => {
                format!(
                    "`run` continues with {}",
                    counted(
                        standing.chunks.saturating_sub(standing.chunks_completed),
                        "missing chunk"
                    )
                )
            }
            Some(Would::NewVersion) => {
                "`run` starts a new version, since objects have changed".to_owned()
            }
            Some(Would::Nothing) => "`run` has nothing to do".to_owned(),
            Some(Would::Refuse) if standing.state == LoadState::Superseded => {
                "`run` is refused without --restart: it was rolled back".to_owned()
            }
            Some(Would::Refuse) if self.changed.is_empty() => {
                "`run` is refused until it ends".to_owned()
            }
            Some(Would::Refuse) => {
                format!("`run` is refused without --restart: {}", self.changed.join("; "))
            }
            Some(Would::Begin) | None => "`run` starts the load".to_owned(),
        };
        format!("{}; {would}", words.join(", "))
    }

    fn of_load(&self, standing: &LoadStatus) -> String {
        let Some(run_id) = &standing.run_id else {
            return format!("no load in {}", self.place);
        };
        let state = standing.state.text();
        if let (LoadState::Completed, Some(at)) = (standing.state, standing.completed_at) {
            return format!(
                "{state} at {} by run {run_id}, {}",
                to_the_second(at),
                counted(standing.rows_inserted, "row")
            );
        }
        let failed = if standing.chunks_failed > 0 {
            format!(", {} failed", count(standing.chunks_failed))
        } else {
            String::new()
        };
        format!(
            "{state}, {} of {} completed{failed}, run {run_id}",
            count(standing.chunks_completed),
            counted(standing.chunks, "chunk")
        )
    }
}
