//! The handle of a run: its state, its settings, and the task that decides whether it waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, timeout};

use super::monitor::{INTERVAL, Monitor, MonitoredTable, ServerStats};
use super::rules::{HAS_NO_EFFECT, InserterCap, MaxParts, Rules, ThrottleQuery};
use super::settings::{RuntimeOverrides, Setting, SettingError};
use super::window::local_now;
use crate::causes::error_chain;
use crate::clickhouse::{Connection, Error};
use crate::engine::stream::{Counters, Snapshot, Throttle, ThrottleLimits};
use crate::stop::Stop;
use crate::sync::Mutex;

/// One run, for everything that watches or controls it. Shared as an [`Arc`].
#[derive(Debug)]
pub(crate) struct Control {
    subject: Subject,
    counters: Arc<Counters>,
    stop: Stop,
    throttle: Arc<Throttle>,
    overrides: Arc<RuntimeOverrides>,
    run_id: Mutex<Option<String>>,
    stats: watch::Sender<ServerStats>,
    /// Whether there are figures of the server.
    has_stats: AtomicBool,
    changed: Notify,
}

impl Control {
    /// A handle of a run that is about to begin. Nothing is watched before [`watch()`].
    pub(crate) fn new(
        subject: Subject,
        counters: Arc<Counters>,
        stop: Stop,
        throttle: Arc<Throttle>,
        overrides: Arc<RuntimeOverrides>,
    ) -> Arc<Self> {
        overrides.apply(&throttle);
        Arc::new(Self {
            subject,
            counters,
            stop,
            throttle,
            overrides,
            run_id: Mutex::new(None),
            stats: watch::Sender::new(ServerStats::unknown()),
            has_stats: AtomicBool::new(false),
            changed: Notify::new(),
        })
    }

    /// Why the run waits, in a few words each, such as `262 parts in 202511, limit 250`. Empty while
    /// it does not wait.
    pub(crate) fn reasons(&self) -> Vec<String> {
        self.throttle.reasons()
    }

    /// The newest figures of the server.
    pub(crate) fn server_stats(&self) -> ServerStats {
        self.stats.borrow().clone()
    }

    /// Receives further figures of the server.
    pub(crate) fn subscribe(&self) -> watch::Receiver<ServerStats> {
        self.stats.subscribe()
    }

    /// The concurrency and the rate now.
    pub(crate) fn limits(&self) -> ThrottleLimits {
        self.throttle.limits()
    }

    /// When the run waits.
    pub(crate) fn rules(&self) -> Rules {
        self.overrides.rules()
    }

    /// What the run fills.
    pub(crate) fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The counters of the pipeline.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The id of the load, once it is known.
    pub(crate) fn run_id(&self) -> Option<String> {
        self.run_id.lock().clone()
    }

    /// Sets the id of the load.
    pub(crate) fn set_run_id(&self, run_id: &str) {
        *self.run_id.lock() = Some(run_id.to_owned());
    }

    /// Begins no new chunk until [`resume`](Self::resume).
    pub(crate) fn pause(&self) {
        self.overrides.pause(true);
        self.changed.notify_one();
    }

    /// Takes [`pause`](Self::pause) back. Other reasons to wait remain.
    pub(crate) fn resume(&self) {
        self.overrides.pause(false);
        self.changed.notify_one();
    }

    /// Whether it was paused.
    pub(crate) fn is_paused(&self) -> bool {
        self.overrides.is_paused()
    }

    /// Stops the run as the first signal does: reading ends, and rows that were read are inserted.
    pub(crate) fn stop(&self) {
        if !self.is_stopping() {
            tracing::warn!("asked to stop with ctl: finishing the inserts in flight");
            self.stop.request();
        }
    }

