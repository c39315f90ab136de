//! What people read afterwards: of one run ([`run`]), and of all partitions and what is missing
//! between them ([`history`]).
//!
//! Everything comes from the ledger and from the servers' own tables. Nothing here prints, and
//! nothing is written.

pub mod history;
pub mod run;
