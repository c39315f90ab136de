//! Blocks built from rows that the server itself has written, inserted and compared with what the
//! same rows give as RowBinary.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
// What was tried is shown where a test fails.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;

use clickhouse_backfill::internals::formats::native::{
    BlockBuilder, INSERT_SETTINGS, NativeLayout,
};
use clickhouse_backfill::internals::formats::rowbinary::{
    DataType, FramingError, RowFramer, RowGroup, RowLayout,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::rowbinary::shape::{Shape, shape};
use crate::support::{Endpoint, Server, literal, tables};

/// Settings under which the server makes and keeps all types.
const TYPES: [(&str, &str); 7] = [
    ("use_variant_as_common_type", "1"),
    ("allow_suspicious_variant_types", "1"),
    ("allow_suspicious_low_cardinality_types", "1"),
    ("enable_nullable_tuple_type", "1"),
    ("enable_time_time64_type", "1"),
    ("allow_experimental_qbit_type", "1"),
    ("flatten_nested", "0"),
];

/// Settings of an insert: nothing is filled in in silence.
const INSERT: [(&str, &str); 3] = [
    ("insert_null_as_default", "0"),
    ("input_format_binary_read_json_as_string", "1"),
    ("use_structure_from_insertion_table_in_table_functions", "0"),
];

/// The answer to a statement, or the server's words.
fn try_ask(endpoint: &Endpoint, sql: &str) -> Result<Vec<u8>, String> {
    endpoint.try_query_with(sql.as_bytes(), &TYPES)
}

fn ask(endpoint: &Endpoint, sql: &str) -> Vec<u8> {
    try_ask(endpoint, sql).unwrap_or_else(|words| panic!("{words}\n{sql}"))
}

/// A table's columns and rows.
struct Table<'a> {
    endpoint: &'a Endpoint,
    name: &'a str,
    columns: Vec<(String, DataType)>,
    /// RowBinary, in the table's order.
    rows: Vec<u8>,
}

impl<'a> Table<'a> {
    /// A table whose rows are to be copied.
    fn read(endpoint: &'a Endpoint, name: &'a str) -> Self {
        let described = ask(
            endpoint,
            &format!(
                "DESCRIBE TABLE {name} SETTINGS print_pretty_type_names = 0 FORMAT JSONCompactEachRow"
            ),
        );
        let columns = serde_json::Deserializer::from_slice(&described)
            .into_iter::<Vec<serde_json::Value>>()
            .map(|column| {
                let column = column.unwrap();
                let text = |index: usize| column[index].as_str().unwrap();
                (
                    text(0).to_owned(),
                    DataType::parse(text(1)).unwrap_or_else(|error| panic!("{error}")),
                )
            });
        let columns = columns.collect();
        let rows = ask(endpoint, &contents(name));
        Self { endpoint, name, columns, rows }
    }

    /// The columns as a job's structure names them.
    fn input(&self) -> Vec<(String, DataType)> {
        self.columns
            .iter()
            .map(|(name, data_type)| (format!("source.{name}"), data_type.clone()))
            .collect()
    }

    /// Inserts into an empty copy of the table.
    fn insert(&self, target: &str, format: &str, body: &[u8]) -> Result<Vec<u8>, String> {
        let structure: Vec<_> =
            self.input().iter().map(|(name, data_type)| format!("`{name}` {data_type}")).collect();
        let expressions: Vec<_> =
            self.columns.iter().map(|(name, _)| format!("source.`{name}`")).collect();
        let sql = format!(
            "INSERT INTO {target} SELECT {} FROM input({}) FORMAT {format}",
            expressions.join(", "),
            literal(&structure.join(", "))
        );
        let parameters: Vec<_> = TYPES
            .into_iter()
            .chain(INSERT)
            .chain(INSERT_SETTINGS)
            .chain([("query", sql.as_str())])
            .collect();
        self.endpoint.try_query_with(body, &parameters)
    }

    /// Copies the rows as blocks of that many, by one builder, and as RowBinary; both copies must
    /// be what the table is.
    fn check(&self, layout: NativeLayout, first_part: usize, block_rows: u64) {
        let ask = |sql: &str| ask(self.endpoint, sql);
        for copy in ["as_blocks", "as_rows"] {
            ask(&format!("CREATE OR REPLACE TABLE {copy} AS {} ENGINE = Memory", self.name));
        }
        let mut builder = BlockBuilder::new(Arc::new(layout));
        let insert = |builder: &mut BlockBuilder| {
            let block = builder.finish().unwrap().concat();
            assert!(builder.is_empty());
            self.insert("as_blocks", "Native", &block)
                .unwrap_or_else(|words| panic!("{words}\n{:?}", self.columns));
        };
        let rows = RowLayout::new(&self.columns, first_part).unwrap();
        let mut framer = RowFramer::new(Arc::new(rows), 1 << 30);
        framer
            .push(&self.rows, &mut |group: RowGroup<'_>| {
                for row in group {
                    builder.append([row.marked_columns(), row.payload()]).unwrap();
                    if builder.rows() == block_rows {
                        insert(&mut builder);
                    }
                }
                Ok::<(), FramingError>(())
            })
            .unwrap();
        framer.finish().unwrap();
        insert(&mut builder);
        self.insert("as_rows", "RowBinary", &self.rows).unwrap();
        assert!(ask(&contents("as_blocks")) == self.rows, "{:?}", self.columns);
        // In this format the values below NULLs are seen as well, which functions such as
        // assumeNotNull give.
        let below = |table: &str| {
            ask(&format!(
                "SELECT * FROM {table} SETTINGS max_threads = 1, max_block_size = 1000000 FORMAT Native"
            ))
        };
        if framer.rows() <= block_rows {
            assert!(below("as_blocks") == below("as_rows"), "{:?}", self.columns);
        }
    }
}

