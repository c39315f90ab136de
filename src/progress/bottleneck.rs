//! What limits a run: the stage that the others wait for, and the reasons why no rows move.
//!
//! | Tasks over the last seconds | Bottleneck |
//! |---|---|
//! | readers wait for room in the queue more than inserters wait for batches | insert |
//! | inserters wait; most readers wait for rows of the server | read |
//! | inserters wait; most readers process rows | enrich |
//! | inserters wait; most readers wait for a deferred lookup | lookup |
//! | inserters wait; most readers wait because of the limit of rows per second | none |

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::engine::stream::{Activities, Phase, Snapshot};
use crate::retry::RetryStatus;
use crate::units::{counted, duration};

/// How far back samples of the tasks go.
const WINDOW: Duration = Duration::from_secs(10);
/// The bottleneck is unknown until samples cover this time.
const KNOWN_AFTER: Duration = Duration::from_secs(2);
/// A run that has moved nothing for this time is waiting for something.
const IDLE_AFTER: Duration = Duration::from_secs(5);

/// A stage that every row passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Lookup,
    Read,
    Enrich,
    Insert,
}

impl Stage {
    /// Its name on the screen.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Read => "read",
            Self::Enrich => "enrich",
            Self::Insert => "insert",
        }
    }
}

/// How many tasks do what.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tasks {
    pub reading: u64,
    pub enriching: u64,
    pub looking_up: u64,
    pub queueing: u64,
    pub throttling: u64,
    pub idling: u64,
    pub inserting: u64,
}

impl From<&Activities> for Tasks {
    fn from(activities: &Activities) -> Self {
        // Without `..`, so that a new field does not compile until it is added here.
        let Activities { reading, enriching, looking_up, queueing, throttling, idling, inserting } =
            activities;
        Self {
            reading: reading.tasks(),
            enriching: enriching.tasks(),
            looking_up: looking_up.tasks(),
            queueing: queueing.tasks(),
            throttling: throttling.tasks(),
            idling: idling.tasks(),
            inserting: inserting.tasks(),
        }
    }
}

impl Tasks {
    /// All readers.
    pub(super) fn readers(self) -> u64 {
        self.reading + self.enriching + self.looking_up + self.queueing + self.throttling
    }
}

/// Recent samples of the tasks.
#[derive(Debug, Default)]
pub(super) struct StageSampler {
    seen: VecDeque<(Instant, Tasks)>,
}

impl StageSampler {
    pub(super) fn note(&mut self, now: Instant, tasks: Tasks) {
        self.seen.push_back((now, tasks));
        while self.seen.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.seen.pop_front();
        }
    }

    /// The stage that the others wait for; `None` while it is unknown.
    pub(super) fn bottleneck(&self, phase: Phase) -> Option<Stage> {
        match phase {
            Phase::Lookup => return Some(Stage::Lookup),
            Phase::Stream => {}
            Phase::Plan | Phase::Done => return None,
        }
        let ((began, _), (ended, _)) = (self.seen.front()?, self.seen.back()?);
        if ended.duration_since(*began) < KNOWN_AFTER {
            return None;
        }
        let mut sum = Tasks::default();
        for (_, tasks) in &self.seen {
            sum.reading += tasks.reading;
            sum.enriching += tasks.enriching;
            sum.looking_up += tasks.looking_up;
            sum.queueing += tasks.queueing;
            sum.throttling += tasks.throttling;
            sum.idling += tasks.idling;
            sum.inserting += tasks.inserting;
        }
        slowest(sum)
    }
}

fn slowest(tasks: Tasks) -> Option<Stage> {
    if tasks.readers() == 0 {
        return (tasks.inserting > 0).then_some(Stage::Insert);
    }
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    let blocked = share(tasks.queueing, tasks.readers());
    let starving = share(tasks.idling, tasks.idling + tasks.inserting);
    if blocked > starving {
        return Some(Stage::Insert);
    }
    let upstream = [
        (tasks.throttling, None),
        (tasks.reading, Some(Stage::Read)),
        (tasks.enriching, Some(Stage::Enrich)),
        (tasks.looking_up, Some(Stage::Lookup)),
    ];
    upstream.into_iter().max_by_key(|(times, _)| *times).and_then(|(_, stage)| stage)
}

/// The time since which nothing has moved.
#[derive(Debug)]
pub(super) struct Idle {
    since: Instant,
    moved: [u64; 3],
}

impl Idle {
    pub(super) fn since(now: Instant) -> Self {
        Self { since: now, moved: [0; 3] }
    }

    pub(super) fn note(&mut self, now: Instant, numbers: &Snapshot) {
        let moved = [numbers.lookup_bytes, numbers.source_bytes, numbers.inserted_bytes];
        if moved != self.moved {
            (self.since, self.moved) = (now, moved);
        }
    }

    /// For how long nothing has moved, if that is at least [`IDLE_AFTER`].
    fn time(&self, now: Instant) -> Option<Duration> {
        Some(now.saturating_duration_since(self.since)).filter(|&time| time >= IDLE_AFTER)
    }
}

