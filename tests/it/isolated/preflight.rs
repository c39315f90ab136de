//! Checks of what a server is set up to be.

mod delivery;
mod disk;
mod ends;
mod limits;
mod merges;
mod policies;
mod reads;
mod replicas;
mod rights;
mod target;
