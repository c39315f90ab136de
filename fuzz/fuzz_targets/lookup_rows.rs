//! Any bytes, read as lookup rows, load like a simple model.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clickhouse_backfill::internals::fuzzing::lookup_rows(data));
