//! What `run` and `plan` begin with: the connection, the job held against the tables, the plan.

use std::sync::Arc;

use super::arguments::{ThroughputArguments, WhatArguments};
use super::config;
use super::connect;
use super::failure::{End, Failure, connecting};
use super::resources::{Resources, resources};
use super::server_arguments::ServerArguments;
use crate::clickhouse::Servers;
use crate::job::{BoundJob, bind, load};
use crate::plan::{Plan, PlanOptions, plan};

/// A job that is ready to run or to be shown.
pub(super) struct Session {
    pub servers: Servers,
    /// The target's.
    pub server_version: String,
    pub source_version: String,
    pub job: Arc<BoundJob>,
    pub plan: Plan,
    pub resources: Resources,
}

/// Connects, binds and plans. No row moves.
pub(super) async fn open(
    server: &ServerArguments,
    what: &WhatArguments,
    throughput: &ThroughputArguments,
    run_id: &str,
) -> Result<Session, Failure> {
    let job = load(&what.job)?;
    let servers = connect::servers(server, throughput.compression, run_id)?;
    let server_version = servers.target.hello().await.map_err(|error| connecting(&error, End::Target))?;
    let source_version = if servers.are_one() {
        server_version.clone()
    } else {
        servers.source.hello().await.map_err(|error| connecting(&error, End::Source))?
    };
    let job = bind(&servers, &job, &config::bind_options(what)).await?;
    let resources = resources(throughput, &servers.target, job.looks_up_late()).await?;
    let options = PlanOptions { chunk_rows: throughput.chunk_rows, memory: resources.memory, bounds: None };
    let plan = plan(&servers.source, &job, &what.partition, options).await?;
    Ok(Session { servers, server_version, source_version, job: Arc::new(job), plan, resources })
}

/// A new id for a run: the seconds since 1970 and a random number, in hexadecimal, so that ids sort by time.
pub(super) fn new_run_id() -> String {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    format!("{seconds:08x}{:08x}", rand::random::<u32>())
}
