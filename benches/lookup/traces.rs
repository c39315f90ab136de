//! Traces that look like an observability product's: 20 projects, two forms of ids, few users with
//! most traces, sessions of 2 to 20 traces. Each trace is computed from its number, so that the
//! data takes no memory.

use clickhouse_backfill::internals::lookup::{LookupRow, MapShape};

/// Whether traces carry a map of about 150 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metadata {
    /// No metadata column.
    None,
    /// A distinct map for each trace.
    Distinct,
    /// One map for ten traces.
    Shared,
}

/// A number of traces.
pub struct Traces {
    len: usize,
    metadata: Metadata,
    /// The first trace of each user, in a space of 2^32 draws, so that users follow Zipf's law.
    user_bounds: Vec<u32>,
}

/// One trace, as a lookup row.
#[derive(Default)]
pub struct Trace {
    pub key: Vec<u8>,
    pub key_ends: [usize; 2],
    pub version: u64,
    pub attributes: Vec<u8>,
    pub attribute_ends: Vec<usize>,
}

const PROJECTS: u64 = 20;
const USERS: usize = 100_000;

impl Traces {
    /// Columns of a trace: project_id, id; user_id, session_id, release, version, name, tags,
    /// public, bookmarked, and metadata, which is empty where there is none.
    pub const SHAPE: MapShape = MapShape { key_columns: 2, attribute_columns: 9 };

    pub fn new(len: usize, metadata: Metadata) -> Self {
        let total: f64 = (1..=USERS).map(|rank| 1.0 / rank as f64).sum();
        let mut sum = 0.0;
        let user_bounds = (1..=USERS)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                (sum / total * f64::from(u32::MAX)) as u32
            })
            .collect();
        Self { len, metadata, user_bounds }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of different metadata, divided by traces.
    pub fn metadata_bytes(&self) -> f64 {
        let mut bytes = Vec::new();
        metadata(1, &mut bytes);
        match self.metadata {
            Metadata::None => 0.0,
            Metadata::Distinct => bytes.len() as f64,
            Metadata::Shared => bytes.len() as f64 / 10.0,
        }
    }

    /// Sessions have 2 to 20 traces, 11 in the mean: the numbers up to `sum` of a cycle of lengths.
    fn session(number: usize) -> usize {
        const CYCLE: usize = (2 + 20) * 19 / 2;
        let mut rest = number % CYCLE;
        let mut session = number / CYCLE * 19;
        for length in 2..=20 {
            if rest < length {
                break;
            }
            rest -= length;
            session += 1;
        }
        session
    }

    /// Writes trace `number` into `trace`.
    pub fn write(&self, number: usize, trace: &mut Trace) {
        let session = Self::session(number) as u64;
        let random = mix(number as u64);
        let of_session = mix(session ^ 0x5e55_1011);
        let user = self.user_bounds.partition_point(|&bound| bound < of_session as u32);
        let project = (of_session >> 32) % PROJECTS;

        trace.key.clear();
        let length = 25 + (project % 12) as usize;
        string(
            &mut trace.key,
            &hex(mix(project), mix(project + 100), 0)[..length.min(32)],
            &b"-abc"[..length.saturating_sub(32)],
        );
        trace.key_ends[0] = trace.key.len();
        let form = if project % 4 == 0 { 0 } else { 1 };
        string(&mut trace.key, hex(random, mix(random), form), b"");
        trace.key_ends[1] = trace.key.len();
        trace.version = 1_750_000_000_000 + random % (30 * 86_400_000);

        let out = &mut trace.attributes;
        let ends = &mut trace.attribute_ends;
        out.clear();
        ends.clear();
        if of_session % 10 == 0 {
            out.push(1);
        } else {
            out.push(0);
            string(out, b"user-", decimal(user as u64 * 7919));
        }
        ends.push(out.len());
        if random % 8 == 0 {
            out.push(1);
        } else {
            out.push(0);
            string(out, hex(of_session, mix(of_session), 1), b"");
        }
        ends.push(out.len());
        out.push(0);
        string(out, b"v1.", decimal(random / 16 % 30));
        ends.push(out.len());
        if random % 3 == 0 {
            out.push(1);
        } else {
            out.push(0);
            string(out, b"2025-", decimal(random / 64 % 12));
        }
        ends.push(out.len());
        string(out, b"agent-run-", decimal(random / 1024 % 60));
        ends.push(out.len());
        let tags = random >> 20 & 3;
        out.push(tags as u8);
        for tag in 0..tags {
            string(out, b"tag-", decimal((random >> (24 + 4 * tag)) % 10));
        }
        ends.push(out.len());
        out.push(u8::from(random >> 50 & 63 == 0));
        ends.push(out.len());
        out.push(u8::from(random >> 56 & 127 == 0));
        ends.push(out.len());
        match self.metadata {
            Metadata::None => out.push(0),
            Metadata::Distinct => metadata(random, out),
            Metadata::Shared => metadata(mix(random % (self.len as u64 / 10 + 1)), out),
        }
        ends.push(out.len());
    }
}

impl Trace {
    pub fn row(&self) -> LookupRow<'_> {
        LookupRow {
            key: &self.key,
            key_ends: &self.key_ends,
            version: self.version,
            deleted: false,
            attributes: &self.attributes,
            attribute_ends: &self.attribute_ends,
        }
    }
}

/// A map of three keys, about 150 bytes.
fn metadata(seed: u64, out: &mut Vec<u8>) {
    out.push(3);
    string(out, b"request_id", b"");
    string(out, hex(seed, mix(seed), 1), b"");
    string(out, b"region", b"");
    string(out, b"eu-west-", decimal(seed % 3));
    string(out, b"trace_parent", b"");
    string(out, hex(mix(seed), seed, 0), hex(seed, seed, 0));
}

/// The number of the trace that is looked up as the `index`th.
pub fn scattered(index: usize, len: usize) -> usize {
    (mix(index as u64 ^ 0x10_0c) % len as u64) as usize
}

fn string(out: &mut Vec<u8>, first: impl AsRef<[u8]>, second: impl AsRef<[u8]>) {
    let (first, second) = (first.as_ref(), second.as_ref());
    out.push((first.len() + second.len()) as u8);
    out.extend_from_slice(first);
    out.extend_from_slice(second);
}

/// A 64-bit permutation with random-looking results (splitmix64).
pub fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

struct Text {
    bytes: [u8; 36],
    len: usize,
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl std::ops::Deref for Text {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_ref()
    }
}

/// 32 digits, or with `form` 1 the text of a UUID.
fn hex(high: u64, low: u64, form: u8) -> Text {
    let mut text = Text { bytes: [b'-'; 36], len: 0 };
    let number = u128::from(high) << 64 | u128::from(low);
    for index in 0..32 {
        if form == 1 && matches!(index, 8 | 12 | 16 | 20) {
            text.len += 1;
        }
        text.bytes[text.len] = b"0123456789abcdef"[(number >> (124 - 4 * index) & 15) as usize];
        text.len += 1;
    }
    text
}

fn decimal(mut number: u64) -> Text {
    let mut digits = [0u8; 36];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let mut text = Text { bytes: [0; 36], len: digits.len() - start };
    text.bytes[..text.len].copy_from_slice(&digits[start..]);
    text
}
