//! The lookup map: keys to the attributes of their newest version, in as little memory as possible.
//!
//! The room knows bytes, not jobs: a row is a key and attributes as
//! [RowBinary](https://clickhouse.com/docs/interfaces/formats/RowBinary) bytes with the ends of
//! their columns, a version and a deleted flag. What a lookup gives is the attributes' bytes,
//! exactly as they came. Where rows come from, what their types are, and what becomes of the bytes,
//! is for others.
//!
//! Two maps, one after the other: [`LookupMap`] takes rows in any order and keeps the greatest
//! (version, deleted, attributes) of each key; [`LookupMap::freeze`] makes it a
//! [`FrozenLookupMap`], which is smaller, never changes, and is shared by many tasks.
//!
//! # Layout
//! ```text
//! hash of the key ──► one of 256 shards ── table: fingerprint, address ──► record in the shard's arena
//!                                                                          key │ version │ tokens
//!                                         values, each stored once  ◄──────────────────────┘
//! ```
//! - **Keys** are compared whole, byte for byte; hashes and fingerprints only find candidates. The
//!   leading key columns are stored once under a number, the last one in 16 bytes if it is the text
//!   of a UUID or of 32 digits (`packed_key`).
//! - **Attributes**: short columns stand in the record; others are stored once, however many rows
//!   have them (`attributes`, `dictionary`, `values`).
//! - **Memory** is chunks of 32 KiB under 32-bit addresses (`arena`). A shard or a page of values
//!   whose unused bytes pass a quarter is rewritten alone, and tables grow one shard at a time, so
//!   that the peak stays close to what is kept.
//! - **Limits**: 4 GiB of records a shard, 1 TiB in all, and 2^32 different values, beyond which
//!   rows are refused or values stored in their records; nothing wraps around.
//!
//! # Speed
//! Single lookups wait for memory two to three times each. [`FrozenLookupMap::find_group`] and
//! [`LookupMap::insert_group`] ask for the memory of many keys first, and then wait once.

mod arena;
mod attributes;
mod chunk;
mod dictionary;
mod error;
mod frozen;
#[doc(hidden)]
pub mod fuzzing;
mod hash;
mod hex_text;
mod loader;
mod map;
mod packed_key;
mod prefetch;
mod record;
mod shard;
mod table;
#[cfg(test)]
mod tests;
mod values;
mod varint;

pub use error::LookupError;
pub use frozen::{Found, FrozenLookupMap, GROUP};
pub use loader::{Loader, LoaderShape};
pub use map::{LookupMap, LookupRow, MapShape};
