//! Any text, read as a URL, never shows its password, malformed or not.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clickhouse_backfill::internals::fuzzing::url(data));
