//! The map against a plain `HashMap` that keeps every key's greatest row.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::{FrozenLookupMap, LookupError, LookupHit, LookupMap, LookupRow, MapShape};

const SHAPE: MapShape = MapShape { key_columns: 2, attribute_columns: 3 };

/// A lookup row with its columns apart.
#[derive(Debug, Clone)]
struct Row {
    key: [Vec<u8>; 2],
    version: u64,
    deleted: bool,
    attributes: [Vec<u8>; 3],
}

impl Row {
    fn key_bytes(&self) -> Vec<u8> {
        self.key.concat()
    }

    fn attribute_bytes(&self) -> Vec<u8> {
        self.attributes.concat()
    }
}

fn ends(columns: &[Vec<u8>]) -> Vec<usize> {
    let mut end = 0;
    columns
        .iter()
        .map(|column| {
            end += column.len();
            end
        })
        .collect()
}

fn string(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut column = Vec::new();
    crate::formats::varint::write_slice(text.as_ref(), &mut column);
    column
}

fn row(project: &str, id: &str, version: u64, deleted: bool, attribute: &str) -> Row {
    let attributes = [string(attribute), vec![0], vec![1]];
    Row { key: [string(project), string(id)], version, deleted, attributes }
}

fn insert(map: &mut LookupMap, row: &Row) {
    let (key_ends, attribute_ends) = (ends(&row.key), ends(&row.attributes));
    map.insert(
        &row.key_bytes(),
        &key_ends,
        row.version,
        row.deleted,
        &row.attribute_bytes(),
        &attribute_ends,
    )
    .unwrap();
}

fn insert_group(map: &mut LookupMap, rows: &[Row]) {
    let parts: Vec<_> = rows
        .iter()
        .map(|row| (row.key_bytes(), ends(&row.key), row.attribute_bytes(), ends(&row.attributes)))
        .collect();
    let rows: Vec<_> = rows
        .iter()
        .zip(&parts)
        .map(|(row, (key, key_ends, attributes, attribute_ends))| LookupRow {
            key,
            key_ends,
            version: row.version,
            deleted: row.deleted,
            attributes,
            attribute_ends,
        })
        .collect();
    map.insert_group(&rows).unwrap();
}

fn frozen(rows: &[Row]) -> FrozenLookupMap {
    let mut map = LookupMap::new(SHAPE);
    for row in rows {
        insert(&mut map, row);
    }
    map.freeze().unwrap()
}

fn attributes(map: &FrozenLookupMap, found: Option<LookupHit>) -> Option<Vec<u8>> {
    found.map(|found| {
        let mut bytes = b"before".to_vec();
        map.append_to(found, &mut bytes).unwrap();
        assert_eq!(map.attribute_bytes_len(found).unwrap(), bytes.len() - 6);
        bytes.split_off(6)
    })
}

fn find(map: &FrozenLookupMap, project: &str, id: &str) -> Option<Vec<u8>> {
    attributes(map, map.find(&[string(project), string(id)].concat()))
}

/// Every key with its greatest row, and what a lookup of it gives.
#[derive(Default)]
struct Model {
    rows: HashMap<Vec<u8>, (u64, bool, Vec<u8>)>,
}

impl Model {
    fn insert(&mut self, row: &Row) {
        let new = (row.version, row.deleted, row.attribute_bytes());
        let old = self.rows.entry(row.key_bytes()).or_insert_with(|| new.clone());
        if new > *old {
            *old = new;
        }
    }

    fn find(&self, key: &[u8]) -> Option<&[u8]> {
        self.rows
            .get(key)
            .and_then(|(_, deleted, attributes)| (!deleted).then_some(attributes.as_slice()))
    }

    fn live(&self) -> usize {
        self.rows.values().filter(|(_, deleted, _)| !deleted).count()
    }
}

fn assert_equal(map: LookupMap, model: &Model, more_keys: &[Vec<u8>]) {
    assert_eq!((map.len(), map.live_len()), (model.rows.len(), model.live()));
    let map = map.freeze().unwrap();
    assert_eq!((map.len(), map.live_len()), (model.live(), model.live()));
    let keys: Vec<&[u8]> = model.rows.keys().chain(more_keys).map(Vec::as_slice).collect();
    let mut group = vec![None; keys.len()];
    map.find_group(&keys, &mut group);
    map.prefetch_attributes(&group);
    for (key, found) in keys.into_iter().zip(group) {
        assert_eq!(map.find(key), found);
        assert_eq!(attributes(&map, found).as_deref(), model.find(key));
    }
}

