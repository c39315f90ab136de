//! The checks before a run, each made to fail on a real server; and what `plan` prints.

mod disk;
mod ends;
mod file;
mod fixture;
mod ledger;
mod limits;
mod mapping;
mod merges;
mod parts;
mod replicas;
mod rights;
mod target;
