//! Any text, read as an expression, is split into tokens, and an accepted one stays in its place.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clickhouse_backfill::internals::fuzzing::expression(data));
