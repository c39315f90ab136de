//! Runs the queries of a comparison: within a memory limit, with retries, and in smaller pieces if a
//! piece exceeds the limit.

use crate::clickhouse::{
    Connection, Error as ServerError, ErrorClass, Servers, Settings, TableName,
};
use crate::job::statements::{Bucket, Scope};
use crate::retry::{
    Attempts, FailedAttempt, FailureKind, OutageHandling, RetryError, RetryPolicy, Retryable,
};
use crate::stop::Stop;

use super::VerifyError;

/// `MEMORY_LIMIT_EXCEEDED`
const OUT_OF_MEMORY: u32 = 241;
/// Labels in query ids: of queries on the source, and on the target.
const EXPECTED: &str = "expected";
const FOUND: &str = "found";
/// A chunk is divided into at most 2^10 pieces.
const MAX_HALVINGS: u32 = 10;
/// A query that cannot be divided uses fewer threads and smaller blocks instead, in at most this
/// many steps.
const MAX_REDUCTIONS: u32 = 5;

/// The settings of the queries of each side.
pub(super) struct SideSettings {
    pub expected: Settings,
    pub found: Settings,
}

impl SideSettings {
    /// The same for both sides.
    pub(super) fn both(settings: Settings) -> Self {
        Self { expected: settings.clone(), found: settings }
    }
}

/// Runs the queries of one comparison, one at a time.
pub(super) struct QueryRunner {
    servers: Servers,
    settings: SideSettings,
    retry: RetryPolicy,
    stop: Stop,
    /// How often chunks had to be halved; later chunks start with it.
    halvings: u32,
    /// How often threads and blocks had to be reduced; later queries start with it.
    reductions: u32,
}

/// Where a query runs, and its name in messages.
struct Target<'a> {
    connection: Connection,
    label: &'static str,
    table: &'a TableName,
    what: &'a str,
}

/// Why a query has no answer.
enum QueryFailure {
    /// It exceeds the memory limit and can be asked for in smaller pieces.
    Memory(ServerError),
    /// Any other reason.
    Other(VerifyError),
}

impl QueryRunner {
    /// `server_memory`: the memory limit of a query on the server, in bytes.
    pub(super) fn new(
        servers: Servers,
        settings: SideSettings,
        server_memory: Option<u64>,
        retry: RetryPolicy,
        stop: Stop,
    ) -> Self {
        let limited = |settings: Settings| match server_memory {
            None => settings,
            Some(bytes) => {
                let half = (bytes / 2).to_string();
                settings
                    .with("max_memory_usage", &bytes.to_string())
                    .with("max_bytes_before_external_group_by", &half)
                    .with("max_bytes_before_external_sort", &half)
            }
        };
        let side =
            |settings| limited(settings).with("cancel_http_readonly_queries_on_client_close", "1");
        let settings =
            SideSettings { expected: side(settings.expected), found: side(settings.found) };
        Self { servers, settings, retry, stop, halvings: 0, reductions: 0 }
    }

    /// The connection to the target's server.
    pub(super) fn target(&self) -> &Connection {
        &self.servers.target
    }

    /// The connection to the source's server.
    pub(super) fn source(&self) -> &Connection {
        &self.servers.source
    }

