//! A comparison from start to end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::VerifyError;
use super::attribution::{Attribution, SelectedChunks};
use super::decode::texts;
use super::progress::VerifyProgress;
use super::queries::{Buckets, Queries, Share};
use super::report::Report;
use super::rows::Difference;
use super::runner::{QueryRunner, SideSettings};
use super::state::{ComparedParts, PartsSnapshot, SavedState, StateFile, StateRead};
use super::sums::Sums;
use crate::clickhouse::{Column, Error as ServerError, Servers, TableName};
use crate::job::statements::{self, Scope};
use crate::job::target_key::TargetKey;
use crate::job::{BoundColumn, BoundJob, TableTtl, is_read_narrow, narrow_settings, table_ttl};
use crate::ledger::definition::JobDefinition;
use crate::ledger::{Parts, job_definition};
use crate::plan::{DEFAULT_CHUNK_ROWS, Plan, table_ranges};
use crate::retry::RetryPolicy;
use crate::stop::Stop;
use crate::units::duration;

/// Approximate number of rows per bucket of keys.
const ROWS_PER_BUCKET: u64 = 1000;
/// Limit on the number of buckets.
const MAX_BUCKETS: u64 = 4096;
/// Rows that the target's TTL removes within this many seconds are not compared, because merges may
/// remove them meanwhile.
pub(super) const TTL_MARGIN: i64 = 3600;

/// The options of a comparison.
#[derive(Clone, Debug)]
pub(crate) struct VerifyOptions {
    /// The share of the keys to compare; `None` for all.
    pub share: Option<Share>,
    /// The chunks of the plan to compare; `None` for all.
    pub chunks: Option<SelectedChunks>,
    /// Number of differing rows to name.
    pub max_differences: usize,
    /// Whether to find every differing row, beyond those that are named.
    pub find_all: bool,
    /// Whether an interrupted comparison is resumed only if it has the chunks of the plan.
    pub chunks_of_plan: bool,
    /// Memory limit of a query on the server, in bytes.
    pub server_memory: Option<u64>,
    /// The file that keeps the state of an interrupted comparison.
    pub state: PathBuf,
    /// Age at which such a state is discarded.
    pub state_max_age: Duration,
    /// Retries of queries.
    pub retry: RetryPolicy,
    /// Start of the load in microseconds since 1970, if known: later rows are live writers'.
    pub load_began: Option<i64>,
    /// The partitions of the target that the load has replaced, if the ledger has one: they are compared even
    /// if no group of the source lies there.
    pub replaced: Vec<String>,
    /// The load whose chunks the plan has, if the ledger has one.
    pub run_id: Option<String>,
}

impl VerifyOptions {
    /// A comparison of all keys that names no row.
    pub(crate) fn new(state: PathBuf) -> Self {
        Self {
            share: None,
            chunks: None,
            max_differences: 0,
            find_all: false,
            chunks_of_plan: false,
            server_memory: None,
            state,
            state_max_age: Duration::ZERO,
            retry: RetryPolicy::default(),
            load_began: None,
            replaced: Vec::new(),
            run_id: None,
        }
    }
}

/// Compares one partition.
pub(crate) struct Verifier {
    pub(super) queries: Queries,
    pub(super) scope: Scope,
    pub(super) partition: String,
    pub(super) runner: QueryRunner,
    pub(super) options: VerifyOptions,
    pub(super) progress: Arc<VerifyProgress>,
    file: StateFile,
    pub(super) state: SavedState,
    /// Why an interrupted comparison was not resumed.
    not_resumed_because: Option<String>,
    pub(super) began: Instant,
    /// The differences that the last run found.
    pub(super) differences: Vec<Difference>,
    /// Columns of the job that cannot be compared.
    pub(super) not_compared: Vec<String>,
    /// The TTL of the target.
    pub(super) ttl: TableTtl,
    /// Rows of an unknown partition of the source that the last run found.
    pub(super) unattributed: u64,
    /// The buckets that differed.
    pub(super) touched: Option<Buckets>,
}

