//! The fuzz targets' corpora in ordinary tests: every file of them, and what lies near it.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::formats::rowbinary::fuzzing::Random;

type Body = fn(&[u8]);

/// All targets with their bodies.
const TARGETS: [(&str, Body); 15] = [
    ("row_framing", crate::formats::rowbinary::fuzzing::row_framing),
    ("type_name", crate::formats::rowbinary::fuzzing::type_name),
    ("native_block", crate::formats::native::fuzzing::native_block),
    ("native_stream", crate::formats::native::fuzzing::native_stream),
    ("lookup_rows", crate::lookup::fuzzing::lookup_rows),
    ("job_file", crate::job::fuzzing::job_file),
    ("expression", crate::job::fuzzing::expression),
    ("server_words", crate::clickhouse::fuzzing::server_words),
    ("url", crate::clickhouse::fuzzing::url),
    ("quoting", crate::clickhouse::fuzzing::quoting),
    ("flag_values", crate::cli::fuzzing::values),
    ("environment_file", crate::cli::fuzzing::environment_file),
    ("config_file", crate::cli::fuzzing::config_file),
    ("ledger_file", crate::ledger::fuzzing::ledger_file),
    ("control_socket", crate::control::fuzzing::control_socket),
];

/// How many neighbours of each file are tried.
const NEIGHBOURS: usize = 200;

fn names(folder: &Path) -> BTreeSet<String> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_target_is_replayed() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let replayed: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&fuzz.join("fuzz_targets")), replayed);
    assert_eq!(names(&fuzz.join("corpus")), replayed);
}

#[test]
fn the_corpora_hold() {
    for (target, body) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut random = Random(7);
        for entry in
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            for neighbour in std::iter::once(bytes.clone())
                .chain((0..NEIGHBOURS).map(|_| changed(&bytes, &mut random)))
            {
                let held = catch_unwind(AssertUnwindSafe(|| body(&neighbour))).is_ok();
                assert!(
                    held,
                    "{target} fails near {}, on {:?}",
                    path.display(),
                    String::from_utf8_lossy(&neighbour)
                );
            }
        }
    }
}

/// The bytes with a few of them changed, left out or repeated.
fn changed(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    const SIGNS: &[u8] = b"\0\x01\xff'\"`\\()[]{};,*$#@:/?=\n -.0zA";
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        let sign = SIGNS[random.below(SIGNS.len())];
        match random.below(4) {
            0 => bytes.insert(at, sign),
            1 => bytes.truncate(at),
            2 if at < bytes.len() => bytes[at] = sign,
            _ => bytes.extend_from_within(at..),
        }
    }
    bytes
}
