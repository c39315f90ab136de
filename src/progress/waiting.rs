//! Why nothing moves: the sentence behind `waiting:`.

use std::time::{Duration, Instant};

use super::bottleneck::Tasks;
use crate::engine::stream::{Phase, Snapshot, Trouble};
use crate::units::{counted, duration};

/// When nothing has moved for so long, the reason is looked for.
const STILL: Duration = Duration::from_secs(5);

/// Since when nothing has moved.
#[derive(Debug)]
pub(super) struct Idle {
    since: Instant,
    moved: [u64; 3],
}

impl Idle {
    pub fn since(now: Instant) -> Self {
        Self { since: now, moved: [0; 3] }
    }

    pub fn note(&mut self, now: Instant, numbers: &Snapshot) {
        let moved = [numbers.lookup_bytes, numbers.source_bytes, numbers.inserted_bytes];
        if moved != self.moved {
            (self.since, self.moved) = (now, moved);
        }
    }

    /// For how long nothing has moved, where that is long.
    fn long(&self, now: Instant) -> Option<Duration> {
        Some(now.saturating_duration_since(self.since)).filter(|&time| time >= STILL)
    }
}

/// All reasons, the gravest first; empty while rows move and nobody holds them.
pub(super) fn reasons(
    now: Instant,
    phase: Phase,
    tasks: Tasks,
    idle: &Idle,
    held_back: Vec<String>,
    trouble: &Trouble,
) -> Vec<String> {
    let mut reasons = held_back;
    let outages = trouble.outages().into_iter().map(|outage| {
        let time = now.saturating_duration_since(outage.since);
        format!(
            "{} does not answer for {}, limit {}",
            outage.url,
            duration(time),
            duration(outage.longest)
        )
    });
    reasons.extend(outages);
    let (true, Some(still)) = (reasons.is_empty(), idle.long(now)) else { return reasons };
    let still = duration(still);
    let pause = trouble
        .last_retry()
        .and_then(|retry| retry.again_at.checked_duration_since(now))
        .filter(|pause| !pause.is_zero());
    let reason = match (pause, phase) {
        (Some(pause), _) => Some(format!("the next try in {}, after a failure", duration(pause))),
        (None, Phase::Lookup) => Some(format!("attributes from the server, none came for {still}")),
        (None, Phase::Stream) if tasks.inserting > 0 => Some(format!(
            "the server's answer to {}, none came for {still}",
            counted(tasks.inserting, "insert")
        )),
        (None, Phase::Stream) if tasks.looking_up > 0 => {
            Some(format!("keys that are looked up late, none came for {still}"))
        }
        (None, Phase::Stream) if tasks.reading > 0 => Some(format!(
            "rows from the server for {}, none came for {still}",
            counted(tasks.reading, "chunk")
        )),
        (None, Phase::Plan | Phase::Stream | Phase::Done) => None,
    };
    reasons.extend(reason);
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_said_when_nothing_moves() {
        let (begin, trouble) = (Instant::now(), Trouble::default());
        let mut idle = Idle::since(begin);
        let after = |seconds| begin + Duration::from_secs(seconds);
        let at = |idle: &Idle, seconds, phase, tasks| {
            reasons(after(seconds), phase, tasks, idle, Vec::new(), &trouble)
        };
        let inserting = Tasks { inserting: 1, reading: 2, ..Tasks::default() };
        let reading = Tasks { inserting: 0, ..inserting };
        assert!(at(&idle, 4, Phase::Stream, inserting).is_empty());
        assert_eq!(
            at(&idle, 34, Phase::Stream, inserting),
            ["the server's answer to 1 insert, none came for 34.0 s"]
        );
        assert_eq!(
            at(&idle, 34, Phase::Stream, reading),
            ["rows from the server for 2 chunks, none came for 34.0 s"]
        );
        let held_back = vec!["262 parts in 202511, limit 250".to_owned()];
        assert_eq!(
            reasons(after(34), Phase::Stream, inserting, &idle, held_back.clone(), &trouble),
            held_back
        );
        assert_eq!(
            at(&idle, 34, Phase::Lookup, reading),
            ["attributes from the server, none came for 34.0 s"]
        );
        idle.note(after(32), &Snapshot { inserted_bytes: 1, ..Snapshot::default() });
        assert!(at(&idle, 34, Phase::Stream, inserting).is_empty(), "something moved");
    }
}
