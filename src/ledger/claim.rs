//! Claims, and the rules by which one of them wins. Pure: nothing here asks a ledger.
//!
//! ClickHouse has no compare-and-set. A process therefore writes its claim, waits, and reads all
//! claims back: of those that exclude each other, the lowest (time, claim id) wins, and since the
//! ledger's clock gave the times, all processes see the same winner. A claim is kept alive by
//! heartbeats.
//!
//! What takes long to write gets its time before others can read it. A process that has waited may
//! then have won without having seen an older claim. So a claim whose writing took longer than
//! others wait gives way to every other one. If neither of two claims took so long, each is seen by
//! whoever judges after the other, and the rule above holds.
//!
//! A claim that has won counts for as long as its lease lasts (`lease`), from the moment at which its
//! process began to write it. Within the lease, everybody who judges sees a living claim. After it, a
//! process that takes its own claim for dead gives way to every living one: another may have won
//! while its own heartbeats were under way.
#![allow(
    clippy::doc_markdown,
    reason = "a field's documentation is its column's comment, which is plain text"
)]

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::columns::{Row, Sql, record};
use super::record::first_form;
use super::{LoadKey, ProcessIdentity, Timestamp};

record! {
    /// The part of a load that a process works on.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct WorkerPart {
        worker: u32 => Sql::of("UInt32"), "The part of the load that its process works on, from 1";
        workers: u32 => Sql::of("UInt32"), "The number of parts";
    }
}

impl WorkerPart {
    /// The whole load.
    pub const WHOLE: Self = Self { worker: 1, workers: 1 };

    /// The chunks of this worker, a contiguous range of this many. The ranges of all workers cover
    /// them all.
    pub fn range_of(self, chunks: usize) -> Range<usize> {
        let edge = |worker: u32| {
            let edge = chunks as u128 * u128::from(worker) / u128::from(self.workers.max(1));
            usize::try_from(edge).unwrap_or(chunks)
        };
        edge(self.worker.saturating_sub(1))..edge(self.worker)
    }

    /// Whether two processes with these parts would do the same work: the same part, or parts of
    /// different divisions.
    pub fn conflicts_with(self, other: Self) -> bool {
        self == other || self.workers != other.workers
    }
}

/// A text that names no part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no part of a load; give I/N, such as 2/8 for the second of eight")]
pub struct WorkerPartError(String);

impl FromStr for WorkerPart {
    type Err = WorkerPartError;

    fn from_str(text: &str) -> Result<Self, WorkerPartError> {
        let number = |text: &str| text.trim().parse::<u32>().ok().filter(|&number| number > 0);
        let parts = text
            .split_once('/')
            .and_then(|(worker, workers)| Some((number(worker)?, number(workers)?)));
        match parts {
            Some((worker, workers)) if worker <= workers => Ok(Self { worker, workers }),
            _ => Err(WorkerPartError(text.to_owned())),
        }
    }
}

impl fmt::Display for WorkerPart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.worker, self.workers)
    }
}

/// Whether a claim is still meant. One that was given back or taken over stays so, even if a
/// heartbeat is written later which was under way at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimStatus {
    /// Its process works, as long as its heartbeats come.
    Held,
    /// Its process has given it back.
    Released,
    /// Its process was taken for dead, and another one took over. `superseded` in records of version
    /// 0.1.
    #[serde(alias = "superseded")]
    TakenOver,
}

record! {
    /// A claim of a process on a load: one row of `load_claims`.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Claim {
        #[serde(default = "first_form")]
        format_version: u32 => Sql::of("UInt16").added("1"), "Form of this row";
        #[serde(flatten)]
        key: LoadKey => <LoadKey as Row>::columns(), "What is claimed";
        claim_id: String => Sql::of("String"), "The claim; query ids of its process contain it";
        #[serde(flatten)]
        part: WorkerPart => <WorkerPart as Row>::columns(), "Which part";
        #[serde(flatten)]
        process: ProcessIdentity => <ProcessIdentity as Row>::columns(), "Whose it is";
        run_id: String => Sql::of("String"), "The load, as in load_state; empty until it is known";
        status: ClaimStatus => Sql::of("LowCardinality(String)"), "held, released, or taken_over by another process";
        heartbeat_seconds: u32 => Sql::of("UInt32"), "Seconds between heartbeats";
        claimed_at: Option<Timestamp> => Sql::moment(), "When it was made; the lowest wins";
    }
}

