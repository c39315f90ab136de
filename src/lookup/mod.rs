//! The lookup map: keys to the attributes of their newest version, in little memory.
//!
//! A row is a key and attributes, as
//! [RowBinary](https://clickhouse.com/docs/interfaces/formats/RowBinary) bytes with the ends of
//! their columns, a version and a deleted flag. A lookup returns the bytes of the attributes,
//! exactly as they were given.
//!
//! [`LookupMap`] takes rows in any order and keeps the greatest (version, deleted, attributes) of
//! each key. [`LookupMap::freeze`] turns it into a [`FrozenLookupMap`], which is smaller, immutable,
//! and shared by many tasks. [`Loader`] fills a map from a stream.
//!
//! # Layout
//! ```text
//! hash of the key ──► one of 256 shards ── table: fingerprint, address ──► record in the shard's arena
//!                                                                          key │ version │ tokens
//!                                         values, each stored once  ◄──────────────────────┘
//! ```
//! - **Keys** are compared byte for byte; hashes and fingerprints only find candidates. The leading
//!   key columns are stored once under an id, the last one in 16 bytes if it is the text of a UUID
//!   or of 32 digits (`packed_key`).
//! - **Attributes**: short columns are stored in the record, others once for all records (`record`,
//!   `dictionary`).
//! - **Memory** is allocated in chunks of 32 KiB under 32-bit addresses (`arena`). A shard or a page
//!   of values is compacted when a quarter of it is unused, and tables grow one shard at a time, so
//!   the peak is close to the final size.
//! - **Limits**: 4 GiB of records per shard, 1 TiB in total, and 2^32 distinct values. Beyond a
//!   limit, rows are rejected or values are stored in their records.
//!
//! # Speed
//! A single lookup waits for memory two or three times. [`FrozenLookupMap::find_group`] and
//! [`LookupMap::insert_group`] prefetch the memory of many keys and wait once.

mod arena;
mod dictionary;
mod error;
mod frozen;
#[doc(hidden)]
pub(crate) mod fuzzing;
mod loader;
mod map;
mod packed_key;
mod record;
mod shard;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use error::LookupError;
pub use frozen::{FrozenLookupMap, GROUP, LookupHit};
pub(crate) use loader::{Loader, LoaderShape};
pub use map::{LookupMap, LookupRow, MapShape};
