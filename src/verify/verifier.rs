//! A comparison from its beginning to its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use twox_hash::XxHash3_128;

use super::VerifyError;
use super::ask::Asker;
use super::key::TargetKey;
use super::report::Report;
use super::rows::Difference;
use super::side::{Buckets, Queries, Share};
use super::state::{Progress, State, StateFile};
use super::sums::Sums;
use crate::clickhouse::{Servers, TableName};
use crate::engine::stream::RetryPolicy;
use crate::job::BoundJob;
use crate::job::statements::{self, Scope};
use crate::plan::{DEFAULT_CHUNK_ROWS, Plan, table_ranges};
use crate::stop::Stop;

/// About so many rows share a group of keys, …
const ROWS_A_BUCKET: u64 = 1000;
/// … but there are not more groups than this.
const MOST_BUCKETS: u64 = 4096;

/// What to compare, and how.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// A share of the keys; all where it is not given.
    pub share: Option<Share>,
    /// How many differing rows are named.
    pub max_differences: usize,
    /// Whether every differing row is to be found, also where enough to name were found.
    pub find_all: bool,
    /// Whether a state is taken up only if its chunks are those of the plan.
    pub chunks_of_plan: bool,
    /// The most bytes that a query may take on the server.
    pub server_memory: Option<u64>,
    /// Where the state is kept when it is interrupted.
    pub state: PathBuf,
    /// Retries of queries.
    pub retry: RetryPolicy,
    /// When the load began, in microseconds since 1970, where that is known: rows that came later
    /// are live writers'.
    pub load_began: Option<i64>,
    /// The load whose chunks those of the plan are, where the ledger knows one.
    pub run_id: Option<String>,
}

/// How far a comparison is; shared with whoever shows it.
#[derive(Debug, Default)]
pub struct VerifyProgress {
    /// Chunks of the source that were compared.
    pub chunks_done: AtomicU64,
    /// All chunks of the source.
    pub chunks: AtomicU64,
    /// Ranges of the target that were compared.
    pub parts_done: AtomicU64,
    /// All ranges of the target; 0 until they are known.
    pub parts: AtomicU64,
    /// Groups of keys that differ and are looked at row by row.
    pub groups_examined: AtomicU64,
}

/// Compares a partition.
pub struct Verifier {
    pub(super) queries: Queries,
    pub(super) scope: Scope,
    pub(super) partition: String,
    pub(super) asker: Asker,
    pub(super) options: VerifyOptions,
    pub(super) progress: Arc<VerifyProgress>,
    file: StateFile,
    pub(super) state: State,
    pub(super) began: Instant,
    /// What the last run found.
    pub(super) differences: Vec<Difference>,
    /// The groups of keys in which something differed.
    pub(super) touched: Option<Buckets>,
}

impl Verifier {
    /// Puts a comparison together, or takes an interrupted one up again.
    ///
    /// # Errors
    /// Where the target's keys cannot be asked for, or the state file is of another comparison.
    pub async fn new(
        servers: Servers,
        job: &BoundJob,
        plan: &Plan,
        options: VerifyOptions,
        progress: Arc<VerifyProgress>,
        stop: Stop,
    ) -> Result<Self, VerifyError> {
        let key = TargetKey::ask(&servers.target, job).await?;
        let queries = Queries { job: job.clone(), key, share: options.share };
        let identity = identity(&queries, &plan.scope);
        let file = StateFile::new(options.state.clone());
        let chunks: Vec<_> = plan.chunks.iter().map(|chunk| chunk.range.clone()).collect();
        let state = match file
            .read(&identity)?
            .filter(|state| !options.chunks_of_plan || state.chunks == chunks)
        {
            Some(state) => state,
            None => State {
                identity,
                chunks,
                window: plan.scope.window.map(|window| (window.from, window.to)),
                buckets: u32::try_from((plan.stored_rows / ROWS_A_BUCKET).clamp(16, MOST_BUCKETS))
                    .unwrap_or(u32::MAX),
                expected: Progress::default(),
                parts: None,
                found: Progress::default(),
            },
        };
        let settings = statements::join_settings(job);
        let asker = Asker::new(servers, settings, options.server_memory, options.retry, stop);
        let scope = Scope { window: state.window(), ..plan.scope.clone() };
        let partition = plan.partition.to_string();
        Ok(Self {
            queries,
            scope,
            partition,
            asker,
            options,
            progress,
            file,
            state,
            began: Instant::now(),
            differences: Vec::new(),
            touched: None,
        })
    }

    /// How many chunks of the source and ranges of the target an interrupted comparison had behind
    /// it.
    pub fn resumed(&self) -> (usize, usize) {
        (self.state.expected.done, self.state.found.done)
    }

