//! Deciding what a request means: what is left of the load, and whether this process may do it.

use std::sync::Arc;

use super::LoadError;
use super::claim::{Heartbeat, give_back, take_over};
use super::live::is_lost;
use super::objects::changed_since;
use super::publishing::{drop_leftover_snapshots, drop_leftovers};
use super::record::{Record, recorded_cuts};
use super::request::{LoadRequest, Recording, definition, new_id};
use super::run::{Load, pipeline};
use crate::clickhouse::QueryPrefix;
use crate::engine::stream::PipelineOptions;
use crate::job::Publish;
use crate::ledger::{
    ClaimOptions, Definition, Difference, HeldClaim, Ledger, LedgerError, LoadDefinition, LoadKey,
    LoadRecord, ask, load_key, undivided,
};
use crate::plan::{ChunkBounds, Plan, PlanOptions, plan};
use crate::preflight::{hidden_rows, room_for_parts};
use crate::publish::PublishError;
use crate::state::LoadState;

/// What a request means.
pub(crate) enum Prepared {
    /// The load was completed before. There is nothing to do.
    AlreadyComplete(Box<LoadRecord>),
    /// The partition has no rows. There is nothing to do, and nothing is recorded.
    Empty(Box<Plan>),
    /// There is something to do.
    Ready(Box<Load>),
}

/// Finds out what is to be done, whether the server takes the inserts, claims it, and plans it. No
/// row moves, and of the load itself nothing is written yet.
///
/// # Errors
/// [`LoadError`]: somebody else is at it, it was begun with another definition, or something cannot
/// be asked.
pub(crate) async fn prepare(request: LoadRequest) -> Result<Prepared, LoadError> {
    let Some(recording) = request.recording.clone() else {
        preflight(&request).await?;
        let plan = planned(&request, &request.plan).await?;
        return if plan.chunks.is_empty() {
            empty(&request, plan).await
        } else {
            Ok(ready(request, plan, new_id(), None))
        };
    };
    require_publishable(&request, &recording)?;
    let ledger = Ledger::new(&recording.location, &request.servers.target, &recording.database);
    let key = load_key(&request.job, request.partition.id());
    let definition = definition(
        &request.job,
        &request.pipeline,
        request.plan.chunk_rows,
        &request.servers,
        &request.server_version,
    );
    // What needs no claim is said without one.
    let current = ask(recording.patience, || ledger.newest_load(&key)).await?;
    let wish = Wish::of(&request, &recording, current.as_ref());
    if let Some(complete) = judge(current, &definition, wish)?.complete() {
        if request.job.publish == Publish::Replace {
            // A run that was killed after it completed the load may have left its tables.
            drop_leftovers(&ledger, &key, &request.servers.target, None).await?;
        }
        if request.job.snapshot {
            drop_leftover_snapshots(&ledger, &key, &request.servers.source, None).await?;
        }
        return Ok(Prepared::AlreadyComplete(Box::new(complete)));
    }
    preflight(&request).await?;
    ask(recording.patience, || ledger.create()).await?;
    let options = ClaimOptions {
        part: recording.part,
        timeout: recording.claim_timeout,
        patience: recording.patience,
    };
    let claim_id = new_id();
    let claim = tokio::select! {
        claim = ledger.claim(&key, &claim_id, options) => Arc::new(claim?),
        // A claim that may have been written is that of a process that is gone.
        () = request.stop.reading_ends() => return Err(LoadError::Stopped),
    };
    let heartbeat = Heartbeat::start(claim.clone(), recording.patience, request.stop.clone());
    let prepared = match take_over(&request.servers, &claim, recording.patience).await {
        Ok(()) => {
            claimed(request, recording, ledger, key, definition, claim.clone(), heartbeat).await
        }
        Err(error) => Err(error.into()),
    };
    if !matches!(prepared, Ok(Prepared::Ready(_))) {
        give_back(&claim).await;
    }
    prepared
}

