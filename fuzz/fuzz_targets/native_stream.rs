//! Any bytes, read as a stream of blocks of any columns, are blocks or are rejected.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clickhouse_backfill::internals::fuzzing::native_stream(data));
