//! Repeating an attempt until it succeeds.

use std::error::Error;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant as WallInstant};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::outage::{Outage, OutageGuard, Reachability, RetryObserver, RetryStatus};
use super::policy::{
    FailureKind, RetryCause, RetryDecision, RetryHistory, RetryPolicy, milliseconds,
};
use crate::clickhouse::{Error as ServerError, ErrorClass};
use crate::stop::Stop;

/// Something that may be tried again.
pub(crate) trait Retryable {
    /// What success gives.
    type Output;
    /// How an attempt fails.
    type Error: Display;

    /// One attempt.
    async fn attempt(&mut self) -> Result<Self::Output, Self::Error>;

    /// What its failure means for a retry.
    async fn diagnose(&mut self, error: &Self::Error) -> FailureKind;

    /// Called before the pause: logs the failure, and takes back what the attempt left.
    fn before_retry(&mut self, failed: FailedAttempt<'_, Self::Error>);
}

/// An attempt that failed and is followed by another.
#[derive(Debug)]
pub(crate) struct FailedAttempt<'a, E> {
    /// Its number, from 1. Outages and excused failures do not count.
    pub number: u32,
    /// Why it failed.
    pub error: &'a E,
    /// Why it is retried.
    pub cause: RetryCause,
    /// The pause before the next.
    pub pause: Duration,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum RetryError<E> {
    /// The last attempt failed, and no further one is made.
    GaveUp {
        /// The number of that attempt.
        attempts: u32,
        /// Its failure.
        error: E,
    },
    /// The server stayed away for longer than is allowed.
    Lost {
        /// The failure of the last attempt.
        error: E,
        /// What the last probe met.
        outage: ServerError,
    },
    /// The stop signal came.
    Interrupted {
        /// The failure of the last attempt.
        error: E,
    },
}

impl<E: From<ServerError>> RetryError<E> {
    /// The error to return where the cases need not be told apart: of a server that was lost, what
    /// the last probe met.
    pub(crate) fn into_error(self) -> E {
        match self {
            Self::GaveUp { error, .. } | Self::Interrupted { error } => error,
            Self::Lost { outage, .. } => outage.into(),
        }
    }
}

/// What happens when the server is silent.
#[derive(Clone, Copy)]
pub(crate) enum OutageHandling<'a> {
    /// The failure counts as any other.
    Counted,
    /// The attempt itself is repeated until the server answers, for at most this long after the
    /// first attempt.
    WaitFor(Duration),
    /// The server is waited for together with all other tasks.
    Guarded(&'a OutageGuard),
}

/// A statement survives at most this many outages. Further ones count as failed attempts, since
/// the statement itself may be what brings the server down.
const MAX_OUTAGES: u32 = 10;

/// The attempts of one statement.
pub(crate) struct Attempts<'a> {
    policy: RetryPolicy,
    outages: OutageHandling<'a>,
    observer: &'a dyn RetryObserver,
    interrupt: CancellationToken,
}

impl<'a> Attempts<'a> {
    /// Attempts that nobody follows and nothing interrupts.
    pub(crate) fn new(policy: RetryPolicy, outages: OutageHandling<'a>) -> Self {
        Self { policy, outages, observer: &(), interrupt: CancellationToken::new() }
    }

    /// Reports retries to `observer`.
    pub(crate) fn observed_by(self, observer: &'a dyn RetryObserver) -> Self {
        Self { observer, ..self }
    }

    /// Ends pauses and the wait for a server at this signal. An attempt that is under way goes on.
    pub(crate) fn until(self, interrupt: CancellationToken) -> Self {
        Self { interrupt, ..self }
    }

