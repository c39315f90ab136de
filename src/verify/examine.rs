//! From groups of keys that differ to rows that differ, and of what kind.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::Ordering;

use super::VerifyError;
use super::report::{DifferingColumn, Report};
use super::rows::{Difference, Digest, Kind, RowComparison};
use super::side::{Buckets, Share, Taken};
use super::sums::{Pair, Sums};
use super::verifier::{Part, Verifier, not_understood};

/// Rows that are compared one by one at once.
const ROWS_AT_ONCE: u64 = 1_000_000;
/// Where more than these differ by group, the groups are divided, into not more than so many.
const MOST_SMALLER_BUCKETS: u64 = 65_536;

impl Verifier {
    /// Finds the rows that differ, and names some.
    pub(super) async fn examine(
        &mut self,
        parts: &[Part],
    ) -> Result<(Report, Vec<Difference>), VerifyError> {
        let (expected, found) = (self.state.expected.sums.clone(), self.state.found.sums.clone());
        let pairs = expected.differing(&found);
        self.progress.groups_examined.store(pairs.len() as u64, Ordering::Relaxed);
        self.touched = Some(Buckets {
            count: self.state.buckets,
            numbers: pairs.iter().map(|pair| pair.number).collect(),
        });
        let (mut differences, mut not_examined_rows, mut wrong) = (Vec::new(), 0, 0);
        let (examined, mut found_others) = self.settle_others(&pairs, parts).await?;
        for (only, rows) in self.groups_of_rows(&examined, parts).await? {
            if !self.options.find_all && wrong > self.options.max_differences {
                not_examined_rows += rows;
                continue;
            }
            let rows = self.rows(&only, parts, Taken::All).await?;
            found_others += rows.found_others(|_| true);
            let more = self.differences(&rows, &only, parts).await?;
            wrong += more.iter().filter(|difference| difference.kind.is_difference()).count();
            differences.extend(more);
        }
        differences.sort_by_key(|difference| (difference.kind, difference.key));
        let rows = self.name(&differences, parts).await?;
        let count = |wrong: bool| {
            let mut counts = BTreeMap::new();
            for difference in
                differences.iter().filter(|difference| difference.kind.is_difference() == wrong)
            {
                *counts.entry(difference.kind).or_insert(0) += 1;
            }
            counts
        };
        let job = &self.queries.job;
        let report = Report {
            equal: wrong == 0 && not_examined_rows == 0,
            job: job.name.clone(),
            partition: self.partition.clone(),
            source: job.source.name.to_string(),
            target: job.target.name.to_string(),
            run_id: self.options.run_id.clone(),
            sample: self.options.share.map(Share::text),
            expected_rows: expected
                .buckets
                .values()
                .map(|bucket| bucket.rows + bucket.others)
                .sum(),
            target_rows: found.rows() + found_others,
            differences: count(true),
            live: count(false),
            columns: self.differing_columns(&pairs),
            rows,
            not_examined_rows,
            groups: u64::from(self.state.buckets),
            differing_groups: pairs.len() as u64,
            chunks: self.state.chunks.len() as u64,
            seconds: self.began.elapsed().as_secs_f64(),
        };
        Ok((report, differences))
    }

    /// Of groups in which only the rows that the job does not answer for are in doubt, compares
    /// those rows alone. Gives the groups that are left to be looked at, and how many rows of the
    /// target are the job's in the others.
    ///
    /// A key may have versions of both kinds, of which this sees one; whatever looks different is
    /// therefore looked at again with all of its group.
    async fn settle_others<'a>(
        &mut self,
        pairs: &[Pair<'a>],
        parts: &[Part],
    ) -> Result<(Vec<Pair<'a>>, u64), VerifyError> {
        let (doubtful, mut left): (Vec<_>, Vec<_>) =
            pairs.iter().copied().partition(Pair::sums_agree);
        let (count, replacing) = (self.state.buckets, self.queries.job.target.is_replacing());
        let mut found_others = 0;
        for (only, _) in runs(count, &doubtful, Pair::others) {
            let rows = self.rows(&only, parts, Taken::Others).await?;
            let group = |key: u64| u32::try_from(key % u64::from(count)).unwrap_or_default();
            let different: HashSet<u32> = rows
                .differences(replacing)
                .iter()
                .map(|difference| group(difference.key))
                .collect();
            found_others += rows.found_others(|key| !different.contains(&group(key)));
            left.extend(doubtful.iter().filter(|pair| different.contains(&pair.number)));
        }
        left.sort_by_key(|pair| pair.number);
        Ok((left, found_others))
    }

