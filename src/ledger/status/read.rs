//! Reading what the ledger has of a load.

use std::time::Duration;

use super::rate::SPAN;
use super::standing::{Records, Standing};
use crate::ledger::{Ledger, LedgerError, LoadKey, LoadSample, ProcessIdentity, Timestamp};

/// Where a load stands now. A claim without heartbeats for so long is taken for a dead process's.
///
/// # Errors
/// The ledger cannot be read. One that is not there has no loads.
pub async fn read(
    ledger: &Ledger,
    key: &LoadKey,
    claim_timeout: Duration,
) -> Result<Standing, LedgerError> {
    let here = ProcessIdentity::current();
    let (mut standing, records) = once(ledger, key, claim_timeout, &here).await?;
    if standing.may_be_between(&records) {
        (standing, _) = once(ledger, key, claim_timeout, &here).await?;
    }
    Ok(standing)
}

async fn once(
    ledger: &Ledger,
    key: &LoadKey,
    claim_timeout: Duration,
    here: &ProcessIdentity,
) -> Result<(Standing, Records), LedgerError> {
    // A process writes its record and then gives its claim back: what is read in the other order
    // never looks deserted.
    let claims = ledger.held_claims(key).await?;
    let load = ledger.current_load(key).await?;
    let chunks = match &load {
        Some(load) => ledger.chunks(&load.run_id).await?,
        None => Vec::new(),
    };
    let now = ledger.now().await?;
    let samples = match &load {
        Some(load) if !claims.is_empty() => recent_samples(ledger, &load.run_id, now).await,
        _ => Vec::new(),
    };
    let records = Records { load, chunks, claims, samples };
    Ok((Standing::judge(key, &records, now, claim_timeout, here), records))
}

/// How the processes went lately. They are kept beside the record; who may not read them knows
/// less, and the rest all the same.
async fn recent_samples(ledger: &Ledger, run_id: &str, now: Timestamp) -> Vec<LoadSample> {
    match ledger.samples_since(run_id, Timestamp(now.0.saturating_sub(SPAN))).await {
        Ok(samples) => samples,
        Err(error) => {
            tracing::debug!(%error, "how the processes went is not known");
            Vec::new()
        }
    }
}
