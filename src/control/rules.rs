//! The limits that a person sets, and what a sample of the server says of them.

use std::time::Duration;

use serde::Serialize;

use super::window::Window;
use crate::control::monitor::Sample;
use crate::units::{count, counted, duration};

/// Where a table is to have so few parts, the server's own brake is let do its work.
const FEW_PARTS: u64 = 20;

/// What is said of a limit that is [without effect](Rules::without_effect), behind its name.
pub const HAS_NO_EFFECT: &str =
    "has no effect: the user may not read the figure, or the server has none";

/// When a run waits. `None` is for no such limit, except where a default is named.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// Active parts of one partition of the target.
    pub max_parts: MaxParts,
    /// Merges under way on the server.
    pub max_merges: Option<u64>,
    /// Memory of the server, in percent of what it may take.
    pub max_server_memory_percent: Option<u8>,
    /// How far the target's replica may be behind.
    pub max_replica_delay: Option<Duration>,
    /// The time of the day.
    pub window: Option<Window>,
}

/// How many active parts a partition may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MaxParts {
    /// Half of those from which on the server slows inserts down.
    #[default]
    Auto,
    /// So many.
    Limit(u64),
    /// As many as the server takes.
    None,
}

impl Rules {
    /// How many active parts a partition may have, as far as that is known.
    pub fn parts_limit(&self, sample: &Sample) -> Option<u64> {
        match self.max_parts {
            MaxParts::Limit(limit) => Some(limit),
            MaxParts::None => None,
            MaxParts::Auto => sample
                .parts_to_delay_insert
                .filter(|&parts| parts >= FEW_PARTS)
                .map(|parts| parts / 2),
        }
    }

    /// Why a run waits, as far as these figures say.
    pub fn reasons(&self, sample: &Sample) -> Vec<String> {
        let mut reasons = Vec::new();
        let Reached { parts, merges, memory, delay } = self.reached(sample);
        if let (Some(true), Some(parts), Some(limit)) =
            (exceeds(parts), &sample.parts, self.parts_limit(sample))
        {
            reasons.push(format!("{parts}, limit {}", count(limit)));
        }
        if let (Some(true), Some(merges), Some(limit)) =
            (exceeds(merges), sample.merges, self.max_merges)
        {
            reasons.push(format!("{} running, limit {}", counted(merges, "merge"), count(limit)));
        }
        if let (Some(true), Some(percent), Some(limit)) =
            (exceeds(memory), sample.memory_percent(), self.max_server_memory_percent)
        {
            reasons.push(format!("server memory at {percent:.1} %, limit {limit} %"));
        }
        if let (Some(true), Some(seconds), Some(limit)) =
            (exceeds(delay), sample.replica_delay_seconds, self.max_replica_delay)
        {
            reasons.push(format!(
                "replica {} behind, limit {}",
                duration(Duration::from_secs(seconds)),
                duration(limit)
            ));
        }
        reasons
    }

    /// Which share of the limit that is nearest is reached; 1 as well where the server slows
    /// inserts down already.
    pub fn pressure(&self, sample: &Sample) -> f64 {
        let Reached { parts, merges, memory, delay } = self.reached(sample);
        let slowed = sample.delayed_inserts.filter(|&inserts| inserts > 0).map(|_| 1.0);
        [parts, merges, memory, delay, slowed].into_iter().flatten().fold(0.0, f64::max)
    }