    fn differing_columns(&self, pairs: &[Pair<'_>]) -> Vec<DifferingColumn> {
        let mut groups = vec![0; self.queries.job.columns.len()];
        for position in pairs.iter().flat_map(Pair::columns) {
            if let Some(count) = groups.get_mut(position) {
                *count += 1;
            }
        }
        let columns = self.queries.job.columns.iter().zip(groups).filter(|(_, groups)| *groups > 0);
        columns
            .map(|(column, groups)| DifferingColumn { name: column.name.clone(), groups })
            .collect()
    }

    /// The keys that are looked at row by row, divided so that their rows fit into memory, with
    /// about how many these are. Where there are many, the groups that differ are divided first,
    /// and of these only the ones that differ are taken.
    async fn groups_of_rows(
        &mut self,
        pairs: &[Pair<'_>],
        parts: &[Part],
    ) -> Result<Vec<(Buckets, u64)>, VerifyError> {
        let count = self.state.buckets;
        let factor = MOST_SMALLER_BUCKETS / pairs.len().max(1) as u64;
        let smaller = u32::try_from(u64::from(count).saturating_mul(factor)).unwrap_or(count);
        if smaller <= count || pairs.iter().map(Pair::rows).sum::<u64>() <= ROWS_AT_ONCE {
            return Ok(runs(count, pairs, Pair::rows));
        }
        // A multiple of the count divides each group by itself.
        let only = Buckets { count, numbers: pairs.iter().map(|pair| pair.number).collect() };
        let (mut expected, mut found) = (Sums::default(), Sums::default());
        for chunk in 0..self.state.chunks.len() {
            self.expected_sums(chunk, smaller, Some(&only), &mut expected).await?;
        }
        for part in parts {
            self.found_sums(part, smaller, Some(&only), &mut found).await?;
        }
        Ok(runs(smaller, &expected.differing(&found), Pair::rows))
    }

    /// Takes rows of these keys from both sides.
    async fn rows(
        &mut self,
        only: &Buckets,
        parts: &[Part],
        taken: Taken,
    ) -> Result<RowComparison, VerifyError> {
        let mut rows = RowComparison::default();
        let queries = self.queries.clone();
        let (source, target) = (&queries.job.source.name, &queries.job.target.name);
        for number in 0..self.state.chunks.len() {
            let scope = self.chunk(number);
            let sql = |scope: &_| queries.digests(&queries.expected(scope), only, taken);
            for answer in self
                .asker
                .chunk(
                    source,
                    "comparing rows of a chunk",
                    &scope,
                    queries.job.lookup.is_some(),
                    sql,
                )
                .await?
            {
                rows.expect(Digest::all(&answer).map_err(not_understood(source))?, number);
            }
        }
        for (number, (partition, range)) in parts.iter().enumerate() {
            let sql =
                queries.digests(&queries.found(partition, range.as_deref(), true), only, taken);
            let answer = self.asker.range(target, "comparing rows of a range", &sql).await?;
            rows.find(Digest::all(&answer).map_err(not_understood(target))?, number);
        }
        Ok(rows)
    }

    /// What differs between rows of these keys, and why.
    async fn differences(
        &mut self,
        rows: &RowComparison,
        only: &Buckets,
        parts: &[Part],
    ) -> Result<Vec<Difference>, VerifyError> {
        let mut differences = rows.differences(self.queries.job.target.is_replacing());
        self.tell_deletions_of_live_writers(&mut differences, only, parts).await?;
        self.explain_surplus(&mut differences, only).await?;
        Ok(differences)
    }

    /// Missing rows of which the target has a newer deletion.
    async fn tell_deletions_of_live_writers(
        &mut self,
        differences: &mut [Difference],
        only: &Buckets,
        parts: &[Part],
    ) -> Result<(), VerifyError> {
        let queries = self.queries.clone();
        if queries.key.deleted.is_none()
            || differences.iter().all(|difference| difference.kind != Kind::Missing)
        {
            return Ok(());
        }
        let target = &queries.job.target.name;
        let mut deletions = HashMap::<u64, i128>::new();
        for (partition, range) in parts {
            let sql = queries.digests(
                &queries.found(partition, range.as_deref(), false),
                only,
                Taken::Deleted,
            );
            let answer =
                self.asker.range(target, "asking for deleted rows of a range", &sql).await?;
            for row in Digest::all(&answer).map_err(not_understood(target))? {
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

    /// Asks the source what it knows of the rows that should not be there.
    async fn explain_surplus(
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
        Ok(())
    }

    /// Which of these keys any version of the source has, or any deleted one.
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
                .asker
                .chunk(source, "asking for old versions of a chunk", &scope, false, sql)
                .await?
            {
                let rows = Digest::all(&answer).map_err(not_understood(source))?;
                known.extend(rows.into_iter().map(|row| row.key).filter(|key| of.contains(key)));
            }
        }
        Ok(known)
    }
}

/// Runs of these groups whose rows fit into memory at once.
fn runs<'a>(
    count: u32,
    pairs: &[Pair<'a>],
    rows_of: impl Fn(&Pair<'a>) -> u64,
) -> Vec<(Buckets, u64)> {
    let mut runs: Vec<(Buckets, u64)> = Vec::new();
    for pair in pairs {
        match runs.last_mut() {
            Some((buckets, rows)) if *rows + rows_of(pair) <= ROWS_AT_ONCE => {
                buckets.numbers.push(pair.number);
                *rows += rows_of(pair);
            }
            _ => runs.push((Buckets { count, numbers: vec![pair.number] }, rows_of(pair))),
        }
    }
    runs
}
