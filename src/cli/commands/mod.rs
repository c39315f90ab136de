//! The commands, one file each, and what several of them share.

mod advice;
mod comparing;
mod context;
pub(crate) mod ctl;
mod describe;
pub(crate) mod documents;
pub(crate) mod history;
mod hooks;
pub(crate) mod job;
mod notifier;
mod operate;
mod options;
mod partition_run;
pub(crate) mod plan;
pub(crate) mod repair;
pub(crate) mod report;
pub(crate) mod run;
mod sequence;
mod session;
pub(crate) mod status;
pub(crate) mod verify;
