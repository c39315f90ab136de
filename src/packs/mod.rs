//! Packs: folders with tables, jobs and queries that belong together, built in or of the user's own.
//!
//! ```text
//! pack.toml        name, description
//! schema.sql       CREATE statements, separated by semicolons
//! jobs/*.toml      job files
//! sets/*.toml      jobs that fill a partition in turn
//! queries/*.sql    one query each, with parameters of ClickHouse: {name:Type}
//! ```

mod apply;
mod definition;
mod error;
mod folder;
mod query;
mod script;

pub(crate) use apply::{Applied, ObjectState, apply};
pub(crate) use error::PackError;
#[cfg(test)]
pub(crate) use folder::BUILT_IN_PACKS;
pub(crate) use folder::{Pack, PackFile, built_in, job_file, open};
pub(crate) use query::{bind_parameters, escaped, query_parameters};
pub(crate) use script::object_names;