/// Key columns of which many differ in one small thing.
fn key_column() -> impl Strategy<Value = Vec<u8>> {
    let texts: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"0123abcd-4567-89ef-0123-456789abcdef".to_vec(),
        b"0123abcd-4567-89ef-0123-456789abcdee".to_vec(),
        b"0123ABCD-4567-89EF-0123-456789ABCDEF".to_vec(),
        b"0123abcd-4567-89ef-0123-456789abcdeF".to_vec(),
        b"0123abcd4-567-89ef-0123-456789abcdef".to_vec(),
        b"0123abcd\x004567-89ef-0123-456789abcdef".to_vec(),
        b"0123abcd456789ef0123456789abcdef".to_vec(),
        b"0123ABCD456789EF0123456789ABCDEF".to_vec(),
        b"0123abcd456789ef0123456789abcdeg".to_vec(),
        b"0123abcd456789ef0123456789abcde".to_vec(),
        b"\x01\x23\xab\xcd\x45\x67\x89\xef\x01\x23\x45\x67\x89\xab\xcd\xef".to_vec(),
        b"nul\0".to_vec(),
        b"nul\0\0".to_vec(),
        b"\xff\xfe not utf-8 \x80".to_vec(),
        b"'quoted\\' \"twice\"".to_vec(),
        "дрозд".as_bytes().to_vec(),
    ];
    prop_oneof![prop::sample::select(texts), prop::collection::vec(any::<u8>(), 0..3)]
        .prop_map(string)
}

fn attribute_column() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        Just(vec![0]),
        Just(vec![1]),
        prop::collection::vec(0u8..2, 0..12),
        prop::collection::vec(0u8..2, 30..33),
        (0u8..4, 9_000usize..9_002).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

fn any_row() -> impl Strategy<Value = Row> {
    (
        [key_column(), key_column()],
        prop_oneof![0u64..4, Just(u64::MAX), Just(u64::MAX / 2), any::<u64>()],
        prop::bool::weighted(0.2),
        [attribute_column(), attribute_column(), attribute_column()],
    )
        .prop_map(|(key, version, deleted, attributes)| Row {
            key,
            version,
            deleted,
            attributes,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_greatest_row_of_each_key_is_found(
        rows in prop::collection::vec(any_row(), 0..200),
        more_keys in prop::collection::vec([key_column(), key_column()].prop_map(|key| key.concat()), 0..50),
        one_by_one in 0usize..200,
        shuffled in any::<u64>(),
    ) {
        let mut model = Model::default();
        for row in &rows {
            model.insert(row);
        }

        // With all bits of the hash, and with so few that most keys or all of them, and all values,
        // collide.
        for cleared in [0, u64::MAX << 2, u64::MAX] {
            let (first, second) = rows.split_at(one_by_one.min(rows.len()));
            let mut map = LookupMap::with_poor_hashes(SHAPE, cleared);
            for row in first {
                insert(&mut map, row);
            }
            insert_group(&mut map, second);
            assert_equal(map, &model, &more_keys);
        }

        let mut rows = rows;
        let mut random = shuffled | 1;
        rows.sort_by_cached_key(|_| { random = random.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31); random });
        let mut map = LookupMap::with_capacity(SHAPE, rows.len()).unwrap();
        insert_group(&mut map, &rows);
        assert_equal(map, &model, &more_keys);
    }

    #[test]
    fn one_key_column_and_no_attributes_work(keys in prop::collection::vec(key_column(), 0..40)) {
        let mut map = LookupMap::new(MapShape { key_columns: 1, attribute_columns: 0 });
        for key in &keys {
            map.insert(key, &[key.len()], 1, false, &[], &[]).unwrap();
        }
        let map = map.freeze().unwrap();
        for key in &keys {
            prop_assert_eq!(attributes(&map, map.find(key)), Some(Vec::new()));
            prop_assert_eq!(map.find(&[key.as_slice(), b"x"].concat()), None);
        }
    }
}

#[test]
fn an_old_live_row_does_not_come_back_after_a_deletion() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let rows = [
            row("p", "t", 1, false, "old"),
            row("p", "t", 2, true, ""),
            row("p", "t", 2, false, "same time"),
        ];
        let map = frozen(&order.map(|index| rows[index].clone()));
        assert_eq!(find(&map, "p", "t"), None, "{order:?}");
        assert!(map.is_empty());
    }
}