    /// The limits whose figures the server does not give, so that they have no effect; by the names
    /// of their flags and settings.
    pub fn without_effect(&self, sample: &Sample) -> Vec<&'static str> {
        let Sample { parts, merges, replica_delay_seconds, .. } = sample;
        let blind = [
            ("max-parts", matches!(self.max_parts, MaxParts::Limit(_)) && parts.is_none()),
            ("max-merges", self.max_merges.is_some() && merges.is_none()),
            (
                "max-server-memory-used",
                self.max_server_memory_percent.is_some() && sample.memory_percent().is_none(),
            ),
            (
                "max-replica-delay",
                self.max_replica_delay.is_some() && replica_delay_seconds.is_none(),
            ),
        ];
        blind.into_iter().filter(|&(_, is_blind)| is_blind).map(|(name, _)| name).collect()
    }

    fn reached(&self, sample: &Sample) -> Reached {
        let of = |figure: Option<f64>, limit: Option<f64>| Some(figure? / limit?.max(0.5));
        Reached {
            parts: of(
                sample.parts.as_ref().map(|parts| parts.parts as f64),
                self.parts_limit(sample).map(|limit| limit as f64),
            ),
            merges: of(
                sample.merges.map(|merges| merges as f64),
                self.max_merges.map(|limit| limit as f64),
            ),
            memory: of(sample.memory_percent(), self.max_server_memory_percent.map(f64::from)),
            delay: of(
                sample.replica_delay_seconds.map(|seconds| seconds as f64),
                self.max_replica_delay.map(|limit| limit.as_secs_f64()),
            ),
        }
    }
}

/// Which share of each limit is reached.
struct Reached {
    parts: Option<f64>,
    merges: Option<f64>,
    memory: Option<f64>,
    delay: Option<f64>,
}

fn exceeds(share: Option<f64>) -> Option<bool> {
    share.map(|share| share > 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::monitor::PartitionParts;

    fn sample() -> Sample {
        Sample {
            parts: Some(PartitionParts { partition: "202511".to_owned(), parts: 262 }),
            parts_to_delay_insert: Some(1000),
            merges: Some(14),
            memory_used: Some(87),
            memory_total: Some(100),
            replica_delay_seconds: Some(95),
            delayed_inserts: Some(0),
            ..Sample::unknown()
        }
    }

    #[test]
    fn each_limit_has_its_words() {
        let rules = Rules {
            max_parts: MaxParts::Limit(250),
            max_merges: Some(10),
            max_server_memory_percent: Some(80),
            max_replica_delay: Some(Duration::from_secs(60)),
            window: None,
        };
        assert_eq!(
            rules.reasons(&sample()),
            [
                "262 parts in 202511, limit 250",
                "14 merges running, limit 10",
                "server memory at 87.0 %, limit 80 %",
                "replica 1 min 35 s behind, limit 1 min 00 s"
            ]
        );
        assert!((rules.pressure(&sample()) - 95.0 / 60.0).abs() < 1e-9, "the nearest counts");
        assert!(rules.reasons(&Sample::unknown()).is_empty(), "what is not known lets nobody wait");
        assert_eq!(
            rules.without_effect(&Sample::unknown()),
            ["max-parts", "max-merges", "max-server-memory-used", "max-replica-delay"]
        );
        assert!(rules.without_effect(&sample()).is_empty());
    }

    #[test]
    fn parts_have_a_limit_by_default() {
        let parts = |parts| Sample {
            parts: Some(PartitionParts { partition: "p".to_owned(), parts }),
            ..sample()
        };
        let rules = Rules::default();
        assert!(rules.reasons(&parts(500)).is_empty());
        assert_eq!(rules.reasons(&parts(501)), ["501 parts in p, limit 500"]);
        assert!((rules.pressure(&parts(400)) - 0.8).abs() < 1e-9);
        let few = Sample { parts_to_delay_insert: Some(2), ..parts(501) };
        assert!(rules.reasons(&few).is_empty() && rules.pressure(&few) < 0.1);
        assert!(Rules { max_parts: MaxParts::None, ..rules }.reasons(&parts(501)).is_empty());
    }

    #[test]
    fn inserts_that_the_server_slows_down_are_pressure() {
        let slowed = Sample { delayed_inserts: Some(1), ..Sample::unknown() };
        assert!(
            Rules::default().pressure(&slowed) >= 1.0
                && Rules::default().reasons(&slowed).is_empty()
        );
    }
}
