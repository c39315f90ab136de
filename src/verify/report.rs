//! What a comparison found, for people and for machines.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Kind, Share};

/// What a comparison found. Its field names are a contract with scripts.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether the target is what the job makes of the source.
    pub equal: bool,
    /// The job's name.
    pub job: String,
    /// The source's partition.
    pub partition: String,
    /// The source table.
    pub source: String,
    /// The target table.
    pub target: String,
    /// The load that filled the target, whose chunks those of this report are; none where the
    /// ledger knows none, and chunks are made anew.
    pub run_id: Option<String>,
    /// The share of keys that was compared, where it was not all.
    pub sample: Option<String>,
    /// Rows that the job makes, versions of the target not collapsed.
    pub expected_rows: u64,
    /// Rows of the target that the job answers for, and those of keys that it makes besides.
    pub target_rows: u64,
    /// How many rows of each kind differ.
    pub differences: BTreeMap<Kind, u64>,
    /// How many rows live writers have changed since; these are no differences.
    pub live: BTreeMap<Kind, u64>,
    /// Columns whose sums differ, with the number of groups of keys in which they do.
    pub columns: Vec<DifferingColumn>,
    /// Differing rows by name, at most as many as were asked for.
    pub rows: Vec<DifferingRow>,
    /// Rows in groups of keys that differ, which were not looked at one by one since enough
    /// differences were found.
    pub not_examined_rows: u64,
    /// Groups into which keys were divided, and how many of them differ.
    pub groups: u64,
    /// How many of them differ.
    pub differing_groups: u64,
    /// Chunks of the source.
    pub chunks: u64,
    /// How long it took.
    pub seconds: f64,
}

/// A column whose sums differ.
#[derive(Clone, Debug, Serialize)]
pub struct DifferingColumn {
    /// Its name.
    pub name: String,
    /// In how many groups of keys.
    pub groups: u64,
}

/// A row that differs.
#[derive(Clone, Debug, Serialize)]
pub struct DifferingRow {
    /// In what way.
    pub kind: Kind,
    /// The columns of the target's sorting key, as text.
    pub key: BTreeMap<String, String>,
    /// The columns that differ; none where the row is on one side only.
    pub columns: Vec<String>,
    /// Their values on both sides, of the first rows.
    pub values: Vec<DifferingValue>,
    /// The number of its chunk of the source, from 1.
    pub chunk: Option<usize>,
}

/// A value that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DifferingValue {
    /// Its column.
    pub column: String,
    /// What the job makes.
    pub expected: ShownValue,
    /// What the target has.
    pub found: ShownValue,
    /// The first byte in which the two differ as texts, from 1; none where they do not, which only
    /// their types can tell.
    pub first_differing_byte: Option<u64>,
}

/// As much of a value as is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownValue {
    /// A part of the text that ClickHouse writes for it (`TabSeparatedRaw`), control characters
    /// escaped; none for NULL.
    pub text: Option<String>,
    /// Where the part begins, from 1.
    pub from_byte: u64,
    /// Its last byte.
    pub to_byte: u64,
    /// How long the whole text is.
    pub bytes: u64,
}

impl Report {
    /// How many rows differ.
    pub fn difference_count(&self) -> u64 {
        self.differences.values().sum()
    }
}

impl Share {
    /// `1/100`
    pub(super) fn text(self) -> String {
        format!("{}/{}", self.parts, self.of)
    }
}