    /// Repeats `task` until it succeeds.
    ///
    /// # Errors
    /// [`RetryError`].
    pub(crate) async fn run<R: Retryable>(
        self,
        task: &mut R,
    ) -> Result<R::Output, RetryError<R::Error>> {
        let (mut history, began) = (RetryHistory::START, Instant::now());
        let mut sent = began;
        let mut full_since = None;
        loop {
            let error = match task.attempt().await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            let judging = async {
                let failure = task.diagnose(&error).await;
                full_since = failure.is_out_of_space.then(|| full_since.unwrap_or(sent));
                if let Some(pause) = full_since.and_then(|since| self.pause_for_space(since)) {
                    let again = RetryDecision::RetryAfter(pause, RetryCause::OutOfSpace);
                    return (failure, Ok(again));
                }
                (failure, self.decide(failure, history, began, sent).await)
            };
            // A decision that needs no waiting stands, whatever the signal.
            let (failure, decided) = tokio::select! {
                biased;
                judged = judging => judged,
                () = self.interrupt.cancelled() => return Err(RetryError::Interrupted { error }),
            };
            let (pause, cause) = match decided {
                Ok(RetryDecision::RetryAfter(pause, cause)) => (pause, cause),
                Ok(RetryDecision::GiveUp | RetryDecision::AwaitServer) => {
                    return Err(RetryError::GaveUp { attempts: history.attempt, error });
                }
                Err(outage) => return Err(RetryError::Lost { error, outage }),
            };
            if self.interrupt.is_cancelled() {
                return Err(RetryError::Interrupted { error });
            }
            let reason = failure
                .excuse
                .filter(|_| cause == RetryCause::Excused)
                .map_or_else(|| error.to_string(), str::to_owned);
            self.observer.retrying(cause, reason, pause);
            let failed = FailedAttempt { number: history.attempt, error: &error, cause, pause };
            task.before_retry(failed);
            history.note(cause);
            sent = Instant::now() + pause;
            if self.interrupt.run_until_cancelled(sleep(pause)).await.is_none() {
                return Err(RetryError::Interrupted { error });
            }
        }
    }

    /// Asks a question until it is answered. `what` names it in the log.
    ///
    /// # Errors
    /// [`RetryError`].
    pub(crate) async fn ask<T, E>(
        self,
        what: &str,
        question: impl AsyncFn() -> Result<T, E>,
    ) -> Result<T, RetryError<E>>
    where
        E: Display,
        for<'e> FailureKind: From<&'e E>,
    {
        self.run(&mut RepeatedQuestion { what, question }).await
    }

    /// The pause before a statement is sent again to a server whose disk is full since this moment;
    /// `None` where that has taken too long.
    fn pause_for_space(&self, since: Instant) -> Option<Duration> {
        let longest = match self.outages {
            OutageHandling::Counted => return None,
            OutageHandling::WaitFor(longest) => longest,
            OutageHandling::Guarded(guard) => guard.longest(),
        };
        let probes = RetryPolicy::PROBES;
        let waited = since.elapsed();
        let left = longest.checked_sub(waited).filter(|left| !left.is_zero())?;
        Some(probes.jittered(waited.clamp(probes.first_pause, probes.longest_pause)).min(left))
    }

    /// The decision with its final pause; the error of the last probe where the server is lost.
    async fn decide(
        &self,
        failure: FailureKind,
        history: RetryHistory,
        began: Instant,
        sent: Instant,
    ) -> Result<RetryDecision, ServerError> {
        let (policy, elapsed) = (&self.policy, began.elapsed());
        let max_outages = match self.outages {
            OutageHandling::Counted => 0,
            OutageHandling::Guarded(_) => MAX_OUTAGES,
            // They are limited by time.
            OutageHandling::WaitFor(_) => u32::MAX,
        };
        let mut decision = policy.decide(failure, history, elapsed, max_outages);
        if decision == RetryDecision::AwaitServer {
            decision = match self.outages {
                OutageHandling::Counted => RetryDecision::GiveUp,
                OutageHandling::WaitFor(longest) => {
                    let left = longest.saturating_sub(elapsed);
                    if left.is_zero() {
                        return Ok(RetryDecision::GiveUp);
                    }
                    let probes = RetryPolicy::PROBES;
                    let pause = probes.jittered(probes.pause(history.outages + 1)).min(left);
                    return Ok(RetryDecision::RetryAfter(pause, RetryCause::Outage));
                }
                OutageHandling::Guarded(guard) => match guard.await_server(sent).await {
                    Reachability::Reachable => {
                        policy.decide_counted(failure, history.attempt, elapsed)
                    }
                    Reachability::Restored => {
                        RetryDecision::RetryAfter(policy.pause(1), RetryCause::Outage)
                    }
                    Reachability::Lost(outage) => return Err(outage),
                },
            };
        }
        Ok(match decision {
            RetryDecision::RetryAfter(pause, cause) => {
                RetryDecision::RetryAfter(policy.jittered(pause), cause)
            }
            other => other,
        })
    }
}

