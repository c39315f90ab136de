//! Any text, as a .env, is read, or one of its lines is named.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clickhouse_backfill::internals::fuzzing::environment_file(data));