impl Verifier {
    /// Prepares a comparison, or resumes an interrupted one.
    ///
    /// # Errors
    /// If the target's keys cannot be read, or the state file is of another comparison.
    pub(crate) async fn new(
        servers: Servers,
        job: &BoundJob,
        plan: &Plan,
        options: VerifyOptions,
        progress: Arc<VerifyProgress>,
        stop: Stop,
    ) -> Result<Self, VerifyError> {
        let ttl = table_ttl(&servers.target, &job.target).await;
        let ttl = ttl.map_err(cannot_read(&job.target.name, "reading the TTL"))?;
        let (compared, not_compared) = comparable(job, &ttl);
        let key = TargetKey::read(&servers.target, job, &compared, &ttl.columns).await;
        let key = key.map_err(cannot_read(&job.target.name, "reading the keys"))?;
        let partition_id = &plan.scope.partition_id;
        let attribution = Attribution::read(&servers, job, &compared, partition_id).await?;
        let narrow = is_read_narrow(&servers.target, &job.target).await;
        let narrow =
            narrow.map_err(cannot_read(&job.target.name, "asking how FINAL can read it"))?;
        let (job, expired) = (job.clone(), ttl.expired_by(0));
        let share = options.share;
        let mut queries =
            Queries { job, compared, key, attribution, narrow, expired, share, of_chunks: None };
        let identity = identity(&servers, &queries, &plan.scope);
        let job = &queries.job;
        let file = StateFile::new(options.state.clone());
        let (state, not_resumed_because) =
            begun(&file, identity, &servers, (job, plan), &options, ttl.now).await?;
        let settings = SideSettings {
            expected: statements::finished_settings(job),
            found: narrow_settings(statements::join_settings(job), narrow),
        };
        let runner =
            QueryRunner::new(servers, settings, options.server_memory, options.retry, stop);
        queries.expired = ttl.expired_by(state.expired_by);
        let scope = Scope { window: state.window(), ..plan.scope.clone() };
        queries.of_chunks = options.chunks.as_ref().map(|chunks| {
            let scopes = || state.chunks.iter().map(|range| scope.within(range.as_deref()));
            let by_keys = || queries.has_key_of(&scopes().collect::<Vec<_>>());
            chunks.condition.clone().unwrap_or_else(by_keys)
        });
        let partition = plan.partition.to_string();
        Ok(Self {
            queries,
            scope,
            partition,
            runner,
            options,
            progress,
            file,
            state,
            not_resumed_because,
            began: Instant::now(),
            differences: Vec::new(),
            not_compared,
            ttl,
            unattributed: 0,
            touched: None,
        })
    }

    /// The number of chunks of the source and of ranges of the target that an interrupted comparison
    /// had completed.
    pub(crate) fn resumed(&self) -> (usize, usize) {
        (self.state.expected.done, self.state.found.done)
    }

    /// The parts of the target that were compared; `None` if they are not known.
    pub(crate) fn compared_parts(&self) -> Option<ComparedParts> {
        self.state.compared_parts()
    }

    /// Why an interrupted comparison is not resumed, if there is one.
    pub(crate) fn not_resumed_because(&self) -> Option<&str> {
        self.not_resumed_because.as_deref()
    }

    /// Compares.
    ///
    /// # Errors
    /// [`VerifyError::Stopped`] if a stop was requested. The state is kept on any error.
    pub(crate) async fn run(&mut self) -> Result<Report, VerifyError> {
        match self.compare().await {
            Ok((report, differences)) => {
                self.file.remove()?;
                self.differences = differences;
                Ok(report)
            }
            Err(error) => {
                if self.state.expected.done > 0 {
                    self.file.write(&mut self.state)?;
                }
                Err(error)
            }
        }
    }

    async fn compare(&mut self) -> Result<(Report, Vec<Difference>), VerifyError> {
        let count = self.state.buckets;
        self.progress.chunks.store(self.state.chunks.len() as u64, Ordering::Relaxed);
        self.progress.chunks_done.store(self.state.expected.done as u64, Ordering::Relaxed);
        while self.state.expected.done < self.state.chunks.len() {
            let mut sums = std::mem::take(&mut self.state.expected.sums);
            let added = self.expected_sums(self.state.expected.done, count, None, &mut sums).await;
            self.state.expected.sums = sums;
            added?;
            self.state.expected.done += 1;
            self.file.write_at_intervals(&mut self.state)?;
        }
        let ranges = match &self.state.ranges {
            Some(ranges) => ranges.clone(),
            None => self.target_ranges().await?,
        };
        self.progress.parts.store(ranges.len() as u64, Ordering::Relaxed);
        self.progress.parts_done.store(self.state.found.done as u64, Ordering::Relaxed);
        self.state.ranges = Some(ranges.clone());
        while let Some(range) = ranges.get(self.state.found.done) {
            let mut sums = std::mem::take(&mut self.state.found.sums);
            let added = self.found_sums(range, count, None, &mut sums).await;
            self.state.found.sums = sums;
            added?;
            self.state.found.done += 1;
            self.file.write_at_intervals(&mut self.state)?;
        }
        self.examine(&ranges).await
    }

