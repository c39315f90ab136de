//! Talking to ClickHouse: connections, settings of statements, schemas, block streams, inserts, error
//! classes. No other room uses the client crate.
//!
//! Small queries go through the official [`clickhouse`](https://docs.rs/clickhouse) client, rows in bulk
//! over the same HTTP connector without it. Callers pass SQL and bytes and get bytes back; what the SQL means is theirs. Nothing here
//! prints or retries: an [`Error`] has an [`ErrorClass`], and the caller decides.

mod answer;
mod bounded;
mod bulk;
mod client_error;
mod connection;
mod deduplication;
mod endpoint;
mod error;
mod exception;
mod framing;
#[doc(hidden)]
pub(crate) mod fuzzing;
mod handshake;
mod insert;
mod password;
mod profile;
mod query;
mod remote;
mod schema;
mod settings;
mod sql;
mod stream;
mod tls;
mod url;

pub(crate) use connection::QUERY_ID_PREFIX;
pub use connection::{Connection, QueryPrefix, Servers};
pub(crate) use deduplication::{
    Deduplication, deduplication, deduplication_disabled_by, deduplication_settings,
};
pub use endpoint::{Endpoint, Timeouts, WireCompression};
pub use error::{Error, ErrorClass};
pub(crate) use handshake::TlsProblem;
pub(crate) use insert::InsertSummary;
pub use password::Password;
pub(crate) use profile::ProfileSetting;
pub(crate) use remote::NativeAddress;
pub(crate) use schema::{
    Column, Described, Disk, TableIdentity, TableName, TableSchema, disks_of,
    functions_not_deterministic, is_granted, is_replicated, merge_tree_setting, replacing_columns,
    table_identities, table_schema, version_of,
};
pub use settings::Settings;
pub(crate) use sql::{
    Quoted, find_outside, literal_list, quote_identifier, quote_literal, quote_literal_bytes,
    quoted_prefix, split_list, structure, unquoted,
};
pub(crate) use stream::BlockStream;
pub(crate) use tls::Tls;
pub(crate) use url::UrlError;
