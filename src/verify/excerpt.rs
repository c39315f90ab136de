//! Excerpts of two differing values around the first byte that differs, whatever their length.
//!
//! A value is compared as its text in
//! [TabSeparatedRaw](https://clickhouse.com/docs/interfaces/formats/TabSeparatedRaw), which exists
//! for every type. The server sends the beginning of the text and hashes of blocks of the rest; the
//! block that differs is queried afterwards.

use super::decode::{Cell, start_of};
use super::report::{DifferingValue, ShownValue};

/// Bytes of an excerpt.
const EXCERPT_BYTES: usize = 80;
/// Bytes of an excerpt before the difference.
const CONTEXT_BYTES: usize = 20;

/// A part of a value's text.
#[derive(Clone, Copy, Debug)]
struct Piece<'a> {
    bytes: &'a [u8],
    /// Its position in the text.
    start: usize,
}

/// The excerpts of a column's two values. `pieces`: the number of the block that differs, unless it is
/// the first, and the text that was sent with it.
pub(super) fn differing_value(
    column: &str,
    (expected, found): (&Cell, &Cell),
    pieces: Option<(usize, &[u8], &[u8])>,
) -> DifferingValue {
    let (start, ours, theirs) = pieces
        .map_or((0, &*expected.beginning, &*found.beginning), |(block, ours, theirs)| {
            (start_of(block), ours, theirs)
        });
    let same = ours.iter().zip(theirs).take_while(|(one, other)| one == other).count();
    // The end of one value is a difference too, unless both were cut there.
    let differ = ours != theirs
        || (expected.length != found.length
            && (start + same) as u64 == expected.length.min(found.length));
    let position = (differ && !expected.is_null && !found.is_null).then_some(start + same);
    let shown = |cell: &Cell, bytes| shown(cell, Piece { bytes, start }, position);
    DifferingValue {
        column: column.to_owned(),
        expected: shown(expected, ours),
        found: shown(found, theirs),
        first_differing_byte: position.map(|position| position as u64 + 1),
    }
}

fn shown(cell: &Cell, piece: Piece<'_>, position: Option<usize>) -> ShownValue {
    let length = usize::try_from(cell.length).unwrap_or(usize::MAX);
    let whole = length <= EXCERPT_BYTES && piece.start == 0;
    let from = if whole {
        0
    } else {
        position
            .map_or(piece.start, |position| position.saturating_sub(CONTEXT_BYTES).max(piece.start))
    };
    let rest = piece.bytes.get(from.saturating_sub(piece.start)..).unwrap_or_default();
    let cut = rest.get(..EXCERPT_BYTES).unwrap_or(rest);
    let text = (!cell.is_null)
        .then(|| escaped(cut, from > 0, cut.len() < rest.len() || from + cut.len() < length));
    let bytes = if cell.is_null { 0 } else { cell.length };
    ShownValue { text, from_byte: from as u64 + 1, to_byte: (from + cut.len()) as u64, bytes }
}

/// Bytes on one line, without what could take a terminal over. A character that was cut at either
/// end is left out.
fn escaped(bytes: &[u8], cut_before: bool, cut_behind: bool) -> String {
    let is_inside = |byte: &&u8| **byte & 0b1100_0000 == 0b1000_0000;
    let skipped = if cut_before { bytes.iter().take(3).take_while(is_inside).count() } else { 0 };
    let bytes = bytes.get(skipped..).unwrap_or_default();
    let mut text = String::new();
    let mut rest = bytes.len();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || character == '\\' {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        rest -= chunk.valid().len() + chunk.invalid().len();
        if rest == 0
            && cut_behind
            && std::str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none())
        {
            break;
        }
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::decode::{BLOCK, MARGIN};

    fn cell(text: &[u8]) -> Cell {
        let beginning = text[..text.len().min(BLOCK + MARGIN)].to_vec();
        let hash = |block: &[u8]| twox_hash::XxHash3_64::oneshot(block);
        let blocks: Vec<_> = text.chunks(BLOCK).skip(1).map(hash).collect();
        Cell { hash: hash(text), is_null: false, length: text.len() as u64, beginning, blocks }
    }

    fn differing(ours: &[u8], theirs: &[u8]) -> DifferingValue {
        let (expected, found) = (cell(ours), cell(theirs));
        let piece = |text: &[u8], block: usize| {
            let start = start_of(block).min(text.len());
            text[start..text.len().min(start + BLOCK + 2 * MARGIN)].to_vec()
        };
        let block = expected.differing_block(&found).filter(|&block| block > 0);
        let pieces = block.map(|block| (block, piece(ours, block), piece(theirs, block)));
        differing_value(
            "a",
            (&expected, &found),
            pieces.as_ref().map(|(block, ours, theirs)| (*block, &**ours, &**theirs)),
        )
    }

    #[test]
    fn short_values_are_shown_whole() {
        let value = differing(b"one\tthing", b"one\nthing");
        assert_eq!(
            (value.expected.text.as_deref(), value.found.text.as_deref()),
            (Some("one\\tthing"), Some("one\\nthing"))
        );
        assert_eq!(
            (value.first_differing_byte, value.expected.from_byte, value.found.bytes),
            (Some(4), 1, 9)
        );
        assert_eq!(differing(b"", b"x").first_differing_byte, Some(1));
        assert_eq!(differing(b"same", b"same").first_differing_byte, None, "only the types differ");
    }

    #[test]
    fn the_place_is_found_wherever_it_is() {
        let ours: Vec<u8> =
            (0..10_000_u32).map(|number| b'a' + u8::try_from(number * 7 % 26).unwrap()).collect();
        for position in [0, 1, 79, 80, 1000, 1023, 1024, 1025, 1119, 1120, 2047, 2048, 5000, 9999] {
            let mut theirs = ours.clone();
            theirs[position] = b'X';
            let value = differing(&ours, &theirs);
            assert_eq!(value.first_differing_byte, Some(position as u64 + 1));
            let (ShownValue { text, from_byte, bytes, .. }, before) =
                (value.found, position.min(CONTEXT_BYTES));
            let text = text.unwrap();
            assert_eq!((from_byte, bytes), ((position - before) as u64 + 1, 10_000));
            assert!(
                text[before..].starts_with('X')
                    && text.len() >= EXCERPT_BYTES.min(10_000 - position),
                "{position}: {text}"
            );
            // What is cut off differs as well.
            let value = differing(&ours, &ours[..position]);
            assert_eq!(
                (value.first_differing_byte, value.found.bytes),
                (Some(position as u64 + 1), position as u64)
            );
        }
    }

    #[test]
    fn nothing_takes_the_terminal_over_and_cut_characters_are_left_out() {
        assert_eq!(
            escaped(b"a\x1b[2J\\\x00\xff\xc3\xa4b", false, false),
            "a\\u{1b}[2J\\\\\\u{0}\\xff\u{e4}b"
        );
        assert_eq!(escaped("\u{20ac}x\u{20ac}".as_bytes().get(1..6).unwrap(), true, true), "x");
        assert_eq!(escaped(b"x\xe2\x82", false, false), "x\\xe2\\x82");
        let null = Cell { is_null: true, ..cell(b"") };
        let value = differing_value("a", (&null, &cell(b"")), None);
        assert_eq!(
            (value.expected.text, value.found.text.as_deref(), value.first_differing_byte),
            (None, Some(""), None)
        );
    }
}
