//! Framing against rows that the server itself has written, over random structures.
//!
//! The oracle is the server: every row ends with the number of bytes that `formatRow` gives for its
//! columns, all together and one by one, and with its number. The types' names are the server's as
//! well, from the header of the answer.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
// What was tried is shown where a test fails.
#![allow(clippy::print_stdout, clippy::print_stderr)]

pub mod shape;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;

use clickhouse_backfill::internals::formats::rowbinary::{
    DataType, FramingError, RowFramer, RowGroup, RowLayout, TypeNameError, TypeNameErrorKind,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use self::shape::{Shape, shape};
use crate::support::Server;

/// What is asked of the server.
#[derive(Debug, Clone)]
struct Case {
    shapes: Vec<Shape>,
    rows: usize,
    block_rows: usize,
    seed: u64,
    longest_string: usize,
    longest_array: usize,
}

fn case() -> impl Strategy<Value = Case> {
    let shapes = prop::collection::vec(shape(), 1..6);
    let longest_string = prop_oneof![Just(3_usize), 0_usize..40, 100_usize..400];
    (shapes, 0_usize..120, 1_usize..100, any::<u32>(), longest_string, 0_usize..6).prop_map(
        |(shapes, rows, block_rows, seed, longest_string, longest_array)| Case {
            shapes,
            rows,
            block_rows,
            seed: u64::from(seed),
            longest_string,
            longest_array,
        },
    )
}

/// Settings under which the server makes all types, and writes `JSON` as a string.
const SETTINGS: &str = "output_format_binary_write_json_as_string = 1, use_variant_as_common_type = 1, \
    allow_suspicious_variant_types = 1, allow_suspicious_low_cardinality_types = 1, enable_nullable_tuple_type = 1, \
    enable_time_time64_type = 1, allow_experimental_qbit_type = 1";

impl Case {
    /// The rows' columns, then per column and for all of them the bytes they take, then the row's
    /// number.
    fn sql(&self) -> String {
        let mut structure = "n UInt64, s String".to_owned();
        let expressions: Vec<_> =
            self.shapes.iter().map(|shape| shape.sql(&mut structure)).collect();
        let columns: Vec<_> = (0..self.shapes.len()).map(|index| format!("c{index}")).collect();
        let named: Vec<_> = expressions
            .iter()
            .zip(&columns)
            .map(|(sql, name)| format!("{sql} AS {name}"))
            .collect();
        let length = |columns: &str| format!("toUInt64(length(formatRow('RowBinary', {columns})))");
        let lengths: Vec<_> = columns.iter().map(|column| length(column)).collect();
        format!(
            "SELECT *, {}, {}, rowNumberInAllBlocks() FROM (SELECT {} FROM generateRandom('{}', {}, {}, {}) LIMIT {}) \
             SETTINGS {SETTINGS}, max_block_size = {}, max_threads = 1 FORMAT RowBinaryWithNamesAndTypes",
            lengths.join(", "),
            length(&columns.join(", ")),
            named.join(", "),
            structure.replace('\\', r"\\").replace('\'', r"\'"),
            self.seed,
            self.longest_string,
            self.longest_array,
            self.rows,
            self.block_rows,
        )
    }
}

/// Reads a varuint off the beginning of the bytes.
fn read_number(bytes: &mut &[u8]) -> usize {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if *byte < 0x80 {
            return number;
        }
    }
}

/// Reads a string off the beginning of the bytes.
fn read_text(bytes: &mut &[u8]) -> String {
    let length = read_number(bytes);
    let (text, rest) = bytes.split_at(length);
    *bytes = rest;
    String::from_utf8(text.to_vec()).unwrap()
}

/// The columns' types as the answer's header names them, and the rows that follow the header.
fn read_header(mut answer: &[u8]) -> (Vec<String>, &[u8]) {
    let columns = read_number(&mut answer);
    let mut texts = Vec::new();
    for _ in 0..2 * columns {
        texts.push(read_text(&mut answer));
    }
    (texts.split_off(columns), answer)
}

/// Frames the pieces of a stream, and compares every row with what the server says of it.
fn check<'a>(
    layout: &Arc<RowLayout>,
    case: &Case,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    how: &str,
) {
    let mut framer = RowFramer::new(Arc::clone(layout), 1 << 30);
    let mut seen = 0;
    let mut on_rows = |group: RowGroup<'_>| -> Result<(), FramingError> {
        for row in group {
            let server: Vec<_> = row.payload()[row.payload().len() - 8 * (case.shapes.len() + 2)..]
                .chunks(8)
                .map(|number| {
                    usize::try_from(u64::from_le_bytes(number.try_into().unwrap())).unwrap()
                })
                .collect();
            let (lengths, [total, number]) = server.split_at(case.shapes.len()) else {
                panic!("no total")
            };
            assert_eq!(*number, seen, "{how}: number of the row");
            assert_eq!(row.bytes().len(), total + 8 * server.len(), "{how}: row {seen}");
            for (column, length) in lengths.iter().enumerate().take(layout.marked()) {
                assert_eq!(
                    row.marked_column(column).len(),
                    *length,
                    "{how}: row {seen}, column {column}"
                );
            }
            seen += 1;
        }
        Ok(())
    };
    for piece in pieces {
        framer.push(piece, &mut on_rows).unwrap_or_else(|error| panic!("{how}: {error}"));
    }
    framer.finish().unwrap_or_else(|error| panic!("{how}: {error}"));
    assert_eq!(seen, case.rows, "{how}: number of rows");
    assert_eq!(framer.rows(), case.rows as u64);
}

