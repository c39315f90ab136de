//! Finds the differing rows in the buckets that differ.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::Ordering;

use super::VerifyError;
use super::queries::{Buckets, RowFilter, Share};
use super::report::{DifferingColumn, DifferingRow, Report};
use super::rows::{Difference, Digest, Kind, RowComparison};
use super::sums::{BucketPair, Sums};
use super::verifier::{TTL_MARGIN, TargetRange, Verifier, cannot_decode};
use crate::job::BoundColumn;

/// Rows that are compared in memory at a time.
const ROWS_AT_ONCE: u64 = 1_000_000;
/// If the differing buckets have more rows than that, they are divided into at most this many.
const MAX_SMALLER_BUCKETS: u64 = 65_536;

/// What was found in the buckets that differ.
#[derive(Default)]
struct Examined {
    differences: Vec<Difference>,
    /// Rows of the target that are expected although the job does not own them.
    found_not_owned: u64,
    /// Rows of buckets that were skipped because enough differences had been found.
    not_examined_rows: u64,
    /// Number of differences that are faults.
    faults: usize,
    /// Rows of an unknown partition of the source; `differences` has the first of them.
    unattributed: u64,
}

impl Verifier {
    /// Finds the rows that differ, and names some.
    pub(super) async fn examine(
        &mut self,
        ranges: &[TargetRange],
    ) -> Result<(Report, Vec<Difference>), VerifyError> {
        let (expected, found) = (self.state.expected.sums.clone(), self.state.found.sums.clone());
        // Rows may have expired since the sums were made.
        let elapsed = i64::try_from(self.began.elapsed().as_secs()).unwrap_or(i64::MAX);
        let moment = self.ttl.now.saturating_add(elapsed).saturating_add(TTL_MARGIN);
        self.queries.expired = self.ttl.expired_by(moment);
        let pairs = expected.differing(&found);
        self.progress.groups_in_doubt.store(pairs.len() as u64, Ordering::Relaxed);
        self.touched = Some(Buckets {
            count: self.state.buckets,
            numbers: pairs.iter().map(|pair| pair.number).collect(),
        });
        let examined = self.differing_rows(&pairs, ranges).await?;
        let rows = self.name(&examined.differences, ranges).await?;
        let mut report = self.report(&examined, rows);
        report.expected_rows =
            expected.buckets.values().map(|bucket| bucket.rows + bucket.others).sum();
        report.expired_rows = expected.buckets.values().map(|bucket| bucket.expired).sum();
        report.target_rows =
            found.rows() + expected.agreeing_others(&found) + examined.found_not_owned;
        report.columns = self.differing_columns(&pairs, &examined.differences, &report.rows);
        report.differing_groups = self.differing_groups(&examined.differences);
        self.unattributed = examined.unattributed;
        self.progress.restart();
        Ok((report, examined.differences))
    }

