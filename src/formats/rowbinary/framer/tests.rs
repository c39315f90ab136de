//! Streams cut at every byte, long rows in many pieces, and streams that end or fail.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::formats::rowbinary::DataType;
use crate::formats::rowbinary::fuzzing::{Outcome, Random, cut};
use crate::formats::rowbinary::strategies;
use crate::formats::varint;

fn layout(type_names: &[&str], marked: usize) -> Arc<RowLayout> {
    let columns: Vec<_> = type_names
        .iter()
        .enumerate()
        .map(|(index, name)| (format!("c{index}"), DataType::parse(name).unwrap()))
        .collect();
    Arc::new(RowLayout::new(&columns, marked).unwrap())
}

#[expect(clippy::unnecessary_wraps, reason = "it is handed to the framer")]
fn ignore(_: RowGroup<'_>) -> Result<(), FramingError> {
    Ok(())
}

#[test]
fn rows_come_in_groups_that_lie_in_the_piece() {
    let mut framer = RowFramer::new(layout(&["UInt8", "String"], 1), 100);
    let stream: Vec<u8> = (0..70).flat_map(|row| [row, 1, b'x']).collect();
    let mut groups = Vec::new();
    let mut on_rows = |group: RowGroup<'_>| -> Result<(), FramingError> {
        assert!(stream.as_ptr_range().contains(&group.bytes().as_ptr()));
        assert!(group.iter().all(|row| row.payload() == b"\x01x"));
        groups.push((group.len(), group.row(0).marked_column(0).to_vec()));
        Ok(())
    };
    framer.push(&stream, &mut on_rows).unwrap();
    assert_eq!(groups, [(32, vec![0]), (32, vec![32]), (6, vec![64])]);
    assert_eq!((framer.rows(), framer.bytes(), framer.finish()), (70, 210, Ok(())));
}

#[test]
fn a_piece_is_taken_group_by_group_where_that_is_wanted() {
    let row = b"\x01\x03abc".as_slice();
    let stream = row.repeat(100);
    for cut in [0, 2, 5, 7, 160, 163, 498, 500] {
        let mut framer = RowFramer::new(layout(&["UInt8", "String"], 0), 100);
        let (mut handed_out, mut groups) = (Vec::new(), 0);
        for piece in [&stream[..cut], &stream[cut..]] {
            let mut rest = piece;
            while !rest.is_empty() {
                let before = groups;
                rest = framer
                    .push_until(rest, &mut |group| {
                        handed_out.extend_from_slice(group.bytes());
                        groups += 1;
                        Ok::<_, FramingError>(ControlFlow::Break(group.len()))
                    })
                    .unwrap();
                assert!(
                    groups == before + 1 || rest.is_empty(),
                    "one group at a time, cut at {cut}"
                );
            }
        }
        assert_eq!(
            (handed_out == stream, framer.rows(), framer.finish()),
            (true, 100, Ok(())),
            "cut at {cut}"
        );
        assert!(groups >= 4, "{groups}");
    }
}

/// As rows are taken one by one, or not at once.
#[test]
fn rows_that_were_not_taken_come_again() {
    let layout = layout(&["UInt8", "String"], 1);
    let stream: Vec<u8> = (0..50).flat_map(|row| [row, 3, b'a', b'b', b'c']).collect();
    for most in 0..4 {
        for cut in 0..stream.len() {
            let mut framer = RowFramer::new(layout.clone(), 100);
            let (mut keys, mut refused) = (Vec::new(), false);
            for piece in [&stream[..cut], &stream[cut..]] {
                let mut rest = piece;
                while !rest.is_empty() || framer.holds_row() {
                    rest = framer
                        .push_until(rest, &mut |group| {
                            // Every second time none is taken.
                            refused = !refused;
                            let take = if refused { 0 } else { most.max(1).min(group.len()) };
                            let rows = group.iter().take(take);
                            keys.extend(rows.map(|row| row.marked_column(0)[0]));
                            Ok::<_, FramingError>(ControlFlow::Break(take))
                        })
                        .unwrap();
                }
            }
            assert_eq!(keys, (0..50).collect::<Vec<u8>>(), "{most} cut at {cut}");
            assert_eq!((framer.rows(), framer.bytes(), framer.finish()), (50, 250, Ok(())));
        }
    }
}