#[test]
fn ties_go_to_the_greater_attributes_as_bytes() {
    // "b" is one byte, so its length makes it the lesser one.
    let rows = [row("p", "t", 1, false, "aa"), row("p", "t", 1, false, "b")];
    for rows in [[&rows[0], &rows[1]], [&rows[1], &rows[0]]] {
        let map = frozen(&rows.map(Clone::clone));
        assert_eq!(find(&map, "p", "t"), Some(row("p", "t", 1, false, "aa").attribute_bytes()));
    }
}

#[test]
fn keys_that_differ_in_the_project_alone_stay_apart() {
    let id = "0123abcd-4567-89ef-0123-456789abcdef";
    let rows: Vec<_> = (0..100)
        .map(|project| row(&format!("project {project}"), id, 1, false, &format!("of {project}")))
        .collect();
    let map = frozen(&rows);
    for row in &rows {
        assert_eq!(attributes(&map, map.find(&row.key_bytes())), Some(row.attribute_bytes()));
    }
    assert_eq!(find(&map, "project 100", id), None);
}

#[test]
fn more_prefixes_than_have_a_number_work() {
    let count = super::map::PREFIX_LIMIT + 1_000;
    let rows: Vec<_> =
        (0..count).map(|number| row(&number.to_string(), "id", 1, false, "")).collect();
    let mut map = LookupMap::new(SHAPE);
    insert_group(&mut map, &rows);
    // Again, with another version: both kinds of records are replaced.
    let newer: Vec<_> = rows
        .iter()
        .map(|row| Row { version: 2, attributes: [vec![7], vec![], vec![]], ..row.clone() })
        .collect();
    insert_group(&mut map, &newer);
    assert_eq!(map.len(), count);
    let map = map.freeze().unwrap();
    for row in &newer {
        assert_eq!(attributes(&map, map.find(&row.key_bytes())), Some(vec![7]));
    }
    assert_eq!(find(&map, &count.to_string(), "id"), None);
}

#[test]
fn large_attributes_and_keys_come_back() {
    let large = |byte: u8| string(vec![byte; 5 << 20]);
    let mut rows = Vec::new();
    for byte in 0..3 {
        let attributes = [large(byte), string("same"), large(100)];
        rows.push(Row {
            key: [string("p"), string([byte])],
            version: 1,
            deleted: false,
            attributes,
        });
    }
    let attributes = [vec![1], vec![2], vec![3]];
    rows.push(Row { key: [large(1), large(2)], version: 1, deleted: false, attributes });
    let map = frozen(&rows);
    for row in &rows {
        assert_eq!(attributes_of(&map, row), Some(row.attribute_bytes()));
    }
    // The large value that three rows share is there once.
    assert!(map.memory_bytes() < 6 * (5 << 20) + (1 << 20), "{}", map.memory_bytes());
}

fn attributes_of(map: &FrozenLookupMap, row: &Row) -> Option<Vec<u8>> {
    attributes(map, map.find(&row.key_bytes()))
}

#[test]
fn old_versions_leave_no_bytes_behind() {
    let mut map = LookupMap::new(SHAPE);
    let version_of = |id: u64, version: u64| {
        // Records of changing length, values that nobody else has, and one that all have.
        let name = "x".repeat((version % 7) as usize);
        let attributes = [
            string(format!("{name} {id} at {version}").repeat(5)),
            string(name),
            string("the same for everyone, always"),
        ];
        Row {
            key: [string("p"), string(format!("{id:032x}"))],
            version,
            deleted: version % 5 == 4,
            attributes,
        }
    };
    for version in 0..40 {
        let rows: Vec<_> = (0..2_000).map(|id| version_of(id, version)).collect();
        insert_group(&mut map, &rows);
        let mut fresh = LookupMap::new(SHAPE);
        insert_group(&mut fresh, &rows);
        // Every shard may keep 8 KiB before it is worth a compaction, and how keys fall into shards
        // differs from map to map. All versions together would take 8 MB.
        let bound = fresh.memory_bytes() * 3 + (2 << 20);
        assert!(
            map.memory_bytes() < bound,
            "version {version}: {} above {bound}",
            map.memory_bytes()
        );
    }
    assert_eq!((map.len(), map.live_len()), (2_000, 0));
    let rows: Vec<_> = (0..2_000).map(|id| version_of(id, 40)).collect();
    insert_group(&mut map, &rows);
    let map = map.freeze().unwrap();
    for row in &rows {
        assert_eq!(attributes_of(&map, row), Some(row.attribute_bytes()));
    }
}

