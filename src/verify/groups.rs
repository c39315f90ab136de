//! Compares the groups of a target with the direct aggregation of the source.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde::Deserialize;

use super::VerifyError;
use super::decode::{take, texts};
use super::group_queries::{FLOAT_TOLERANCE, GroupQueries, KINDS, SKETCH_TOLERANCE, value_types};
use super::progress::VerifyProgress;
use super::report::{
    DifferingColumn, DifferingRow, DifferingValue, Report, ShownValue, Tolerances,
};
use super::rows::Kind;
use super::runner::{QueryRunner, SideSettings};
use super::verifier::{VerifyOptions, cannot_decode, cannot_read};
use crate::clickhouse::Servers;
use crate::job::statements::{self, Bucket};
use crate::job::{BoundGroup, BoundJob};
use crate::plan::Plan;
use crate::stop::Stop;

/// About how many groups one query compares.
const GROUPS_AT_ONCE: u64 = 500_000;
/// More partitions of the target than one of the source makes.
const PARTITIONS: usize = 10_000;
/// Characters of a value that are shown.
const SHOWN: usize = 80;

/// A comparison of groups.
pub(crate) struct GroupVerifier<'a> {
    pub servers: &'a Servers,
    pub job: &'a BoundJob,
    pub group: &'a BoundGroup,
    pub plan: &'a Plan,
    /// The partitions of the target that hold the groups.
    pub target_partitions: Vec<String>,
    pub options: &'a VerifyOptions,
    pub progress: Arc<VerifyProgress>,
    pub stop: Stop,
}

/// The partitions of the target in which the groups of a plan lie.
///
/// # Errors
/// Those of the query.
pub(crate) async fn target_partitions(
    servers: &Servers,
    job: &BoundJob,
    group: &BoundGroup,
    plan: &Plan,
) -> Result<Vec<String>, VerifyError> {
    #[derive(Deserialize)]
    struct Partitions {
        targets: Vec<String>,
    }
    let sql = statements::targets_of_groups(job, group, &plan.scope, PARTITIONS);
    let settings = statements::count_settings(job);
    let found = servers.source.row_with::<Partitions>("expected", &sql, &settings).await;
    let what = "asking for the partitions of the groups";
    Ok(found.map_err(cannot_read(&job.source.name, what))?.targets)
}

/// What was counted.
#[derive(Debug, Default)]
struct Counted {
    expected: u64,
    found: u64,
    kinds: [u64; 4],
    /// For each column, the groups in which it differs.
    columns: Vec<u64>,
}

