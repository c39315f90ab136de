//! Any text, as an expression, is cut into tokens, and what is accepted stays in its place.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clickhouse_backfill::internals::fuzzing::expression(data));
