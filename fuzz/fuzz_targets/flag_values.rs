//! Any text, read as the value of a flag, is accepted or rejected.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clickhouse_backfill::internals::fuzzing::values(data));
