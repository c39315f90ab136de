//! Mending what a comparison found: which chunks have to be filled again, and taking away the rows
//! that should not be there.
//!
//! Filling a chunk again mends rows that are missing or differ, also those of an equal version: of
//! equal versions a ReplacingMergeTree keeps the one that was inserted last.

use std::collections::BTreeMap;

use super::VerifyError;
use super::report::Report;
use super::rows::{Difference, Kind};
use super::side::Removal;
use super::state::Progress;
use super::verifier::Verifier;
use crate::clickhouse::Settings;
use crate::units::counted;

/// Rows that are removed by one statement.
const ROWS_AT_ONCE: usize = 1000;

impl Verifier {
    /// The chunks of the plan that hold rows which are missing, differ or are stale.
    pub fn chunks_to_fill(&self) -> Vec<usize> {
        let mended =
            self.differences.iter().filter(|difference| difference.kind.is_mended_by_filling());
        let chunks: std::collections::BTreeSet<_> =
            mended.filter_map(|difference| difference.chunk).collect();
        chunks.into_iter().collect()
    }

    /// How many rows should not be there, by the reason.
    pub fn surplus(&self) -> BTreeMap<Kind, u64> {
        let mut counts = BTreeMap::new();
        for difference in self.surplus_rows() {
            *counts.entry(difference.kind).or_insert(0) += 1;
        }
        counts
    }

    fn surplus_rows(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(|difference| difference.kind.is_surplus())
    }

    /// How [`Verifier::remove_surplus`] removes a row.
    pub fn removal(&self) -> Removal {
        self.queries.removal()
    }

    /// Removes the rows that should not be there, in the versions that were seen: what a live
    /// writer has written since stays.
    ///
    /// # Errors
    /// Where the server refuses it. Some rows may be removed then.
    pub async fn remove_surplus(&self) -> Result<u64, VerifyError> {
        let mut by_part = BTreeMap::<usize, Vec<(u64, i128)>>::new();
        for difference in self.surplus_rows() {
            if let Some(part) = difference.part {
                by_part.entry(part).or_default().push((difference.key, difference.version));
            }
        }
        let parts = self.state.parts.clone().unwrap_or_default();
        let mut removed = 0;
        for (part, rows) in by_part {
            let Some((partition, range)) = parts.get(part) else { continue };
            for rows in rows.chunks(ROWS_AT_ONCE) {
                let sql = self.queries.remove(partition, range.as_deref(), rows);
                let settings = Settings::common()
                    .with("max_query_size", &(sql.len() + 4096).to_string())
                    .with("lightweight_deletes_sync", "2");
                let done = self.asker.target().execute("remove", &sql, &settings).await;
                done.map_err(|source| VerifyError::Query {
                    what: format!("removing {}", counted(rows.len() as u64, "row")),
                    table: self.queries.job.target.name.clone(),
                    attempts: 1,
                    source: Box::new(source),
                })?;
                removed += rows.len() as u64;
            }
        }
        Ok(removed)
    }

    /// Compares the groups of keys again in which something differed.
    ///
    /// # Errors
    /// As [`Verifier::run`], but no state is kept.
    pub async fn run_again(&mut self) -> Result<Report, VerifyError> {
        let Some(touched) = self.touched.clone() else { return self.run().await };
        self.state.expected = Progress::default();
        self.state.found = Progress::default();
        let parts = self.state.parts.clone().unwrap_or_default();
        let (mut expected, mut found) = (Progress::default(), Progress::default());
        for chunk in 0..self.state.chunks.len() {
            self.expected_sums(chunk, touched.count, Some(&touched), &mut expected.sums).await?;
        }
        for part in &parts {
            self.found_sums(part, touched.count, Some(&touched), &mut found.sums).await?;
        }
        self.state.expected = expected;
        self.state.found = found;
        let (report, differences) = self.examine(&parts).await?;
        self.differences = differences;
        Ok(report)
    }
}
