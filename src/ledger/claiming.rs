//! Taking a claim, keeping it alive, giving it back.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::claim::{Verdict, holder, judge};
use super::{Claim, ClaimStatus, Ledger, LedgerError, LiveClaim, LoadKey, ProcessIdentity, Slot};

/// How claims are taken and kept.
#[derive(Clone, Copy, Debug)]
pub struct ClaimOptions {
    /// Which part of the load.
    pub slot: Slot,
    /// A claim of another host whose last heartbeat is older than this is taken for dead.
    pub timeout: Duration,
}

/// Between two heartbeats, unless the timeout is so short that it must be less.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// A slow ledger is asked so often for a claim that was written fast enough to be seen by all.
const TRIES: u32 = 8;

/// A claim that won.
pub struct HeldClaim {
    ledger: Ledger,
    claim: Claim,
    run_id: Mutex<String>,
    timeout: Duration,
    /// Others that had claimed the same, and whose processes are dead.
    dead: Vec<LiveClaim>,
}

impl Ledger {
    /// Claims a part of a load under this id.
    ///
    /// # Errors
    /// [`LedgerError::Held`] where somebody else is at it.
    pub async fn claim(&self, key: &LoadKey, claim_id: &str, options: ClaimOptions) -> Result<HeldClaim, LedgerError> {
        let ClaimOptions { slot, timeout } = options;
        let process = ProcessIdentity::current();
        let heartbeat_seconds = u32::try_from(HEARTBEAT.min(timeout / 3).as_secs()).unwrap_or(u32::MAX).max(1);
        let mut number = 1;
        loop {
            // A repeated claim needs an id of its own, since the one before was given back.
            let claim_id = if number == 1 { claim_id.to_owned() } else { format!("{claim_id}.{number}") };
            let all = self.claims(key, &claim_id).await?;
            if let Some(other) = holder(slot, &all, timeout, &process) {
                return Err(LedgerError::Held { claim: Box::new(other.clone()) });
            }
            let mut claim = Claim {
                key: key.clone(),
                claim_id,
                slot,
                process: process.clone(),
                run_id: String::new(),
                status: ClaimStatus::Held,
                heartbeat_seconds,
                claimed_at: None,
            };
            let began = Instant::now();
            self.write_claim(&claim).await?;
            let took = began.elapsed();
            if let Some(settling) = self.settling() {
                // Where this process's writing is slow, so is that of others.
                sleep(settling.max(took * 2)).await;
            }
            let all = self.claims(key, &claim.claim_id).await?;
            // Heartbeats repeat the time that the ledger's clock gave.
            claim.claimed_at = all.iter().find(|other| other.claim.claim_id == claim.claim_id).and_then(|own| own.claim.claimed_at);
            match judge(&claim.claim_id, slot, &all, timeout, &process) {
                Verdict::Lost(other) => {
                    self.write_claim(&Claim { status: ClaimStatus::Released, ..claim }).await?;
                    return Err(LedgerError::Held { claim: other });
                }
                Verdict::Gone => return Err(LedgerError::Superseded { by: None }),
                Verdict::Won(_) if self.settling().is_some_and(|settling| took > settling) && number < TRIES => {
                    tracing::debug!(took_ms = took.as_millis(), "the ledger took long to write a claim, which is made anew");
                    self.write_claim(&Claim { status: ClaimStatus::Released, ..claim }).await?;
                    number += 1;
                }
                Verdict::Won(dead) => {
                    for other in &dead {
                        self.write_claim(&Claim { status: ClaimStatus::Superseded, ..other.claim.clone() }).await?;
                    }
                    return Ok(HeldClaim { ledger: self.clone(), claim, run_id: Mutex::default(), timeout, dead });
                }
            }
        }
    }
}

impl HeldClaim {
    /// The ids of the claims that this one took over from; their processes are dead.
    pub fn dead_claims(&self) -> Vec<String> {
        self.dead.iter().map(|dead| dead.claim.claim_id.clone()).collect()
    }

    /// Its own id.
    pub fn id(&self) -> &str {
        &self.claim.claim_id
    }

    /// Whose it is.
    pub fn process(&self) -> &ProcessIdentity {
        &self.claim.process
    }

    /// Which part it is for.
    pub fn slot(&self) -> Slot {
        self.claim.slot
    }

    /// How often [`beat`](Self::beat) is to be called.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(u64::from(self.claim.heartbeat_seconds))
    }

    /// Says on which run its process works; the next heartbeat writes it.
    pub fn set_run(&self, run_id: &str) {
        run_id.clone_into(&mut self.run_id.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// As it is to be written.
    fn as_it_is(&self) -> Claim {
        Claim { run_id: self.run_id.lock().unwrap_or_else(PoisonError::into_inner).clone(), ..self.claim.clone() }
    }

    /// Says that its process lives, unless another has taken over.
    ///
    /// # Errors
    /// [`LedgerError::Superseded`]: this process has to stop. Any other error says nothing about the claim.
    pub async fn beat(&self) -> Result<(), LedgerError> {
        let all = self.ledger.claims(&self.claim.key, &self.claim.claim_id).await?;
        match judge(&self.claim.claim_id, self.claim.slot, &all, self.timeout, &self.claim.process) {
            Verdict::Won(_) => self.ledger.write_claim(&self.as_it_is()).await,
            Verdict::Lost(by) => Err(LedgerError::Superseded { by: Some(by) }),
            Verdict::Gone => {
                let by = holder(self.claim.slot, &all, self.timeout, &self.claim.process);
                Err(LedgerError::Superseded { by: by.cloned().map(Box::new) })
            }
        }
    }

    /// Whether processes of other parts are at work, by their claims.
    pub async fn others_at_work(&self) -> Result<bool, LedgerError> {
        let all = self.ledger.claims(&self.claim.key, &self.claim.claim_id).await?;
        let mut others = all.iter().filter(|other| other.claim.claim_id != self.claim.claim_id);
        Ok(others.any(|other| other.is_alive(self.timeout, &self.claim.process)))
    }

    /// Gives it back.
    pub async fn release(&self) -> Result<(), LedgerError> {
        self.ledger.write_claim(&Claim { status: ClaimStatus::Released, ..self.as_it_is() }).await
    }
}
