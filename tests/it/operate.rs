//! Runs that wait, go slower, and are told what to do from another terminal.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod canary;
mod ctl;
mod doctor;
pub mod fixture;
mod init;
mod limits;
mod pace;
mod sockets;
mod window;
