//! Framing rows, compared with copying them: the processor time that the engine adds to moving
//! bytes.
//!
//! The rows are like those of an `observations` table: 36 columns, about 1.5 KB.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "the data are made here"
)]

use std::hint::black_box;
use std::sync::Arc;

use clickhouse_backfill::internals::formats::rowbinary::{
    DataType, FramingError, RowFramer, RowGroup, RowLayout,
};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

/// Enough rows to be larger than the processor's caches.
const ROWS: usize = 20_000;

fn main() {
    divan::main();
}

const COLUMNS: [(&str, &str); 36] = [
    ("project_id", "String"),
    ("trace_id", "String"),
    ("id", "String"),
    ("environment", "LowCardinality(String)"),
    ("type", "LowCardinality(String)"),
    ("parent_observation_id", "Nullable(String)"),
    ("start_time", "DateTime64(3)"),
    ("end_time", "Nullable(DateTime64(3))"),
    ("name", "String"),
    ("metadata", "Map(LowCardinality(String), String)"),
    ("level", "LowCardinality(String)"),
    ("status_message", "Nullable(String)"),
    ("version", "Nullable(String)"),
    ("input", "Nullable(String)"),
    ("output", "Nullable(String)"),
    ("provided_model_name", "Nullable(String)"),
    ("internal_model_id", "Nullable(String)"),
    ("model_parameters", "Nullable(String)"),
    ("provided_usage_details", "Map(LowCardinality(String), UInt64)"),
    ("usage_details", "Map(LowCardinality(String), UInt64)"),
    ("provided_cost_details", "Map(LowCardinality(String), Decimal(18, 12))"),
    ("cost_details", "Map(LowCardinality(String), Decimal(18, 12))"),
    ("total_cost", "Nullable(Decimal(18, 12))"),
    ("completion_start_time", "Nullable(DateTime64(3))"),
    ("prompt_id", "Nullable(String)"),
    ("prompt_name", "Nullable(String)"),
    ("prompt_version", "Nullable(UInt16)"),
    ("usage_pricing_tier_id", "Nullable(String)"),
    ("usage_pricing_tier_name", "Nullable(String)"),
    ("tool_definitions", "Map(String, String)"),
    ("tool_calls", "Array(String)"),
    ("tool_call_names", "Array(String)"),
    ("created_at", "DateTime64(3)"),
    ("updated_at", "DateTime64(3)"),
    ("event_ts", "DateTime64(3)"),
    ("is_deleted", "UInt8"),
];

fn layout() -> Arc<RowLayout> {
    let columns: Vec<_> = COLUMNS
        .iter()
        .map(|(name, type_name)| {
            ((*name).to_owned(), DataType::parse(type_name).expect("the name is a type's"))
        })
        .collect();
    Arc::new(RowLayout::new(&columns, 2).expect("the columns take bytes"))
}

/// Writes values as RowBinary does.
#[derive(Default)]
struct Encoder(Vec<u8>);

impl Encoder {
    fn count(&mut self, mut count: usize) {
        while count >= 0x80 {
            self.0.push((count & 0x7F) as u8 | 0x80);
            count >>= 7;
        }
        self.0.push(count as u8);
    }

