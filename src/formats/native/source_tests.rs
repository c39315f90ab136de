use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;

use super::reference::{Value, block, value, write_row_binary};
use super::tests::{columns, supported};
use super::*;
use crate::formats::rowbinary::DataType;
use crate::formats::rowbinary::fuzzing::Random;

type Columns = Vec<(String, DataType)>;

fn reader(columns: &[(String, DataType)], keys: usize, most_bytes: usize) -> BlockReader {
    let layout = Arc::new(SourceLayout::new(columns, keys).unwrap());
    BlockReader::new(layout, most_bytes, Arc::default())
}

/// The blocks of a stream that comes in pieces of these sizes, over and over.
fn blocks(
    columns: &[(String, DataType)],
    keys: usize,
    stream: &[u8],
    pieces: &[usize],
) -> Result<Vec<SourceBlock>, BlockError> {
    let mut reader = reader(columns, keys, 1 << 26);
    let (mut found, mut rest) = (Vec::new(), stream);
    for &piece in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at(piece.clamp(1, rest.len()));
        reader.push(piece);
        rest = after;
        while let Some(block) = reader.next_block()? {
            found.push(block);
        }
    }
    reader.finish()?;
    assert_eq!(reader.bytes(), stream.len() as u64);
    Ok(found)
}

/// The rows of a block in RowBinary.
fn rows(block: &SourceBlock) -> Vec<Vec<u8>> {
    let columns = block.all_columns().unwrap();
    let row = |row| {
        let mut out = Vec::new();
        columns.write_row(row, &mut out).unwrap();
        out
    };
    (0..block.rows()).map(row).collect()
}

fn row_binary(columns: &[(String, DataType)], row: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for ((_, data_type), value) in columns.iter().zip(row) {
        write_row_binary(data_type, value, &mut out);
    }
    out
}

fn random_rows(
    columns: &[(String, DataType)],
    rows: usize,
    random: &mut Random,
) -> Vec<Vec<Value>> {
    (0..rows)
        .map(|_| columns.iter().map(|(_, data_type)| value(data_type, random)).collect())
        .collect()
}

fn named(columns: &[(String, DataType)], prefix: &str) -> Columns {
    columns
        .iter()
        .map(|(name, data_type)| (format!("{prefix}.{name}"), data_type.clone()))
        .collect()
}

/// The answer of ClickHouse 26.7 to a query with [`READ_SETTINGS`] and [`READ_JSON_SETTING`].
const SERVER_BLOCK: &[u8] = include_bytes!("testdata/server_block");
const SERVER_TYPES: [&str; 13] = [
    "String",
    "DateTime('Asia/Tokyo')",
    "LowCardinality(String)",
    "Map(LowCardinality(String), UInt64)",
    "JSON",
    "Nullable(Nothing)",
    "Tuple()",
    "LowCardinality(Nullable(String))",
    "Variant(String, UInt64)",
    "Nested(x UInt8, y String)",
    "Enum8('a' = 1)",
    "Nullable(UInt64)",
    "UInt8",
];

#[test]
fn a_block_of_a_server_is_read() {
    let columns = columns(&SERVER_TYPES);
    for piece in [1, 7, 1000] {
        let found = blocks(&columns, 1, &SERVER_BLOCK.repeat(2), &[piece]).unwrap();
        assert_eq!(found.len(), 2);
        for block in &found {
            let expected: [&[u8]; 3] = [
                b"\x010\0\0\0\0\x010\x01\x01k\0\0\0\0\0\0\0\0\x07{\"a\":0}\x01\x01\xff\x00\x01\0\0\0\0\0\0\0\0\0\0",
                b"\x011\x01\0\0\0\x011\x01\x01k\x01\0\0\0\0\0\0\0\x07{\"a\":1}\x01\0\x03abc\0\x04text\x01\0\x01x\x01\x01\0",
                b"\x012\x02\0\0\0\x010\x01\x01k\x02\0\0\0\0\0\0\0\x07{\"a\":2}\x01\x01\x01\x02\0\0\0\0\0\0\0\x02\0\x01x\x01\x01x\x01\0\x02\0\0\0\0\0\0\0\0",
            ];
            assert_eq!(rows(block), expected);
            let keys = block.keys().unwrap();
            let mut key = Vec::new();
            keys.write_row(2, &mut key).unwrap();
            assert_eq!(key, b"\x012");
        }
    }
}

#[test]
fn null_keys_are_known() {
    let columns = columns(&["Nullable(UInt8)", "LowCardinality(Nullable(String))", "UInt8"]);
    let values =
        [[Value::Null, Value::Plain(b"\x01a".to_vec())], [Value::Plain(vec![7]), Value::Null]];
    let given = values.map(|[one, two]| vec![one, two, Value::Plain(vec![0])]);
    let found = blocks(&columns, 2, &block(&columns, &given), &[1000]).unwrap();
    let keys = found[0].keys().unwrap();
    let nulls = [0, 1].map(|row| [0, 1, 2].map(|column| keys.is_null(row, column)));
    assert_eq!(nulls, [[true, false, false], [false, true, false]]);
}

