//! What must hold for any bytes as a file of a ledger; see `fuzz/`. Not part of the crate's
//! interface.

#![expect(
    clippy::expect_used,
    reason = "this is code for tests, which is to panic where something is wrong"
)]

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ChunkRecord, Claim, LoadRecord};

/// Any bytes, as a record, are refused, or mean the same when they are written again.
pub fn ledger_file(data: &[u8]) {
    again::<LoadRecord>(data);
    again::<ChunkRecord>(data);
    again::<Vec<ChunkRecord>>(data);
    again::<Claim>(data);
}

fn again<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let Ok(record) = serde_json::from_slice::<T>(data) else { return };
    let written = serde_json::to_vec_pretty(&record).expect("a record can be written");
    assert_eq!(
        serde_json::from_slice::<T>(&written).expect("what was written can be read"),
        record
    );
}