#[test]
fn freezing_makes_the_map_smaller() {
    let mut map = LookupMap::new(SHAPE);
    let rows: Vec<_> = (0..50_000u64)
        .map(|id| {
            row("p", &format!("{id:032x}"), id, id % 2 == 0, &format!("attribute {}", id % 100))
        })
        .collect();
    insert_group(&mut map, &rows);
    let before = map.memory_bytes();
    let map = map.freeze().unwrap();
    assert_eq!(map.len(), 25_000);
    assert!(map.memory_bytes() < before * 3 / 4, "{} of {before}", map.memory_bytes());
}

#[test]
fn rows_of_another_shape_are_refused() {
    let mut map = LookupMap::new(SHAPE);
    let refused = map.insert(b"ab", &[2], 1, false, b"abc", &[1, 2, 3]);
    assert_eq!(refused, Err(LookupError::ColumnCount { side: "key", expected: 2, found: 1 }));
    let refused = map.insert(b"ab", &[1, 2], 1, false, b"abc", &[1, 2]);
    assert_eq!(refused, Err(LookupError::ColumnCount { side: "attribute", expected: 3, found: 2 }));
    for key_ends in [[1, 3], [1, 1], [2, 1], [3, 2]] {
        let refused = map.insert(b"ab", &key_ends, 1, false, b"abc", &[1, 2, 3]);
        assert_eq!(
            refused,
            Err(LookupError::ColumnEnds { side: "key", length: 2 }),
            "{key_ends:?}"
        );
    }
    let row = LookupRow {
        key: b"ab",
        key_ends: &[1, 2],
        version: 1,
        deleted: false,
        attributes: b"abc",
        attribute_ends: &[2, 1, 3],
    };
    assert_eq!(
        map.insert_group(&[row]),
        Err(LookupError::ColumnEnds { side: "attribute", length: 3 })
    );
    assert!(map.is_empty());
}

#[test]
fn an_answer_of_another_map_is_noticed_or_harmless() {
    let large = frozen(
        &(0..2_000)
            .map(|id| row("p", &id.to_string(), 1, false, "a longer attribute"))
            .collect::<Vec<_>>(),
    );
    let small = frozen(&[row("p", "1", 1, false, "")]);
    let mut noticed = 0;
    for id in 0..2_000 {
        let found = large.find(&[string("p"), string(id.to_string())].concat()).unwrap();
        let mut out = Vec::new();
        if small.append_to(found, &mut out).is_err() {
            noticed += 1;
            assert!(out.is_empty());
        }
    }
    assert!(noticed > 1_900, "{noticed}");
}

#[test]
fn many_threads_read_one_map() {
    let rows: Vec<_> = (0..20_000)
        .map(|id| row("p", &id.to_string(), 1, false, &format!("attribute of {id}")))
        .collect();
    let map = Arc::new(frozen(&rows));
    let rows = Arc::new(rows);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (map, rows) = (Arc::clone(&map), Arc::clone(&rows));
            std::thread::spawn(move || {
                for part in rows.chunks(100).skip(thread).step_by(2) {
                    let keys: Vec<_> = part.iter().map(Row::key_bytes).collect();
                    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
                    let mut found = vec![None; keys.len()];
                    map.find_group(&keys, &mut found);
                    for (row, found) in part.iter().zip(found) {
                        assert_eq!(attributes(&map, found), Some(row.attribute_bytes()));
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn maps_can_be_sent_and_shared() {
    fn sent<T: Send>() {}
    fn shared<T: Send + Sync>() {}
    sent::<LookupMap>();
    shared::<FrozenLookupMap>();
}
