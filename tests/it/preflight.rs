//! The checks before a run, each made to fail on a real server; and what `plan` prints.

mod disk;
mod ends;
mod file;
pub mod fixture;
mod ledger;
mod mapping;
mod merges;
mod partitions;
mod parts;
mod reads;
mod replicas;
mod target;
