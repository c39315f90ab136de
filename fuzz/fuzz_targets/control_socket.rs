//! Any lines, sent to the control socket of a run, are answered, and rejected ones change nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clickhouse_backfill::internals::fuzzing::control_socket(data));
