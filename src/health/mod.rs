//! What a server and the tables of a database are like, and what is wrong with them.

mod figures;
mod problems;
mod rollups;
mod server;

pub(crate) use figures::{Health, HealthOptions};
pub(crate) use rollups::RollupJob;
pub(crate) use server::examine;
