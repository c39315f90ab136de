//! Which stage the others wait for.
//!
//! | What tasks are at, over the last seconds | The bottleneck |
//! |---|---|
//! | readers wait for room in the queue more than inserters wait for batches | insert |
//! | inserters wait, and readers mostly wait for the server's rows | read |
//! | inserters wait, and readers are mostly busy with rows | enrich |
//! | inserters wait, and readers mostly wait for keys that are looked up late | lookup |
//! | inserters wait, and readers mostly wait because of the limit of rows a second | none |

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::engine::stream::{Activities, Phase};

/// How far back is looked.
const SPAN: Duration = Duration::from_secs(10);
/// Nothing is said before so much was seen.
const ENOUGH: Duration = Duration::from_secs(2);

/// A part of the way of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Lookup,
    Read,
    Enrich,
    Insert,
}

impl Stage {
    /// As it is called on the screen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Read => "read",
            Self::Enrich => "enrich",
            Self::Insert => "insert",
        }
    }
}

/// How many tasks were at what.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tasks {
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
        // None is left out: one that is added does not compile here.
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
    /// Readers, whatever they are at.
    pub fn readers(self) -> u64 {
        self.reading + self.enriching + self.looking_up + self.queueing + self.throttling
    }
}

/// Looks at the tasks now and then.
#[derive(Debug, Default)]
pub(super) struct Lookout {
    seen: VecDeque<(Instant, Tasks)>,
}

impl Lookout {
    pub fn note(&mut self, now: Instant, tasks: Tasks) {
        self.seen.push_back((now, tasks));
        while self.seen.front().is_some_and(|(at, _)| now.duration_since(*at) > SPAN) {
            self.seen.pop_front();
        }
    }

    /// The stage that the others wait for; `None` while that cannot be said.
    pub fn bottleneck(&self, phase: Phase) -> Option<Stage> {
        match phase {
            Phase::Lookup => return Some(Stage::Lookup),
            Phase::Stream => {}
            Phase::Plan | Phase::Done => return None,
        }
        let ((began, _), (ended, _)) = (self.seen.front()?, self.seen.back()?);
        if ended.duration_since(*began) < ENOUGH {
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
    fn it_is_looked_at_for_a_while() {
        let (mut lookout, begin) = (Lookout::default(), Instant::now());
        let full = Tasks { queueing: 2, inserting: 2, ..Tasks::default() };
        let empty = Tasks { reading: 2, idling: 2, ..Tasks::default() };
        assert_eq!(
            (lookout.bottleneck(Phase::Lookup), lookout.bottleneck(Phase::Stream)),
            (Some(Stage::Lookup), None)
        );
        for second in 0..20 {
            lookout
                .note(begin + Duration::from_secs(second), if second < 5 { empty } else { full });
            let expected = match second {
                0..2 => None,
                2..10 => Some(Stage::Read),
                _ => Some(Stage::Insert),
            };
            // Between, both have waited about as much.
            assert!(
                (8..12).contains(&second) || lookout.bottleneck(Phase::Stream) == expected,
                "after {second} s: {lookout:?}"
            );
        }
    }
}
