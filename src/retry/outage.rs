//! Outages: while a server is silent, all tasks that need it wait behind one probe.
//!
//! ```text
//! a statement failed in silence ──► probe ──answers──► Reachable: the failure counts as an attempt
//!                                     └──silent──► probe on ──answers──► Restored: nothing was used up
//!                                                     └──for too long──► Lost: the run stops
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant as WallInstant};

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::policy::{RetryCause, RetryPolicy};
use crate::clickhouse::{Connection, Error as ServerError};
use crate::sync::{Mutex, MutexGuard};

/// Follows retries and outages.
pub(crate) trait RetryObserver: Send + Sync {
    /// A statement failed for this reason and is retried after the pause.
    fn retrying(&self, cause: RetryCause, reason: String, pause: Duration);
    /// A server went silent.
    fn outage_began(&self, outage: &Outage);
    /// It answers again, or is no longer waited for.
    fn outage_ended(&self, outage: &Outage);
}

/// Where nobody follows.
impl RetryObserver for () {
    fn retrying(&self, _: RetryCause, _: String, _: Duration) {}
    fn outage_began(&self, _: &Outage) {}
    fn outage_ended(&self, _: &Outage) {}
}

/// What blocks a run at this moment: the last retry, and the servers that are waited for.
#[derive(Debug, Default)]
pub(crate) struct RetryStatus {
    blocked: Mutex<Blocked>,
}

#[derive(Debug, Default)]
struct Blocked {
    last_retry: Option<ScheduledRetry>,
    outages: Vec<Outage>,
}

/// A statement that is retried.
#[derive(Clone, Debug)]
pub(crate) struct ScheduledRetry {
    /// When it failed.
    pub failed_at: WallInstant,
    /// When it is sent again.
    pub retry_at: WallInstant,
    /// Why it failed.
    pub reason: String,
}

/// A server that cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outage {
    /// Its URL.
    pub url: String,
    /// Since when.
    pub since: WallInstant,
    /// How long it is waited for at most.
    pub longest: Duration,
}

impl RetryStatus {
    /// The last statement that failed and is retried.
    pub(crate) fn last_retry(&self) -> Option<ScheduledRetry> {
        self.blocked().last_retry.clone()
    }

    /// The servers that are waited for.
    pub(crate) fn outages(&self) -> Vec<Outage> {
        self.blocked().outages.clone()
    }

    pub(crate) fn retrying(&self, reason: String, pause: Duration) {
        let failed_at = WallInstant::now();
        let retry = ScheduledRetry { failed_at, retry_at: failed_at + pause, reason };
        self.blocked().last_retry = Some(retry);
    }

    pub(crate) fn outage_began(&self, outage: &Outage) {
        self.blocked().outages.push(outage.clone());
    }

    pub(crate) fn outage_ended(&self, ended: &Outage) {
        let mut blocked = self.blocked();
        if let Some(position) = blocked.outages.iter().position(|outage| outage == ended) {
            blocked.outages.remove(position);
        }
    }

    fn blocked(&self) -> MutexGuard<'_, Blocked> {
        self.blocked.lock()
    }
}

/// Asks a server whether it is there.
type Probe = Box<dyn Fn() -> BoxFuture<'static, Result<(), ServerError>> + Send + Sync>;

/// The way to one server, for all tasks of a run.
pub(crate) struct OutageGuard {
    url: String,
    probe: Probe,
    observer: Arc<dyn RetryObserver>,
    /// How long an outage may last.
    longest: Duration,
    /// When the last outage ended. Held by the one task that probes; the others wait for it.
    ended: tokio::sync::Mutex<Option<Instant>>,
}

/// What a probe found.
#[derive(Debug)]
pub(crate) enum Reachability {
    /// The server answers, and was not away.
    Reachable,
    /// It was away, and answers again.
    Restored,
    /// It was away for longer than is allowed.
    Lost(ServerError),
}

/// An outage is reported as over when this is dropped, also where the task that probes is.
struct Reported<'a> {
    guard: &'a OutageGuard,
    outage: Outage,
}

impl Drop for Reported<'_> {
    fn drop(&mut self) {
        self.guard.observer.outage_ended(&self.outage);
    }
}

impl OutageGuard {
    pub(crate) fn new(
        connection: &Connection,
        observer: Arc<dyn RetryObserver>,
        longest: Duration,
    ) -> Self {
        let url = connection.endpoint().url().to_string();
        let connection = connection.clone();
        let probe: Probe = Box::new(move || {
            let connection = connection.clone();
            Box::pin(async move { connection.ping().await })
        });
        Self { url, probe, observer, longest, ended: tokio::sync::Mutex::default() }
    }

