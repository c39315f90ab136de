//! The body of a fuzz target. Not part of the crate's interface.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "code for tests, which panics on failure"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Loader, LoaderShape};
use crate::formats::rowbinary::fuzzing::{Random, cut};
use crate::formats::rowbinary::{
    DataType, FramingError, RowFramer, RowGroup, RowLayout, VersionEncoding,
};

/// The choices of key columns; the version and the attribute columns have their own.
const KEYS: [&[&str]; 4] = [
    &["String"],
    &["Nullable(String)"],
    &["UInt8", "FixedString(2)"],
    &["String", "Nullable(UInt16)"],
];
const VERSIONS: [Option<&str>; 4] = [None, Some("UInt16"), Some("DateTime64(3)"), Some("Int8")];
const ATTRIBUTES: [&[&str]; 4] = [
    &[],
    &["String"],
    &["Nullable(String)", "Array(String)"],
    &["Map(String, UInt8)", "UInt32", "String"],
];

/// Loading any bytes in pieces gives a map in which every key finds its greatest (version, deleted,
/// attributes), according to a model that keeps all rows.
pub fn lookup_rows(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let mut choose = |below: usize| usize::from(bytes.next().unwrap_or(0)) % below;
    let (keys, version, attributes) = (KEYS[choose(4)], VERSIONS[choose(4)], ATTRIBUTES[choose(4)]);
    let deleted = choose(2) == 1;
    let mut random = Random(choose(256) as u64);
    let data: Vec<u8> = bytes.collect();

    let flag = deleted.then_some("Bool");
    let names = keys
        .iter()
        .copied()
        .chain(version)
        .chain(flag)
        .chain(attributes.iter().copied())
        .chain(["UInt8"]);
    let columns: Vec<_> = names
        .map(|name| (name.to_owned(), DataType::parse(name).expect("the names above are types'")))
        .collect();
    let layout = Arc::new(RowLayout::new(&columns, columns.len()).expect("these can be framed"));
    let shape = LoaderShape {
        key_columns: keys.len(),
        nullable_keys: (0..keys.len()).filter(|&key| keys[key].starts_with("Nullable")).collect(),
        version: version
            .and_then(|name| VersionEncoding::of(&DataType::parse(name).expect("a type"))),
        deleted,
        attribute_columns: attributes.len(),
    };

    let mut model = Model::new();
    let modelled = model_of(&data, &layout, &shape, &mut model);

    let mut loader = Loader::new(layout, shape, MOST);
    let longest = [1, 5, 64][random.below(3)];
    let pushed = cut(&data, || 1 + random.below(longest))
        .into_iter()
        .try_for_each(|piece| loader.push::<Box<dyn std::error::Error>>(piece).map(|_| ()));
    assert_eq!(pushed.is_err(), modelled.is_err());
    if pushed.is_err() {
        return;
    }
    assert_eq!(loader.keys(), model.len());
    let map = loader.finish().expect("a map of few rows");
    for (key, (_, gone, values)) in &model {
        let found = map.find(key).map(|found| {
            let mut bytes = Vec::new();
            map.append_to(found, &mut bytes).expect("what was found is there");
            bytes
        });
        assert_eq!(found, (!gone).then(|| values.clone()), "{key:?}");
    }
    assert_eq!(map.live_len(), model.values().filter(|(_, gone, _)| !gone).count());
}

/// Whole keys with their greatest (version, deleted, attributes).
type Model = BTreeMap<Vec<u8>, (u64, bool, Vec<u8>)>;

/// Reads all rows into the model, in one piece.
fn model_of(
    data: &[u8],
    layout: &Arc<RowLayout>,
    shape: &LoaderShape,
    model: &mut Model,
) -> Result<(), FramingError> {
    RowFramer::new(layout.clone(), MOST).push(data, &mut |group: RowGroup<'_>| {
        for row in group {
            let column = |position: usize| row.marked_column(position);
            if shape.nullable_keys.iter().any(|&key| column(key)[0] == 1) {
                continue;
            }
            let mut at = shape.key_columns;
            let key: Vec<u8> = (0..at).flat_map(|position| column(position).to_vec()).collect();
            let mut order = 0;
            if let Some(encoding) = shape.version {
                order = encoding.order(column(at)).expect("a version of its width");
                at += 1;
            }
            let gone = shape.deleted && column(at) != [0];
            at += usize::from(shape.deleted);
            let values: Vec<u8> = (at..at + shape.attribute_columns)
                .flat_map(|position| column(position).to_vec())
                .collect();
            let row = (order, gone, values);
            let kept = model.entry(key).or_insert_with(|| row.clone());
            if *kept < row {
                *kept = row;
            }
        }
        Ok::<(), FramingError>(())
    })
}

/// The longest row, in bytes.
const MOST: usize = 1 << 20;
