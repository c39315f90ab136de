//! The built-in jobs under profiles of all kinds, and what a dry run leaves on a server.

mod dry_run;
mod profile;
