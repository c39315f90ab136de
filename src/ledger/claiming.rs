//! Taking a claim, keeping it alive, giving it back.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use super::claim::{ClaimPhase, ClaimVerdict, holder, judge};
use super::columns::FORMAT_VERSION;
use super::lease::{Lease, Moment, Watched};
use super::{
    Claim, ClaimStatus, Ledger, LedgerError, LiveClaim, LoadKey, ProcessIdentity, WorkerPart, ask,
};
use crate::clickhouse::{Connection, QUERY_ID_PREFIX, Settings, quote_literal};
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

/// Between two looks at the claim of a process that may be dead.
const LOOK: Duration = Duration::from_millis(500);

/// Where the ledger is slow, so many claims are made while others are at the same; one of them is
/// left over in the end.
const TRIES: u32 = 8;

/// A claim that won.
pub struct HeldClaim {
    ledger: Ledger,
    claim: Claim,
    run_id: Mutex<String>,
    timeout: Duration,
    lease: Lease,
    watched: Watched,
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
        let watched = Watched::default();
        let all = self.watch(&watched, key, &claim_id, options).await?;
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
        let (began, confirmed_at) = (Instant::now(), Moment::now());
        // Where the ledger may write a claim twice, the second row must not make it younger.
        claim.claimed_at = match self.settling() {
            Some(_) => Some(ask(patience, || self.now()).await?),
            None => None,
        };
        ask(patience, || self.write_claim(&claim)).await?;
        let took = began.elapsed();
        let phase = self.settle(took).await;
        let mut all = ask(patience, || self.claims(key, &claim.claim_id)).await?;
        watched.look(&mut all, timeout, &process);
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
            ClaimVerdict::Gone => Err(LedgerError::ClaimLost { by: None, silence: None }),
            ClaimVerdict::Won(dead) => Ok(Tried::Won(Box::new(HeldClaim {
                ledger: self.clone(),
                lease: Lease::new(confirmed_at, claim.untouched()),
                claim,
                run_id: Mutex::default(),
                timeout,
                watched,
                dead,
            }))),
        }
    }
}

impl Ledger {
    /// Waits until another process that read the claims before this one was written has written its own.
    async fn settle(&self, took: Duration) -> ClaimPhase {
        let Some(settling) = self.settling() else { return ClaimPhase::New };
        sleep(settling).await;
        if took > settling { ClaimPhase::NewAndSlow } else { ClaimPhase::New }
    }

    /// The claims on a load, once it is known whether those live that are in the way.
    async fn watch(
        &self,
        watched: &Watched,
        key: &LoadKey,
        claim_id: &str,
        options: ClaimOptions,
    ) -> Result<Vec<LiveClaim>, LedgerError> {
        let ClaimOptions { part, timeout, patience } = options;
        let process = ProcessIdentity::current();
        let mut is_said = false;
        loop {
            let mut all = ask(patience, || self.claims(key, claim_id)).await?;
            let mut unknown = watched.look(&mut all, timeout, &process);
            unknown.retain(|claim| claim.claim.part.conflicts_with(part));
            let Some(first) = unknown.first() else { return Ok(all) };
            if !is_said {
                let LiveClaim { claim, heartbeat_at, .. } = first;
                let wait_seconds = timeout.max(claim.untouched()).as_secs();
                tracing::warn!(host = claim.process.host, pid = claim.process.pid, %heartbeat_at, wait_seconds,
                    "the heartbeat of another process does not fit this machine's clock: waiting to see whether it changes");
                is_said = true;
            }
            sleep(LOOK).await;
        }
    }
}

impl HeldClaim {
    /// The ids of the claims that this one took over from; their processes are dead.
    pub fn dead_claims(&self) -> Vec<String> {
        self.dead.iter().map(|dead| dead.claim.claim_id.clone()).collect()
    }

    /// Ends the claims that this one took over from. Until then, whoever takes over from this process
    /// finds them as well, and what they left on the server.
    pub async fn end_dead_claims(&self, patience: Duration) -> Result<(), LedgerError> {
        for dead in &self.dead {
            let dead = Claim { status: ClaimStatus::TakenOver, ..dead.claim.clone() };
            ask(patience, || self.ledger.write_claim(&dead)).await?;
        }
        Ok(())
    }

    /// Until when this process may send inserts.
    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
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

    /// Says that its process lives, and extends the lease, unless another process has taken over.
    ///
    /// # Errors
    /// [`LedgerError::ClaimLost`]: this process has to stop. Any other error says nothing about
    /// the claim.
    pub async fn beat(&self) -> Result<(), LedgerError> {
        if self.lease.has_lapsed() {
            // A heartbeat must not bring the claim back before another one was looked for.
            self.check().await?;
        }
        let sent_at = Moment::now();
        self.ledger.write_claim(&self.as_it_is()).await?;
        self.check().await?;
        self.lease.confirm(sent_at);
        Ok(())
    }