impl Claim {
    /// The time after a heartbeat in which no process takes the claim over: three heartbeats must be
    /// missing, even if another process has a shorter `--claim-timeout`.
    pub(super) fn untouched(&self) -> Duration {
        Duration::from_secs(3 * u64::from(self.heartbeat_seconds))
    }

    fn rank(&self) -> (Timestamp, &str) {
        (self.claimed_at.unwrap_or(Timestamp(i64::MAX)), &self.claim_id)
    }
}

/// A claim as it was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveClaim {
    /// The claim.
    pub claim: Claim,
    /// Its last heartbeat, by the ledger's clock.
    pub heartbeat_at: Timestamp,
    /// How long ago that was.
    pub age: Duration,
    /// How far it lies in the future, by the clock of this machine; `None` where the ledger has a
    /// clock of its own.
    pub ahead: Option<Duration>,
}

/// A claim as it is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredClaim {
    #[serde(flatten)]
    pub claim: Claim,
    heartbeat_at: Timestamp,
    /// The age of the heartbeat, where the ledger computes it.
    #[serde(default, skip_serializing)]
    age_us: i64,
}

impl StoredClaim {
    pub(super) fn new(claim: Claim, heartbeat_at: Timestamp) -> Self {
        Self { claim, heartbeat_at, age_us: 0 }
    }

    /// By the clock of the ledger.
    pub(super) fn into_live(self) -> LiveClaim {
        let age = Duration::from_micros(u64::try_from(self.age_us).unwrap_or_default());
        LiveClaim { claim: self.claim, heartbeat_at: self.heartbeat_at, age, ahead: None }
    }

    /// By the clock of this machine.
    pub(super) fn into_live_at(self, now: Timestamp) -> LiveClaim {
        let Self { claim, heartbeat_at, .. } = self;
        let (age, ahead) = (heartbeat_at.age_at(now), Some(now.age_at(heartbeat_at)));
        LiveClaim { claim, heartbeat_at, age, ahead }
    }
}

impl LiveClaim {
    /// Whether its process may still be at work. A heartbeat far in the future says nothing.
    pub fn is_alive(&self, timeout: Duration, here: &ProcessIdentity) -> bool {
        self.claim.status == ClaimStatus::Held
            && !self.has_expired(timeout)
            && self.ahead.is_none_or(|ahead| ahead <= timeout.max(self.claim.untouched()))
            && !self.claim.process.is_gone(here)
    }

    /// Whether its heartbeats have stopped for too long.
    pub fn has_expired(&self, timeout: Duration) -> bool {
        self.age > timeout.max(self.claim.untouched())
    }
}

/// What reading the claims back means for one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClaimVerdict {
    /// It wins. These others, whose processes are dead, are in its way no longer.
    Won(Vec<LiveClaim>),
    /// This other one wins.
    Lost(Box<LiveClaim>),
    /// It is not among them, or was taken over.
    Gone,
}

/// How a claim stands that is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClaimPhase {
    /// It was just made, and written so fast that everybody else who has judged since has seen it.
    New,
    /// It was just made, and others may have judged before they could see it, although it is older
    /// than theirs.
    NewAndSlow,
    /// It had won.
    Settled,
    /// It had won, but its last confirmation is so old that another process may have taken it for dead
    /// and won since.
    Lapsed,
}

