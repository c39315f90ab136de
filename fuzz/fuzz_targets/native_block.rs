//! Any bytes, read as a row of any columns, become part of a block or are rejected.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clickhouse_backfill::internals::fuzzing::native_block(data));
