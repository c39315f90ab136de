//! When a run waits or slows down: limits on the figures of the server, and a query of the user.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, timeout};

use super::monitor::ServerStats;
use super::window::DailyWindow;
use crate::clickhouse::{Connection, Error, Settings};
use crate::units::{count, counted, duration};

/// Below this number of `parts_to_delay_insert`, the server's own brake is enough.
const FEW_PARTS: u64 = 20;

/// The words after the name of a limit that is [without effect](Rules::without_effect).
pub(crate) const HAS_NO_EFFECT: &str =
    "has no effect: the user may not read the figure, or the server has none";

/// When a run waits. `None` is no limit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rules {
    /// The most active parts of one partition of the target.
    pub max_parts: MaxParts,
    /// The most merges in progress on the server.
    pub max_merges: Option<u64>,
    /// The most memory of the server, in percent of its limit.
    pub max_server_memory_percent: Option<u8>,
    /// The longest delay of the target's replica.
    pub max_replica_delay: Option<Duration>,
    /// The time of day.
    pub window: Option<DailyWindow>,
}

/// The limit of active parts of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MaxParts {
    /// Half of the number from which the server slows inserts down.
    #[default]
    Auto,
    /// This many.
    Limit(u64),
    /// No limit.
    None,
}

impl Rules {
    /// The limit of active parts of a partition, if there is one and it is known.
    pub(crate) fn parts_limit(&self, stats: &ServerStats) -> Option<u64> {
        match self.max_parts {
            MaxParts::Limit(limit) => Some(limit),
            MaxParts::None => None,
            MaxParts::Auto => stats
                .parts_to_delay_insert
                .filter(|&parts| parts >= FEW_PARTS)
                .map(|parts| parts / 2),
        }
    }

    /// Why a run waits according to these figures.
    pub(crate) fn reasons(&self, stats: &ServerStats) -> Vec<String> {
        let mut reasons = Vec::new();
        let ReachedShares { parts, merges, memory, delay } = self.reached(stats);
        if let (Some(true), Some(parts), Some(limit)) =
            (exceeds(parts), &stats.parts, self.parts_limit(stats))
        {
            reasons.push(format!("{parts}, limit {}", count(limit)));
        }
        if let (Some(true), Some(merges), Some(limit)) =
            (exceeds(merges), stats.merges, self.max_merges)
        {
            reasons.push(format!("{} running, limit {}", counted(merges, "merge"), count(limit)));
        }
        if let (Some(true), Some(percent), Some(limit)) =
            (exceeds(memory), stats.memory_percent(), self.max_server_memory_percent)
        {
            reasons.push(format!("server memory at {percent:.1} %, limit {limit} %"));
        }
        if let (Some(true), Some(seconds), Some(limit)) =
            (exceeds(delay), stats.replica_delay_seconds, self.max_replica_delay)
        {
            reasons.push(format!(
                "replica {} behind, limit {}",
                duration(Duration::from_secs(seconds)),
                duration(limit)
            ));
        }
        reasons
    }

    /// The largest share of a limit that is reached; at least 1 while the server slows inserts
    /// down.
    pub(crate) fn pressure(&self, stats: &ServerStats) -> f64 {
        let ReachedShares { parts, merges, memory, delay } = self.reached(stats);
        let slowed = stats.delayed_inserts.filter(|&inserts| inserts > 0).map(|_| 1.0);
        [parts, merges, memory, delay, slowed].into_iter().flatten().fold(0.0, f64::max)
    }

    /// The limits without effect, since their figures are unknown; by the names of their flags and
    /// settings.
    pub(crate) fn without_effect(&self, stats: &ServerStats) -> Vec<&'static str> {
        let ServerStats { parts, merges, replica_delay_seconds, .. } = stats;
        let unknown = [
            ("max-parts", matches!(self.max_parts, MaxParts::Limit(_)) && parts.is_none()),
            ("max-merges", self.max_merges.is_some() && merges.is_none()),
            (
                "max-server-memory-used",
                self.max_server_memory_percent.is_some() && stats.memory_percent().is_none(),
            ),
            (
                "max-replica-delay",
                self.max_replica_delay.is_some() && replica_delay_seconds.is_none(),
            ),
        ];
        unknown.into_iter().filter(|&(_, is_unknown)| is_unknown).map(|(name, _)| name).collect()
    }

    fn reached(&self, stats: &ServerStats) -> ReachedShares {
        let of = |figure: Option<f64>, limit: Option<f64>| Some(figure? / limit?.max(0.5));
        ReachedShares {
            parts: of(
                stats.parts.as_ref().map(|parts| parts.parts as f64),
                self.parts_limit(stats).map(|limit| limit as f64),
            ),
            merges: of(
                stats.merges.map(|merges| merges as f64),
                self.max_merges.map(|limit| limit as f64),
            ),
            memory: of(stats.memory_percent(), self.max_server_memory_percent.map(f64::from)),
            delay: of(
                stats.replica_delay_seconds.map(|seconds| seconds as f64),
                self.max_replica_delay.map(|limit| limit.as_secs_f64()),
            ),
        }
    }
}