/// Refuses what no load that replaces a partition can do: its last step is taken once, the server reads
/// the source itself, and all rows of the partition are replaced.
fn require_publishable(request: &LoadRequest, recording: &Recording) -> Result<(), LoadError> {
    let LoadRequest { job, servers, .. } = request;
    if job.snapshot && recording.part.workers > 1 {
        let message = format!(
            "process {} of several would make a copy of its own; leave --worker out, or snapshot of [source]",
            recording.part
        );
        return Err(PublishError::NoSnapshot { table: job.source.name.clone(), message }.into());
    }
    let message = if job.reads_outside() && recording.part.workers > 1 {
        format!(
            "process {} of several would plan chunks of its own; leave --worker out",
            recording.part
        )
    } else if job.publish == Publish::InPlace {
        return Ok(());
    } else if recording.part.workers > 1 {
        format!(
            "process {} of several would publish it while others work on it; leave --worker out",
            recording.part
        )
    } else if !servers.is_one_server() {
        "source and target are on two servers, and the target's server builds it".to_owned()
    } else if !job.filters.is_empty() || job.before.is_some() {
        "--where and --before leave rows out, which it would lack afterwards".to_owned()
    } else {
        return Ok(());
    };
    Err(PublishError::Unfit { table: job.target.name.clone(), message }.into())
}

/// Sends an insert without rows, so that what does not fit is found before anything else is done.
async fn preflight(request: &LoadRequest) -> Result<(), LoadError> {
    let LoadRequest { servers, job, skipped_checks, .. } = request;
    if !request.pipeline.dry_run
        && let Some(check) = room_for_parts(&servers.target, job, skipped_checks).await
    {
        return Err(LoadError::Blocked { checks: vec![check] });
    }
    pipeline(request, "preflight")
        .preflight()
        .await
        .map_err(|error| LoadError::Preflight(Box::new(error)))
}

/// The plan, with retries.
pub(super) async fn planned(
    request: &LoadRequest,
    options: &PlanOptions,
) -> Result<Plan, LoadError> {
    let LoadRequest { servers, job, partition, .. } = request;
    Ok(request
        .startup_retry()
        .ask("planning", async || plan(&servers.source, job, partition, options.clone()).await)
        .await?)
}

/// What is left of the load, now that this process holds the claim.
async fn claimed(
    request: LoadRequest,
    recording: Recording,
    ledger: Ledger,
    key: LoadKey,
    definition: LoadDefinition,
    claim: Arc<HeldClaim>,
    heartbeat: Heartbeat,
) -> Result<Prepared, LoadError> {
    let current = ask(recording.patience, || ledger.newest_load(&key)).await?;
    let mut wish = Wish::of(&request, &recording, current.as_ref());
    if let Some(load) = &current
        && is_lost(&request.servers.target, &request.job, load).await?
    {
        tracing::warn!(run = %load.run_id, "this version cannot be published any more: its tables are gone, or rows of live writers may be lost; a new version starts");
        wish.restart = true;
    }
    let found = judge(current, &definition, wish)?;
    let (load, records, bounds, replaces) = match found {
        Found::Complete(load) => return Ok(Prepared::AlreadyComplete(load)),
        Found::Unfinished(load) => {
            let bounds =
                serde_json::from_str::<ChunkBounds>(&load.chunk_bounds).map_err(|error| {
                    LedgerError::Malformed {
                        what: "chunk bounds".to_owned(),
                        message: error.to_string(),
                    }
                })?;
            let records = ask(recording.patience, || ledger.chunk_records(&load.run_id)).await?;
            (*load, records, Some(bounds), None)
        }
        Found::Nothing(replaces) => (
            new_load(key, &request, definition, replaces.as_deref()),
            Vec::new(),
            request.plan.bounds.clone(),
            replaces.map(|load| *load),
        ),
    };
    let options = PlanOptions { bounds, ..request.plan.clone() };
    let plan = planned(&request, &options).await?;
    if plan.chunks.is_empty() {
        return empty(&request, plan).await;
    }
    claim.set_run(&load.run_id);
    let run_id = load.run_id.clone();
    let was_untouched = load.started_at.is_none() || load.is_untouched;
    let (chunks, cuts) = (undivided(&records), recorded_cuts(&records, &plan.bounds)?);
    let record = Record {
        ledger,
        claim,
        heartbeat,
        options: recording,
        was_untouched,
        load,
        chunks,
        cuts,
        replaces,
    };
    Ok(ready(request, plan, run_id, Some(record)))
}

/// A partition without rows, unless the user only does not see them.
async fn empty(request: &LoadRequest, plan: Plan) -> Result<Prepared, LoadError> {
    match hidden_rows(&request.servers, &request.job, plan.partition.id()).await {
        Some(check) => Err(LoadError::Blocked { checks: vec![check] }),
        None => Ok(Prepared::Empty(Box::new(plan))),
    }
}