/// A question whose error says all there is to know.
struct RepeatedQuestion<'a, Q> {
    what: &'a str,
    question: Q,
}

impl<T, E, Q> Retryable for RepeatedQuestion<'_, Q>
where
    E: Display,
    for<'e> FailureKind: From<&'e E>,
    Q: AsyncFn() -> Result<T, E>,
{
    type Output = T;
    type Error = E;

    async fn attempt(&mut self) -> Result<T, E> {
        (self.question)().await
    }

    async fn diagnose(&mut self, error: &E) -> FailureKind {
        error.into()
    }

    fn before_retry(&mut self, failed: FailedAttempt<'_, E>) {
        log_repeated(self.what, failed.number, failed.pause, failed.error);
    }
}

fn log_repeated(what: &str, attempt: u32, pause: Duration, error: &impl Display) {
    let pause_ms = milliseconds(pause);
    tracing::warn!(what, attempt, pause_ms, %error, "a question to the server failed, it is asked again");
}

/// Repeats a question for as long as it is refused because too many run at once, for about 5 s.
///
/// # Errors
/// Another error, or the last refusal.
pub(crate) async fn in_crowd<T, Asked: Future<Output = Result<T, ServerError>>>(
    question: impl FnMut() -> Asked,
) -> Result<T, ServerError> {
    let attempts = Attempts::new(RetryPolicy::CROWD, OutageHandling::Counted);
    attempts.run(&mut Crowded(question)).await.map_err(RetryError::into_error)
}

struct Crowded<Q>(Q);

impl<T, Asked, Q> Retryable for Crowded<Q>
where
    Asked: Future<Output = Result<T, ServerError>>,
    Q: FnMut() -> Asked,
{
    type Output = T;
    type Error = ServerError;

    async fn attempt(&mut self) -> Result<T, ServerError> {
        (self.0)().await
    }

    async fn diagnose(&mut self, error: &ServerError) -> FailureKind {
        let is_crowded = error.is_too_many_queries();
        FailureKind::of(if is_crowded { ErrorClass::Retry } else { ErrorClass::Fatal })
    }

    /// Others are served meanwhile; nothing went wrong.
    fn before_retry(&mut self, _: FailedAttempt<'_, ServerError>) {}
}

/// Retries of questions that come before a load is under way, when no server is known to be there
/// and no task shares it.
#[derive(Clone, Debug)]
pub(crate) struct StartupRetry {
    /// For a server that answers.
    pub retry: RetryPolicy,
    /// How long a server that cannot be reached is waited for.
    pub outage_wait: Duration,
    /// Ends it.
    pub stop: Stop,
    /// What is waited for, for who shows it.
    pub status: Arc<RetryStatus>,
}

impl StartupRetry {
    /// The same without retries of what a server answered.
    #[must_use]
    pub(crate) fn without_retries(self) -> Self {
        Self { retry: RetryPolicy { max_retries: 0, ..self.retry }, ..self }
    }

    /// Asks until there is an answer.
    ///
    /// # Errors
    /// The last failure: one that will not pass, or the last one that was allowed.
    pub(crate) async fn ask<T, E: Error + 'static>(
        &self,
        what: &str,
        question: impl AsyncFn() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut question = StartupQuestion { what, question, retry: self, waiting: None };
        let answer = Attempts::new(self.retry, OutageHandling::WaitFor(self.outage_wait))
            .until(self.stop.requested())
            .run(&mut question)
            .await;
        let answer = answer.map_err(|error| match error {
            // The guard of outages is not used here, so no server is lost to it.
            RetryError::GaveUp { error, .. }
            | RetryError::Lost { error, .. }
            | RetryError::Interrupted { error } => error,
        })?;
        if let Some(outage) = &question.waiting {
            let seconds = outage.since.elapsed().as_secs_f64();
            tracing::info!(seconds, "the server answers again");
        }
        Ok(answer)
    }
}