/// The share of each limit that is reached.
struct ReachedShares {
    parts: Option<f64>,
    merges: Option<f64>,
    memory: Option<f64>,
    delay: Option<f64>,
}

fn exceeds(share: Option<f64>) -> Option<bool> {
    share.map(|share| share > 1.0)
}

/// The time between two changes: an effect takes time to show.
const REST: Duration = Duration::from_secs(10);
/// The share of a limit from which on it is near.
const NEAR: f64 = 0.9;

/// A cap on the number of inserters while the server is near a limit: half, then one more at a time.
#[derive(Debug, Default)]
pub(super) struct InserterCap {
    cap: Option<CapLevel>,
    changed_at: Option<Instant>,
    pressure: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CapLevel {
    now: usize,
    /// The number of inserters before there was a cap.
    before: usize,
}

impl InserterCap {
    /// The cap from now on, `usize::MAX` for none. `pressure` is the share of a limit that is
    /// reached, and `level` the number of inserters.
    pub(super) fn next(&mut self, now: Instant, pressure: f64, level: usize) -> usize {
        if self.changed_at.is_none_or(|changed| now.saturating_duration_since(changed) >= REST) {
            // A figure that stays near its limit, such as the memory of a server with large caches,
            // is not caused by this run.
            let too_much = pressure >= 1.0 || (pressure >= NEAR && pressure > self.pressure);
            let cap = match self.cap {
                _ if too_much => Some(self.half(level)),
                Some(cap) if pressure < NEAR => {
                    Some(CapLevel { now: cap.now + 1, ..cap }).filter(|cap| cap.now < cap.before)
                }
                unchanged => unchanged,
            };
            if cap != self.cap {
                tracing::debug!(pressure, before = ?self.cap, after = ?cap, "the cap on inserters changes");
            }
            (self.cap, self.changed_at, self.pressure) = (cap, Some(now), pressure);
        }
        self.cap.map_or(usize::MAX, |cap| cap.now)
    }

    fn half(&self, level: usize) -> CapLevel {
        let CapLevel { now, before } = self.cap.unwrap_or(CapLevel { now: level, before: level });
        CapLevel { now: (now.min(level) / 2).max(1), before }
    }
}

/// How long the throttle query may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// The number of characters of an answer that are shown.
const SHOWN: usize = 200;

/// A query of the user. It returns nothing, an empty text or 0 while the run may go on, and otherwise
/// the reason to wait.
#[derive(Clone)]
pub(crate) struct ThrottleQuery {
    connection: Connection,
    sql: String,
}

impl ThrottleQuery {
    /// A query for this server.
    pub(crate) fn new(connection: Connection, sql: &str) -> Self {
        // The format follows the query, and must not become part of a comment.
        let sql = format!("{}\n", sql.trim().trim_end_matches(';'));
        Self { connection, sql }
    }