fn ready(request: LoadRequest, plan: Plan, run_id: String, record: Option<Record>) -> Prepared {
    let queries = match &record {
        Some(record) => QueryPrefix::of_process(&run_id, record.claim.id()),
        None => QueryPrefix::new(&run_id),
    };
    let servers = request.servers.clone().with_queries(&queries);
    let lease = record.as_ref().map(|record| record.claim.lease().clone()).unwrap_or_default();
    let pipeline = PipelineOptions { lease, ..request.pipeline.clone() };
    let request = LoadRequest { servers, pipeline, ..request };
    Prepared::Ready(Box::new(Load::new(request, plan, run_id, record)))
}

enum Found {
    /// Nothing that counts; with `--restart`, this version is replaced.
    Nothing(Option<Box<LoadRecord>>),
    Unfinished(Box<LoadRecord>),
    Complete(Box<LoadRecord>),
}

impl Found {
    fn complete(self) -> Option<LoadRecord> {
        match self {
            Self::Complete(load) => Some(*load),
            _ => None,
        }
    }
}

/// How a request treats a load that was started before.
#[derive(Clone, Copy)]
struct Wish {
    restart: bool,
    keeps_chunk_rows: bool,
}

impl Wish {
    /// Where the objects of the load have changed, another version begins.
    fn of(request: &LoadRequest, recording: &Recording, current: Option<&LoadRecord>) -> Self {
        let objects = request.job.objects.as_ref().zip(current);
        let have_changed =
            objects.is_some_and(|(objects, load)| !changed_since(objects, load).is_empty());
        Self {
            restart: recording.restart || have_changed,
            keeps_chunk_rows: request.keeps_chunk_rows,
        }
    }
}

/// What the current version of a load means for a request with this definition.
fn judge(
    current: Option<LoadRecord>,
    definition: &LoadDefinition,
    wish: Wish,
) -> Result<Found, LoadError> {
    let Some(load) = current.map(Box::new) else { return Ok(Found::Nothing(None)) };
    if wish.restart {
        return Ok(Found::Nothing(Some(load)));
    }
    if load.status == LoadState::Superseded {
        return Err(LoadError::RolledBack { key: load.key, run_id: load.run_id });
    }
    let completed = load.status == LoadState::Completed;
    let (tolerated, differences): (Vec<_>, Vec<_>) =
        load.definition.differences_to(definition).into_iter().partition(|difference| {
            difference.is_of_server()
                || (completed && (difference.is_of_batches() || difference.is_of_horizon()))
                || (wish.keeps_chunk_rows && difference.is_of_chunk_size())
        });
    if !differences.is_empty() && load.is_untouched && !completed {
        tracing::info!(run = %load.run_id, "the job has changed, and no row was inserted before: a new version of the load starts");
        return Ok(Found::Nothing(Some(load)));
    }
    if !differences.is_empty() {
        return Err(LoadError::Changed { load, differences });
    }
    if completed {
        return Ok(Found::Complete(load));
    }
    for difference in tolerated.iter().filter(|difference| difference.is_of_server()) {
        tracing::warn!(
            "{difference}: the chunks that are left are filled by another server than those before"
        );
    }
    Ok(Found::Unfinished(load))
}

/// What has changed since a load was begun, so that a request with this definition would be
/// refused.
///
/// # Errors
/// The ledger cannot be read.
pub(crate) async fn changed(
    ledger: &Ledger,
    key: &LoadKey,
    definition: &LoadDefinition,
    keeps_chunk_rows: bool,
) -> Result<Vec<Difference>, LedgerError> {
    let wish = Wish { restart: false, keeps_chunk_rows };
    match judge(ledger.newest_load(key).await?, definition, wish) {
        Err(LoadError::Changed { differences, .. }) => Ok(differences),
        _ => Ok(Vec::new()),
    }
}

fn new_load(
    key: LoadKey,
    request: &LoadRequest,
    definition: LoadDefinition,
    replaces: Option<&LoadRecord>,
) -> LoadRecord {
    LoadRecord {
        load_version: replaces.map_or(0, |load| load.load_version) + 1,
        fingerprint: definition.fingerprint(),
        definition: Definition::Structured(Box::new(definition)),
        server_version: request.server_version.clone(),
        ..LoadRecord::new(key, new_id())
    }
}
