//! The fuzz targets' corpus, and what the fuzzer would make up, in ordinary tests.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;

/// Runs a target's body on every file of its corpus.
fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files = 0;
    for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        eprintln!("{}", path.display());
        body(&fs::read(path).unwrap());
        files += 1;
    }
    assert!(files > 0, "{} is empty", folder.display());
}

#[test]
fn the_corpus_of_type_names_holds() {
    replay("type_name", type_name);
}

#[test]
fn the_corpus_of_rows_holds() {
    replay("row_framing", row_framing);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_are_framed_alike(data in prop::collection::vec(prop_oneof![0_u8..6, any::<u8>()], 0..300)) {
        row_framing(&data);
    }

    #[test]
    fn random_bytes_are_no_trouble_as_type_names(data: Vec<u8>) {
        type_name(&data);
    }

    #[test]
    fn random_words_are_no_trouble_as_type_names(words in prop::collection::vec(prop::sample::select(WORDS), 0..30)) {
        type_name(words.concat().as_bytes());
    }
}

/// What type names are made of.
const WORDS: &[&str] = &[
    "Array",
    "Tuple",
    "Map",
    "Nullable",
    "Variant",
    "Nested",
    "String",
    "UInt8",
    "Enum8",
    "JSON",
    "Decimal",
    "DateTime64",
    "SimpleAggregateFunction",
    "AggregateFunction",
    "QBit",
    "FixedString",
    "(",
    "(",
    "(",
    ")",
    ")",
    ")",
    ",",
    ", ",
    " ",
    "\n",
    "=",
    "-",
    "1",
    "300",
    "99999999999999999999",
    "'a'",
    "'",
    "\\",
    "`b c`",
    "`",
    "\"",
    "name",
    "é",
    "max(1)",
    ".",
];
