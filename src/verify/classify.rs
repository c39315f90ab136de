//! Classifies differences: what else source and target have of a row that is missing, differs, or should
//! not be there.

use std::collections::{HashMap, HashSet};

use super::VerifyError;
use super::attribution::Attribution;
use super::decode::texts;
use super::queries::{Buckets, RowFilter};
use super::rows::{Difference, Digest, Kind, RowComparison};
use super::verifier::{TargetRange, Verifier, cannot_decode, cannot_read};
use crate::clickhouse::quote_literal;
use crate::job::statements::Scope;
use crate::plan::{Partition, find_older_rows};

impl Verifier {
    /// The differences between rows of these buckets, classified.
    pub(super) async fn classify(
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
        // Without collapsing, the target keeps the rows of all partitions.
        let replacing = self.queries.job.target.is_replacing();
        let doubtful = |row: &Difference| match row.kind {
            Kind::Extra => true,
            Kind::Differing => replacing && !(row.attributed && attributed),
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
                && replacing
                && !(row.attributed && attributed)
                && made.contains(&row.key)
        };
        differences.iter_mut().filter(shared).for_each(|row| row.kind = Kind::SharedKey);
        Ok(())
    }

    /// The ids of the source's other partitions; none unless they are `needed`.
    async fn other_partitions(&mut self, needed: bool) -> Result<Vec<String>, VerifyError> {
        if !needed || self.queries.job.reads_outside() {
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
            partitions.extend(texts(&answer).map_err(cannot_decode(source))?);
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
        let other = Partition::Id(partition.clone());
        let older = find_older_rows(self.runner.source(), &queries.job, &other).await;
        let older = older.map_err(cannot_read(source, "looking for older rows of the same id"))?;
        let scope =
            Scope { partition_id: partition, range: None, window: None, bucket: None, older };
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
