//! Any lines, said to the control socket of a run, are answered, and those that are refused change
//! nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clickhouse_backfill::internals::fuzzing::control_socket(data));
