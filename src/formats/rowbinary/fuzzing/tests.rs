//! What the fuzzer would make up, in ordinary tests.

use proptest::prelude::*;

use super::*;

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