    /// Adds the sums of a chunk.
    pub(super) async fn expected_sums(
        &mut self,
        chunk: usize,
        count: u32,
        only: Option<&Buckets>,
        sums: &mut Sums,
    ) -> Result<(), VerifyError> {
        let (queries, scope) = (&self.queries, self.chunk(chunk));
        let (table, divisible) = (&queries.job.source.name, queries.job.lookup.is_some());
        let sql = |scope: &Scope| queries.expected_sums(&queries.expected(scope), count, only);
        let answers = self.runner.chunk(table, "comparing a chunk", &scope, divisible, sql).await?;
        answers
            .iter()
            .try_for_each(|answer| sums.add(answer, queries.compared.len()))
            .map_err(cannot_decode(table))?;
        self.progress.chunks_done.store(chunk as u64 + 1, Ordering::Relaxed);
        Ok(())
    }

    /// Adds the sums of a range of the target.
    pub(super) async fn found_sums(
        &mut self,
        (partition, range): &TargetRange,
        count: u32,
        only: Option<&Buckets>,
        sums: &mut Sums,
    ) -> Result<(), VerifyError> {
        let queries = &self.queries;
        let table = &queries.job.target.name;
        let sql =
            queries.found_sums(&queries.found(partition, range.as_deref(), true), count, only);
        let answer = self.runner.range(table, "comparing a range", &sql).await?;
        sums.add(&answer, queries.compared.len()).map_err(cannot_decode(table))?;
        self.progress.parts_done.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The number of a compared chunk in the plan, from 1.
    pub(super) fn planned_number(&self, number: usize) -> usize {
        let chunks = self.options.chunks.as_ref();
        chunks.and_then(|chunks| chunks.numbers.get(number).copied()).unwrap_or(number) + 1
    }

    pub(super) fn chunk(&self, number: usize) -> Scope {
        self.scope.within(self.state.chunks.get(number).and_then(Option::as_deref))
    }

    /// The ranges of the target that can have rows of the job.
    async fn target_ranges(&mut self) -> Result<Vec<TargetRange>, VerifyError> {
        let mut partitions = self.state.expected.sums.partitions.clone();
        if self.queries.key.partition_id.is_none() && self.queries.job.target.is_merge_tree() {
            let (sql, target) = (self.queries.partitions(), &self.queries.job.target.name);
            let answer = self.runner.range(target, "reading the partitions", &sql).await?;
            partitions = texts(&answer).map_err(cannot_decode(target))?.into_iter().collect();
        }
        // If the job makes no rows, the partition of the same name may still have surplus rows.
        partitions.insert(self.scope.partition_id.clone());
        let target = &self.queries.job.target;
        let ids: Vec<_> = partitions.iter().map(String::as_str).collect();
        let parts = PartsSnapshot::read(self.runner.target(), target, &ids).await;
        let mut all = Vec::new();
        for partition in partitions {
            if target.is_merge_tree() {
                let ranges =
                    table_ranges(self.runner.target(), target, &partition, DEFAULT_CHUNK_ROWS)
                        .await;
                let ranges = ranges.map_err(|error| VerifyError::Plan(Box::new(error)))?;
                all.extend(ranges.into_iter().map(|range| (partition.clone(), range)));
            } else {
                all = vec![(partition, None)];
                break;
            }
        }
        self.state.target_parts = parts;
        Ok(all)
    }
}

/// The error of a query that is not retried.
pub(super) fn cannot_read<'a>(
    table: &'a TableName,
    what: &'a str,
) -> impl FnOnce(ServerError) -> VerifyError + 'a {
    move |source| VerifyError::Query {
        what: what.to_owned(),
        table: table.clone(),
        attempts: 1,
        source: Box::new(source),
    }
}

/// The columns of the job that are compared, and the names of the others: EPHEMERAL columns are not
/// stored, and merges reset those with a TTL of their own.
fn comparable(job: &BoundJob, ttl: &TableTtl) -> (Vec<BoundColumn>, Vec<String>) {
    let is_stored = |name: &str| job.target.column(name).is_none_or(Column::is_selectable);
    let (compared, others): (Vec<_>, Vec<_>) = job.columns.iter().cloned().partition(|column| {
        is_stored(&column.name) && !ttl.columns_with_ttl.contains(&column.name)
    });
    (compared, others.into_iter().map(|column| column.name).collect())
}