impl GroupVerifier<'_> {
    /// Compares all groups. Nothing is changed.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub(crate) async fn run(self) -> Result<Report, VerifyError> {
        let began = Instant::now();
        let Self { servers, job, group, plan, options, .. } = &self;
        let types = self.value_types().await?;
        let queries = GroupQueries::new(job, group, &plan.scope, &self.target_partitions, &types);
        let count = self.estimated_groups().await?.div_ceil(GROUPS_AT_ONCE).max(1);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let mut runner = QueryRunner::new(
            (*servers).clone(),
            SideSettings::both(statements::join_settings(job)),
            options.server_memory,
            options.retry,
            self.stop.clone(),
        );
        let (mut counted, mut rows) = (Counted::default(), Vec::new());
        self.progress.compare_shares(count.into());
        for index in 0..count {
            let share = Bucket { index, count };
            let sql = queries.summary(share);
            let answer = runner.range(&job.target.name, "comparing the groups", &sql).await?;
            let of_share =
                Counted::decode(&answer, types.len()).map_err(cannot_decode(&job.target.name))?;
            let left = options.max_differences.saturating_sub(rows.len());
            if of_share.differences() > 0 && left > 0 {
                let sql = queries.differing(share, left);
                let what = "reading the groups that differ";
                let answer = runner.range(&job.target.name, what, &sql).await?;
                let decoded = self.differing_rows(&answer);
                rows.extend(decoded.map_err(cannot_decode(&job.target.name))?);
            }
            counted.add(of_share);
            self.progress.shares_done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(self.report(&counted, rows, began))
    }

    fn report(&self, counted: &Counted, rows: Vec<DifferingRow>, began: Instant) -> Report {
        let Self { job, group, plan, options, .. } = self;
        let differences: BTreeMap<_, _> =
            KINDS.into_iter().zip(counted.kinds).filter(|(_, groups)| *groups > 0).collect();
        let names = job.columns.iter().skip(group.keys.len()).map(|column| column.name.clone());
        let columns = names
            .zip(&counted.columns)
            .filter(|(_, groups)| **groups > 0)
            .map(|(name, groups)| DifferingColumn { name, groups: *groups });
        Report {
            equal: differences.is_empty(),
            job: job.name.clone(),
            partition: plan.partition.to_string(),
            source: job.source.name.to_string(),
            target: job.target.name.to_string(),
            run_id: options.run_id.clone(),
            sample: None,
            expected_rows: counted.expected,
            target_rows: counted.found,
            expired_rows: 0,
            columns_not_compared: Vec::new(),
            live: BTreeMap::new(),
            tolerated: BTreeMap::new(),
            columns: columns.collect(),
            rows,
            not_examined_rows: 0,
            groups: counted.expected.max(counted.found),
            differing_groups: differences.values().sum(),
            differences,
            chunks: plan.chunks.len() as u64,
            compared_chunks: None,
            tolerances: Some(Tolerances { floats: FLOAT_TOLERANCE, estimates: SKETCH_TOLERANCE }),
            seconds: began.elapsed().as_secs_f64(),
        }
    }

    /// The types of the values that are compared.
    async fn value_types(&self) -> Result<Vec<String>, VerifyError> {
        #[derive(Deserialize)]
        struct Described {
            #[serde(rename = "type")]
            type_name: String,
        }
        let Self { servers, job, group, plan, .. } = self;
        let sql = value_types(job, group, &plan.scope);
        let settings = statements::join_settings(job);
        let described = servers.source.rows_with::<Described>("expected", &sql, &settings).await;
        let described = described.map_err(cannot_read(&job.source.name, "analyzing the groups"))?;
        let values = described.into_iter().skip(group.keys.len());
        Ok(values.map(|column| column.type_name).collect())
    }

    async fn estimated_groups(&self) -> Result<u64, VerifyError> {
        #[derive(Deserialize)]
        struct Estimated {
            groups: u64,
        }
        let Self { servers, job, group, plan, .. } = self;
        let sql = statements::estimated_groups(job, group, &plan.scope);
        let settings = statements::count_settings(job);
        let estimated = servers.source.row_with::<Estimated>("expected", &sql, &settings).await;
        Ok(estimated.map_err(cannot_read(&job.source.name, "counting the groups"))?.groups)
    }

    /// Decodes an answer of [`GroupQueries::differing`].
    fn differing_rows(&self, answer: &[u8]) -> Result<Vec<DifferingRow>, String> {
        let Self { job, group, .. } = self;
        let names: Vec<_> = job.columns.iter().map(|column| column.name.clone()).collect();
        let (keys, values) = names.split_at_checked(group.keys.len()).unwrap_or_default();
        let texts = texts(answer)?;
        let row = |texts: &[String]| {
            let mut texts = texts.iter();
            let kind = kind_of(texts.next()?)?;
            let key = keys.iter().cloned().zip(texts.by_ref().cloned()).collect();
            let mut differing = Vec::new();
            for name in values {
                let (differs, found, expected) = (texts.next()?, texts.next()?, texts.next()?);
                if differs == "1" {
                    differing.push(DifferingValue {
                        column: name.clone(),
                        expected: shown(expected),
                        found: shown(found),
                        first_differing_byte: None,
                    });
                }
            }
            let columns = differing.iter().map(|value| value.column.clone()).collect();
            Some(DifferingRow { kind, key, columns, values: differing, chunk: None })
        };
        let cells = 1 + keys.len() + 3 * values.len();
        let rows: Option<Vec<_>> = texts.chunks(cells).map(row).collect();
        rows.ok_or_else(|| "it ends within a row".to_owned())
    }
}

fn kind_of(number: &str) -> Option<Kind> {
    KINDS.get(number.parse::<usize>().ok()?.checked_sub(1)?).copied()
}

fn shown(text: &str) -> ShownValue {
    let cut: String = text.chars().take(SHOWN).collect();
    ShownValue {
        from_byte: 1,
        to_byte: cut.len() as u64,
        bytes: text.len() as u64,
        text: Some(cut),
    }
}

impl Counted {
    /// Decodes an answer of [`GroupQueries::summary`] for this number of columns.
    fn decode(answer: &[u8], columns: usize) -> Result<Self, String> {
        let mut rest = answer;
        let mut next = || take(&mut rest).map(u64::from_le_bytes);
        let (expected, found) = (next()?, next()?);
        let kinds = [next()?, next()?, next()?, next()?];
        let columns = (0..columns).map(|_| next()).collect::<Result<_, _>>()?;
        Ok(Self { expected, found, kinds, columns })
    }

    fn differences(&self) -> u64 {
        self.kinds.iter().sum()
    }

    fn add(&mut self, other: Self) {
        self.expected += other.expected;
        self.found += other.found;
        for (sum, more) in self.kinds.iter_mut().zip(other.kinds) {
            *sum += more;
        }
        self.columns.resize(other.columns.len(), 0);
        for (sum, more) in self.columns.iter_mut().zip(other.columns) {
            *sum += more;
        }
    }
}