/// A table's rows, in its order.
fn contents(table: &str) -> String {
    format!(
        "SELECT * FROM {table} SETTINGS max_threads = 1, output_format_binary_write_json_as_string = 1 FORMAT RowBinary"
    )
}

/// Makes a table of random columns, some of which the server may refuse.
fn make(endpoint: &Endpoint, shapes: &[Shape], rows: usize, seed: u32) -> Result<(), String> {
    let mut structure = "n UInt64, s String".to_owned();
    let columns: Vec<_> = shapes
        .iter()
        .enumerate()
        .map(|(index, shape)| format!("{} AS c{index}", shape.sql(&mut structure)))
        .collect();
    let sql = format!(
        "CREATE OR REPLACE TABLE random ENGINE = Memory AS SELECT {} FROM generateRandom({}, {seed}, 40, 4) LIMIT {rows}",
        columns.join(", "),
        literal(&structure),
    );
    try_ask(endpoint, &sql).map(drop)
}

fn endpoint(server: &Server) -> Endpoint {
    server.as_user(server.user(), server.password())
}

#[test]
fn blocks_of_random_columns_say_what_their_rows_say() {
    assert!(blocks_of_random_columns(30) > 10);
}

#[test]
#[ignore = "slow: many blocks"]
fn blocks_of_many_random_columns_say_what_their_rows_say() {
    assert!(blocks_of_random_columns(150) > 60);
}

/// Gives how many types were sent.
fn blocks_of_random_columns(cases: u32) -> usize {
    let server = Server::shared();
    let endpoint = endpoint(&server);
    let refused = Cell::new(0);
    let (sent, unsupported) = (RefCell::new(BTreeSet::new()), RefCell::new(BTreeSet::new()));
    let mut runner = TestRunner::new(Config {
        cases,
        max_shrink_iters: 200,
        source_file: Some(file!()),
        ..Config::default()
    });
    let case = (
        prop::collection::vec(shape(), 1..6),
        0_usize..700,
        any::<u32>(),
        prop_oneof![Just(7_u64), 1..300_u64, Just(1_000_000)],
        any::<prop::sample::Index>(),
    );
    runner
        .run(&case, |(shapes, rows, seed, block_rows, split)| {
            // Not every nest of types is allowed by the server.
            if let Err(words) = make(&endpoint, &shapes, rows, seed) {
                eprintln!("refused: {words}");
                refused.set(refused.get() + 1);
                return Ok(());
            }
            let table = Table::read(&endpoint, "random");
            let layout = match NativeLayout::new(&table.input()) {
                Ok(layout) => layout,
                Err(error) => {
                    unsupported.borrow_mut().insert(error.type_name);
                    return Ok(());
                }
            };
            if table.columns.iter().all(|(_, data_type)| data_type.minimum_width() == 0) {
                return Ok(());
            }
            sent.borrow_mut()
                .extend(table.columns.iter().map(|(_, data_type)| data_type.to_string()));
            // A block of many rows takes long to insert row by row.
            table.check(
                layout,
                split.index(table.columns.len() + 1),
                block_rows.max(rows as u64 / 20 + 1),
            );
            Ok(())
        })
        .unwrap();
    let (refused, sent, unsupported) = (refused.get(), sent.into_inner(), unsupported.into_inner());
    eprintln!(
        "{} types sent, {refused} of {cases} cases refused, unsupported: {unsupported:#?}",
        sent.len()
    );
    assert!(refused < cases / 2, "{refused} of {cases} cases were refused by the server");
    for type_name in unsupported {
        assert!(
            ["QBit(", "Tuple()", "Nothing"].iter().any(|reason| type_name.contains(reason)),
            "{type_name}"
        );
    }
    sent.len()
}

