//! The bodies of fuzz targets. Not part of the crate's interface.

#![expect(clippy::expect_used, reason = "code for tests, which panics on failure")]

use std::sync::Arc;

use super::{BlockBuffers, BlockBuilder, BlockExtender, BlockReader, NativeLayout, SourceLayout};
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

/// Any bytes are a stream of blocks, or are rejected: however they are cut into pieces, and without more
/// memory than they have themselves. What is passed on can be read again.
///
/// The first bytes choose the number of columns and their types, and the size of the pieces.
pub fn native_stream(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let mut choose = |below: usize| usize::from(bytes.next().unwrap_or(0)) % below;
    let names: Vec<_> = (0..=choose(6)).filter_map(|_| TYPES.get(choose(TYPES.len()))).collect();
    let piece_bytes = choose(64) + 1;
    let stream: Vec<u8> = bytes.collect();
    let parse = |name: &str| DataType::parse(name).expect("the names above are types'");
    let columns: Vec<_> =
        names.iter().enumerate().map(|(index, name)| (format!("c{index}"), parse(name))).collect();
    let Ok(layout) = SourceLayout::new(&columns, 0) else { return };
    let layout = Arc::new(layout);
    let passed = columns.len().saturating_sub(1);
    let target = NativeLayout::new(columns.get(..passed).unwrap_or_default());
    let mut extender = target.ok().map(|target| BlockExtender::new(Arc::new(target), passed));

    let buffers = Arc::new(BlockBuffers::default());
    let mut whole = BlockReader::new(layout.clone(), stream.len(), buffers.clone());
    whole.push(&stream);
    let mut cut = BlockReader::new(layout, stream.len(), buffers);
    let mut pieces = stream.chunks(piece_bytes);
    loop {
        let expected = whole.next_block();
        let mut found = cut.next_block();
        while matches!(found, Ok(None))
            && let Some(piece) = pieces.next()
        {
            cut.push(piece);
            found = cut.next_block();
        }
        let (Ok(Some(expected)), Ok(Some(found))) = (&expected, &found) else {
            let ends = [expected.is_ok(), found.is_ok()];
            assert!(ends[0] == ends[1] && whole.bytes() == cut.bytes(), "{names:?} {ends:?}");
            return;
        };
        assert_eq!((expected.rows(), expected.bytes()), (found.rows(), found.bytes()), "{names:?}");
        let Ok(all) = found.all_columns() else { return };
        let mut row = Vec::new();
        let rows = found.rows().min(100);
        if (0..rows).any(|index| all.write_row(index, &mut row).is_err()) {
            return;
        }
        if let Some(extender) = &mut extender {
            let some = 0..rows / 2;
            some.clone().for_each(|_| extender.append(&[]).expect("there are no values"));
            let _ = extender.finish(found, Some((&all, std::slice::from_ref(&some))));
        }
    }
}