/// Judges the claim of this id among all of its load.
pub(super) fn judge(
    own_id: &str,
    phase: ClaimPhase,
    part: WorkerPart,
    all: &[LiveClaim],
    timeout: Duration,
    here: &ProcessIdentity,
) -> ClaimVerdict {
    let Some(own) = all
        .iter()
        .find(|claim| claim.claim.claim_id == own_id)
        .filter(|own| own.claim.status == ClaimStatus::Held)
    else {
        return ClaimVerdict::Gone;
    };
    let others: Vec<_> = conflicting(own_id, part, all).collect();
    let alive = others.iter().filter(|other| other.is_alive(timeout, here));
    let is_older = |other: &LiveClaim| other.claim.rank() < own.claim.rank();
    let wins = |other: &&&LiveClaim| match phase {
        // A claim whose heartbeats had stopped may not come back to life over one that was made
        // meanwhile.
        _ if own.has_expired(timeout) => true,
        ClaimPhase::New => is_older(other),
        ClaimPhase::NewAndSlow | ClaimPhase::Lapsed => true,
        // One that was slow may be there for a moment, and gives way; it does not work on any run.
        ClaimPhase::Settled => is_older(other) && !other.claim.run_id.is_empty(),
    };
    match alive.filter(wins).min_by_key(|other| other.claim.rank()) {
        Some(winner) => ClaimVerdict::Lost(Box::new((*winner).clone())),
        None => ClaimVerdict::Won(
            others.into_iter().filter(|other| !other.is_alive(timeout, here)).cloned().collect(),
        ),
    }
}

/// The oldest claim that forbids a new one.
pub(super) fn holder<'a>(
    part: WorkerPart,
    all: &'a [LiveClaim],
    timeout: Duration,
    here: &ProcessIdentity,
) -> Option<&'a LiveClaim> {
    conflicting("", part, all)
        .filter(|other| other.is_alive(timeout, here))
        .min_by_key(|other| other.claim.rank())
}

