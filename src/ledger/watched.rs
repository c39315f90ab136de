//! Claims of other machines in a ledger of files, which has no clock of its own: a process whose
//! clock is wrong looks alive for ever, or dead while it works. What counts is whether its heartbeat
//! changes while this process looks at it.

use std::collections::HashMap;
use std::time::Duration;

use super::lease::Moment;
use super::{ClaimStatus, LiveClaim, ProcessIdentity, Timestamp};
use crate::sync::Mutex;

/// No clock is so slow: an older heartbeat is that of a dead process.
const LONG_AGO: Duration = Duration::from_secs(24 * 3600);

/// What was seen of the claims whose times say nothing.
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
