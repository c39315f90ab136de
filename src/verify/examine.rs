//! Finds the differing rows in the buckets that differ, and classifies each difference.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::Ordering;

use super::VerifyError;
use super::attribution::Attribution;
use super::decode::text;
use super::queries::{Buckets, RowFilter, Share};
use super::report::{DifferingColumn, DifferingRow, Report};
use super::rows::{Difference, Digest, Kind, RowComparison};
use super::sums::{BucketPair, Sums};
use super::verifier::{TargetRange, Verifier, cannot_decode};
use crate::clickhouse::quote_literal;
use crate::job::statements::Scope;

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
        let pairs = expected.differing(&found);
        self.progress.groups_examined.store(pairs.len() as u64, Ordering::Relaxed);
        self.touched = Some(Buckets {
            count: self.state.buckets,
            numbers: pairs.iter().map(|pair| pair.number).collect(),
        });
        let examined = self.differing_rows(&pairs, ranges).await?;
        let rows = self.name(&examined.differences, ranges).await?;
        let mut report = self.report(&examined, rows);
        report.expected_rows =
            expected.buckets.values().map(|bucket| bucket.rows + bucket.others).sum();
        report.target_rows = found.rows() + examined.found_not_owned;
        report.columns = self.differing_columns(&pairs);
        report.differing_groups = pairs.len() as u64;
        self.unattributed = examined.unattributed;
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
        for (only, rows) in self.bucket_groups(&doubtful, ranges).await? {
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
            differences: count(Kind::is_difference),
            live: count(Kind::is_live),
            tolerated,
            columns: Vec::new(),
            rows,
            not_examined_rows: examined.not_examined_rows,
            groups: u64::from(self.state.buckets),
            differing_groups: 0,
            chunks: self.state.chunks.len() as u64,
            seconds: self.began.elapsed().as_secs_f64(),
        }
    }

    /// In buckets whose sums agree, compares only the rows that the job makes and does not own.
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
        for (only, _) in join_buckets(count, &doubtful, BucketPair::others) {
            let rows = self.fetch_rows(&only, ranges, RowFilter::NotOwned).await?;
            let attributed = self.queries.attribution.unknown_because().is_none();
            let group = |key: u64| u32::try_from(key % u64::from(count)).unwrap_or_default();
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

    fn differing_columns(&self, pairs: &[BucketPair<'_>]) -> Vec<DifferingColumn> {
        let mut groups = vec![0; self.queries.job.columns.len()];
        for position in pairs.iter().flat_map(BucketPair::differing_columns) {
            if let Some(count) = groups.get_mut(position) {
                *count += 1;
            }
        }
        let columns = self.queries.job.columns.iter().zip(groups).filter(|(_, groups)| *groups > 0);
        columns
            .map(|(column, groups)| DifferingColumn { name: column.name.clone(), groups })
            .collect()
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
            let sql = |scope: &_| queries.digests(&queries.expected(scope), only, filter);
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
        }
        for (number, (partition, range)) in ranges.iter().enumerate() {
            let sql =
                queries.digests(&queries.found(partition, range.as_deref(), true), only, filter);
            let answer = self.runner.range(target, "comparing rows of a range", &sql).await?;
            rows.find(Digest::decode_all(&answer).map_err(cannot_decode(target))?, number);
        }
        Ok(rows)
    }

    /// The differences between rows of these buckets, classified.
    async fn classify(
        &mut self,
        rows: &RowComparison,
        only: &Buckets,
        ranges: &[TargetRange],
    ) -> Result<Vec<Difference>, VerifyError> {
        let attributed = self.queries.attribution.unknown_because().is_none();
        let replacing = self.queries.job.target.is_replacing();
        let mut differences = rows.differences(replacing, attributed);
        self.classify_concurrent_deletes(&mut differences, only, ranges).await?;
        self.classify_rows_of_other_partitions(&mut differences, only).await?;
        self.classify_surplus(&mut differences, only).await?;
        Ok(differences)
    }

    /// Finds the missing rows that the target has as a newer deletion.
    async fn classify_concurrent_deletes(
        &mut self,
        differences: &mut [Difference],
        only: &Buckets,
        ranges: &[TargetRange],
    ) -> Result<(), VerifyError> {
        let queries = self.queries.clone();
        if queries.key.deleted.is_none()
            || differences.iter().all(|difference| difference.kind != Kind::Missing)
        {
            return Ok(());
        }
        let target = &queries.job.target.name;
        let mut deletions = HashMap::<u64, i128>::new();
        for (partition, range) in ranges {
            let sql = queries.digests(
                &queries.found(partition, range.as_deref(), false),
                only,
                RowFilter::Deleted,
            );
            let answer = self.runner.range(target, "reading deleted rows of a range", &sql).await?;
            for row in Digest::decode_all(&answer).map_err(cannot_decode(target))? {
                let version = deletions.entry(row.key).or_insert(row.version);
                *version = row.version.max(*version);
            }
        }
        for difference in
            differences.iter_mut().filter(|difference| difference.kind == Kind::Missing)
        {
            if deletions.get(&difference.key).is_some_and(|version| *version > difference.version) {
                difference.kind = Kind::DeletedSince;
            }
        }
        Ok(())
    }

    /// Finds out what the source has of the rows that the target should not have.
    async fn classify_surplus(
        &mut self,
        differences: &mut [Difference],
        only: &Buckets,
    ) -> Result<(), VerifyError> {
        let mut passes = vec![(false, Kind::NotMadeAnyMore)];
        if self.queries.job.source_deleted.is_some() {
            passes.insert(0, (true, Kind::DeletedInSource));
        }
        for (deleted, kind) in passes {
            let unexplained: HashSet<u64> = differences
                .iter()
                .filter(|row| row.kind == Kind::Extra)
                .map(|row| row.key)
                .collect();
            if unexplained.is_empty() {
                return Ok(());
            }
            let known = self.known_keys(deleted, only, &unexplained).await?;
            differences
                .iter_mut()
                .filter(|row| row.kind == Kind::Extra && known.contains(&row.key))
                .for_each(|row| row.kind = kind);
        }
        let began = self.options.load_began.and_then(|began| self.queries.key.version_at(began));
        if let Some(began) = began {
            let later = |row: &&mut Difference| row.kind == Kind::Extra && row.version > began;
            differences.iter_mut().filter(later).for_each(|row| row.kind = Kind::AddedSince);
        }
        if self.queries.attribution.unknown_because().is_some() {
            let unknown = differences.iter_mut().filter(|row| row.kind == Kind::Extra);
            unknown.for_each(|row| row.kind = Kind::Unattributed);
        }
        Ok(())
    }

    /// Drops the surplus rows that other partitions of the source make, and finds the differing rows
    /// whose key they make too.
    async fn classify_rows_of_other_partitions(
        &mut self,
        differences: &mut Vec<Difference>,
        only: &Buckets,
    ) -> Result<(), VerifyError> {
        let attribution = &self.queries.attribution;
        let attributed = attribution.unknown_because().is_none();
        if *attribution == Attribution::Single {
            return Ok(());
        }
        let doubtful = |row: &Difference| match row.kind {
            Kind::Extra => true,
            Kind::Differing => !(row.attributed && attributed),
            _ => false,
        };
        let mut doubtful: HashSet<u64> =
            differences.iter().filter(|row| doubtful(row)).map(|row| row.key).collect();
        let mut made = HashSet::new();
        for partition in self.other_partitions(!doubtful.is_empty()).await? {
            let known = self.keys_of_partition(partition, only, &doubtful).await?;
            doubtful.retain(|key| !known.contains(key));
            made.extend(known);
        }
        differences.retain(|row| row.kind != Kind::Extra || !made.contains(&row.key));
        let shared = |row: &&mut Difference| {
            row.kind == Kind::Differing
                && !(row.attributed && attributed)
                && made.contains(&row.key)
        };
        differences.iter_mut().filter(shared).for_each(|row| row.kind = Kind::SharedKey);
        Ok(())
    }

    /// The ids of the source's other partitions; none unless they are `needed`.
    async fn other_partitions(&mut self, needed: bool) -> Result<Vec<String>, VerifyError> {
        if !needed {
            return Ok(Vec::new());
        }
        let source = &self.queries.job.source.name;
        let sql = format!(
            "SELECT DISTINCT _partition_id FROM {} WHERE _partition_id != {}",
            source.quoted(),
            quote_literal(&self.scope.partition_id)
        );
        let scope = self.scope.clone();
        let answers = self
            .runner
            .chunk(source, "reading the partitions", &scope, false, |_| sql.clone())
            .await?;
        let mut partitions = Vec::new();
        for answer in answers {
            let mut rest = answer.as_slice();
            while !rest.is_empty() {
                partitions.push(text(&mut rest).map_err(cannot_decode(source))?);
            }
        }
        partitions.sort_unstable_by(|one, other| other.cmp(one));
        Ok(partitions)
    }

    /// Those of these keys for which the job makes a row of another partition of the source.
    async fn keys_of_partition(
        &mut self,
        partition: String,
        only: &Buckets,
        of: &HashSet<u64>,
    ) -> Result<HashSet<u64>, VerifyError> {
        let mut known = HashSet::new();
        if of.is_empty() {
            return Ok(known);
        }
        let queries = self.queries.clone();
        let source = &queries.job.source.name;
        let scope = Scope { partition_id: partition, range: None, window: None, bucket: None };
        let divisible = queries.job.lookup.is_some();
        let sql = |scope: &_| queries.keys(&queries.expected_keys(scope), only);
        for answer in
            self.runner.chunk(source, "reading keys of a partition", &scope, divisible, sql).await?
        {
            let rows = Digest::decode_all(&answer).map_err(cannot_decode(source))?;
            known.extend(rows.into_iter().map(|row| row.key).filter(|key| of.contains(key)));
        }
        Ok(known)
    }

    /// Those of these keys for which the source has any version, or a deleted one.
    async fn known_keys(
        &mut self,
        deleted: bool,
        only: &Buckets,
        of: &HashSet<u64>,
    ) -> Result<HashSet<u64>, VerifyError> {
        let queries = self.queries.clone();
        let source = &queries.job.source.name;
        let mut known = HashSet::new();
        for number in 0..self.state.chunks.len() {
            let scope = self.chunk(number);
            let sql = |scope: &_| queries.keys(&queries.keys_of_all_versions(scope, deleted), only);
            for answer in self
                .runner
                .chunk(source, "reading old versions of a chunk", &scope, false, sql)
                .await?
            {
                let rows = Digest::decode_all(&answer).map_err(cannot_decode(source))?;
                known.extend(rows.into_iter().map(|row| row.key).filter(|key| of.contains(key)));
            }
        }
        Ok(known)
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