/// The claims that were not given back and exclude one with this part.
fn conflicting<'a>(
    own_id: &str,
    part: WorkerPart,
    all: &'a [LiveClaim],
) -> impl Iterator<Item = &'a LiveClaim> {
    let others = all.iter().filter(move |other| {
        other.claim.claim_id != own_id && other.claim.status == ClaimStatus::Held
    });
    others.filter(move |other| other.claim.part.conflicts_with(part))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::columns::FORMAT_VERSION;
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    pub(in crate::ledger) fn claim(
        id: &str,
        part: (u32, u32),
        claimed_at: i64,
        age: u64,
    ) -> LiveClaim {
        let text = String::new;
        let key = LoadKey {
            job: text(),
            source_table: text(),
            target_table: text(),
            partition_id: text(),
        };
        let claim = Claim {
            format_version: FORMAT_VERSION,
            key,
            claim_id: id.to_owned(),
            part: WorkerPart { worker: part.0, workers: part.1 },
            process: ProcessIdentity { host: "elsewhere".to_owned(), ..ProcessIdentity::default() },
            run_id: text(),
            status: ClaimStatus::Held,
            heartbeat_seconds: 10,
            claimed_at: Some(Timestamp(claimed_at)),
        };
        let age = Duration::from_secs(age);
        LiveClaim { claim, heartbeat_at: Timestamp(claimed_at), age, ahead: None }
    }

    fn judged(own: &str, all: &[LiveClaim]) -> Result<Vec<String>, String> {
        judged_as(own, ClaimPhase::New, all)
    }

    fn judged_as(own: &str, phase: ClaimPhase, all: &[LiveClaim]) -> Result<Vec<String>, String> {
        let part = all.iter().find(|claim| claim.claim.claim_id == own).unwrap().claim.part;
        match judge(own, phase, part, all, TIMEOUT, &ProcessIdentity::default()) {
            ClaimVerdict::Won(dead) => {
                Ok(dead.into_iter().map(|claim| claim.claim.claim_id).collect())
            }
            ClaimVerdict::Lost(other) => Err(other.claim.claim_id),
            ClaimVerdict::Gone => Err("gone".to_owned()),
        }
    }

    #[test]
    fn parts_are_written_as_fractions_and_cover_everything_once() {
        assert_eq!("2/8".parse(), Ok(WorkerPart { worker: 2, workers: 8 }));
        for text in ["", "0/8", "9/8", "1/0", "2", "a/b", "-1/2", "1/2/3"] {
            assert!(text.parse::<WorkerPart>().is_err(), "{text:?}");
        }
        for (chunks, workers) in [(10, 3), (2, 5), (0, 4), (7, 7), (1, 1)] {
            let parts =
                (1..=workers).flat_map(|worker| WorkerPart { worker, workers }.range_of(chunks));
            assert!(parts.eq(0..chunks), "{chunks} chunks among {workers}");
        }
    }

    #[test]
    fn the_lowest_time_wins_and_then_the_lowest_id() {
        let all = [claim("b", (1, 1), 5, 0), claim("a", (1, 1), 6, 0), claim("c", (1, 1), 5, 0)];
        assert_eq!(judged("b", &all), Ok(vec![]));
        assert_eq!(judged("a", &all), Err("b".to_owned()));
        assert_eq!(judged("c", &all), Err("b".to_owned()));
    }

    #[test]
    fn other_parts_of_the_same_division_do_not_conflict() {
        let all = [
            claim("a", (1, 3), 1, 0),
            claim("b", (2, 3), 2, 0),
            claim("c", (2, 3), 3, 0),
            claim("d", (1, 2), 4, 0),
        ];
        assert_eq!(judged("b", &all), Ok(vec![]));
        assert_eq!(judged("c", &all), Err("b".to_owned()));
        assert_eq!(judged("d", &all), Err("a".to_owned()));
        assert_eq!(
            holder(
                WorkerPart { worker: 3, workers: 3 },
                &all,
                TIMEOUT,
                &ProcessIdentity::default()
            )
            .unwrap()
            .claim
            .claim_id,
            "d"
        );
    }

    #[test]
    fn a_claim_without_heartbeats_gives_way_and_does_not_come_back() {
        let mut all = [claim("dead", (1, 1), 1, 61), claim("b", (1, 1), 2, 0)];
        assert_eq!(judged("b", &all), Ok(vec!["dead".to_owned()]));
        assert_eq!(judged("dead", &all), Err("b".to_owned()));
        all[0].claim.status = ClaimStatus::TakenOver;
        assert_eq!(judged("dead", &all), Err("gone".to_owned()));
        assert_eq!(judged("b", &all), Ok(vec![]));
        // However short others are of patience, three heartbeats must be missing.
        let late = claim("late", (1, 1), 1, 25);
        assert!(
            !late.has_expired(Duration::from_secs(1))
                && claim("late", (1, 1), 1, 31).has_expired(Duration::from_secs(1))
        );
    }

    #[test]
    fn a_claim_that_was_given_back_is_in_nobodys_way() {
        let mut all = [claim("a", (1, 1), 1, 0), claim("b", (1, 1), 2, 0)];
        all[0].claim.status = ClaimStatus::Released;
        assert_eq!(judged("b", &all), Ok(vec![]));
    }

    #[test]
    fn a_slow_claim_gives_way_to_whoever_is_there_and_a_settled_one_to_nobody_who_does() {
        let mut all = [claim("slow", (1, 1), 1, 0), claim("b", (1, 1), 2, 0)];
        assert_eq!(judged_as("slow", ClaimPhase::NewAndSlow, &all), Err("b".to_owned()));
        assert_eq!(judged_as("slow", ClaimPhase::NewAndSlow, &all[..1]), Ok(vec![]));
        assert_eq!(judged_as("b", ClaimPhase::Settled, &all), Ok(vec![]));
        // Should two have won all the same, the older one keeps on.
        all[0].claim.run_id = "r".to_owned();
        assert_eq!(judged_as("b", ClaimPhase::Settled, &all), Err("slow".to_owned()));
        assert_eq!(judged_as("slow", ClaimPhase::Settled, &all), Ok(vec![]));
    }

    #[test]
    fn a_claim_that_was_not_confirmed_in_time_gives_way_to_a_younger_one() {
        let all = [claim("lapsed", (1, 1), 1, 0), claim("b", (1, 1), 2, 0)];
        assert_eq!(judged_as("lapsed", ClaimPhase::Settled, &all), Ok(vec![]));
        assert_eq!(judged_as("lapsed", ClaimPhase::Lapsed, &all), Err("b".to_owned()));
        assert_eq!(judged_as("lapsed", ClaimPhase::Lapsed, &all[..1]), Ok(vec![]));
    }
}
