//! Any bytes, as a file of a ledger, are refused or mean the same when written again.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clickhouse_backfill::internals::fuzzing::ledger_file(data));
