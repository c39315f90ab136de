//! The result of a comparison.

use std::collections::BTreeMap;

use serde::Serialize;

use super::rows::Kind;

/// The result of a comparison. Its field names are a contract with scripts.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Whether the target equals the equivalent join.
    pub equal: bool,
    /// The job's name.
    pub job: String,
    /// The source's partition.
    pub partition: String,
    /// The source table. It is compared as it is now, also where the load has read a snapshot of it.
    pub source: String,
    /// The target table.
    pub target: String,
    /// The load whose chunks were compared; none if the ledger has no load, in which case the chunks
    /// were planned for this comparison.
    pub run_id: Option<String>,
    /// The share of keys that was compared, if not all.
    pub sample: Option<String>,
    /// Rows that the job makes, before the target collapses versions.
    pub expected_rows: u64,
    /// Rows of the target that the job owns, and expected rows that it does not own.
    pub target_rows: u64,
    /// Rows that the job makes and the target's TTL may have removed; they are not compared.
    pub expired_rows: u64,
    /// Columns of the job that are not compared, because they are EPHEMERAL or have a TTL.
    pub columns_not_compared: Vec<String>,
    /// Number of differing rows of each kind.
    pub differences: BTreeMap<Kind, u64>,
    /// Number of rows that live writers have changed since; these are not differences.
    pub live: BTreeMap<Kind, u64>,
    /// Number of rows that are neither wrong nor changed by live writers: rows whose key another
    /// partition of the source makes too, and rows of an unknown partition of the source.
    pub tolerated: BTreeMap<Kind, u64>,
    /// Columns whose values differ, by the named rows and by groups whose differing rows are on both
    /// sides.
    pub columns: Vec<DifferingColumn>,
    /// The first differing rows, at most as many as requested.
    pub rows: Vec<DifferingRow>,
    /// Rows in differing groups of keys that were not compared one by one, because enough
    /// differences had been found.
    pub not_examined_rows: u64,
    /// Number of groups of keys.
    pub groups: u64,
    /// Number of groups with a wrong row, among those that were examined.
    pub differing_groups: u64,
    /// Number of chunks of the source that were compared.
    pub chunks: u64,
    /// The numbers of these chunks in the plan, from 1, if not all were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared_chunks: Option<Vec<usize>>,
    /// How the values of groups were compared; `null` for a job of rows.
    pub tolerances: Option<Tolerances>,
    /// Duration.
    pub seconds: f64,
}

/// How the values of groups are compared: all others exactly.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Tolerances {
    /// Relative tolerance of floating-point values.
    pub floats: f64,
    /// Relative tolerance of estimates, such as quantiles.
    pub estimates: f64,
}

/// A column whose values differ.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DifferingColumn {
    /// Its name.
    pub name: String,
    /// Number of groups in which it differs.
    pub groups: u64,
}

/// A row that differs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DifferingRow {
    /// The kind of its difference.
    pub kind: Kind,
    /// The columns of the target's sorting key as text.
    pub key: BTreeMap<String, String>,
    /// The columns that differ; empty if only one side has the row.
    pub columns: Vec<String>,
    /// Their values on both sides, for the first rows.
    pub values: Vec<DifferingValue>,
    /// The number of its chunk of the source, from 1.
    pub chunk: Option<usize>,
}

/// A value that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct DifferingValue {
    /// Its column.
    pub column: String,
    /// The value that the job makes.
    pub expected: ShownValue,
    /// The value in the target.
    pub found: ShownValue,
    /// The first byte that differs between their texts, from 1; none if only their types differ.
    pub first_differing_byte: Option<u64>,
}

/// An excerpt of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ShownValue {
    /// A part of its text (`TabSeparatedRaw`) with control characters escaped; none for NULL.
    pub text: Option<String>,
    /// The first byte of the part, from 1.
    pub from_byte: u64,
    /// The last byte of the part.
    pub to_byte: u64,
    /// Length of the whole text in bytes.
    pub bytes: u64,
}

impl Report {
    /// Number of differing rows.
    pub(crate) fn difference_count(&self) -> u64 {
        self.differences.values().sum()
    }
}