    /// The same, where the lease is over.
    ///
    /// # Errors
    /// See [`beat`](Self::beat).
    pub async fn ensure(&self) -> Result<(), LedgerError> {
        if self.lease.has_lapsed() { self.beat().await } else { Ok(()) }
    }

    /// Looks whether another process has taken over.
    async fn check(&self) -> Result<(), LedgerError> {
        let Claim { key, claim_id, part, process, .. } = &self.claim;
        let mut all = self.ledger.claims(key, claim_id).await?;
        self.watched.look(&mut all, self.timeout, process);
        // Looked at after the answer: within the lease, everybody has judged this claim to be alive
        // until now.
        let lapsed = self.lease.has_lapsed();
        let silence = self.lease.silence();
        let phase = if lapsed { ClaimPhase::Lapsed } else { ClaimPhase::Settled };
        let by = match judge(claim_id, phase, *part, &all, self.timeout, process) {
            ClaimVerdict::Won(_) => return Ok(()),
            ClaimVerdict::Lost(by) => Some(by),
            ClaimVerdict::Gone => match holder(*part, &all, self.timeout, process) {
                Some(by) => Some(Box::new(by.clone())),
                // It may have ended since.
                None => self.ledger.last_claim(key, claim_id).await.unwrap_or_default(),
            },
        };
        self.lease.lose();
        Err(LedgerError::ClaimLost { by, silence })
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

/// How long the answer to a KILL is waited for. A query that is stuck in writing to its client is
/// cancelled at once, and yet the answer comes only when that write ends: up to 30 s later.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long inserts are waited for. One that waits for the rest of its rows notices that it was
/// killed when the server gives them up, by default after 30 s (`http_receive_timeout`).
const INSERTS_END: Duration = Duration::from_secs(90);
/// Between two looks at them.
const LOOK_AT_LEFTOVERS: Duration = Duration::from_millis(250);

/// Kills the queries of the processes that held these claims, which are found by their ids,
/// `clickhouse-backfill-<run id>-<claim id>-…`, and waits until none of their inserts is left: what
/// they would still write must not come after what this process writes. See [KILL
/// QUERY](https://clickhouse.com/docs/sql-reference/statements/kill#kill-query).
///
/// Their other queries only take the server's time, and are not waited for.
///
/// # Errors
/// [`LedgerError::Leftovers`]; or the server cannot be asked.
pub(crate) async fn end_leftovers(
    connection: &Connection,
    claim_ids: &[String],
    patience: Duration,
) -> Result<(), LedgerError> {
    if claim_ids.is_empty() {
        return Ok(());
    }
    let of_one =
        |id: &String| format!("position(query_id, {}) > 0", quote_literal(&format!("-{id}-")));
    let of_any = claim_ids.iter().map(of_one).collect::<Vec<_>>().join(" OR ");
    // Only this program's queries, and not this one, which quotes the ids but has another of its
    // own.
    let condition =
        format!("startsWith(query_id, {}) AND ({of_any})", quote_literal(QUERY_ID_PREFIX));
    let began = Instant::now();
    loop {
        kill(connection, claim_ids, &condition).await;
        let inserts = match ask(patience, || inserts(connection, &condition)).await {
            Ok(inserts) => inserts,
            Err(error) if error.is_access_denied() => {
                tracing::warn!(%error, cause = error.cause(), "inserts that a dead process may have left cannot be seen");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if inserts.is_empty() {
            return Ok(());
        }
        if began.elapsed() >= INSERTS_END {
            return Err(LedgerError::Leftovers { queries: inserts, after: INSERTS_END });
        }
        tracing::info!(queries = ?inserts, "waiting for the inserts of a dead process to end");
        sleep(LOOK_AT_LEFTOVERS).await;
    }
}

async fn kill(connection: &Connection, claim_ids: &[String], condition: &str) {
    let sql = format!("KILL QUERY WHERE {condition} ASYNC");
    match timeout(KILL_TIMEOUT, connection.execute("kill", &sql, &Settings::common())).await {
        Ok(Ok(())) => {
            tracing::debug!(claims = ?claim_ids, "queries of dead processes were killed, where there were any");
        }
        Err(_) => {
            tracing::debug!(claims = ?claim_ids, "queries of dead processes are being killed");
        }
        Ok(Err(error)) => {
            tracing::info!(%error, "queries that a dead process may have left cannot be killed; they end by themselves");
        }
    }
}

/// The ids of the inserts among the queries of this condition.
async fn inserts(connection: &Connection, condition: &str) -> Result<Vec<String>, LedgerError> {
    #[derive(Deserialize)]
    struct Query {
        query_id: String,
    }
    let sql = format!(
        "SELECT query_id FROM system.processes WHERE {condition} AND match(query_id, '-(insert|replace|chunk[^-]+)-[0-9]+$')"
    );
    let found = connection.rows::<Query>("leftovers", &sql).await;
    let found = found.map_err(|error| LedgerError::Processes(Box::new(error)))?;
    Ok(found.into_iter().map(|query| query.query_id).collect())
}
