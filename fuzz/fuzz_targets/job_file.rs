//! Any text, read as a job file, is accepted, or the error names its line.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clickhouse_backfill::internals::fuzzing::job_file(data));
