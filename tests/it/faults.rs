//! What a network, a server, a supervisor and this machine do to a run: afterwards the target must
//! equal the join.
//!
//! Faults are placed by the query ids that every request has in its URL (`-lookup-`, `-source-`,
//! `-insert-`), so that they hit the statement that is meant. Each test asserts that its fault
//! happened.

mod answered;
mod blocks;
mod cut_inserts;
mod cut_responses;
mod damaged;
mod death_of_the_run;
mod endless;
pub mod errors_that_pass;
mod errors_that_stay;
mod exceptions;
mod failed_chunks;
pub mod fixture;
mod limits;
mod outages;
mod quotations;
pub mod repeats;
mod signals;
mod silence;
mod views;