struct StartupQuestion<'a, Q> {
    what: &'a str,
    question: Q,
    retry: &'a StartupRetry,
    /// The server that is waited for.
    waiting: Option<Outage>,
}

impl<Q> Drop for StartupQuestion<'_, Q> {
    fn drop(&mut self) {
        if let Some(outage) = &self.waiting {
            self.retry.status.outage_ended(outage);
        }
    }
}

impl<T, E: Error + 'static, Q: AsyncFn() -> Result<T, E>> Retryable for StartupQuestion<'_, Q> {
    type Output = T;
    type Error = E;

    async fn attempt(&mut self) -> Result<T, E> {
        (self.question)().await
    }

    async fn diagnose(&mut self, error: &E) -> FailureKind {
        let Some(cause) = ServerError::within(error) else {
            return FailureKind::of(ErrorClass::Fatal);
        };
        // Another answer of a proxy, or of another program on the port, may mean that the URL is
        // wrong: it is reported after few attempts.
        let is_no_response = match cause {
            ServerError::Unreachable { .. }
            | ServerError::Network { .. }
            | ServerError::Timeout { .. } => true,
            ServerError::Proxy { status, .. } => status.is_gateway(),
            _ => false,
        };
        FailureKind { is_no_response, ..FailureKind::of(cause.class()) }
    }