    /// Compares the rows of these buckets.
    async fn differing_rows(
        &mut self,
        pairs: &[BucketPair<'_>],
        ranges: &[TargetRange],
    ) -> Result<Examined, VerifyError> {
        let (doubtful, found_not_owned) = self.compare_rows_not_owned(pairs, ranges).await?;
        let mut examined = Examined { found_not_owned, ..Examined::default() };
        let groups = self.bucket_groups(&doubtful, ranges).await?;
        self.progress.add_passes(groups.len());
        for (only, rows) in groups {
            if !self.options.find_all && examined.faults > self.options.max_differences {
                examined.not_examined_rows += rows;
                continue;
            }
            let rows = self.fetch_rows(&only, ranges, RowFilter::All).await?;
            examined.found_not_owned += rows.found_not_owned(|_| true);
            let mut more = self.classify(&rows, &only, ranges).await?;
            // There may be more of these than fit into memory.
            let room = self.options.max_differences as u64;
            more.retain(|difference| {
                let unattributed = difference.kind == Kind::Unattributed;
                examined.unattributed += u64::from(unattributed);
                !unattributed || examined.unattributed <= room
            });
            examined.faults +=
                more.iter().filter(|difference| difference.kind.is_difference()).count();
            examined.differences.extend(more);
        }
        examined.differences.sort_by_key(|difference| (difference.kind, difference.key));
        Ok(examined)
    }

    /// The report, without what the sums say.
    fn report(&self, examined: &Examined, rows: Vec<DifferingRow>) -> Report {
        let count = |of: fn(Kind) -> bool| {
            let mut counts = BTreeMap::new();
            let differences = examined.differences.iter();
            for difference in differences.filter(|difference| of(difference.kind)) {
                *counts.entry(difference.kind).or_insert(0) += 1;
            }
            counts
        };
        let mut tolerated = count(Kind::is_tolerated);
        if examined.unattributed > 0 {
            tolerated.insert(Kind::Unattributed, examined.unattributed);
        }
        let job = &self.queries.job;
        Report {
            equal: examined.faults == 0 && examined.not_examined_rows == 0,
            job: job.name.clone(),
            partition: self.partition.clone(),
            source: job.source.name.to_string(),
            target: job.target.name.to_string(),
            run_id: self.options.run_id.clone(),
            sample: self.options.share.map(Share::text),
            expected_rows: 0,
            target_rows: 0,
            expired_rows: 0,
            columns_not_compared: self.not_compared.clone(),
            differences: count(Kind::is_difference),
            live: count(Kind::is_live),
            tolerated,
            columns: Vec::new(),
            rows,
            not_examined_rows: examined.not_examined_rows,
            groups: u64::from(self.state.buckets),
            differing_groups: 0,
            chunks: self.state.chunks.len() as u64,
            compared_chunks: self
                .options
                .chunks
                .as_ref()
                .map(|chunks| chunks.numbers.iter().map(|number| number + 1).collect()),
            tolerances: None,
            seconds: self.began.elapsed().as_secs_f64(),
        }
    }

    /// In buckets whose sums over the owned rows agree, compares only the rows that the job makes and
    /// does not own.
    /// Returns the buckets whose rows must all be compared, and the number of expected rows in the
    /// target's part of the others.
    ///
    /// A key may have both owned and other versions, of which this step sees only the others; a
    /// bucket with any difference is therefore compared again as a whole.
    async fn compare_rows_not_owned<'a>(
        &mut self,
        pairs: &[BucketPair<'a>],
        ranges: &[TargetRange],
    ) -> Result<(Vec<BucketPair<'a>>, u64), VerifyError> {
        let (doubtful, mut left): (Vec<_>, Vec<_>) =
            pairs.iter().copied().partition(BucketPair::sums_agree);
        let (count, replacing) = (self.state.buckets, self.queries.job.target.is_replacing());
        let mut found_not_owned = 0;
        let groups = join_buckets(count, &doubtful, BucketPair::others);
        self.progress.add_passes(groups.len());
        for (only, _) in groups {
            let rows = self.fetch_rows(&only, ranges, RowFilter::NotOwned).await?;
            let attributed = self.queries.attribution.unknown_because().is_none();
            let group = |key: u64| self.group(key);
            let different: HashSet<u32> = rows
                .differences(replacing, attributed)
                .iter()
                .map(|difference| group(difference.key))
                .collect();
            found_not_owned += rows.found_not_owned(|key| !different.contains(&group(key)));
            left.extend(doubtful.iter().filter(|pair| different.contains(&pair.number)));
        }
        left.sort_by_key(|pair| pair.number);
        Ok((left, found_not_owned))
    }

    /// The number of groups with a row that is wrong. Sums of other groups may differ too, by rows of
    /// live writers.
    fn differing_groups(&self, differences: &[Difference]) -> u64 {
        let wrong = differences.iter().filter(|difference| difference.kind.is_difference());
        wrong.map(|difference| self.group(difference.key)).collect::<BTreeSet<_>>().len() as u64
    }

    /// The columns whose values differ: in the named rows, and by the sums of groups in which all
    /// differing rows are on both sides. A row of one side, or of a live writer, changes all sums of
    /// its group.
    fn differing_columns(
        &self,
        pairs: &[BucketPair<'_>],
        differences: &[Difference],
        named: &[DifferingRow],
    ) -> Vec<DifferingColumn> {
        let has_both = |kind| matches!(kind, Kind::Differing | Kind::Stale);
        let mut by_values = BTreeMap::<u32, bool>::new();
        for difference in differences {
            *by_values.entry(self.group(difference.key)).or_insert(true) &=
                has_both(difference.kind);
        }
        let mut groups = vec![BTreeSet::new(); self.queries.compared.len()];
        let of_sums = pairs.iter().filter(|pair| by_values.get(&pair.number) == Some(&true));
        for pair in of_sums {
            for position in pair.differing_columns() {
                groups.get_mut(position).map(|groups| groups.insert(pair.number));
            }
        }
        for (difference, row) in differences.iter().zip(named) {
            for (column, groups) in self.queries.compared.iter().zip(&mut groups) {
                if has_both(row.kind) && row.columns.contains(&column.name) {
                    groups.insert(self.group(difference.key));
                }
            }
        }
        let columns = self.queries.compared.iter().zip(groups);
        let column = |(column, groups): (&BoundColumn, BTreeSet<u32>)| DifferingColumn {
            name: column.name.clone(),
            groups: groups.len() as u64,
        };
        columns.filter(|(_, groups)| !groups.is_empty()).map(column).collect()
    }

    /// The group of a key.
    fn group(&self, key: u64) -> u32 {
        u32::try_from(key % u64::from(self.state.buckets)).unwrap_or_default()
    }

    /// Groups of buckets whose rows fit into memory, each with an upper bound of its rows. If the
    /// buckets have many rows, they are divided first, and only the smaller ones that differ remain.
    async fn bucket_groups(
        &mut self,
        pairs: &[BucketPair<'_>],
        ranges: &[TargetRange],
    ) -> Result<Vec<(Buckets, u64)>, VerifyError> {
        let count = self.state.buckets;
        let factor = MAX_SMALLER_BUCKETS / pairs.len().max(1) as u64;
        let smaller = u32::try_from(u64::from(count).saturating_mul(factor)).unwrap_or(count);
        if smaller <= count || pairs.iter().map(BucketPair::rows).sum::<u64>() <= ROWS_AT_ONCE {
            return Ok(join_buckets(count, pairs, BucketPair::rows));
        }
        // A multiple of the count divides each bucket.
        let only = Buckets { count, numbers: pairs.iter().map(|pair| pair.number).collect() };
        let (mut expected, mut found) = (Sums::default(), Sums::default());
        for chunk in 0..self.state.chunks.len() {
            self.expected_sums(chunk, smaller, Some(&only), &mut expected).await?;
        }
        for range in ranges {
            self.found_sums(range, smaller, Some(&only), &mut found).await?;
        }
        Ok(join_buckets(smaller, &expected.differing(&found), BucketPair::rows))
    }

    /// Fetches the digests of rows of these buckets from both sides.
    async fn fetch_rows(
        &mut self,
        only: &Buckets,
        ranges: &[TargetRange],
        filter: RowFilter,
    ) -> Result<RowComparison, VerifyError> {
        let mut rows = RowComparison::default();
        let queries = self.queries.clone();
        let (source, target) = (&queries.job.source.name, &queries.job.target.name);
        for number in 0..self.state.chunks.len() {
            let scope = self.chunk(number);
            let made = |scope: &_| match filter {
                RowFilter::NotOwned => queries.expected_not_owned(scope),
                RowFilter::All | RowFilter::Deleted => queries.expected(scope),
            };
            let sql = |scope: &_| queries.digests(&made(scope), only, filter);
            for answer in self
                .runner
                .chunk(
                    source,
                    "comparing rows of a chunk",
                    &scope,
                    queries.job.lookup.is_some(),
                    sql,
                )
                .await?
            {
                rows.expect(Digest::decode_all(&answer).map_err(cannot_decode(source))?, number);
            }
            self.progress.chunks_done.store(number as u64 + 1, Ordering::Relaxed);
        }
        for (number, (partition, range)) in ranges.iter().enumerate() {
            let sql =
                queries.digests(&queries.found(partition, range.as_deref(), true), only, filter);
            let answer = self.runner.range(target, "comparing rows of a range", &sql).await?;
            rows.find(Digest::decode_all(&answer).map_err(cannot_decode(target))?, number);
            self.progress.parts_done.store(number as u64 + 1, Ordering::Relaxed);
        }
        self.progress.end_pass();
        Ok(rows)
    }
}

/// Joins consecutive buckets into groups whose rows fit into memory.
fn join_buckets<'a>(
    count: u32,
    pairs: &[BucketPair<'a>],
    rows_of: impl Fn(&BucketPair<'a>) -> u64,
) -> Vec<(Buckets, u64)> {
    let mut groups: Vec<(Buckets, u64)> = Vec::new();
    for pair in pairs {
        match groups.last_mut() {
            Some((buckets, rows)) if *rows + rows_of(pair) <= ROWS_AT_ONCE => {
                buckets.numbers.push(pair.number);
                *rows += rows_of(pair);
            }
            _ => groups.push((Buckets { count, numbers: vec![pair.number] }, rows_of(pair))),
        }
    }
    groups
}
