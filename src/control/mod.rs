//! Deciding whether a run waits: by how the server is, by the time of day, by a query of the user's
//! own, and by what is said from another terminal.
//!
//! ```text
//! monitor ─ samples ─┐
//! --throttle-query ──┼─► rules ─► reasons to wait ─► the pipeline's throttle (no new chunk is begun)
//! --window, ctl ─────┘      └───► near a limit ────► half the inserters, then one more at a time
//! ```
//!
//! [`Control`] is the one handle: what a run waits for, the newest figures of the server, how much
//! is done at once, and the ways to change that. The [`socket`] carries it to other processes. What
//! is obeyed, and how, is the pipeline's; what is shown is the upper rooms'.

mod adapt;
#[doc(hidden)]
pub mod fuzzing;
mod handle;
pub mod monitor;
mod query;
mod rules;
mod setting;
pub mod socket;
mod status;
mod task;
mod window;
mod wishes;

pub use handle::Control;
pub use query::ThrottleQuery;
pub use rules::{HAS_NO_EFFECT, MaxParts, Rules};
pub use setting::{Level, SETTINGS, Setting, SettingError, parse_max_parts};
pub use status::{Status, Subject};
pub use task::{Watch, watch};
pub use window::{Window, WindowError, local_zone};
pub use wishes::Wishes;
