//! The body of a fuzz target. Not part of the crate's interface.

#![expect(clippy::expect_used, reason = "code for tests, which panics on failure")]

use std::sync::Arc;

use super::{BlockBuilder, NativeLayout};
use crate::formats::rowbinary::fuzzing::{Reference, TYPES};
use crate::formats::rowbinary::{DataType, Field};

/// Any bytes become a row of a block if they are exactly one row, and are rejected otherwise.
///
/// The first bytes choose the number of columns and their types, the rest is the row, appended
/// twice.
pub fn native_block(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let mut choose = |below: usize| usize::from(bytes.next().unwrap_or(0)) % below;
    let names: Vec<_> = (0..=choose(6)).filter_map(|_| TYPES.get(choose(TYPES.len()))).collect();
    let row: Vec<u8> = bytes.collect();
    let parse = |name: &str| DataType::parse(name).expect("the names above are types'");
    let columns: Vec<_> =
        names.iter().enumerate().map(|(index, name)| (format!("c{index}"), parse(name))).collect();
    let Ok(layout) = NativeLayout::new(&columns) else { return };
    let fields: Vec<_> = columns
        .iter()
        .map(|(_, data_type)| Field { name: None, data_type: data_type.clone() })
        .collect();
    let whole = Reference::of(&DataType::Tuple(fields), &row) == Reference::Complete(row.len());

    let mut builder = BlockBuilder::new(Arc::new(layout));
    assert_eq!(builder.append([&row, b""]).is_ok(), whole, "{names:?}");
    if !whole {
        assert!(builder.finish().is_err(), "{names:?}");
        return;
    }
    // The same row, all of it in the second part.
    builder.append([b"", &row]).expect("the same row");
    let pieces = builder.finish().expect("two rows");
    assert!(pieces.iter().map(bytes::Bytes::len).sum::<usize>() > names.len(), "{names:?}");
    assert!(builder.is_empty() && builder.finish().is_ok_and(|pieces| pieces.is_empty()));
}
