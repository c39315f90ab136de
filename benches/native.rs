//! Building Native blocks, compared with copying the same rows: the client's cost of a format that
//! saves the server work.
//!
//! The rows are like those that the job `langfuse-events` inserts: 35 columns of an observation and
//! 9 of its trace, about 1.5 KB.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "the data are made here"
)]

use std::hint::black_box;
use std::sync::Arc;

use clickhouse_backfill::internals::formats::native::{BlockBuilder, NativeLayout};
use clickhouse_backfill::internals::formats::rowbinary::DataType;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

/// Enough rows to be larger than the processor's caches.
const ROWS: usize = 20_000;
/// The number of batches that the pipeline keeps.
const PIECE_BYTES: usize = 1024 * 1024;

fn main() {
    divan::main();
}

/// The values of a column.
#[derive(Clone, Copy)]
enum Like {
    /// Texts of at most N bytes.
    Text(usize),
    /// One of a few texts.
    Few(&'static [&'static str]),
    /// Mostly NULL, or mostly texts of at most N bytes.
    Sometimes(usize),
    Mostly(usize),
    /// Numbers of N bytes.
    Number(usize),
    /// A number of N bytes, or NULL in every other row.
    MaybeNumber(usize),
    /// A map of at most four texts to texts of at most N bytes.
    Metadata(usize),
    /// Three texts with numbers.
    Usage,
    /// In every other row a text of at most N bytes.
    List(usize),
}

const OBSERVATION: &[(&str, &str, Like)] = &[
    ("id", "String", Like::Text(16)),
    ("trace_id", "String", Like::Text(32)),
    (
        "project_id",
        "String",
        Like::Few(&["clr4x0y9k000008l2d3e4f5g6", "clr4x0y9k000008l2d3e4f5g7"]),
    ),
    ("environment", "LowCardinality(String)", Like::Few(&["default", "production", "default"])),
    ("type", "LowCardinality(String)", Like::Few(&["SPAN", "GENERATION", "EVENT"])),
    ("parent_observation_id", "Nullable(String)", Like::Mostly(16)),
    ("start_time", "DateTime64(3)", Like::Number(8)),
    ("end_time", "Nullable(DateTime64(3))", Like::MaybeNumber(8)),
    ("name", "String", Like::Few(&["chat completion", "retrieval", "tool call"])),
    ("metadata", "Map(LowCardinality(String), String)", Like::Metadata(60)),
    ("level", "LowCardinality(String)", Like::Few(&["DEFAULT"])),
    ("status_message", "Nullable(String)", Like::Sometimes(30)),
    ("version", "Nullable(String)", Like::Mostly(6)),
    ("input", "Nullable(String)", Like::Mostly(800)),
    ("output", "Nullable(String)", Like::Mostly(800)),
    ("provided_model_name", "Nullable(String)", Like::Mostly(20)),
    ("internal_model_id", "Nullable(String)", Like::Mostly(25)),
    ("model_parameters", "Nullable(String)", Like::Mostly(40)),
    ("provided_usage_details", "Map(LowCardinality(String), UInt64)", Like::Usage),
    ("usage_details", "Map(LowCardinality(String), UInt64)", Like::Usage),
    ("provided_cost_details", "Map(LowCardinality(String), Decimal(18, 12))", Like::Usage),
    ("cost_details", "Map(LowCardinality(String), Decimal(18, 12))", Like::Usage),
    ("completion_start_time", "Nullable(DateTime64(3))", Like::MaybeNumber(8)),
    ("prompt_id", "Nullable(String)", Like::Sometimes(25)),
    ("prompt_name", "Nullable(String)", Like::Sometimes(12)),
    ("prompt_version", "Nullable(UInt16)", Like::MaybeNumber(2)),
    ("usage_pricing_tier_id", "Nullable(String)", Like::Sometimes(25)),
    ("usage_pricing_tier_name", "Nullable(String)", Like::Sometimes(8)),
    ("tool_definitions", "Map(String, String)", Like::Metadata(20)),
    ("tool_calls", "Array(String)", Like::List(90)),
    ("tool_call_names", "Array(String)", Like::List(10)),
    ("created_at", "DateTime64(3)", Like::Number(8)),
    ("updated_at", "DateTime64(3)", Like::Number(8)),
    ("event_ts", "DateTime64(3)", Like::Number(8)),
    ("is_deleted", "UInt8", Like::Number(1)),
];

const TRACE: &[(&str, &str, Like)] = &[
    ("name", "String", Like::Text(20)),
    ("user_id", "Nullable(String)", Like::Mostly(12)),
    ("session_id", "Nullable(String)", Like::Mostly(25)),
    ("release", "Nullable(String)", Like::Sometimes(8)),
    ("version", "Nullable(String)", Like::Mostly(6)),
    ("metadata", "Map(LowCardinality(String), String)", Like::Metadata(30)),
    ("public", "Bool", Like::Number(1)),
    ("bookmarked", "Bool", Like::Number(1)),
    ("tags", "Array(String)", Like::List(10)),
];

