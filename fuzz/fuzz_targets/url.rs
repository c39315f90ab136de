//! Any text, as a URL, hides its password, also where it is malformed.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clickhouse_backfill::internals::fuzzing::url(data));
