//! Any bytes, as rows to look up, are loaded as a plain model loads them.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clickhouse_backfill::internals::fuzzing::lookup_rows(data));
