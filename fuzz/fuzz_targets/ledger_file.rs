//! Any bytes, read as a file of a ledger, are rejected or survive a round trip.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clickhouse_backfill::internals::fuzzing::ledger_file(data));
