//! The lease of a claim: until when its process may send inserts.
//!
//! Another process may take a claim over once three heartbeats are missing. The lease ends a margin
//! before that, counted from the moment before the last confirmed heartbeat was sent, so no insert
//! begins that a successor does not see. It is measured by a clock that also counts the time during
//! which the process was stopped or the machine was suspended.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{ClaimStatus, LiveClaim, ProcessIdentity, Timestamp};
use crate::sync::Mutex;

/// The share of the time that others wait by which the lease is shorter.
const MARGIN: u32 = 6;

/// A moment by a clock that cannot be set, and that also counts the time of a suspended machine
/// ([`CLOCK_BOOTTIME`](https://man7.org/linux/man-pages/man2/clock_gettime.2.html)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Duration);

impl Moment {
    #[cfg(target_os = "linux")]
    pub(crate) fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
        Self(Duration::new(seconds, nanoseconds))
    }

    /// Elsewhere the time of a suspended machine may not count.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn now() -> Self {
        use std::sync::OnceLock;
        use std::time::Instant;
        static START: OnceLock<Instant> = OnceLock::new();
        Self(START.get_or_init(Instant::now).elapsed())
    }

    /// How long ago it was.
    pub(crate) fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

/// The time for which the ledger has confirmed a claim. Cheap to clone. The default is that of a
/// process without a claim: it never ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lease(Option<Arc<Term>>);

#[derive(Debug)]
struct Term {
    lasts: Duration,
    state: watch::Sender<LeaseState>,
}

#[derive(Clone, Copy, Debug)]
enum LeaseState {
    ConfirmedAt(Moment),
    /// The last confirmed heartbeat was sent at this moment.
    Lost(Moment),
}

impl LeaseState {
    fn confirmed_at(self) -> Moment {
        let (Self::ConfirmedAt(at) | Self::Lost(at)) = self;
        at
    }
}

/// The claim of the lease was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeaseLost;

impl Lease {
    /// The lease of a claim that was confirmed at this moment, and that no other process takes over
    /// before `untouched` is over.
    pub(super) fn new(confirmed_at: Moment, untouched: Duration) -> Self {
        let (state, _) = watch::channel(LeaseState::ConfirmedAt(confirmed_at));
        let lasts = untouched.saturating_sub(untouched / MARGIN);
        Self(Some(Arc::new(Term { lasts, state })))
    }

    /// Extends it: a heartbeat that was sent after this moment is known to count.
    pub(super) fn confirm(&self, at: Moment) {
        let Some(term) = &self.0 else { return };
        term.state.send_modify(|state| {
            if let LeaseState::ConfirmedAt(before) = state {
                *before = at.max(*before);
            }
        });
    }

    /// Ends it: nothing confirms it again.
    pub(crate) fn lose(&self) {
        if let Some(term) = &self.0 {
            term.state.send_modify(|state| *state = LeaseState::Lost(state.confirmed_at()));
        }
    }

    /// How long ago the last confirmed heartbeat was sent.
    pub(crate) fn since_confirmed(&self) -> Duration {
        let state = self.0.as_ref().map(|term| *term.state.borrow());
        state.map_or(Duration::ZERO, |state| state.confirmed_at().elapsed())
    }

    /// The time since the last confirmed heartbeat was sent, where that is longer than the lease
    /// lasts.
    pub(crate) fn silence(&self) -> Option<Duration> {
        let term = self.0.as_ref()?;
        let silence = term.state.borrow().confirmed_at().elapsed();
        (silence >= term.lasts).then_some(silence)
    }

    /// Whether it is over, so that another process may have taken over.
    pub(crate) fn has_lapsed(&self) -> bool {
        self.0.as_ref().is_some_and(|term| match *term.state.borrow() {
            LeaseState::ConfirmedAt(at) => at.elapsed() >= term.lasts,
            LeaseState::Lost(_) => true,
        })
    }

    /// Waits until the claim is confirmed. What follows must begin at once.
    ///
    /// # Errors
    /// [`LeaseLost`]: another process may do the work now.
    pub(crate) async fn held(&self) -> Result<(), LeaseLost> {
        let Some(term) = &self.0 else { return Ok(()) };
        let mut state = term.state.subscribe();
        loop {
            match *state.borrow_and_update() {
                LeaseState::Lost(_) => return Err(LeaseLost),
                LeaseState::ConfirmedAt(at) if at.elapsed() < term.lasts => return Ok(()),
                LeaseState::ConfirmedAt(_) => {}
            }
            state.changed().await.map_err(|_| LeaseLost)?;
        }
    }
}

/// No clock is so slow: an older heartbeat is that of a dead process.
const LONG_AGO: Duration = Duration::from_secs(24 * 3600);

/// Claims of other machines in a ledger of files, which has no clock of its own: a process whose
/// clock is wrong looks alive for ever, or dead while it works. What counts is whether its heartbeat
/// changes while this process looks at it.
#[derive(Debug, Default)]
pub(super) struct Watched(Mutex<HashMap<String, Seen>>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    heartbeat_at: Timestamp,
    since: Moment,
    has_changed: bool,
}