#[test]
fn marks_passed_before_the_cut_are_kept() {
    let layout = layout(&["String", "String", "String"], 2);
    let row = b"\x01a\x02bb\x03ccc";
    let stream = row.repeat(5);
    let expected = vec![(vec![b"\x01a".to_vec(), b"\x02bb".to_vec()], b"\x03ccc".to_vec()); 5];
    for first in 0..stream.len() {
        for second in first..stream.len() {
            let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
            let outcome = Outcome::of(&layout, 100, pieces);
            assert_eq!(
                outcome,
                Outcome { rows: expected.clone(), end: Ok(()) },
                "cut at {first} and {second}"
            );
        }
    }
}

#[test]
fn the_end_within_a_row_is_an_error() {
    let mut framer = RowFramer::new(layout(&["String"], 0), 100);
    assert_eq!(framer.finish(), Ok(()));
    framer.push(b"\x02ab\x05abc", &mut ignore).unwrap();
    let error = framer.finish().unwrap_err();
    assert_eq!(error, FramingError::PartialRow { row: 1, bytes: 4, missing: 2 });
    assert_eq!(
        error.to_string(),
        "the stream ends within row 1: 4 bytes of it have come, and at least 2 are missing"
    );
    framer.push(b"de", &mut ignore).unwrap();
    assert_eq!((framer.rows(), framer.finish()), (2, Ok(())));
}

#[test]
fn rows_before_a_malformed_one_are_handed_out_and_nothing_after_it() {
    let layout = layout(&["UInt8", "Nullable(UInt8)"], 0);
    let stream = b"\x01\x01\x02\x00\x07\x03\x09\x04\x01";
    for size in 1..stream.len() {
        let outcome = Outcome::of(&layout, 100, stream.chunks(size));
        assert_eq!(outcome.rows.len(), 2, "{size}");
        assert_eq!(
            outcome.end.unwrap_err().to_string(),
            "row 2 (from byte 5 of the stream) cannot be read: column `c1`: the flag of a Nullable is 9, neither 0 nor 1"
        );
    }
    let mut framer = RowFramer::new(layout, 100);
    assert!(framer.push(stream, &mut ignore).is_err());
    assert_eq!(framer.push(b"\x01\x01", &mut ignore), Err(FramingError::FailedBefore));
    assert_eq!(framer.finish(), Err(FramingError::FailedBefore));
}

#[test]
fn an_error_of_the_caller_stops_the_framer() {
    let mut framer = RowFramer::new(layout(&["UInt8"], 0), 100);
    let mut refuse = |_: RowGroup<'_>| Err(FramingError::FailedBefore);
    assert!(framer.push(b"\x01", &mut refuse).is_err());
    assert_eq!(framer.push(b"\x01", &mut ignore), Err(FramingError::FailedBefore));
}

#[test]
fn a_row_that_is_too_long_is_not_buffered() {
    let layout = layout(&["UInt8", "String"], 0);
    let mut framer = RowFramer::new(Arc::clone(&layout), 1000);
    let error = framer.push(b"\x01\x01x\x01\x80\x80\x80\x80\x01abc", &mut ignore).unwrap_err();
    assert_eq!(error, FramingError::RowTooLong { row: 1, offset: 3, max_row_bytes: 1000 });
    assert_eq!((framer.rows(), framer.partial.capacity()), (1, 0));

    // The limit is the same however the row comes.
    let row = |length: u8| [&[1, length][..], &vec![b'x'; usize::from(length)]].concat();
    for (length, fits) in [(97, true), (98, true), (99, false)] {
        for size in [1, 2, 3, 50, 99, 100, 101, 500] {
            let outcome = Outcome::of(&layout, 100, row(length).chunks(size));
            assert_eq!(
                (outcome.rows.len(), outcome.end.is_ok()),
                (usize::from(fits), fits),
                "{length} by {size}"
            );
        }
    }
}

