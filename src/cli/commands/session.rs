//! What `run` and `plan` begin with: the connection, the job held against the tables, the plan.

use std::sync::Arc;
use std::time::Duration;

use super::config;
use super::resources::{Resources, resources};
use crate::cli::args::{ServerArguments, ThroughputArguments, WhatArguments, connect};
use crate::cli::failure::{End, Failure, connecting};
use crate::clickhouse::{Connection, Servers};
use crate::engine::stream::{Patience, RetryPolicy};
use crate::job::{BoundJob, bind, load};
use crate::plan::{Partition, Plan, PlanOptions, plan};
use crate::stop::Stop;

/// A job that is held against its tables.
#[derive(Clone)]
pub(crate) struct Opened {
    pub servers: Servers,
    /// The target's.
    pub server_version: String,
    pub source_version: String,
    pub job: Arc<BoundJob>,
    pub resources: Resources,
    /// About how many rows a chunk has.
    pub chunk_rows: u64,
}

/// A job that is ready to run or to be shown.
pub(crate) struct Session {
    pub servers: Servers,
    /// The target's.
    pub server_version: String,
    pub source_version: String,
    pub job: Arc<BoundJob>,
    pub plan: Plan,
}

/// Connects and binds. `id` is what the queries' ids contain until it is known what they are for.
/// Nobody is waited for.
pub(crate) async fn open(
    server: &ServerArguments,
    what: &WhatArguments,
    throughput: &ThroughputArguments,
    id: &str,
) -> Result<Opened, Failure> {
    let impatience =
        Patience { retry: RetryPolicy::default(), outage_wait: Duration::ZERO, stop: Stop::new() }
            .without_retries();
    open_patiently(server, what, throughput, id, &impatience).await
}

/// The same, with patience for servers that are away or refuse for now. What fails after stopping
/// was asked for is an interruption.
pub(crate) async fn open_patiently(
    server: &ServerArguments,
    what: &WhatArguments,
    throughput: &ThroughputArguments,
    id: &str,
    patience: &Patience,
) -> Result<Opened, Failure> {
    opened(server, what, throughput, id, patience)
        .await
        .map_err(|failure| failure.unless_stopped(&patience.stop))
}

async fn opened(
    server: &ServerArguments,
    what: &WhatArguments,
    throughput: &ThroughputArguments,
    id: &str,
    patience: &Patience,
) -> Result<Opened, Failure> {
    let job = load(&what.job)?;
    let servers = connect::servers(server, throughput.compression, id)?;
    // Whatever the first answer says is configuration; only for an answer it is worth waiting.
    let first = &patience.clone().without_retries();
    let greet = |connection: Connection, end: End| async move {
        let greeted = first.ask("the first question", async || connection.hello().await).await;
        greeted.map_err(|error| connecting(&error, end))
    };
    let server_version = greet(servers.target.clone(), End::Target).await?;
    let source_version = if servers.are_one() {
        server_version.clone()
    } else {
        greet(servers.source.clone(), End::Source).await?
    };
    let bind_options = config::bind_options(what);
    let job = patience
        .ask("holding the job against its tables", async || {
            bind(&servers, &job, &bind_options).await
        })
        .await?;
    let resources = resources(throughput, &servers.target, &job).await?;
    Ok(Opened {
        servers,
        server_version,
        source_version,
        job: Arc::new(job),
        resources,
        chunk_rows: throughput.chunk_rows,
    })
}

impl Opened {
    /// How a partition is cut that is not cut yet.
    pub fn plan_options(&self) -> PlanOptions {
        PlanOptions { chunk_rows: self.chunk_rows, memory: self.resources.memory, bounds: None }
    }

    /// Plans. No row moves.
    pub async fn plan(self, partition: &Partition) -> Result<Session, Failure> {
        let plan = plan(&self.servers.source, &self.job, partition, self.plan_options()).await?;
        Ok(self.with_plan(plan))
    }

    /// With a plan that is made.
    pub fn with_plan(self, plan: Plan) -> Session {
        let Self { servers, server_version, source_version, job, .. } = self;
        Session { servers, server_version, source_version, job, plan }
    }
}