    /// Whether the run stops.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_requested()
    }

    /// Changes a setting.
    ///
    /// # Errors
    /// [`SettingError`]; nothing is changed then.
    pub(crate) fn set(&self, setting: Setting) -> Result<(), SettingError> {
        self.overrides.change(setting, &self.throttle)?;
        tracing::info!(%setting, "changed with ctl");
        self.changed.notify_one();
        Ok(())
    }

    fn publish(&self, stats: ServerStats) {
        self.stats.send_replace(stats);
        self.has_stats.store(true, Ordering::Relaxed);
    }

    /// Waits for a change of a setting.
    async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The state of the run.
    pub(crate) fn status(&self) -> RunStatus {
        let (server, rules) = (self.server_stats(), self.rules());
        RunStatus {
            subject: self.subject().clone(),
            run_id: self.run_id(),
            process: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
            phase: self.counters().phase().name(),
            progress: self.counters().snapshot().into(),
            waiting: self.reasons(),
            paused: self.is_paused(),
            stopping: self.is_stopping(),
            limits: self.limits(),
            rules: RuleValues::new(&rules, &server),
            rules_without_effect: if self.has_stats.load(Ordering::Relaxed) {
                rules.without_effect(&server)
            } else {
                Vec::new()
            },
            server,
        }
    }
}

/// What a run fills.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Subject {
    /// The job's name.
    pub job: String,
    /// The source table.
    pub source: String,
    /// The target table.
    pub target: String,
    /// The partition.
    pub partition: String,
    /// Whether nothing is written.
    pub dry_run: bool,
}

/// The state of a run at one moment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RunStatus {
    /// What the run fills.
    #[serde(flatten)]
    pub subject: Subject,
    /// The id of the load, once it is known.
    pub run_id: Option<String>,
    /// The process id.
    pub process: u32,
    /// The program's version.
    pub version: &'static str,
    /// `plan`, `lookup`, `stream` or `done`.
    pub phase: &'static str,
    /// Its progress.
    pub progress: RunProgress,
    /// Why it waits; empty while it does not.
    pub waiting: Vec<String>,
    /// Whether it was paused with `ctl`.
    pub paused: bool,
    /// Whether it finishes the inserts in flight and ends.
    pub stopping: bool,
    /// The concurrency and the rate.
    pub limits: ThrottleLimits,
    /// When it waits.
    pub rules: RuleValues,
    /// The rules without effect, since their figures are unknown. Empty until the first figures are
    /// there.
    pub rules_without_effect: Vec<&'static str>,
    /// The figures of the server.
    pub server: ServerStats,
}

/// The progress of a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RunProgress {
    /// Rows of acknowledged inserts.
    pub rows: u64,
    /// Of these, rows of chunks that are done.
    pub rows_done: u64,
    /// The number of rows to insert; unknown at first.
    pub rows_expected: Option<u64>,
    /// Rows read.
    pub rows_read: u64,
    /// Rows of the lookup table read.
    pub lookup_rows: u64,
    /// Chunks whose rows are all acknowledged.
    pub chunks_done: u64,
    /// Chunks that failed.
    pub chunks_failed: u64,
    /// Chunks in all.
    pub chunks: u64,
    /// Inserts in flight.
    pub inserts_in_flight: u64,
    /// Retries of statements.
    pub retries: u64,
}

/// The rules under the names of their flags.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RuleValues {
    /// The setting.
    pub max_parts: MaxParts,
    /// The limit that follows from it.
    pub parts_limit: Option<u64>,
    /// The most merges in progress.
    pub max_merges: Option<u64>,
    /// The most memory of the server, in percent.
    pub max_server_memory_used: Option<u8>,
    /// The longest delay of the target's replica.
    pub max_replica_delay_seconds: Option<u64>,
    /// The time of day, such as `22:00-06:00`.
    pub window: Option<String>,
}

impl RuleValues {
    fn new(rules: &Rules, stats: &ServerStats) -> Self {
        Self {
            max_parts: rules.max_parts,
            parts_limit: rules.parts_limit(stats),
            max_merges: rules.max_merges,
            max_server_memory_used: rules.max_server_memory_percent,
            max_replica_delay_seconds: rules.max_replica_delay.map(|delay| delay.as_secs()),
            window: rules.window.map(|window| window.to_string()),
        }
    }
}