#[test]
fn rows_of_random_structures_are_as_long_as_the_server_says() {
    rows_of_random_structures(25);
}

#[test]
#[ignore = "slow: many structures"]
fn rows_of_many_random_structures_are_as_long_as_the_server_says() {
    rows_of_random_structures(150);
}

fn rows_of_random_structures(cases: u32) {
    let server = Server::shared();
    let refused = Cell::new(0);
    let types = RefCell::new(BTreeSet::new());
    let mut runner =
        TestRunner::new(Config { cases, source_file: Some(file!()), ..Config::default() });
    runner
        .run(&case(), |case| {
            // Not every nest of types is allowed by the server, so that some questions are not
            // answered.
            let answer = match server.try_query(&case.sql()) {
                Ok(answer) => answer,
                Err(words) => {
                    eprintln!("refused: {words}");
                    refused.set(refused.get() + 1);
                    return Ok(());
                }
            };
            let (type_names, rows) = read_header(&answer);
            let mut columns = Vec::new();
            for name in type_names {
                let data_type = DataType::parse(&name).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(data_type.to_string(), name);
                columns.push((format!("column {}", columns.len()), data_type));
                types.borrow_mut().insert(name);
            }
            for marked in [case.shapes.len(), 1] {
                let layout = Arc::new(RowLayout::new(&columns, marked).unwrap());
                check(&layout, &case, [rows], "in one piece");
                for size in (1..20).chain([100, 1000, 16 << 10]) {
                    check(&layout, &case, rows.chunks(size), &format!("in pieces of {size}"));
                }
                for cut in 0..rows.len().min(500) {
                    let (before, after) = rows.split_at(cut);
                    check(&layout, &case, [before, after], &format!("cut at {cut}"));
                }
            }
            Ok(())
        })
        .unwrap();
    let (refused, types) = (refused.get(), types.borrow().len());
    eprintln!("{types} types, {refused} of {cases} questions refused");
    assert!(refused < cases / 4, "{refused} of {cases} questions were refused by the server");
}

#[test]
fn every_type_of_the_server_is_known() {
    // Names that may be written in a statement, but that the server replaces.
    const NEVER_PRINTED: [&str; 2] = ["Enum", "DateTime32"];
    const NOT_FRAMED: [&str; 3] = ["AggregateFunction", "Dynamic", "Object"];
    let server = Server::shared();
    let families = server.text("SELECT arrayStringConcat(groupArray(name), ',') FROM system.data_type_families WHERE alias_to = ''");
    assert!(families.split(',').count() > 50, "{families}");
    for family in families.split(',').filter(|family| !NEVER_PRINTED.contains(family)) {
        // Most families want parameters, which are missing here.
        let error = DataType::parse(family).err();
        match error.as_ref().map(TypeNameError::kind) {
            None | Some(TypeNameErrorKind::Unexpected { .. }) => {
                assert!(!NOT_FRAMED.contains(&family), "{family}");
            }
            Some(TypeNameErrorKind::CannotBeFramed(name)) => {
                assert_eq!(name, family);
                assert!(NOT_FRAMED.contains(&family), "{family}");
            }
            Some(other) => panic!("{family}: {other}"),
        }
    }
}

#[test]
fn names_that_the_server_breaks_into_lines_are_read() {
    let server = Server::shared();
    let structure = "c Tuple(a UInt8, `b c` Array(Tuple(d Nested(e String, f JSON(x UInt8, SKIP y)), g Enum8(\\'x(\\' = 1))))";
    let describe = |pretty: u8| {
        let answer = server
            .query(&format!("DESCRIBE (SELECT c FROM null('{structure}')) SETTINGS print_pretty_type_names = {pretty} FORMAT RowBinary"));
        // The first two columns of the only row: the name and the type.
        let mut rest = &answer[..];
        assert_eq!(read_text(&mut rest), "c");
        read_text(&mut rest)
    };
    let (on_lines, on_one) = (describe(1), describe(0));
    assert!(on_lines.contains('\n'), "{on_lines}");
    assert_eq!(DataType::parse(&on_lines).unwrap().to_string(), on_one);
}
