//! The only room that talks to the server: connection, statements' settings, the schema, block
//! streams, inserts, error classes.
//!
//! Everything here goes through the official [`clickhouse`](https://docs.rs/clickhouse) client over
//! HTTP. Upper rooms hand in SQL and bytes and get bytes back; what the SQL means is theirs.
//! Nothing here prints, retries or decides: an [`Error`] says of what [`ErrorClass`] it is, and the
//! pipeline chooses what to do.

mod class;
mod compression;
mod connection;
mod deduplication;
mod endpoint;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod insert;
mod merge_tree_setting;
mod query_id;
mod replacing;
mod schema;
mod servers;
mod settings;
mod sql;
mod stream;
mod tls;

pub use class::ErrorClass;
pub use compression::WireCompression;
pub use connection::{Connection, Timeouts};
pub use deduplication::{Deduplication, deduplication, recognition, switched_off};
pub use endpoint::{Endpoint, Password};
pub use error::Error;
pub(crate) use error::error_chain;
pub use merge_tree_setting::merge_tree_setting;
pub use query_id::{QUERY_ID_BEGINNING, QueryPrefix};
pub use replacing::replacing_columns;
pub use schema::{Column, TableName, TableSchema, functions_not_deterministic, table_schema};
pub use servers::Servers;
pub use settings::Settings;
pub use sql::{Quoted, quote_identifier, quote_literal, quote_literal_bytes, structure};
pub use stream::BlockStream;
pub use tls::{Tls, TlsProblem};