impl From<Snapshot> for RunProgress {
    fn from(numbers: Snapshot) -> Self {
        Self {
            rows: numbers.inserted_rows,
            rows_done: numbers.rows_done,
            rows_expected: numbers.rows_expected(),
            rows_read: numbers.source_rows,
            lookup_rows: numbers.lookup_rows,
            chunks_done: numbers.chunks_done,
            chunks_failed: numbers.chunks_failed,
            chunks: numbers.chunks,
            inserts_in_flight: numbers.inserts_in_flight,
            retries: numbers.retries,
        }
    }
}

/// How long the first figures of the server are waited for, so that a run that has to wait does not
/// begin.
const FIRST_STATS: Duration = Duration::from_secs(5);
/// How often the time of day is checked.
const CLOCK: Duration = Duration::from_secs(1);

/// Decides whether a run waits, until this is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    _tasks: JoinSet<()>,
}

/// Begins to watch the server and to decide. The first decision is made before this returns.
///
/// # Errors
/// The throttle query fails. A later failure is a reason to wait.
pub(crate) async fn watch(
    control: Arc<Control>,
    target: Connection,
    table: MonitoredTable,
    query: Option<ThrottleQuery>,
) -> Result<Watch, Error> {
    let mut tasks = JoinSet::new();
    let query_reason = match query {
        Some(query) => {
            let (sender, reason) = watch::channel(query.reason().await?);
            tasks.spawn(poll_throttle_query(query, sender));
            reason
        }
        None => watch::channel(None).1,
    };
    let monitor = Monitor::start(target, table, INTERVAL);
    let mut stats = monitor.subscribe();
    let has_stats =
        timeout(FIRST_STATS, stats.changed()).await.is_ok_and(|changed| changed.is_ok());
    let mut decider = Decider { control, query_reason, cap: InserterCap::default(), monitor };
    if has_stats {
        decider.warn_unreadable_limits();
    }
    decider.decide(has_stats);
    tasks.spawn(decider.run(stats));
    Ok(Watch { _tasks: tasks })
}

/// Decides whenever something changes.
struct Decider {
    control: Arc<Control>,
    /// The reason of the throttle query.
    query_reason: watch::Receiver<Option<String>>,
    cap: InserterCap,
    monitor: Monitor,
}

impl Decider {
    async fn run(mut self, mut stats: watch::Receiver<ServerStats>) {
        let mut clock = interval(CLOCK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let control = self.control.clone();
            let is_new = tokio::select! {
                changed = stats.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    true
                }
                () = control.changed() => false,
                _ = clock.tick() => false,
            };
            self.decide(is_new);
        }
    }

    fn decide(&mut self, is_new: bool) {
        let control = self.control.clone();
        let throttle = &control.throttle;
        let stats = if is_new {
            let stats = self.monitor.stats();
            control.publish(stats.clone());
            stats
        } else {
            control.server_stats()
        };
        let rules = control.rules();
        let mut reasons = rules.reasons(&stats);
        let query_reason = self.query_reason.borrow().clone();
        reasons.extend(query_reason.map(|words| format!("throttle query: {words}")));
        if let Some(window) = rules.window {
            match local_now() {
                Ok(now) => reasons.extend(window.reason(&now)),
                Err(error) => reasons.push(error.to_string()),
            }
        }
        if control.is_paused() {
            reasons.push("paused with ctl".to_owned());
        }
        throttle.wait_because(reasons);
        if is_new {
            let (pressure, inserters) = (rules.pressure(&stats), control.limits().inserters);
            throttle.cap_inserters(self.cap.next(Instant::now(), pressure, inserters));
        }
    }

    /// Warns once of limits without effect.
    fn warn_unreadable_limits(&self) {
        for name in self.control.rules().without_effect(&self.monitor.stats()) {
            tracing::warn!("--{name} {HAS_NO_EFFECT}");
        }
    }
}

/// Publishes the reason of the throttle query at each interval.
async fn poll_throttle_query(query: ThrottleQuery, sender: watch::Sender<Option<String>>) {
    let mut ticks = interval_at(Instant::now() + INTERVAL, INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let reason = match query.reason().await {
            Ok(reason) => reason,
            // The user relies on the query, so the run waits.
            Err(error) => Some(format!("it fails: {}", error_chain(&error))),
        };
        sender.send_replace(reason);
    }
}