/// The state of an interrupted comparison, or a new one and the reason why there is no other.
async fn begun(
    file: &StateFile,
    identity: String,
    servers: &Servers,
    (job, plan): (&BoundJob, &Plan),
    options: &VerifyOptions,
    now: i64,
) -> Result<(SavedState, Option<String>), VerifyError> {
    let is_compared = |number: usize| {
        options.chunks.as_ref().is_none_or(|chunks| chunks.numbers.contains(&number))
    };
    let planned = plan.chunks.iter().enumerate().filter(|(number, _)| is_compared(*number));
    let chunks: Vec<_> = planned.map(|(_, chunk)| chunk.range.clone()).collect();
    let other = match usable_state(file, &identity, servers, job, plan, &chunks, options).await? {
        StateRead::State(state) => return Ok((*state, None)),
        other => other,
    };
    let buckets = (plan.stored_rows / ROWS_PER_BUCKET).clamp(16, MAX_BUCKETS);
    let buckets = u32::try_from(buckets).unwrap_or(u32::MAX);
    let (run_id, window) = (options.run_id.clone(), plan.scope.window);
    let expired_by = now.saturating_add(TTL_MARGIN);
    let mut state = SavedState::new(identity, run_id, chunks, window, expired_by, buckets);
    state.source_parts = source_parts(servers, job, plan).await;
    Ok((state, other.unusable_because()))
}

/// The state of an interrupted comparison, unless something has changed since.
async fn usable_state(
    file: &StateFile,
    identity: &str,
    servers: &Servers,
    job: &BoundJob,
    plan: &Plan,
    chunks: &[Option<String>],
    options: &VerifyOptions,
) -> Result<StateRead, VerifyError> {
    let mut state = match file.read(identity)? {
        StateRead::State(state) => state,
        other => return Ok(other),
    };
    let unusable = |reason: String| Ok(StateRead::Unusable(reason));
    if state.run_id != options.run_id {
        let run = |id: &Option<String>| id.clone().unwrap_or_else(|| "none".to_owned());
        let (before, now) = (run(&state.run_id), run(&options.run_id));
        return unusable(format!("it was of run {before}, the current one is {now}"));
    }
    if options.chunks_of_plan && state.chunks != chunks {
        return unusable("it was of other chunks".to_owned());
    }
    if state.age().is_none_or(|age| age > options.state_max_age) {
        let max_age = duration(options.state_max_age);
        return unusable(format!("its state is older than {max_age}"));
    }
    if let Some(before) = &state.source_parts {
        let now = source_parts(servers, job, plan).await;
        if now.is_none_or(|now| before.changed_until(&now)) {
            return unusable(format!("rows of {} have changed since", job.source.name));
        }
    }
    if state.found.done == 0 {
        // No range was compared: they are planned again.
        state.ranges = None;
        state.target_parts = None;
        return Ok(StateRead::State(state));
    }
    let target = &job.target;
    let mut ids: Vec<_> = state.ranges.iter().flatten().map(|(id, _)| id.as_str()).collect();
    ids.dedup();
    let now = PartsSnapshot::read(&servers.target, target, &ids).await;
    match state.target_parts.as_ref().zip(now) {
        None => unusable(format!("nothing tells whether {} has changed since", target.name)),
        Some((before, now)) if before.changed_until(&now) => {
            unusable(format!("rows of {} have changed since", target.name))
        }
        Some(_) => Ok(StateRead::State(state)),
    }
}

async fn source_parts(servers: &Servers, job: &BoundJob, plan: &Plan) -> Option<PartsSnapshot> {
    PartsSnapshot::read(&servers.source, &job.source, &[&plan.scope.partition_id]).await
}

/// A range of the target: partition id and predicate.
pub(super) type TargetRange = (String, Option<String>);

pub(super) fn cannot_decode(table: &TableName) -> impl FnOnce(String) -> VerifyError + '_ {
    |message| VerifyError::Answer { table: table.clone(), message }
}

/// Everything that determines a comparison. The times of the lookup window are excluded, since new
/// rows of the source move them.
#[derive(Serialize)]
struct Identity<'a> {
    job: JobDefinition,
    owned: Option<&'a str>,
    partition_id: &'a str,
    share: Option<Share>,
    /// The condition of the target's TTL, for some moment.
    expired: Option<&'a str>,
    compared: Vec<&'a str>,
}

fn identity(servers: &Servers, queries: &Queries, scope: &Scope) -> String {
    let identity = Identity {
        job: job_definition(&queries.job, servers),
        owned: queries.job.owned.as_ref().map(|owned| owned.sql.as_str()),
        partition_id: &scope.partition_id,
        share: queries.share,
        expired: queries.expired.as_deref(),
        compared: queries.compared.iter().map(|column| column.name.as_str()).collect(),
    };
    Parts::of(&identity).digest()
}