    fn string(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn nullable_string(&mut self, text: Option<&str>) {
        self.0.push(u8::from(text.is_none()));
        if let Some(text) = text {
            self.string(text);
        }
    }

    fn fixed(&mut self, bytes: usize, value: usize) {
        self.0.extend((0..bytes).map(|index| (value >> (index % 8)) as u8));
    }

    fn nullable_fixed(&mut self, bytes: usize, value: Option<usize>) {
        self.0.push(u8::from(value.is_none()));
        if let Some(value) = value {
            self.fixed(bytes, value);
        }
    }

    fn observation(&mut self, row: usize) {
        let text = |longest: usize| {
            "lorem ipsum dolor sit amet, ".repeat(1 + (row * 7919 + longest) % longest / 28)
        };
        self.string(&format!("project-{:028}", row % 20));
        self.string(&format!("{:032x}", row / 6));
        self.string(&format!("{row:016x}"));
        self.string("default");
        self.string(["SPAN", "GENERATION", "EVENT"][row % 3]);
        self.nullable_string(
            (!row.is_multiple_of(6)).then(|| format!("{:016x}", row - row % 6)).as_deref(),
        );
        self.fixed(8, row);
        self.nullable_fixed(8, (!row.is_multiple_of(5)).then_some(row));
        self.string(["chat completion", "retrieval", "tool call"][row % 3]);
        let entries = row % 4 + 1;
        self.count(entries);
        for entry in 0..entries {
            self.string(["resourceAttributes", "scope", "langfuse.sdk", "user_agent"][entry]);
            self.string(&text(60));
        }
        self.string("DEFAULT");
        self.nullable_string(None);
        self.nullable_string(Some("1.14.2"));
        self.nullable_string(Some(&text(700)));
        self.nullable_string((!row.is_multiple_of(7)).then(|| text(900)).as_deref());
        self.nullable_string(Some("gpt-4o-mini-2024-07-18"));
        self.nullable_string(Some("clr4x0y9k000008l2d3e4f5g6"));
        self.nullable_string(Some(r#"{"temperature":0.7,"max_tokens":1024}"#));
        for _ in 0..4 {
            self.count(3);
            for key in ["input", "output", "total"] {
                self.string(key);
                self.fixed(8, row);
            }
        }
        self.nullable_fixed(8, Some(row));
        self.nullable_fixed(8, (row % 3 == 1).then_some(row));
        self.nullable_string(None);
        self.nullable_string(None);
        self.nullable_fixed(2, None);
        self.nullable_string(None);
        self.nullable_string(None);
        self.count(0);
        self.count(row % 2);
        if row % 2 == 1 {
            self.string(&text(100));
        }
        self.count(row % 2);
        if row % 2 == 1 {
            self.string("search");
        }
        self.fixed(8, row);
        self.fixed(8, row);
        self.fixed(8, row);
        self.fixed(1, 0);
    }
}

fn observations() -> Vec<u8> {
    let mut encoder = Encoder::default();
    for row in 0..ROWS {
        encoder.observation(row);
    }
    encoder.0
}

/// The floor: the same bytes copied a row's length at a time into a buffer that is reused for
/// each batch.
#[divan::bench]
fn copy(bencher: Bencher<'_, '_>) {
    let stream = observations();
    let row_bytes = stream.len() / ROWS;
    let mut batch = Vec::with_capacity(stream.len());
    bencher.counter(ItemsCount::new(ROWS)).counter(BytesCount::new(stream.len())).bench_local(
        || {
            batch.clear();
            for row in stream.chunks(row_bytes) {
                batch.extend_from_slice(black_box(row));
            }
            black_box(batch.len())
        },
    );
}

/// Framing a stream that arrives in pieces of the given size in bytes.
#[divan::bench(args = [16 << 10, 128 << 10, 1 << 20])]
fn frame(bencher: Bencher<'_, '_>, piece_bytes: usize) {
    let stream = observations();
    let layout = layout();
    bencher.counter(ItemsCount::new(ROWS)).counter(BytesCount::new(stream.len())).bench_local(
        || {
            let mut framer = RowFramer::new(Arc::clone(&layout), 1 << 24);
            let mut on_rows = |group: RowGroup<'_>| -> Result<(), FramingError> {
                for row in group {
                    black_box((row.marked_column(0), row.marked_column(1), row.payload()));
                }
                Ok(())
            };
            for piece in stream.chunks(piece_bytes) {
                framer.push(piece, &mut on_rows).expect("the stream is sound");
            }
            framer.finish().expect("the stream is whole");
            assert_eq!(framer.rows(), ROWS as u64);
        },
    );
}
