//! Repairs what a comparison found: which chunks to fill again, and the removal of surplus rows.
//!
//! Filling a chunk again repairs missing and differing rows, including those of an equal version: of
//! equal versions, a ReplacingMergeTree keeps the one inserted last.

use std::collections::{BTreeMap, HashSet};

use super::VerifyError;
use super::queries::{Queries, Removal};
use super::report::Report;
use super::rows::{Difference, Digest, Kind};
use super::state::SideSums;
use super::verifier::{Verifier, cannot_decode, cannot_read};
use crate::clickhouse::TableName;
use crate::job::RemovalMethod;
use crate::job::removal::{DeleteTables, KeyedRows, ROWS_PER_STATEMENT, removal_settings};
use crate::units::counted;

impl Verifier {
    /// The chunks of the plan with rows that filling repairs.
    pub(crate) fn chunks_to_fill(&self) -> Vec<usize> {
        let repairable =
            self.differences.iter().filter(|difference| difference.kind.is_repaired_by_filling());
        let chunks: std::collections::BTreeSet<_> =
            repairable.filter_map(|difference| difference.chunk).collect();
        chunks.into_iter().collect()
    }

    /// Number of surplus rows by kind.
    pub(crate) fn surplus(&self) -> BTreeMap<Kind, u64> {
        let mut counts = BTreeMap::new();
        for difference in self.surplus_rows() {
            *counts.entry(difference.kind).or_insert(0) += 1;
        }
        counts
    }

    fn surplus_rows(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(|difference| difference.kind.is_surplus())
    }

    /// Rows that are not removed since the partition of the source from which they came is not known,
    /// and why; none if there are none.
    pub(crate) fn unattributed(&self) -> Option<(u64, &str)> {
        let reason = self.queries.attribution.unknown_because()?;
        (self.unattributed > 0).then_some((self.unattributed, reason))
    }

    /// How [`Verifier::remove_surplus`] removes rows.
    pub(crate) fn removal(&self) -> Removal {
        self.queries.removal()
    }

    /// The tables from which rows are deleted: the target and, where the job says so, what its views
    /// fill.
    ///
    /// # Errors
    /// If the server refuses to list the views.
    pub(crate) async fn delete_tables(&self) -> Result<DeleteTables, VerifyError> {
        let job = &self.queries.job;
        if job.removal != RemovalMethod::Delete {
            return Ok(DeleteTables::target(job));
        }
        let read = DeleteTables::read(self.runner.target(), job, &self.queries.key).await;
        read.map_err(cannot_read(&job.target.name, "listing the views of the target"))
    }

    /// Removes the surplus rows in the versions that were found; what a live writer has written since
    /// is kept.
    ///
    /// # Errors
    /// If the server refuses a statement. Earlier statements may have removed rows.
    pub(crate) async fn remove_surplus(
        &mut self,
        tables: &DeleteTables,
    ) -> Result<u64, VerifyError> {
        let mut by_range = BTreeMap::<usize, Vec<(u64, i128)>>::new();
        for difference in self.surplus_rows() {
            if let Some(range) = difference.range {
                by_range.entry(range).or_default().push((difference.key, difference.version));
            }
        }
        let ranges = self.state.ranges.clone().unwrap_or_default();
        let mut removed = 0;
        for (range, rows) in by_range {
            let Some((partition, range)) = ranges.get(range) else { continue };
            let range = range.as_deref();
            for rows in rows.chunks(ROWS_PER_STATEMENT) {
                let (deleted, marked) = self.by_removal(partition, range, rows).await?;
                if !deleted.is_empty() {
                    let Queries { job, key, .. } = &self.queries;
                    let partition_id = Some(partition.as_str());
                    let rows = KeyedRows { partition_id, range, rows: &deleted };
                    for (table, sql) in tables.statements(job, key, rows) {
                        self.remove(table, &sql, deleted.len()).await?;
                    }
                }
                if !marked.is_empty()
                    && let Some(sql) = self.queries.insert_tombstones(partition, range, &marked)
                {
                    self.remove(&self.queries.job.target.name, &sql, marked.len()).await?;
                }
                removed += rows.len() as u64;
            }
        }
        Ok(removed)
    }

    /// These rows by how they are removed: by DELETE, and by deleted rows.
    async fn by_removal(
        &mut self,
        partition: &str,
        range: Option<&str>,
        rows: &[(u64, i128)],
    ) -> Result<(Vec<(u64, i128)>, Vec<(u64, i128)>), VerifyError> {
        match self.queries.removal() {
            Removal::Delete => return Ok((rows.to_vec(), Vec::new())),
            Removal::Tombstone => return Ok((Vec::new(), rows.to_vec())),
            Removal::TombstoneOrDelete => {}
        }
        let Some(sql) = self.queries.with_live_row(partition, range, rows) else {
            return Ok((Vec::new(), rows.to_vec()));
        };
        let target = &self.queries.job.target.name;
        let answer = self.runner.range(target, "looking for live rows", &sql).await?;
        let found = Digest::decode_all(&answer).map_err(cannot_decode(target))?;
        let found: HashSet<_> = found.into_iter().map(|row| (row.key, row.version)).collect();
        Ok(rows.iter().copied().partition(|row| found.contains(row)))
    }

    /// Runs a statement that removes rows.
    async fn remove(&self, table: &TableName, sql: &str, rows: usize) -> Result<(), VerifyError> {
        let done = self.runner.target().execute("remove", sql, &removal_settings(sql)).await;
        done.map_err(|source| VerifyError::Query {
            what: format!("removing {}", counted(rows as u64, "row")),
            table: table.clone(),
            attempts: 1,
            source: Box::new(source),
        })
    }

    /// Compares the differing buckets again.
    ///
    /// # Errors
    /// Those of [`Verifier::run`]; no state is kept.
    pub(crate) async fn run_again(&mut self) -> Result<Report, VerifyError> {
        let Some(touched) = self.touched.clone() else { return self.run().await };
        self.state.expected = SideSums::default();
        self.state.found = SideSums::default();
        let ranges = self.state.ranges.clone().unwrap_or_default();
        let (mut expected, mut found) = (SideSums::default(), SideSums::default());
        for chunk in 0..self.state.chunks.len() {
            self.expected_sums(chunk, touched.count, Some(&touched), &mut expected.sums).await?;
        }
        for range in &ranges {
            self.found_sums(range, touched.count, Some(&touched), &mut found.sums).await?;
        }
        self.state.expected = expected;
        self.state.found = found;
        let (report, differences) = self.examine(&ranges).await?;
        self.differences = differences;
        Ok(report)
    }
}
