//! Any bytes, read as rows of any columns, are framed equally in one piece and in many.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clickhouse_backfill::internals::fuzzing::row_framing(data));
