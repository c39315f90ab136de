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
pub mod fuzzing;
mod handle;
pub mod monitor;
mod protocol;
mod rules;
mod settings;
pub mod socket;
mod window;

pub use handle::{Control, RuleValues, RunProgress, RunStatus, Subject, Watch, watch};
pub use protocol::{ControlRequest, ControlResponse, RequestError};
pub use rules::{HAS_NO_EFFECT, MaxParts, Rules, ThrottleQuery};
pub use settings::{
    LevelSetting, RuntimeOverrides, SETTINGS, Setting, SettingError, parse_max_parts,
};
pub use window::{DailyWindow, WindowError, local_zone};
