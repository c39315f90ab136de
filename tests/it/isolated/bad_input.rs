//! Whose it is, and no secret in what is said.

mod secrets;
mod users;
