//! Any text, read as a config file, is accepted, or the error names its line and not its password.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clickhouse_backfill::internals::fuzzing::config_file(data));