/// Why the run waits, the most important reason first; empty while rows move and nothing holds them
/// back.
pub(super) fn waiting_reasons(
    now: Instant,
    phase: Phase,
    tasks: Tasks,
    idle: &Idle,
    held_back: Vec<String>,
    retry_status: &RetryStatus,
) -> Vec<String> {
    let mut reasons = held_back;
    let outages = retry_status.outages().into_iter().map(|outage| {
        let time = now.saturating_duration_since(outage.since);
        format!(
            "{} does not answer for {}, limit {}",
            outage.url,
            duration(time),
            duration(outage.longest)
        )
    });
    reasons.extend(outages);
    let (true, Some(time)) = (reasons.is_empty(), idle.time(now)) else { return reasons };
    reasons.extend(idle_reason(now, phase, tasks, time, retry_status));
    reasons
}

/// What a run that moves nothing is waiting for.
fn idle_reason(
    now: Instant,
    phase: Phase,
    tasks: Tasks,
    time: Duration,
    retry_status: &RetryStatus,
) -> Option<String> {
    let pause = retry_status
        .last_retry()
        .and_then(|retry| retry.retry_at.checked_duration_since(now))
        .filter(|pause| !pause.is_zero());
    if let Some(pause) = pause {
        return Some(format!("the next retry in {}", duration(pause)));
    }
    let time = duration(time);
    match phase {
        Phase::Lookup => Some(format!("attributes from the server, none received for {time}")),
        Phase::Stream if tasks.inserting > 0 => Some(format!(
            "the server to acknowledge {}, no answer for {time}",
            counted(tasks.inserting, "insert")
        )),
        Phase::Stream if tasks.looking_up > 0 => {
            Some(format!("a deferred lookup, no answer for {time}"))
        }
        Phase::Stream if tasks.reading > 0 => Some(format!(
            "rows of {} from the server, none received for {time}",
            counted(tasks.reading, "chunk")
        )),
        Phase::Plan | Phase::Stream | Phase::Done => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottleneck_is_what_the_others_wait_for() {
        let none = Tasks::default();
        assert_eq!(slowest(none), None);
        assert_eq!(
            slowest(Tasks { reading: 10, enriching: 10, queueing: 60, inserting: 80, ..none }),
            Some(Stage::Insert)
        );
        assert_eq!(
            slowest(Tasks { reading: 70, enriching: 10, inserting: 20, idling: 60, ..none }),
            Some(Stage::Read)
        );
        assert_eq!(
            slowest(Tasks { reading: 10, enriching: 70, inserting: 20, idling: 60, ..none }),
            Some(Stage::Enrich)
        );
        assert_eq!(
            slowest(Tasks { reading: 10, looking_up: 70, inserting: 20, idling: 60, ..none }),
            Some(Stage::Lookup)
        );
        assert_eq!(
            slowest(Tasks { reading: 10, throttling: 70, inserting: 20, idling: 60, ..none }),
            None
        );
        assert_eq!(
            slowest(Tasks { inserting: 2, idling: 6, ..none }),
            Some(Stage::Insert),
            "the last batches"
        );
    }

    #[test]
    fn the_bottleneck_is_of_the_last_seconds() {
        let (mut sampler, begin) = (StageSampler::default(), Instant::now());
        let full = Tasks { queueing: 2, inserting: 2, ..Tasks::default() };
        let empty = Tasks { reading: 2, idling: 2, ..Tasks::default() };
        assert_eq!(
            (sampler.bottleneck(Phase::Lookup), sampler.bottleneck(Phase::Stream)),
            (Some(Stage::Lookup), None)
        );
        for second in 0..20 {
            sampler
                .note(begin + Duration::from_secs(second), if second < 5 { empty } else { full });
            let expected = match second {
                0..2 => None,
                2..10 => Some(Stage::Read),
                _ => Some(Stage::Insert),
            };
            // Between, both have waited about as much.
            assert!(
                (8..12).contains(&second) || sampler.bottleneck(Phase::Stream) == expected,
                "after {second} s: {sampler:?}"
            );
        }
    }

    #[test]
    fn an_idle_run_names_its_reason() {
        let (begin, retry_status) = (Instant::now(), RetryStatus::default());
        let mut idle = Idle::since(begin);
        let after = |seconds| begin + Duration::from_secs(seconds);
        let at = |idle: &Idle, seconds, phase, tasks| {
            waiting_reasons(after(seconds), phase, tasks, idle, Vec::new(), &retry_status)
        };
        let inserting = Tasks { inserting: 1, reading: 2, ..Tasks::default() };
        let reading = Tasks { inserting: 0, ..inserting };
        assert!(at(&idle, 4, Phase::Stream, inserting).is_empty());
        assert_eq!(
            at(&idle, 34, Phase::Stream, inserting),
            ["the server to acknowledge 1 insert, no answer for 34.0 s"]
        );
        assert_eq!(
            at(&idle, 34, Phase::Stream, reading),
            ["rows of 2 chunks from the server, none received for 34.0 s"]
        );
        let held_back = vec!["262 parts in 202511, limit 250".to_owned()];
        assert_eq!(
            waiting_reasons(
                after(34),
                Phase::Stream,
                inserting,
                &idle,
                held_back.clone(),
                &retry_status
            ),
            held_back
        );
        assert_eq!(
            at(&idle, 34, Phase::Lookup, reading),
            ["attributes from the server, none received for 34.0 s"]
        );
        idle.note(after(32), &Snapshot { inserted_bytes: 1, ..Snapshot::default() });
        assert!(at(&idle, 34, Phase::Stream, inserting).is_empty(), "something moved");
    }
}
