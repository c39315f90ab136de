//! The built-in jobs under profiles of all kinds, what a dry run leaves on a server, and
//! Langfuse's own migrations beside them.

mod dry_run;
mod migrations;
mod profile;
