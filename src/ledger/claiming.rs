//! Taking a claim, keeping it alive, giving it back.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::claim::{ClaimPhase, ClaimVerdict, holder, judge};
use super::columns::FORMAT_VERSION;
use super::{
    Claim, ClaimStatus, Ledger, LedgerError, LiveClaim, LoadKey, ProcessIdentity, WorkerPart, ask,
};
use crate::sync::Mutex;

/// How claims are taken and kept.
#[derive(Clone, Copy, Debug)]
pub struct ClaimOptions {
    /// Which part of the load.
    pub part: WorkerPart,
    /// A claim of another host whose last heartbeat is older than this is taken for dead.
    pub timeout: Duration,
    /// How long a ledger that cannot be reached is asked again.
    pub patience: Duration,
}

/// Between two heartbeats, unless the timeout is so short that it must be less.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Where the ledger is slow, so many claims are made while others are at the same; one of them is
/// left over in the end.
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

/// What became of a claim that was written.
enum Tried {
    Won(Box<HeldClaim>),
    /// Another one wins; this one took so long to write, and was given back.
    Lost {
        other: Box<LiveClaim>,
        phase: ClaimPhase,
        took: Duration,
    },
}

impl Ledger {
    /// Claims a part of a load under this id.
    ///
    /// # Errors
    /// [`LedgerError::Held`] where somebody else is at it.
    pub async fn claim(
        &self,
        key: &LoadKey,
        claim_id: &str,
        options: ClaimOptions,
    ) -> Result<HeldClaim, LedgerError> {
        let mut number = 1;
        loop {
            // A repeated claim needs an id of its own, since the one before was given back.
            let id = if number == 1 { claim_id.to_owned() } else { format!("{claim_id}.{number}") };
            match self.try_claim(key, id, options).await? {
                Tried::Won(held) => return Ok(*held),
                Tried::Lost { phase: ClaimPhase::NewAndSlow, took, .. } if number < TRIES => {
                    // The other one may have been as slow, and have given way as well.
                    let pause = took.mul_f64(rand::random_range(0.0..f64::from(number)));
                    tracing::debug!(
                        took_ms = took.as_millis(),
                        pause_ms = pause.as_millis(),
                        "the ledger took long to write a claim, which is made anew"
                    );
                    sleep(pause).await;
                    number += 1;
                }
                Tried::Lost { other, .. } => return Err(LedgerError::Held { claim: other }),
            }
        }
    }

    async fn try_claim(
        &self,
        key: &LoadKey,
        claim_id: String,
        options: ClaimOptions,
    ) -> Result<Tried, LedgerError> {
        let ClaimOptions { part, timeout, patience } = options;
        let process = ProcessIdentity::current();
        let all = ask(patience, || self.claims(key, &claim_id)).await?;
        if let Some(other) = holder(part, &all, timeout, &process) {
            return Err(LedgerError::Held { claim: Box::new(other.clone()) });
        }
        let mut claim = Claim {
            format_version: FORMAT_VERSION,
            key: key.clone(),
            claim_id,
            part,
            process: process.clone(),
            run_id: String::new(),
            status: ClaimStatus::Held,
            heartbeat_seconds: u32::try_from(HEARTBEAT.min(timeout / 3).as_secs())
                .unwrap_or(u32::MAX)
                .max(1),
            claimed_at: None,
        };
        let began = Instant::now();
        ask(patience, || self.write_claim(&claim)).await?;
        let (took, settling) = (began.elapsed(), self.settling());
        let phase = if settling.is_some_and(|settling| took > settling) {
            ClaimPhase::NewAndSlow
        } else {
            ClaimPhase::New
        };
        if let Some(settling) = settling {
            sleep(settling).await;
        }
        let all = ask(patience, || self.claims(key, &claim.claim_id)).await?;
        // Heartbeats repeat the time that the ledger's clock gave.
        claim.claimed_at = all
            .iter()
            .find(|other| other.claim.claim_id == claim.claim_id)
            .and_then(|own| own.claim.claimed_at);
        match judge(&claim.claim_id, phase, part, &all, timeout, &process) {
            ClaimVerdict::Lost(other) => {
                claim.status = ClaimStatus::Released;
                ask(patience, || self.write_claim(&claim)).await?;
                Ok(Tried::Lost { other, phase, took })
            }
            ClaimVerdict::Gone => Err(LedgerError::ClaimLost { by: None }),
            ClaimVerdict::Won(dead) => {
                for other in &dead {
                    let other = Claim { status: ClaimStatus::TakenOver, ..other.claim.clone() };
                    ask(patience, || self.write_claim(&other)).await?;
                }
                Ok(Tried::Won(Box::new(HeldClaim {
                    ledger: self.clone(),
                    claim,
                    run_id: Mutex::default(),
                    timeout,
                    dead,
                })))
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
    pub fn part(&self) -> WorkerPart {
        self.claim.part
    }

    /// How often [`beat`](Self::beat) is to be called.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(u64::from(self.claim.heartbeat_seconds))
    }

    /// Says on which run its process works; the next heartbeat writes it.
    pub fn set_run(&self, run_id: &str) {
        run_id.clone_into(&mut self.run_id.lock());
    }

    /// As it is to be written.
    fn as_it_is(&self) -> Claim {
        Claim { run_id: self.run_id.lock().clone(), ..self.claim.clone() }
    }

    /// Says that its process lives, unless another has taken over.
    ///
    /// # Errors
    /// [`LedgerError::ClaimLost`]: this process has to stop. Any other error says nothing about
    /// the claim.
    pub async fn beat(&self) -> Result<(), LedgerError> {
        let all = self.ledger.claims(&self.claim.key, &self.claim.claim_id).await?;
        match judge(
            &self.claim.claim_id,
            ClaimPhase::Settled,
            self.claim.part,
            &all,
            self.timeout,
            &self.claim.process,
        ) {
            ClaimVerdict::Won(_) => self.ledger.write_claim(&self.as_it_is()).await,
            ClaimVerdict::Lost(by) => Err(LedgerError::ClaimLost { by: Some(by) }),
            ClaimVerdict::Gone => {
                let by = holder(self.claim.part, &all, self.timeout, &self.claim.process);
                Err(LedgerError::ClaimLost { by: by.cloned().map(Box::new) })
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