#[test]
fn what_is_no_block_is_refused_with_its_column() {
    let types = columns(&["UInt16", "Array(LowCardinality(String))", "Variant(String, UInt8)"]);
    let given = random_rows(&types, 5, &mut Random(3));
    let whole = block(&types, &given);
    let read =
        |columns: &Columns, bytes: &[u8]| blocks(columns, 0, bytes, &[bytes.len()]).unwrap_err();
    let other = columns(&["UInt16", "Array(String)", "Variant(String, UInt8)"]);
    let error = read(&other, &whole);
    let type_name = "Array(LowCardinality(String))".to_owned();
    assert_eq!(error, BlockError::Type { block: 0, column: "c1".into(), type_name });
    let error = read(&columns(&["UInt16"]), &whole);
    assert_eq!(error, BlockError::Columns { block: 0, found: 3, expected: 1 });
    let at = whole.windows(7).position(|bytes| bytes == b"\x06\0\0\0\0\0\0").unwrap();
    let damaged = [&whole[..at], b"\x07", &whole[at + 1..]].concat();
    let error = read(&types, &damaged);
    assert!(matches!(&error, BlockError::Malformed { column, .. } if column == "c1"), "{error}");
    let cut = whole.len() - 1;
    assert_eq!(read(&types, &whole[..cut]), BlockError::PartialBlock { block: 0, bytes: cut });
}

#[test]
fn a_block_beyond_the_limit_is_refused_before_it_has_come() {
    let columns = columns(&["FixedString(1000)"]);
    let mut reader = reader(&columns, 0, 10_000);
    reader.push(b"\x01\x0b\x01a\x11FixedString(1000)");
    let error = BlockError::TooLarge { block: 0, max_block_bytes: 10_000 };
    assert_eq!(reader.next_block().unwrap_err(), error);
    assert_eq!(reader.next_block().unwrap_err(), BlockError::FailedBefore);
    assert_eq!(reader.finish().unwrap_err(), BlockError::FailedBefore);
}

#[test]
fn blocks_without_rows_have_no_values() {
    let columns = columns(&["LowCardinality(String)", "UInt8"]);
    let empty = b"\x02\x00\x01a\x16LowCardinality(String)\x01b\x05UInt8";
    let whole = block(&columns, &random_rows(&columns, 2, &mut Random(1)));
    let stream = [&empty[..], &whole, empty].concat();
    let found = blocks(&columns, 0, &stream, &[5]).unwrap();
    assert_eq!(found.iter().map(SourceBlock::rows).collect::<Vec<_>>(), [2]);
}

/// Ranges of rows that are kept, from bits.
fn ranges(rows: usize, bits: u64) -> Vec<Range<usize>> {
    (0..rows).filter(|row| bits >> (row % 64) & 1 == 1).map(|row| row..row + 1).collect()
}

proptest! {
    #[test]
    fn rows_of_blocks_are_those_of_the_reference(
        columns in supported(), seed: u64, sizes in prop::collection::vec(1_usize..40, 1..4),
        pieces in prop::collection::vec(1_usize..3000, 1..5)
    ) {
        let mut random = Random(seed);
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for size in sizes {
            let given = random_rows(&columns, size, &mut random);
            stream.extend(block(&columns, &given));
            expected.extend(given.iter().map(|row| row_binary(&columns, row)));
        }
        let found = blocks(&columns, 0, &stream, &pieces).unwrap();
        let found: Vec<_> = found.iter().flat_map(rows).collect();
        prop_assert!(found == expected, "{:?}", columns);
    }

    #[test]
    fn extended_blocks_have_the_columns_of_both_sides(
        source in supported(), built in supported(), seed: u64, bits: u64, rows_of_block in 1_usize..40
    ) {
        let mut random = Random(seed);
        let key = ("k".to_owned(), DataType::String);
        let end = ("e".to_owned(), DataType::Bool);
        let read: Columns = [&[key][..], &source, &[end]].concat();
        let sent: Columns = [named(&source, "source"), named(&built, "lookup")].concat();
        let target = Arc::new(NativeLayout::new(&sent).unwrap());
        let mut extender = BlockExtender::new(target, source.len());
        let given = random_rows(&read, rows_of_block, &mut random);
        let values = random_rows(&built, rows_of_block, &mut random);
        let found = blocks(&read, 1, &block(&read, &given), &[999]).unwrap();
        let joined: Vec<Vec<Value>> = given
            .iter()
            .zip(&values)
            .map(|(row, values)| [&row[1..=source.len()], values].concat())
            .collect();

        for values in &values {
            extender.append(&row_binary(&built, values)).unwrap();
        }
        let extended = extender.finish(&found[0], None).unwrap().concat();
        prop_assert!(extended == block(&sent, &joined), "{:?} {:?}", source, built);

        // Only some of the rows. Their dictionaries may have values that none of them has.
        let kept = ranges(rows_of_block, bits);
        prop_assume!(!kept.is_empty());
        for row in kept.iter().cloned().flatten() {
            extender.append(&row_binary(&built, &values[row])).unwrap();
        }
        let all = found[0].all_columns().unwrap();
        let extended = extender.finish(&found[0], Some((&all, &kept))).unwrap().concat();
        let again = blocks(&sent, 0, &extended, &[extended.len()]).unwrap();
        let expected: Vec<_> =
            kept.iter().cloned().flatten().map(|row| row_binary(&sent, &joined[row])).collect();
        prop_assert!(rows(&again[0]) == expected, "{:?} {:?} {:?}", source, built, kept);
    }

    #[test]
    fn damaged_blocks_are_read_or_refused(
        columns in supported(), seed: u64, wrong: u8, at in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>()
    ) {
        let mut random = Random(seed);
        let mut stream = block(&columns, &random_rows(&columns, 5, &mut random));
        *at.get_mut(&mut stream) = wrong;
        for end in [stream.len(), cut.index(stream.len())] {
            let mut reader = reader(&columns, 1, 1 << 20);
            reader.push(&stream[..end]);
            while let Ok(Some(block)) = reader.next_block() {
                let Ok(all) = block.all_columns() else { break };
                let mut out = Vec::new();
                let _ = (0..block.rows()).try_for_each(|row| all.write_row(row, &mut out));
            }
            let _ = reader.finish();
        }
    }
}