impl Watched {
    /// Replaces the ages of claims whose times say nothing by how long their heartbeats were seen
    /// not to change. Gives those of which it is not known yet whether their processes live.
    pub(super) fn look(
        &self,
        claims: &mut [LiveClaim],
        timeout: Duration,
        here: &ProcessIdentity,
    ) -> Vec<LiveClaim> {
        let mut seen = self.0.lock();
        let mut unknown = Vec::new();
        for claim in claims {
            let limit = timeout.max(claim.claim.untouched());
            let Some(ahead) = claim.ahead else { continue };
            let is_elsewhere = claim.claim.process.machine.is_empty()
                || claim.claim.process.machine != here.machine;
            let is_known = seen.contains_key(&claim.claim.claim_id);
            let is_doubtful = ahead > limit || (limit..LONG_AGO).contains(&claim.age);
            if claim.claim.status != ClaimStatus::Held
                || !is_elsewhere
                || !(is_doubtful || is_known)
            {
                continue;
            }
            let (heartbeat_at, now) = (claim.heartbeat_at, Moment::now());
            let first = Seen { heartbeat_at, since: now, has_changed: false };
            let seen = seen.entry(claim.claim.claim_id.clone()).or_insert(first);
            if seen.heartbeat_at != heartbeat_at {
                *seen = Seen { heartbeat_at, since: now, has_changed: true };
            }
            (claim.age, claim.ahead) = (seen.since.elapsed(), Some(Duration::ZERO));
            if !seen.has_changed && claim.age <= limit {
                unknown.push(claim.clone());
            }
        }
        unknown
    }
}

#[cfg(test)]
mod tests {
    use super::super::claim::tests::claim;
    use super::*;

    fn before(seconds: u64) -> Moment {
        Moment(Moment::now().0.saturating_sub(Duration::from_secs(seconds)))
    }

    #[tokio::test]
    async fn nothing_begins_between_the_end_of_a_lease_and_the_next_confirmation() {
        let lease = Lease::new(before(26), Duration::from_secs(30));
        assert!(lease.has_lapsed(), "it ends 5 s before others may take over");
        let waiting = tokio::spawn({
            let lease = lease.clone();
            async move { lease.held().await }
        });
        tokio::task::yield_now().await;
        // A confirmation that is older than the lease is long changes nothing.
        lease.confirm(before(25));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        lease.confirm(before(24));
        assert_eq!(waiting.await.unwrap(), Ok(()));
        assert!(!lease.has_lapsed());
    }

    #[tokio::test]
    async fn a_lost_lease_is_never_confirmed_again() {
        let lease = Lease::new(before(0), Duration::from_secs(30));
        assert_eq!(lease.held().await, Ok(()));
        lease.lose();
        lease.confirm(Moment::now());
        assert_eq!(lease.held().await, Err(LeaseLost));
        assert!(lease.has_lapsed() && lease.since_confirmed() < Duration::from_secs(30));
    }

    #[tokio::test]
    async fn without_a_claim_there_is_nothing_to_wait_for() {
        assert_eq!(Lease::default().held().await, Ok(()));
        assert!(!Lease::default().has_lapsed());
    }

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn only_a_heartbeat_that_changes_is_a_sign_of_life_where_clocks_differ() {
        let (watched, here) = (Watched::default(), ProcessIdentity::default());
        let claim = |id: &str, age: u64| LiveClaim {
            ahead: Some(Duration::ZERO),
            ..claim(id, (1, 1), 1, age)
        };
        let mut ahead = claim("ahead", 0);
        ahead.ahead = Some(Duration::from_secs(3600));
        let by_ledger = LiveClaim { ahead: None, ..claim("by the ledger's clock", 90) };
        let dead = claim("dead for days", 90_000);
        let mut claims =
            [ahead.clone(), claim("fresh", 5), claim("old", 90), by_ledger.clone(), dead.clone()];
        let ids = |claims: Vec<LiveClaim>| {
            claims.into_iter().map(|claim| claim.claim.claim_id).collect::<Vec<_>>()
        };
        assert_eq!(ids(watched.look(&mut claims, LIMIT, &here)), ["ahead", "old"]);
        assert!(claims[..3].iter().all(|claim| claim.is_alive(LIMIT, &here)), "{claims:?}");
        assert_eq!(claims[3..], [by_ledger, dead]);

        // One of them changes.
        ahead.heartbeat_at = Timestamp(2);
        let mut claims = [ahead, claim("old", 91)];
        assert_eq!(ids(watched.look(&mut claims, LIMIT, &here)), ["old"]);

        // The other one does not.
        let zero = Duration::ZERO;
        let mut old = claim("old", 91);
        old.claim.heartbeat_seconds = 0;
        std::thread::sleep(Duration::from_millis(2));
        let mut claims = [old];
        assert!(watched.look(&mut claims, zero, &here).is_empty());
        assert!(claims[0].has_expired(zero));
    }
}