#[test]
fn blocks_of_observations_and_traces_say_what_their_rows_say() {
    let server = Server::shared();
    let endpoint = endpoint(&server);
    for file in
        ["observations.sql", "traces.sql", "dataset_run_items_rmt.sql", "adversarial_data.sql"]
    {
        tables::load(&server, file);
    }
    for name in ["observations", "traces"] {
        server.query(&format!("CREATE TABLE copied_{name} ENGINE = Memory AS SELECT * FROM {name} SETTINGS max_threads = 1"));
        let name = format!("copied_{name}");
        let table = Table::read(&endpoint, &name);
        assert!(table.rows.len() > 10_000, "{name}");
        for block_rows in [50, 1_000_000] {
            table.check(NativeLayout::new(&table.input()).unwrap(), 3, block_rows);
        }
    }
}

#[test]
fn nulls_of_types_with_parts_are_sent() {
    let server = Server::shared();
    let endpoint = endpoint(&server);
    let types = [
        "Nullable(JSON)",
        "Nullable(JSON(a UInt8))",
        "Nullable(Tuple(a LowCardinality(String), b Array(String), c Nullable(UInt256), d FixedString(3)))",
        "Array(Nullable(Tuple(LowCardinality(Nullable(String)), Map(String, UInt8))))",
        "Array(Nullable(Enum8('a' = -1, 'b' = 2)))",
        "Nullable(FixedString(200))",
        "LowCardinality(Nullable(FixedString(2)))",
        "Variant(JSON, String)",
    ];
    let columns: Vec<_> =
        types.iter().enumerate().map(|(index, name)| format!("c{index} {name}")).collect();
    ask(
        &endpoint,
        &format!("CREATE TABLE nulls (n UInt8, {}) ENGINE = Memory", columns.join(", ")),
    );
    for values in [
        "1, NULL, NULL, NULL, [NULL, NULL], [NULL], NULL, NULL, NULL",
        r#"2, '{"k": [1, "x"]}', '{"a": 2}', ('', [], NULL, ''), [NULL, (NULL, map('', 1))], [NULL, 'b'], '', '', '{"k": 1}'::JSON"#,
        "3, '{}', '{}', ('x', ['', 'y'], 5, 'abc'), [('z', map()), NULL], ['a'], 'xyz', 'ab', 'text'::String",
    ] {
        ask(&endpoint, &format!("INSERT INTO nulls VALUES ({values})"));
    }
    let table = Table::read(&endpoint, "nulls");
    for block_rows in [1, 1_000_000] {
        table.check(NativeLayout::new(&table.input()).unwrap(), 4, block_rows);
    }
}

#[test]
fn a_low_cardinality_may_have_more_values_than_numbers_of_one_or_two_bytes() {
    let server = Server::shared();
    let endpoint = endpoint(&server);
    ask(
        &endpoint,
        "CREATE TABLE many ENGINE = Memory AS SELECT number AS n, toString(number % 70000)::LowCardinality(String) AS s, \
         if(number % 7 = 0, NULL, number % 300)::LowCardinality(Nullable(UInt32)) AS u, \
         arrayMap(i -> toString(number % 1000 * i), range(number % 3))::Array(LowCardinality(Nullable(String))) AS a \
         FROM numbers(150000) SETTINGS max_threads = 1, max_block_size = 1000000",
    );
    let table = Table::read(&endpoint, "many");
    // The second block begins with the wide numbers of the first.
    for block_rows in [100_000, 1_000_000] {
        table.check(NativeLayout::new(&table.input()).unwrap(), 1, block_rows);
    }
}

#[test]
fn columns_other_than_those_of_the_structure_are_errors() {
    let server = Server::shared();
    let insert = |columns: &[(&str, &str)], row: &[u8], settings: &[(&str, &str)]| {
        let columns: Vec<_> = columns
            .iter()
            .map(|(name, type_name)| ((*name).to_owned(), DataType::parse(type_name).unwrap()))
            .collect();
        let mut builder = BlockBuilder::new(Arc::new(NativeLayout::new(&columns).unwrap()));
        builder.append([row, &[]]).unwrap();
        let sql = "INSERT INTO FUNCTION null('a UInt8') SELECT `source.a` FROM input('`source.a` UInt8') FORMAT Native";
        let parameters: Vec<_> = settings.iter().copied().chain([("query", sql)]).collect();
        endpoint(&server).try_query_with(&builder.finish().unwrap().concat(), &parameters)
    };
    let (unknown, converted) =
        ([("source.a", "UInt8"), ("source.b", "UInt8")], [("source.a", "UInt16")]);
    assert_eq!(insert(&[("source.a", "UInt8")], &[1], &INSERT_SETTINGS), Ok(vec![]));
    let words = insert(&unknown, &[1, 2], &INSERT_SETTINGS).unwrap_err();
    assert!(words.contains("source.b"), "{words}");
    let words = insert(&converted, &[1, 2], &INSERT_SETTINGS).unwrap_err();
    assert!(words.contains("UInt16"), "{words}");
    // This is what the settings are for.
    assert_eq!(insert(&unknown, &[1, 2], &[]), Ok(vec![]));
    assert_eq!(insert(&converted, &[1, 2], &[]), Ok(vec![]));
}
