//! The commands, a file each, and what several of them share.

mod config;
mod course;
pub(crate) mod ctl;
mod describe;
pub(crate) mod documents;
mod estimate;
pub(crate) mod history;
mod hooks;
mod interruptible;
pub(crate) mod job;
mod load_failure;
mod next_command;
mod operate;
pub(crate) mod plan;
mod recorded;
pub(crate) mod repair;
pub(crate) mod report;
mod resources;
pub(crate) mod run;
mod sample;
mod sequence;
mod session;
pub(crate) mod status;
mod telling;
pub(crate) mod verify;