    /// Queries a chunk of the source; one answer for each piece into which it had to be divided.
    /// Pieces are buckets of the join key, so a job without a lookup is not `divisible`.
    pub(super) async fn chunk(
        &mut self,
        table: &TableName,
        what: &str,
        scope: &Scope,
        divisible: bool,
        sql: impl Fn(&Scope) -> String,
    ) -> Result<Vec<Vec<u8>>, VerifyError> {
        let target =
            Target { connection: self.servers.source.clone(), label: EXPECTED, table, what };
        if !divisible {
            return Ok(vec![self.undivided(&target, &sql(scope)).await?]);
        }
        'again: loop {
            let count = 1_u32 << self.halvings;
            let settings = self.reduced(target.label, self.halvings);
            let mut answers = Vec::new();
            for index in 0..count {
                let piece = scope.in_bucket((count > 1).then_some(Bucket { index, count }));
                match self.run(&target, &sql(&piece), &settings, self.halvings < MAX_HALVINGS).await
                {
                    Ok(answer) => answers.push(answer),
                    Err(QueryFailure::Memory(error)) => {
                        self.halvings += 1;
                        tracing::debug!(%error, "a chunk exceeds the memory limit");
                        tracing::info!(
                            pieces = count * 2,
                            "a chunk exceeds the server's memory limit and is halved"
                        );
                        continue 'again;
                    }
                    Err(QueryFailure::Other(error)) => return Err(error),
                }
            }
            return Ok(answers);
        }
    }

    /// Queries a range of the target.
    pub(super) async fn range(
        &mut self,
        table: &TableName,
        what: &str,
        sql: &str,
    ) -> Result<Vec<u8>, VerifyError> {
        let target = Target { connection: self.servers.target.clone(), label: FOUND, table, what };
        self.undivided(&target, sql).await
    }

    /// Runs a query that cannot be divided.
    async fn undivided(&mut self, target: &Target<'_>, sql: &str) -> Result<Vec<u8>, VerifyError> {
        loop {
            let settings = self.reduced(target.label, self.reductions);
            match self.run(target, sql, &settings, self.reductions < MAX_REDUCTIONS).await {
                Ok(answer) => return Ok(answer),
                Err(QueryFailure::Memory(error)) => {
                    self.reductions += 1;
                    tracing::debug!(%error, "a query exceeds the memory limit");
                    tracing::info!(
                        "a query exceeds the server's memory limit and is repeated with fewer threads and smaller blocks"
                    );
                }
                Err(QueryFailure::Other(error)) => return Err(error),
            }
        }
    }

    /// The settings with one thread from step 1, and smaller blocks from step 2.
    fn reduced(&self, label: &str, level: u32) -> Settings {
        let SideSettings { expected, found } = &self.settings;
        let settings = if label == EXPECTED { expected } else { found }.clone();
        let settings = if level > 0 { settings.with("max_threads", "1") } else { settings };
        if level > 1 {
            settings.with("max_block_size", &(65_536_u32 >> (2 * (level - 1)).min(8)).to_string())
        } else {
            settings
        }
    }

    /// Runs one query with retries. `divisible`: if it exceeds the memory limit, smaller pieces are
    /// tried instead of the same query.
    async fn run(
        &self,
        target: &Target<'_>,
        sql: &str,
        settings: &Settings,
        divisible: bool,
    ) -> Result<Vec<u8>, QueryFailure> {
        let Target { connection, label, table, what } = target;
        let settings = settings.clone().with("max_query_size", &(sql.len() + 4096).to_string());
        let mut query = Query { connection, label, sql, settings, table, what, divisible };
        let attempts = Attempts::new(self.retry, OutageHandling::Counted);
        let attempts = attempts.until(self.stop.requested());
        let answer = tokio::select! {
            answer = attempts.run(&mut query) => answer,
            () = self.stop.reading_ends() => return Err(QueryFailure::Other(VerifyError::Stopped)),
        };
        answer.map_err(|error| match error {
            RetryError::GaveUp { error, .. } if query.is_too_large(&error) => {
                QueryFailure::Memory(error)
            }
            RetryError::GaveUp { attempts, error } => QueryFailure::Other(VerifyError::Query {
                what: (*what).to_owned(),
                table: (*table).clone(),
                attempts,
                source: Box::new(error),
            }),
            RetryError::Lost { .. } | RetryError::Interrupted { .. } => {
                QueryFailure::Other(VerifyError::Stopped)
            }
        })
    }
}

/// A query that is retried.
struct Query<'a> {
    connection: &'a Connection,
    label: &'a str,
    sql: &'a str,
    settings: Settings,
    table: &'a TableName,
    what: &'a str,
    /// Whether smaller pieces are tried if it exceeds the memory limit.
    divisible: bool,
}

impl Query<'_> {
    fn is_too_large(&self, error: &ServerError) -> bool {
        self.divisible && error.code() == Some(OUT_OF_MEMORY)
    }
}

impl Retryable for Query<'_> {
    type Output = Vec<u8>;
    type Error = ServerError;

    async fn attempt(&mut self) -> Result<Vec<u8>, ServerError> {
        self.connection.fetch_rows(self.label, self.sql, &self.settings).await
    }

    async fn diagnose(&mut self, error: &ServerError) -> FailureKind {
        if self.is_too_large(error) { FailureKind::of(ErrorClass::Fatal) } else { error.into() }
    }

    fn before_retry(&mut self, failed: FailedAttempt<'_, ServerError>) {
        let (attempt, error, what, table) = (failed.number, failed.error, self.what, self.table);
        tracing::warn!(attempt, %error, "{what} of {table} failed and is retried");
    }
}