    /// How long the server is waited for.
    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    /// Probes the server after a statement that was sent at `sent` failed in silence, and waits
    /// until it answers.
    pub(crate) async fn await_server(&self, sent: Instant) -> Reachability {
        let mut ended = self.ended.lock().await;
        if ended.is_some_and(|ended| ended >= sent) {
            return Reachability::Restored;
        }
        let began = Instant::now();
        let Err(mut error) = (self.probe)().await else { return Reachability::Reachable };
        let url = &self.url;
        tracing::warn!(%url, %error, wait_seconds = self.longest.as_secs(), "the server cannot be reached, waiting for it");
        let outage = Outage { url: url.clone(), since: WallInstant::now(), longest: self.longest };
        self.observer.outage_began(&outage);
        let _reported = Reported { guard: self, outage };
        for number in 1.. {
            let left = self.longest.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            let pause = RetryPolicy::PROBES.jittered(RetryPolicy::PROBES.pause(number));
            sleep(pause.min(left)).await;
            match (self.probe)().await {
                Ok(()) => {
                    *ended = Some(Instant::now());
                    tracing::info!(%url, seconds = began.elapsed().as_secs_f64(), "the server answers again");
                    return Reachability::Restored;
                }
                Err(again) => error = again,
            }
        }
        Reachability::Lost(error)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Default)]
    struct SeenOutages(Mutex<Vec<&'static str>>);

    impl RetryObserver for SeenOutages {
        fn retrying(&self, _: RetryCause, _: String, _: Duration) {}
        fn outage_began(&self, _: &Outage) {
            self.0.lock().push("began");
        }
        fn outage_ended(&self, _: &Outage) {
            self.0.lock().push("ended");
        }
    }

    /// A server that is away until this much time has passed, how often it was probed, and what was
    /// reported.
    fn away(
        until: Duration,
        longest: Duration,
    ) -> (Arc<OutageGuard>, Arc<AtomicU32>, Arc<SeenOutages>) {
        let (began, probes, seen) = (Instant::now(), Arc::<AtomicU32>::default(), Arc::default());
        let counted = probes.clone();
        let probe: Probe = Box::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let is_away = began.elapsed() < until;
            Box::pin(async move {
                let after = Duration::from_secs(1);
                if is_away { Err(ServerError::Timeout { what: "a probe", after }) } else { Ok(()) }
            })
        });
        let guard = OutageGuard {
            url: "http://db".to_owned(),
            probe,
            observer: Arc::<SeenOutages>::clone(&seen),
            longest,
            ended: tokio::sync::Mutex::default(),
        };
        (Arc::new(guard), probes, seen)
    }

    #[tokio::test(start_paused = true)]
    async fn all_tasks_wait_behind_one_probe() {
        let minute = Duration::from_secs(60);
        let (guard, probes, seen) = away(minute, 2 * minute);
        let sent = Instant::now();
        let waiting = (0..50).map(|_| guard.await_server(sent));
        let found = futures::future::join_all(waiting).await;
        assert!(found.iter().all(|found| matches!(found, Reachability::Restored)), "{found:?}");
        assert!((minute..minute + Duration::from_secs(6)).contains(&sent.elapsed()));
        let alone = probes.load(Ordering::Relaxed);
        assert!((15..40).contains(&alone), "{alone} probes, as many as one task makes");
        assert_eq!(*seen.0.lock(), ["began", "ended"]);

        // Sent after the outage: the server is asked again, and was not away.
        let later = guard.await_server(Instant::now() + Duration::from_secs(1)).await;
        assert!(matches!(later, Reachability::Reachable), "{later:?}");
        assert_eq!(probes.load(Ordering::Relaxed), alone + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stays_away_is_lost_at_the_limit() {
        let minute = Duration::from_secs(60);
        let (guard, _, seen) = away(10 * minute, minute);
        let began = Instant::now();
        assert!(matches!(guard.await_server(began).await, Reachability::Lost(_)));
        assert_eq!(began.elapsed(), minute);
        assert_eq!(*seen.0.lock(), ["began", "ended"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_whose_task_is_dropped_is_over() {
        let minute = Duration::from_secs(60);
        let (guard, _, seen) = away(minute, 2 * minute);
        let waiting = guard.await_server(Instant::now());
        assert!(tokio::time::timeout(minute / 2, waiting).await.is_err());
        assert_eq!(*seen.0.lock(), ["began", "ended"]);
    }
}