/// Writes values as RowBinary does, from a small generator of numbers.
struct Encoder {
    bytes: Vec<u8>,
    state: u64,
}

impl Encoder {
    fn below(&mut self, limit: usize) -> usize {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize % limit
    }

    fn text(&mut self, text: &[u8]) {
        let mut count = text.len();
        while count >= 0x80 {
            self.bytes.push((count & 0x7F) as u8 | 0x80);
            count >>= 7;
        }
        self.bytes.push(count as u8);
        self.bytes.extend_from_slice(text);
    }

    fn some_text(&mut self, longest: usize) {
        let length = longest - self.below(longest / 2 + 1);
        self.text(&[b'a'; 1024][..length]);
    }

    fn flagged(&mut self, is_null: bool, value: impl FnOnce(&mut Self)) {
        self.bytes.push(u8::from(is_null));
        if !is_null {
            value(self);
        }
    }

    fn number(&mut self, width: usize) {
        let number = self.below(1 << 30).to_le_bytes();
        self.bytes.extend_from_slice(&number[..width]);
    }

    fn value(&mut self, like: Like) {
        match like {
            Like::Text(longest) => self.some_text(longest),
            Like::Few(texts) => {
                let chosen = self.below(texts.len());
                self.text(texts[chosen].as_bytes());
            }
            Like::Sometimes(longest) => {
                let is_null = self.below(8) > 0;
                self.flagged(is_null, |encoder| encoder.some_text(longest));
            }
            Like::Mostly(longest) => {
                let is_null = self.below(8) == 0;
                self.flagged(is_null, |encoder| encoder.some_text(longest));
            }
            Like::Number(width) => self.number(width),
            Like::MaybeNumber(width) => {
                let is_null = self.below(2) == 0;
                self.flagged(is_null, |encoder| encoder.number(width));
            }
            Like::Metadata(longest) => {
                let entries = self.below(5);
                self.bytes.push(entries as u8);
                for key in ["resourceAttributes", "scope", "langfuse.sdk", "user_agent"]
                    .iter()
                    .take(entries)
                {
                    self.text(key.as_bytes());
                    self.some_text(longest);
                }
            }
            Like::Usage => {
                self.bytes.push(3);
                for key in ["input", "output", "total"] {
                    self.text(key.as_bytes());
                    self.number(8);
                }
            }
            Like::List(longest) => {
                let elements = self.below(2);
                self.bytes.push(elements as u8);
                for _ in 0..elements {
                    self.some_text(longest);
                }
            }
        }
    }
}

/// Rows, each as the part of the source and the part of the lookup.
fn rows() -> Vec<[Vec<u8>; 2]> {
    let mut encoder = Encoder { bytes: Vec::new(), state: 1 };
    let mut part = |columns: &[(&str, &str, Like)]| {
        for (_, _, like) in columns {
            encoder.value(*like);
        }
        std::mem::take(&mut encoder.bytes)
    };
    (0..ROWS).map(|_| [part(OBSERVATION), part(TRACE)]).collect()
}

fn bytes(rows: &[[Vec<u8>; 2]]) -> usize {
    rows.iter().flatten().map(Vec::len).sum()
}

/// A batch of RowBinary: the parts of each row, one after the other.
#[divan::bench]
fn copy(bencher: Bencher<'_, '_>) {
    let rows = rows();
    bencher.counter(ItemsCount::new(ROWS)).counter(BytesCount::new(bytes(&rows))).bench_local(
        || {
            let mut pieces = Vec::new();
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            for part in rows.iter().flatten() {
                if piece.len() + part.len() > PIECE_BYTES {
                    pieces.push(std::mem::replace(&mut piece, Vec::with_capacity(PIECE_BYTES)));
                }
                piece.extend_from_slice(black_box(part));
            }
            pieces.push(piece);
            pieces
        },
    );
}

/// The same rows as a block.
#[divan::bench]
fn block(bencher: Bencher<'_, '_>) {
    let rows = rows();
    let named = |qualifier: &'static str| {
        move |(name, type_name, _): &(&str, &str, Like)| {
            (
                format!("{qualifier}.{name}"),
                DataType::parse(type_name).expect("the name is a type's"),
            )
        }
    };
    let columns: Vec<_> =
        OBSERVATION.iter().map(named("source")).chain(TRACE.iter().map(named("lookup"))).collect();
    let layout = Arc::new(NativeLayout::new(&columns).expect("blocks can hold the columns"));
    let mut builder = BlockBuilder::new(layout);
    bencher.counter(ItemsCount::new(ROWS)).counter(BytesCount::new(bytes(&rows))).bench_local(
        || {
            for [source, lookup] in &rows {
                builder.append([source, lookup]).expect("the rows are whole");
            }
            builder.finish().expect("the rows are whole")
        },
    );
}
