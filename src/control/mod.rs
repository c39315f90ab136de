//! Control of a run: it waits or slows down according to the figures of the server, the time of day, a
//! query of the user, and commands from other processes.
//!
//! ```text
//! monitor ── figures ┐
//! --throttle-query ──┼─► rules ─► reasons to wait ─► throttle of the stream (no new chunk is begun)
//! --window, ctl ─────┘      └───► near a limit ────► half the inserters, then one more at a time
//! ```
//!
//! [`Control`] is the handle of a run. The [`socket`] makes it available to other processes. How a
//! decision is carried out is up to the engine, and how it is shown to the rooms above.

#[doc(hidden)]
pub(crate) mod fuzzing;
mod handle;
pub(crate) mod monitor;
mod protocol;
mod rules;
mod settings;
pub(crate) mod socket;
mod window;

pub(crate) use handle::{Control, Subject, Watch, watch};
pub(crate) use protocol::ControlRequest;
pub(crate) use rules::{HAS_NO_EFFECT, MaxParts, Rules, ThrottleQuery};
pub(crate) use settings::{RuntimeOverrides, SETTINGS, parse_max_parts};
pub(crate) use window::{DailyWindow, local_zone};
