//! The commands, one file each, and what several of them share.

mod advice;
mod canary;
mod comparing;
pub(crate) mod complete;
pub(crate) mod ctl;
pub(crate) mod doctor;
pub(crate) mod documents;
mod engine_choice;
pub(crate) mod health;
pub(crate) mod init;
pub(crate) mod insert;
mod notifier;
pub(crate) mod pack;
mod partition_run;
mod plan;
mod repair;
pub(crate) mod report;
mod resources;
pub(crate) mod rollback;
pub(crate) mod run;
mod session;
pub(crate) mod sets;
mod status;
mod verify;
