//! The handle of a run: what it does, why it waits, and the ways to change that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, watch};

use super::rules::Rules;
use super::setting::{Setting, SettingError};
use super::status::Subject;
use super::wishes::Wishes;
use crate::control::monitor::Sample;
use crate::engine::stream::{Counters, Throttle, ThrottleLimits};
use crate::stop::Stop;
use crate::sync::Mutex;

/// One run, for all who watch it or say what it is to do. Shared as an [`Arc`].
#[derive(Debug)]
pub struct Control {
    subject: Subject,
    counters: Arc<Counters>,
    stop: Stop,
    throttle: Arc<Throttle>,
    wishes: Arc<Wishes>,
    run_id: Mutex<Option<String>>,
    samples: watch::Sender<Sample>,
    /// Whether the server was asked.
    sampled: AtomicBool,
    changed: Notify,
}

impl Control {
    /// A handle of a run that is about to begin. Nothing is watched before [`watch`](super::watch).
    pub fn new(
        subject: Subject,
        counters: Arc<Counters>,
        stop: Stop,
        throttle: Arc<Throttle>,
        wishes: Arc<Wishes>,
    ) -> Arc<Self> {
        wishes.apply(&throttle);
        Arc::new(Self {
            subject,
            counters,
            stop,
            throttle,
            wishes,
            run_id: Mutex::new(None),
            samples: watch::Sender::new(Sample::unknown()),
            sampled: AtomicBool::new(false),
            changed: Notify::new(),
        })
    }

    /// Why the run waits; empty while it does not. Each is a few words, such as `262 parts in
    /// 202511, limit 250`.
    pub fn reasons(&self) -> Vec<String> {
        self.throttle.reasons()
    }

    /// The reasons in one line, such as `waiting: 262 parts in 202511, limit 250`; `None` while the
    /// run does not wait.
    pub fn waiting(&self) -> Option<String> {
        let reasons = self.reasons();
        (!reasons.is_empty()).then(|| format!("waiting: {}", reasons.join("; ")))
    }

    /// How the server is, as far as that is known; see [`Sample::at`] for when.
    pub fn sample(&self) -> Sample {
        self.samples.borrow().clone()
    }

    /// For waiting for the next sample.
    pub fn samples(&self) -> watch::Receiver<Sample> {
        self.samples.subscribe()
    }

    /// How much is done at once, and how much may be.
    pub fn limits(&self) -> ThrottleLimits {
        self.throttle.limits()
    }

    /// When the run waits.
    pub fn rules(&self) -> Rules {
        self.wishes.rules()
    }

    /// What is filled.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// What the pipeline counts.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The load's identity, once it is known.
    pub fn run_id(&self) -> Option<String> {
        self.run_id.lock().clone()
    }

    /// Says what the load's identity is.
    pub fn set_run_id(&self, run_id: &str) {
        *self.run_id.lock() = Some(run_id.to_owned());
    }

    /// Begins no new chunk until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.wishes.pause(true);
        self.changed.notify_one();
    }

    /// Takes [`pause`](Self::pause) back. Other reasons to wait stay.
    pub fn resume(&self) {
        self.wishes.pause(false);
        self.changed.notify_one();
    }

    /// Whether it was paused by hand.
    pub fn is_paused(&self) -> bool {
        self.wishes.is_paused()
    }

    /// Ends the run as the first signal does: nothing more is read, and what was read is inserted.
    pub fn stop(&self) {
        if !self.is_stopping() {
            tracing::warn!("asked to stop with ctl: finishing the inserts in flight");
            self.stop.request();
        }
    }

    /// Whether the run is to end.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_requested()
    }

    /// Changes a setting.
    ///
    /// # Errors
    /// The run cannot do so; nothing is changed then.
    pub fn set(&self, setting: Setting) -> Result<(), SettingError> {
        self.wishes.change(setting, &self.throttle)?;
        tracing::info!(%setting, "changed with ctl");
        self.changed.notify_one();
        Ok(())
    }

    pub(super) fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    pub(super) fn is_sampled(&self) -> bool {
        self.sampled.load(Ordering::Relaxed)
    }

    pub(super) fn publish(&self, sample: Sample) {
        self.samples.send_replace(sample);
        self.sampled.store(true, Ordering::Relaxed);
    }

    /// Waits until somebody has said what is to be done.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}
