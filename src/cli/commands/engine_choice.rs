//! `--engine auto`: which engine fills a partition, and why.
//!
//! The server engine needs less of this process and of the network, but it cannot do every job, and
//! what it needs of the server's memory is bounded here by an estimate. Everything else is streamed.

use serde::Serialize;

use super::resources::Resources;
use crate::clickhouse::{Error as ServerError, ErrorClass, Servers};
use crate::engine::Engine;
use crate::engine::server::{chunk_memory_bytes, try_statement};
use crate::engine::stream::{PipelineOptions, read_memory_bytes};
use crate::job::{BoundJob, Publish};
use crate::plan::{Partition, Stored, stored};
use crate::progress::{bytes, counted};
use crate::retry::StartupRetry;

/// What evaluates a job, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct EngineDecision {
    pub engine: Engine,
    /// Why it was chosen; `None` if `--engine` names it.
    pub reason: Option<String>,
}

impl EngineDecision {
    /// The one that `--engine` names.
    pub(crate) fn given(engine: Engine) -> Self {
        Self { engine, reason: None }
    }

    /// The server engine, where the job leaves `--engine auto` no choice.
    pub(crate) fn forced(job: &BoundJob, servers: &Servers) -> Option<Self> {
        let reason = if job.group.is_some() {
            "the server makes the groups of a job"
        } else if job.objects.is_some() {
            "the server reads objects"
        } else if job.postgres.is_some() {
            "the server reads PostgreSQL"
        } else if job.publish == Publish::Replace && servers.is_one_server() {
            "publish is replace, and the server builds partitions beside the target"
        } else {
            return None;
        };
        Some(Self { engine: Engine::Server, reason: Some(reason.to_owned()) })
    }
}

/// The properties of a run that the choice of the engine depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filling<'a> {
    pub partition: &'a Partition,
    pub dry_run: bool,
    /// Whether finished rows are printed.
    pub samples: bool,
}

/// What the choice rests on.
pub(super) struct Choice<'a> {
    pub servers: &'a Servers,
    pub job: &'a BoundJob,
    pub resources: &'a Resources,
    pub batch_rows: u64,
    pub filling: Filling<'a>,
}

/// The server's memory for the inserts of chunks, estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MemoryNeed {
    /// Chunks that are filled at once when the run starts.
    chunks: u64,
    /// What they take.
    needed: u64,
    /// What queries may still allocate.
    free: u64,
}

impl Choice<'_> {
    /// Chooses the server engine unless something is in its way.
    ///
    /// # Errors
    /// The server could not be asked.
    pub(super) async fn decide(self, retry: &StartupRetry) -> Result<EngineDecision, ServerError> {
        let streamed = |reason| Ok(EngineDecision { engine: Engine::Stream, reason: Some(reason) });
        if let Some(reason) = self.unfit() {
            return streamed(reason);
        }
        let need = self.memory(retry).await?;
        if let Some(reason) = need.excess() {
            return streamed(reason);
        }
        if let Some(reason) = self.refusal(retry).await? {
            return streamed(reason);
        }
        let tables = match (self.servers.is_one_server(), self.job.lookup.is_some()) {
            (true, true) => "source, lookup and target are on one server",
            (true, false) => "source and target are on one server",
            (false, _) => "the target's server reaches the source's",
        };
        let target = &self.job.target.name;
        let reason = format!("{tables}, {target} collapses repeated rows, and {}", need.fits());
        Ok(EngineDecision { engine: Engine::Server, reason: Some(reason) })
    }

    /// Why the job cannot be left to the server, or would cost it too much.
    fn unfit(&self) -> Option<String> {
        let Self { servers, job, filling, .. } = self;
        let target = &job.target;
        if !servers.reads_at_target() {
            let two = "source and target are on two servers, or of two users";
            return Some(format!("{two}, and --source-native names no way between them"));
        }
        if let Some(obstacle) = servers.remote_obstacle() {
            return Some(obstacle);
        }
        if !target.is_replacing() {
            let (name, engine) = (&target.name, &target.engine);
            return Some(format!(
                "{name} ({engine}) does not collapse rows, and the server repeats a chunk as a whole"
            ));
        }
        filling.samples.then(|| "--show-rows shows rows that pass through this process".to_owned())
    }

    async fn memory(&self, retry: &StartupRetry) -> Result<MemoryNeed, ServerError> {
        let Self { servers, job, resources, batch_rows, filling } = self;
        let what = "asking for the size of the partition";
        let (source, table) = (&servers.source, &job.source);
        let stored =
            retry.ask(what, async || stored(source, table, filling.partition).await).await?;
        let Stored { rows, bytes, parts, .. } = stored;
        let row_bytes = bytes / rows.max(1);
        let batch =
            row_bytes.saturating_mul(rows.min(*batch_rows)).min(resources.memory.batch_bytes);
        // A dry run writes no part.
        let columns = if filling.dry_run { 0 } else { job.target.columns.len() };
        let read = read_memory_bytes(parts, bytes, job.source_columns.len(), job.collapse);
        let chunks = resources.inserters.first() as u64;
        let needed = chunk_memory_bytes(batch, columns, read).saturating_mul(chunks);
        Ok(MemoryNeed { chunks, needed, free: resources.server_memory })
    }

    /// Tries the insert of a chunk on no rows. Returns the server's refusal.
    async fn refusal(&self, retry: &StartupRetry) -> Result<Option<String>, ServerError> {
        let Self { servers, job, resources, batch_rows, filling } = self;
        let Resources { readers, inserters, memory, .. } = *resources;
        let options = PipelineOptions {
            dry_run: filling.dry_run,
            batch_rows: *batch_rows,
            ..PipelineOptions::new(job, memory, *readers, *inserters)
        };
        let tried = async || try_statement(servers, job, &options).await;
        match retry.ask("trying the insert of a chunk without rows", tried).await {
            Ok(()) => Ok(None),
            Err(error) if error.code().is_some() && error.class() == ErrorClass::Fatal => {
                Ok(Some(format!("the server refuses the insert of a chunk: {error}")))
            }
            Err(error) => Err(error),
        }
    }
}

impl MemoryNeed {
    /// The share of the free memory that chunks may take, as a divisor.
    const SHARE: u64 = 2;

    /// Why the memory does not suffice.
    fn excess(self) -> Option<String> {
        let Self { needed, free, .. } = self;
        (needed > free / Self::SHARE).then(|| {
            let (words, free) = (self.words(), bytes(free));
            format!("{words}, more than half of the {free} that it has free")
        })
    }

    fn fits(self) -> String {
        format!("{} of its {}", self.words(), bytes(self.free))
    }

    fn words(self) -> String {
        let Self { chunks, needed, .. } = self;
        let need = if chunks == 1 { "needs" } else { "at once need" };
        format!("{} {need} about {} of server memory", counted(chunks, "chunk"), bytes(needed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_may_take_half_of_the_free_memory() {
        let need = |needed: u64, free: u64| MemoryNeed { chunks: 2, needed, free };
        assert_eq!(need(500 << 20, 1 << 30).excess(), None);
        assert_eq!(
            need(500 << 20, 1 << 30).fits(),
            "2 chunks at once need about 500.0 MiB of server memory of its 1.0 GiB"
        );
        assert_eq!(
            need(600 << 20, 1 << 30).excess().as_deref(),
            Some(
                "2 chunks at once need about 600.0 MiB of server memory, more than half of the 1.0 GiB that it has free"
            )
        );
        let one = MemoryNeed { chunks: 1, needed: 1, free: 0 };
        assert!(one.excess().is_some_and(|words| words.starts_with("1 chunk needs about 1 B")));
    }
}