#[test]
fn a_row_is_too_long_also_if_its_length_is_known_late() {
    let layout = layout(&["String", "String", "String"], 0);
    let row = b"\x04abcd".repeat(3);
    let stream = row.repeat(3);
    for size in 1..=stream.len() {
        let fits = Outcome::of(&layout, row.len(), stream.chunks(size));
        assert_eq!((fits.rows.len(), fits.end), (3, Ok(())), "{size}");
        let fails = Outcome::of(&layout, row.len() - 1, stream.chunks(size));
        let error = FramingError::RowTooLong { row: 0, offset: 0, max_row_bytes: 14 };
        assert_eq!((fails.rows.len(), fails.end), (0, Err(error)), "{size}");
    }
}

#[test]
fn long_rows_take_linear_time() {
    const PIECE_BYTES: usize = 16 << 10;
    let started = Instant::now();
    let mut many_strings = Vec::new();
    varint::write(2_000_000, &mut many_strings);
    many_strings.extend(b"\x01x".repeat(2_000_000));
    let mut one_string = Vec::new();
    varint::write(50_000_000, &mut one_string);
    one_string.resize(one_string.len() + 50_000_000, b'x');
    for (type_name, row) in [("Array(String)", many_strings), ("String", one_string)] {
        let mut framer = RowFramer::new(layout(&[type_name], 1), 1 << 30);
        for piece in row.chunks(PIECE_BYTES) {
            framer.push(piece, &mut ignore).unwrap();
        }
        assert_eq!((framer.rows(), framer.bytes()), (1, row.len() as u64), "{type_name}");
        assert!(framer.partial.capacity() <= KEPT_BYTES, "{type_name}");
    }
    // It takes a second without optimization; walking anew with each piece would take minutes.
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

#[test]
fn a_cut_row_copies_no_more_than_it_needs_and_a_little() {
    let mut framer = RowFramer::new(layout(&["UInt8", "String"], 0), 1 << 20);
    framer.push(b"\x01", &mut ignore).unwrap();
    let rest = [b"\x02ab".to_vec(), b"\x01\x02ab".repeat(100_000)].concat();
    framer.push(&rest, &mut ignore).unwrap();
    assert_eq!(framer.rows(), 100_001);
    assert!(framer.partial.capacity() <= 2 * LOOK_AHEAD_BYTES, "{}", framer.partial.capacity());
}

proptest! {
    #[test]
    fn every_cut_gives_the_rows_that_were_written(
        columns in strategies::columns(),
        marked in 0_usize..4,
        rows in 0_usize..70,
        seed: u64,
        longest_piece in prop_oneof![Just(1_usize), 2_usize..50, 50_usize..10_000],
    ) {
        let marked = marked.min(columns.len());
        let layout = Arc::new(RowLayout::new(&columns, marked).unwrap());
        let mut random = Random(seed);
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for _ in 0..rows {
            let mut values = columns.iter().map(|(_, data_type)| {
                let mut value = Vec::new();
                strategies::write_value(data_type, &mut random, &mut value);
                value
            });
            let marks: Vec<_> = values.by_ref().take(marked).collect();
            let payload = values.collect::<Vec<_>>().concat();
            stream.extend(marks.concat());
            stream.extend(&payload);
            expected.push((marks, payload));
        }
        let pieces = cut(&stream, || 1 + random.below(longest_piece));
        prop_assert_eq!(Outcome::of(&layout, 1 << 30, pieces), Outcome { rows: expected, end: Ok(()) });
    }

    #[test]
    fn a_cut_at_every_byte_gives_the_same(columns in strategies::columns(), seed: u64) {
        let layout = Arc::new(RowLayout::new(&columns, 1).unwrap());
        let mut random = Random(seed);
        let mut stream = Vec::new();
        for _ in 0..3 {
            for (_, data_type) in &columns {
                strategies::write_value(data_type, &mut random, &mut stream);
            }
        }
        stream.truncate(3000);
        let whole = Outcome::of(&layout, 1 << 30, [&stream[..]]);
        for at in 0..=stream.len() {
            let (before, after) = stream.split_at(at);
            prop_assert_eq!(&Outcome::of(&layout, 1 << 30, [before, after]), &whole, "cut at {}", at);
        }
    }
}
