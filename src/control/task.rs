//! The task that decides, whenever something is new.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, timeout};

use super::adapt::Adapt;
use super::handle::Control;
use super::query::ThrottleQuery;
use super::rules::HAS_NO_EFFECT;
use super::window;
use crate::causes::error_chain;
use crate::clickhouse::{Connection, Error};
use crate::control::monitor::{INTERVAL, Monitor, Sample, Watched};

/// The first figures of the server are waited for, so that a run that has to wait does not begin;
/// but no longer than this.
const FIRST_SAMPLE: Duration = Duration::from_secs(5);
/// How often the time of the day is looked at.
const CLOCK: Duration = Duration::from_secs(1);

/// Decides for a run until it is dropped.
#[derive(Debug)]
pub struct Watch {
    _tasks: JoinSet<()>,
}

/// Begins to watch the server and to decide. When this returns, the first decision was made.
///
/// # Errors
/// The throttle query fails. Later, that is a reason to wait.
pub async fn watch(
    control: Arc<Control>,
    target: Connection,
    watched: Watched,
    query: Option<ThrottleQuery>,
) -> Result<Watch, Error> {
    let mut tasks = JoinSet::new();
    let said = match query {
        Some(query) => {
            let (sender, said) = watch::channel(query.ask().await?);
            tasks.spawn(ask_again_and_again(query, sender));
            said
        }
        None => watch::channel(None).1,
    };
    let monitor = Monitor::start(target, watched, INTERVAL);
    let mut samples = monitor.subscribe();
    // A server that does not answer is no reason to wait for its figures.
    let is_sampled =
        timeout(FIRST_SAMPLE, samples.changed()).await.is_ok_and(|changed| changed.is_ok());
    let mut decider = Decider { control, said, adapt: Adapt::default(), monitor };
    if is_sampled {
        decider.warn_unreadable_limits();
    }
    decider.decide(is_sampled);
    tasks.spawn(decider.go_on(samples));
    Ok(Watch { _tasks: tasks })
}

struct Decider {
    control: Arc<Control>,
    /// What the throttle query says.
    said: watch::Receiver<Option<String>>,
    adapt: Adapt,
    monitor: Monitor,
}

impl Decider {
    async fn go_on(mut self, mut samples: watch::Receiver<Sample>) {
        let mut clock = interval(CLOCK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let control = self.control.clone();
            let is_new = tokio::select! {
                changed = samples.changed() => {
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
        let throttle = control.throttle();
        let sample = if is_new {
            let sample = self.monitor.sample();
            control.publish(sample.clone());
            sample
        } else {
            control.sample()
        };
        let rules = control.rules();
        let mut reasons = rules.reasons(&sample);
        reasons.extend(self.said.borrow().as_ref().map(|words| format!("throttle query: {words}")));
        if let Some(window) = rules.window {
            match window::now() {
                Ok(now) => reasons.extend(window.reason(&now)),
                Err(error) => reasons.push(error.to_string()),
            }
        }
        if control.is_paused() {
            reasons.push("paused with ctl".to_owned());
        }
        throttle.wait_because(reasons);
        if is_new {
            throttle.cap_inserters(self.adapt.next(
                Instant::now(),
                rules.pressure(&sample),
                control.limits().inserters,
            ));
        }
    }

    /// Limits whose figures cannot be read have no effect, which is said once.
    fn warn_unreadable_limits(&self) {
        for name in self.control.rules().without_effect(&self.monitor.sample()) {
            tracing::warn!("--{name} {HAS_NO_EFFECT}");
        }
    }
}

async fn ask_again_and_again(query: ThrottleQuery, sender: watch::Sender<Option<String>>) {
    let mut ticks = interval_at(Instant::now() + INTERVAL, INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let said = match query.ask().await {
            Ok(said) => said,
            // Whoever gave it wants to be sure.
            Err(error) => Some(format!("it fails: {}", error_chain(&error))),
        };
        sender.send_replace(said);
    }
}
