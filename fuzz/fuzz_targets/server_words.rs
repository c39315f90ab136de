//! Any message of a server has an error class, and is shown without the password.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clickhouse_backfill::internals::fuzzing::server_words(data));