    /// The reason to wait, if there is one.
    ///
    /// # Errors
    /// The query fails or takes too long.
    pub(crate) async fn reason(&self) -> Result<Option<String>, Error> {
        let settings = Settings::read();
        let asked = self.connection.fetch("throttle", &self.sql, "TabSeparatedRaw", &settings);
        let answer = timeout(ANSWER_LIMIT, asked).await.map_err(|_| Error::Timeout {
            what: "the answer of the throttle query",
            after: ANSWER_LIMIT,
        })??;
        Ok(first_line(&String::from_utf8_lossy(&answer)))
    }
}

/// The first line that is not empty, without control characters.
fn first_line(answer: &str) -> Option<String> {
    let line = answer.lines().map(str::trim).find(|line| !line.is_empty())?;
    let text: String =
        line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    // `\N` is NULL.
    (text != "0" && text != "\\N").then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::monitor::FullestPartition;

    fn stats() -> ServerStats {
        ServerStats {
            parts: Some(FullestPartition { partition: "202511".to_owned(), parts: 262 }),
            parts_to_delay_insert: Some(1000),
            merges: Some(14),
            memory_used: Some(87),
            memory_total: Some(100),
            replica_delay_seconds: Some(95),
            delayed_inserts: Some(0),
            ..ServerStats::unknown()
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
            rules.reasons(&stats()),
            [
                "262 parts in 202511, limit 250",
                "14 merges running, limit 10",
                "server memory at 87.0 %, limit 80 %",
                "replica 1 min 35 s behind, limit 1 min 00 s"
            ]
        );
        assert!((rules.pressure(&stats()) - 95.0 / 60.0).abs() < 1e-9, "the nearest counts");
        assert!(
            rules.reasons(&ServerStats::unknown()).is_empty(),
            "what is not known lets nobody wait"
        );
        assert_eq!(
            rules.without_effect(&ServerStats::unknown()),
            ["max-parts", "max-merges", "max-server-memory-used", "max-replica-delay"]
        );
        assert!(rules.without_effect(&stats()).is_empty());
    }

    #[test]
    fn parts_have_a_limit_by_default() {
        let parts = |parts| ServerStats {
            parts: Some(FullestPartition { partition: "p".to_owned(), parts }),
            ..stats()
        };
        let rules = Rules::default();
        assert!(rules.reasons(&parts(500)).is_empty());
        assert_eq!(rules.reasons(&parts(501)), ["501 parts in p, limit 500"]);
        assert!((rules.pressure(&parts(400)) - 0.8).abs() < 1e-9);
        let few = ServerStats { parts_to_delay_insert: Some(2), ..parts(501) };
        assert!(rules.reasons(&few).is_empty() && rules.pressure(&few) < 0.1);
        assert!(Rules { max_parts: MaxParts::None, ..rules }.reasons(&parts(501)).is_empty());
    }

    #[test]
    fn inserts_that_the_server_slows_down_are_pressure() {
        let slowed = ServerStats { delayed_inserts: Some(1), ..ServerStats::unknown() };
        assert!(
            Rules::default().pressure(&slowed) >= 1.0
                && Rules::default().reasons(&slowed).is_empty()
        );
    }

    const NONE: usize = usize::MAX;

    /// The caps that follow from these pressures, one after each rest, with this many inserters
    /// without a cap.
    fn caps(pressures: &[f64], inserters: usize) -> Vec<usize> {
        let (mut cap, mut now, mut capped) = (InserterCap::default(), Instant::now(), NONE);
        let next = |&pressure: &f64| {
            now += REST;
            capped = cap.next(now, pressure, inserters.min(capped));
            capped
        };
        pressures.iter().map(next).collect()
    }

    #[test]
    fn half_near_a_limit_and_one_more_at_a_time_after_it() {
        let found = caps(&[0.5, 0.95, 1.2, 1.0, 1.0, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8], 8);
        assert_eq!(found, [NONE, 4, 2, 1, 1, 2, 3, 4, 5, 6, 7, NONE, NONE]);
    }

    #[test]
    fn what_does_not_grow_near_a_limit_changes_nothing() {
        assert_eq!(caps(&[0.92, 0.92, 0.92, 0.91, 0.93, 0.93], 8), [4, 4, 4, 4, 2, 2]);
    }

    #[test]
    fn an_effect_is_waited_for() {
        let (mut cap, now) = (InserterCap::default(), Instant::now());
        assert_eq!(cap.next(now, 1.1, 8), 4);
        assert_eq!(cap.next(now + REST / 2, 1.2, 4), 4);
        assert_eq!(cap.next(now + REST / 2, 0.1, 4), 4);
        assert_eq!(cap.next(now + REST, 1.2, 4), 2);
    }

    #[test]
    fn nothing_and_zero_mean_to_go_on() {
        for answer in ["", "\n", "0\n", " 0 ", "\n\n", "\\N\n"] {
            assert_eq!(first_line(answer), None, "{answer:?}");
        }
        assert_eq!(first_line("replicas are behind\n").as_deref(), Some("replicas are behind"));
        assert_eq!(first_line("1\t\x1b[2J\n").as_deref(), Some("1  [2J"));
        assert_eq!(first_line("0.5\n").as_deref(), Some("0.5"));
        assert_eq!(first_line(&"x".repeat(1000)).map(|text| text.len()), Some(SHOWN));
    }
}