    fn before_retry(&mut self, failed: FailedAttempt<'_, E>) {
        let what = self.what;
        let error = ServerError::within(failed.error).map(ToString::to_string).unwrap_or_default();
        if failed.cause == RetryCause::Outage {
            self.retry.status.retrying(error.clone(), failed.pause);
        } else {
            log_repeated(what, failed.number, failed.pause, &error);
        }
        if failed.cause == RetryCause::Outage && self.waiting.is_none() {
            let longest = self.retry.outage_wait;
            let outage = Outage { url: what.to_owned(), since: WallInstant::now(), longest };
            self.retry.status.outage_began(&outage);
            self.waiting = Some(outage);
            let wait_seconds = longest.as_secs();
            tracing::warn!(what, %error, wait_seconds, "the server cannot be reached, waiting for it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Fails with each of these, in turn; then it succeeds.
    struct Script {
        failures: Vec<FailureKind>,
        next: usize,
        log: Vec<(u32, RetryCause)>,
    }

    impl Script {
        fn new(failures: &[FailureKind]) -> Self {
            Self { failures: failures.to_vec(), next: 0, log: Vec::new() }
        }
    }

    impl Retryable for Script {
        type Output = usize;
        type Error = &'static str;

        async fn attempt(&mut self) -> Result<usize, &'static str> {
            self.next += 1;
            if self.next <= self.failures.len() { Err("it fails") } else { Ok(self.next) }
        }

        async fn diagnose(&mut self, _: &&'static str) -> FailureKind {
            self.failures[self.next - 1]
        }

        fn before_retry(&mut self, failed: FailedAttempt<'_, &'static str>) {
            self.log.push((failed.number, failed.cause));
        }
    }

    const REFUSED: FailureKind = FailureKind::of(ErrorClass::Retry);
    const SILENT: FailureKind =
        FailureKind { is_no_response: true, ..FailureKind::of(ErrorClass::Ambiguous) };
    const EXCUSED: FailureKind = FailureKind { excuse: Some("own doing"), ..SILENT };

    #[tokio::test(start_paused = true)]
    async fn a_full_disk_is_waited_for_and_uses_up_no_attempt() {
        const FULL: FailureKind =
            FailureKind { is_out_of_space: true, ..FailureKind::of(ErrorClass::Retry) };
        let once = RetryPolicy { max_retries: 0, ..RetryPolicy::default() };
        let attempts = || Attempts::new(once, OutageHandling::WaitFor(MINUTE));
        let mut script = Script::new(&[FULL; 8]);
        assert!(matches!(attempts().run(&mut script).await, Ok(9)));
        assert!(
            script
                .log
                .iter()
                .all(|&(number, cause)| (number, cause) == (1, RetryCause::OutOfSpace))
        );

        let began = Instant::now();
        let mut script = Script::new(&vec![FULL; 1000]);
        let ended = attempts().run(&mut script).await;
        assert!(matches!(ended, Err(RetryError::GaveUp { attempts: 1, .. })), "{ended:?}");
        assert_eq!(began.elapsed(), MINUTE);
        // Where nothing is waited for, it is a refusal like any other.
        let mut script = Script::new(&[FULL; 8]);
        let ended = Attempts::new(once, OutageHandling::Counted).run(&mut script).await;
        assert!(matches!(ended, Err(RetryError::GaveUp { attempts: 1, .. })), "{ended:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_repeated_until_one_succeeds() {
        let mut script = Script::new(&[REFUSED, EXCUSED, SILENT, SILENT, REFUSED]);
        let outages = OutageHandling::WaitFor(MINUTE);
        let answer = Attempts::new(RetryPolicy::default(), outages).run(&mut script).await;
        assert_eq!(answer.unwrap(), 6);
        let causes = [
            (1, RetryCause::Refused),
            (2, RetryCause::Excused),
            (2, RetryCause::Outage),
            (2, RetryCause::Outage),
            (2, RetryCause::Refused),
        ];
        assert_eq!(script.log, causes, "only refusals count as attempts");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_failure_is_returned_with_its_number() {
        let mut script = Script::new(&[REFUSED; 9]);
        let policy = RetryPolicy { max_retries: 3, ..RetryPolicy::default() };
        let error = Attempts::new(policy, OutageHandling::Counted).run(&mut script).await;
        assert!(matches!(error, Err(RetryError::GaveUp { attempts: 4, .. })), "{error:?}");
        let mut script = Script::new(&[SILENT; 9]);
        let error = Attempts::new(policy, OutageHandling::Counted).run(&mut script).await;
        assert!(matches!(error, Err(RetryError::GaveUp { attempts: 4, .. })), "{error:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_waited_for_until_the_limit() {
        let mut script = Script::new(&[SILENT; 100]);
        let began = Instant::now();
        let policy = RetryPolicy { max_retries: 0, ..RetryPolicy::default() };
        let error = Attempts::new(policy, OutageHandling::WaitFor(MINUTE)).run(&mut script).await;
        assert!(matches!(error, Err(RetryError::GaveUp { attempts: 1, .. })), "{error:?}");
        assert_eq!(began.elapsed(), MINUTE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_ends_a_pause_and_not_an_attempt() {
        let signal = CancellationToken::new();
        let policy = RetryPolicy { first_pause: MINUTE, ..RetryPolicy::default() };
        let attempts = Attempts::new(policy, OutageHandling::Counted).until(signal.clone());
        let mut script = Script::new(&[REFUSED; 3]);
        let signalling = async {
            sleep(Duration::from_secs(5)).await;
            signal.cancel();
        };
        let began = Instant::now();
        let (error, ()) = tokio::join!(attempts.run(&mut script), signalling);
        assert!(matches!(error, Err(RetryError::Interrupted { .. })), "{error:?}");
        assert_eq!(began.elapsed(), Duration::from_secs(5));

        let mut script = Script::new(&[]);
        let attempts = Attempts::new(policy, OutageHandling::Counted).until(signal.clone());
        assert_eq!(attempts.run(&mut script).await.unwrap(), 1, "the signal came before");
        // What needs no waiting is decided as without the signal.
        let mut script = Script::new(&[FailureKind::of(ErrorClass::Fatal)]);
        let attempts = Attempts::new(policy, OutageHandling::Counted).until(signal);
        let error = attempts.run(&mut script).await;
        assert!(matches!(error, Err(RetryError::GaveUp { attempts: 1, .. })), "{error:?}");
    }
}
