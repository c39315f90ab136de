//! Rows of live writers that have the key and the version of a row that the job makes.
//!
//! Of equal versions, a ReplacingMergeTree keeps the row that was inserted last, so a backfill replaces
//! such rows; without a version column, all versions are equal. A job says with `[target]
//! on_equal_version` which row is kept. For `live`, the rows in question are left out of the source by
//! one predicate in every statement that reads the source: the query of a chunk, the count, and the
//! equivalent join, hence also in `verify` and `repair`. No two statements can disagree about them.
//!
//! Other ways were rejected. A version that is lower by the smallest step changes a value that users
//! read, does not exist for the least version, and also loses to rows of an earlier backfill. Inserting
//! the live rows once more after the run is too late, since a merge may have removed them. An
//! anti-join in each insert reads the live rows for every batch instead of every chunk, and leaves the
//! equivalent join with rows that the target never has.
//!
//! The predicate is evaluated when a chunk is read. A live row of an equal version that is inserted
//! between this moment and the insert of the chunk's rows is still replaced. If it comes later, it is the
//! last one and is kept.

/// Recognizes source rows of which the target has a live row of the same key and version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LiveRows {
    /// SQL over a source row for a hash of the key and the version of the row that it becomes.
    pub made: String,
    /// The same over a row of the target.
    pub found: String,
    /// Columns of the target, each with SQL for its value over a source row: only rows between the
    /// least and the greatest value of a scope are read.
    pub bounds: Vec<(String, String)>,
    /// SQL over the target's columns that is true for rows of live writers.
    pub live: String,
    /// The target, quoted.
    pub target: String,
}

impl LiveRows {
    /// SQL that is true for source rows of which the target has a live row of the same key and
    /// version. `scope`: `FROM … WHERE …` for all versions of the rows in question.
    pub(crate) fn predicate(&self, scope: &str) -> String {
        let least_and_greatest: Vec<_> =
            self.bounds.iter().map(|(_, value)| format!("min({value}), max({value})")).collect();
        // The server evaluates equal scalar subqueries once.
        let limits = format!("(SELECT tuple({}) {scope})", least_and_greatest.join(", "));
        let bounds = self.bounds.iter().enumerate().map(|(number, (column, _))| {
            let (least, greatest) = (2 * number + 1, 2 * number + 2);
            format!("\n    AND {column} BETWEEN {limits}.{least} AND {limits}.{greatest}")
        });
        format!(
            "{} IN (\n    SELECT {} FROM {}\n    WHERE ({}\n    ){})",
            self.made,
            self.found,
            self.target,
            self.live,
            bounds.collect::<String>()
        )
    }
}