    /// Compares.
    ///
    /// # Errors
    /// [`VerifyError::Stopped`] where stopping was asked for; the state is kept then, and with any
    /// other failure too.
    pub async fn run(&mut self) -> Result<Report, VerifyError> {
        match self.compare().await {
            Ok((report, differences)) => {
                self.file.remove()?;
                self.differences = differences;
                Ok(report)
            }
            Err(error) => {
                if self.state.expected.done > 0 {
                    self.file.write(&self.state)?;
                }
                Err(error)
            }
        }
    }

    async fn compare(&mut self) -> Result<(Report, Vec<Difference>), VerifyError> {
        let count = self.state.buckets;
        self.progress.chunks.store(self.state.chunks.len() as u64, Ordering::Relaxed);
        while self.state.expected.done < self.state.chunks.len() {
            self.progress.chunks_done.store(self.state.expected.done as u64, Ordering::Relaxed);
            let mut sums = std::mem::take(&mut self.state.expected.sums);
            let added = self.expected_sums(self.state.expected.done, count, None, &mut sums).await;
            self.state.expected.sums = sums;
            added?;
            self.state.expected.done += 1;
            self.file.write_now_and_then(&self.state)?;
        }
        self.progress.chunks_done.store(self.state.chunks.len() as u64, Ordering::Relaxed);
        let parts = match &self.state.parts {
            Some(parts) => parts.clone(),
            None => self.parts_of_target().await?,
        };
        self.progress.parts.store(parts.len() as u64, Ordering::Relaxed);
        self.state.parts = Some(parts.clone());
        while let Some(part) = parts.get(self.state.found.done) {
            self.progress.parts_done.store(self.state.found.done as u64, Ordering::Relaxed);
            let mut sums = std::mem::take(&mut self.state.found.sums);
            let added = self.found_sums(part, count, None, &mut sums).await;
            self.state.found.sums = sums;
            added?;
            self.state.found.done += 1;
            self.file.write_now_and_then(&self.state)?;
        }
        self.progress.parts_done.store(parts.len() as u64, Ordering::Relaxed);
        self.examine(&parts).await
    }

    /// Adds the sums of a chunk, all of its pieces or none.
    pub(super) async fn expected_sums(
        &mut self,
        chunk: usize,
        count: u32,
        only: Option<&Buckets>,
        sums: &mut Sums,
    ) -> Result<(), VerifyError> {
        let (queries, scope) = (&self.queries, self.chunk(chunk));
        let (table, divisible) = (&queries.job.source.name, queries.job.lookup.is_some());
        let sql = |scope: &Scope| queries.sums(&queries.expected(scope), count, only);
        let answers = self.asker.chunk(table, "comparing a chunk", &scope, divisible, sql).await?;
        answers
            .iter()
            .try_for_each(|answer| sums.add(answer, queries.job.columns.len()))
            .map_err(not_understood(table))
    }

    /// Adds the sums of a range of the target.
    pub(super) async fn found_sums(
        &mut self,
        part: &Part,
        count: u32,
        only: Option<&Buckets>,
        sums: &mut Sums,
    ) -> Result<(), VerifyError> {
        let queries = &self.queries;
        let table = &queries.job.target.name;
        let sql = queries.sums(&queries.found(&part.0, part.1.as_deref(), true), count, only);
        let answer = self.asker.range(table, "comparing a range", &sql).await?;
        sums.add(&answer, queries.job.columns.len()).map_err(not_understood(table))
    }

    pub(super) fn chunk(&self, number: usize) -> Scope {
        self.scope.within(self.state.chunks.get(number).and_then(Option::as_deref))
    }

    /// The ranges of the target in which the job's rows lie.
    async fn parts_of_target(&self) -> Result<Vec<Part>, VerifyError> {
        let target = &self.queries.job.target;
        let mut partitions = self.state.expected.sums.partitions.clone();
        // Also where the job makes no row: what lies in the partition of the same name is surplus.
        partitions.insert(self.scope.partition_id.clone());
        let mut parts = Vec::new();
        for partition in partitions {
            if target.is_merge_tree() {
                let ranges =
                    table_ranges(self.asker.target(), target, &partition, DEFAULT_CHUNK_ROWS).await;
                let ranges = ranges.map_err(|error| VerifyError::Plan(Box::new(error)))?;
                parts.extend(ranges.into_iter().map(|range| (partition.clone(), range)));
            } else {
                return Ok(vec![(partition, None)]);
            }
        }
        Ok(parts)
    }
}

/// A range of the target: partition id and predicate.
pub(super) type Part = (String, Option<String>);

pub(super) fn not_understood(table: &TableName) -> impl FnOnce(String) -> VerifyError + '_ {
    |message| VerifyError::Answer { table: table.clone(), message }
}

/// A digest of all that decides what is compared. The lookup's window is not among it: a row that
/// came to the source since moves it.
fn identity(queries: &Queries, scope: &Scope) -> String {
    let scope = Scope { window: None, ..scope.clone() };
    let expected = queries.sums(&queries.expected(&scope), 1, None);
    let found = queries.found(&scope.partition_id, None, true);
    format!("{:032x}", XxHash3_128::oneshot(format!("{expected}\n{found}").as_bytes()))
}
