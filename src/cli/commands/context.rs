//! What all parts of a run share.

use std::sync::Arc;
use std::time::Instant;

use super::notifier::Notifier;
use crate::cli::config::RunConfig;
use crate::control::RuntimeOverrides;
use crate::progress::Terminal;
use crate::stop::Stop;

/// The context of one process, which may fill several partitions.
pub(crate) struct RunContext<'a> {
    pub config: &'a RunConfig,
    pub terminal: &'a Terminal,
    pub notifier: &'a Notifier<'a>,
    pub stop: Stop,
    /// Limits, which `ctl set` may change for all partitions.
    pub overrides: Arc<RuntimeOverrides>,
    pub began: Instant,
}
