//! Whose it is, and no secret in what is said.

mod layers;
mod secrets;
mod users;
