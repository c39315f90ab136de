//! What commands start with: the connections, the job bound to its tables, the plan.

use std::sync::Arc;
use std::time::Duration;

use super::options::{Resources, resources};
use crate::cli::config::SessionConfig;
use crate::cli::failure::{End, Failure, connecting};
use crate::clickhouse::{Connection, Error as ServerError, Servers};
use crate::job::{BoundJob, bind, load};
use crate::plan::{Partition, Plan, PlanOptions, plan};
use crate::retry::{RetryPolicy, StartupRetry};
use crate::stop::Stop;

/// A job that is bound to its tables.
#[derive(Clone)]
pub(crate) struct BoundSession {
    pub servers: Servers,
    /// The target's.
    pub server_version: String,
    pub source_version: String,
    pub job: Arc<BoundJob>,
    pub resources: Resources,
    /// The aimed number of rows per chunk.
    pub chunk_rows: u64,
}

/// A job with its plan.
pub(crate) struct Session {
    pub servers: Servers,
    /// The target's.
    pub server_version: String,
    pub source_version: String,
    pub job: Arc<BoundJob>,
    pub plan: Plan,
}

impl SessionConfig {
    /// Connects and binds, without waiting for servers that are unreachable. `id` becomes part of
    /// the query ids until the run id is known.
    pub(crate) async fn open(&self, id: &str) -> Result<BoundSession, Failure> {
        let retry = RetryPolicy::default();
        let once = StartupRetry { retry, outage_wait: Duration::ZERO, stop: Stop::new() };
        self.open_with_retries(id, &once.without_retries()).await
    }

    /// Connects and binds, with retries. A failure after a stop request is an interruption.
    pub(crate) async fn open_with_retries(
        &self,
        id: &str,
        retry: &StartupRetry,
    ) -> Result<BoundSession, Failure> {
        self.bind(id, retry).await.map_err(|failure| failure.unless_stopped(&retry.stop))
    }

    async fn bind(&self, id: &str, retry: &StartupRetry) -> Result<BoundSession, Failure> {
        let job = load(&self.job.reference)?;
        let servers = self.servers.connect(self.throughput.compression, id)?;
        // An error in the first answer is a configuration error, so only outages are retried.
        let first = &retry.clone().without_retries();
        let greet = |connection: Connection, end: End| async move {
            let greeting = async || connection.hello().await.map_err(GreetingError::of);
            first.ask("the first query", greeting).await.map_err(|error| match error {
                GreetingError::Failed(error) | GreetingError::Unresolved(error) => {
                    connecting(&error, end)
                }
            })
        };
        let server_version = greet(servers.target.clone(), End::Target).await?;
        let source_version = if servers.is_one_server() {
            server_version.clone()
        } else {
            greet(servers.source.clone(), End::Source).await?
        };
        let bound = retry.ask("binding the job to its tables", async || {
            bind(&servers, &job, &self.job.options).await
        });
        let job = bound.await?;
        let resources = resources(&self.throughput, &servers.target, &job).await?;
        Ok(BoundSession {
            servers,
            server_version,
            source_version,
            job: Arc::new(job),
            resources,
            chunk_rows: self.throughput.chunk_rows,
        })
    }
}

/// An error of the first query.
#[derive(Debug, thiserror::Error)]
enum GreetingError {
    #[error("{0}")]
    Failed(#[source] ServerError),
    /// The host has no address, probably because its name is wrong: there is nothing to wait for.
    #[error("{0}")]
    Unresolved(ServerError),
}

impl GreetingError {
    fn of(error: ServerError) -> Self {
        if error.is_unresolved_host() { Self::Unresolved(error) } else { Self::Failed(error) }
    }
}

/// Sends the first query to each server.
pub(crate) async fn greet(servers: &Servers) -> Result<(), Failure> {
    servers.target.hello().await.map_err(|error| connecting(&error, End::Target))?;
    if !servers.is_one_server() {
        servers.source.hello().await.map_err(|error| connecting(&error, End::Source))?;
    }
    Ok(())
}

impl BoundSession {
    /// How a partition is divided into chunks if no plan exists.
    pub(crate) fn plan_options(&self) -> PlanOptions {
        PlanOptions { chunk_rows: self.chunk_rows, memory: self.resources.memory, bounds: None }
    }

    /// Makes the plan. No row moves.
    pub(crate) async fn plan(self, partition: &Partition) -> Result<Session, Failure> {
        let plan = plan(&self.servers.source, &self.job, partition, self.plan_options()).await?;
        Ok(self.with_plan(plan))
    }

    /// Adds a plan.
    pub(crate) fn with_plan(self, plan: Plan) -> Session {
        let Self { servers, server_version, source_version, job, .. } = self;
        Session { servers, server_version, source_version, job, plan }
    }
}
