//! Asking the server: with a limit on its memory, again after a failure that passes, and in smaller
//! pieces where a piece does not fit.

use crate::clickhouse::{Connection, Error as ServerError, Servers, Settings, TableName};
use crate::engine::stream::{Decision, RetryPolicy};
use crate::job::statements::{Bucket, Scope};
use crate::stop::Stop;

use super::VerifyError;

/// `MEMORY_LIMIT_EXCEEDED`
const OUT_OF_MEMORY: u32 = 241;
/// What the ids of queries are marked with: those about the source, and those about the target.
const EXPECTED: &str = "expected";
const FOUND: &str = "found";
/// A chunk is divided into 2^10 pieces at most.
const MOST_HALVINGS: u32 = 10;
/// What cannot be divided is read by fewer threads and in smaller blocks, which ends sooner.
const MOST_LOWERINGS: u32 = 5;

/// Asks the questions of one comparison, one at a time.
pub(super) struct Asker {
    servers: Servers,
    settings: Settings,
    retry: RetryPolicy,
    stop: Stop,
    /// How often chunks had to be halved until they fitted; kept for those that follow.
    halvings: u32,
    /// The same for what cannot be halved.
    lowerings: u32,
}

/// Of whom something is asked, and what it is called when it fails.
struct Question<'a> {
    connection: Connection,
    label: &'static str,
    table: &'a TableName,
    what: &'a str,
}

enum Refusal {
    Memory(ServerError),
    Other(VerifyError),
}

impl Asker {
    /// `server_memory`: the most bytes that a query may take on the server.
    pub fn new(
        servers: Servers,
        settings: Settings,
        server_memory: Option<u64>,
        retry: RetryPolicy,
        stop: Stop,
    ) -> Self {
        let settings = match server_memory {
            None => settings,
            Some(bytes) => {
                let half = (bytes / 2).to_string();
                settings
                    .with("max_memory_usage", &bytes.to_string())
                    .with("max_bytes_before_external_group_by", &half)
                    .with("max_bytes_before_external_sort", &half)
            }
        };
        let settings = settings.with("cancel_http_readonly_queries_on_client_close", "1");
        Self { servers, settings, retry, stop, halvings: 0, lowerings: 0 }
    }

    /// The server of the target.
    pub fn target(&self) -> &Connection {
        &self.servers.target
    }

    /// Asks the source's server about a chunk; one answer for each piece into which it had to be
    /// divided. Pieces are divided by the join's key, so `divisible` is whether there is one.
    pub async fn chunk(
        &mut self,
        table: &TableName,
        what: &str,
        scope: &Scope,
        divisible: bool,
        sql: impl Fn(&Scope) -> String,
    ) -> Result<Vec<Vec<u8>>, VerifyError> {
        let question =
            Question { connection: self.servers.source.clone(), label: EXPECTED, table, what };
        if !divisible {
            return Ok(vec![self.undivided(&question, &sql(scope)).await?]);
        }
        'again: loop {
            let count = 1_u32 << self.halvings;
            let settings = self.lowered(self.halvings);
            let mut answers = Vec::new();
            for index in 0..count {
                let piece = scope.in_bucket((count > 1).then_some(Bucket { index, count }));
                match self
                    .ask(&question, &sql(&piece), &settings, self.halvings < MOST_HALVINGS)
                    .await
                {
                    Ok(answer) => answers.push(answer),
                    Err(Refusal::Memory(error)) => {
                        self.halvings += 1;
                        tracing::debug!(%error, "a chunk does not fit");
                        tracing::info!(
                            pieces = count * 2,
                            "a chunk does not fit into the server's memory and is halved"
                        );
                        continue 'again;
                    }
                    Err(Refusal::Other(error)) => return Err(error),
                }
            }
            return Ok(answers);
        }
    }

    /// Asks the target's server about a range of the target.
    pub async fn range(
        &mut self,
        table: &TableName,
        what: &str,
        sql: &str,
    ) -> Result<Vec<u8>, VerifyError> {
        let question =
            Question { connection: self.servers.target.clone(), label: FOUND, table, what };
        self.undivided(&question, sql).await
    }

    /// Asks what cannot be divided.
    async fn undivided(
        &mut self,
        question: &Question<'_>,
        sql: &str,
    ) -> Result<Vec<u8>, VerifyError> {
        loop {
            let settings = self.lowered(self.lowerings);
            match self.ask(question, sql, &settings, self.lowerings < MOST_LOWERINGS).await {
                Ok(answer) => return Ok(answer),
                Err(Refusal::Memory(error)) => {
                    self.lowerings += 1;
                    tracing::debug!(%error, "a query does not fit");
                    tracing::info!(
                        "a query does not fit into the server's memory and is sent again with fewer threads and smaller blocks"
                    );
                }
                Err(Refusal::Other(error)) => return Err(error),
            }
        }
    }

    /// Fewer threads, then smaller blocks.
    fn lowered(&self, level: u32) -> Settings {
        let settings = self.settings.clone();
        let settings = if level > 0 { settings.with("max_threads", "1") } else { settings };
        if level > 1 {
            settings.with("max_block_size", &(65_536_u32 >> (2 * (level - 1)).min(8)).to_string())
        } else {
            settings
        }
    }

    /// One question, with retries. `smaller`: where memory does not suffice, it can be asked in
    /// smaller pieces, which beats asking again.
    async fn ask(
        &self,
        question: &Question<'_>,
        sql: &str,
        settings: &Settings,
        smaller: bool,
    ) -> Result<Vec<u8>, Refusal> {
        let Question { connection, label, table, what } = question;
        let settings = settings.clone().with("max_query_size", &(sql.len() + 4096).to_string());
        let mut attempt = 1;
        loop {
            let asked = connection.fetch(label, sql, "RowBinary", &settings);
            let error = tokio::select! {
                answer = asked => match answer {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                },
                () = self.stop.reading_ends() => return Err(Refusal::Other(VerifyError::Stopped)),
            };
            if smaller && error.code() == Some(OUT_OF_MEMORY) {
                return Err(Refusal::Memory(error));
            }
            match self.retry.decide(error.class(), attempt) {
                Decision::RetryAfter(pause) => {
                    tracing::warn!(attempt, %error, "{what} of {table} failed and is tried again");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.stop.reading_ends() => return Err(Refusal::Other(VerifyError::Stopped)),
                    }
                    attempt += 1;
                }
                Decision::GiveUp => {
                    let (what, table) = ((*what).to_owned(), (*table).clone());
                    return Err(Refusal::Other(VerifyError::Query {
                        what,
                        table,
                        attempts: attempt,
                        source: Box::new(error),
                    }));
                }
            }
        }
    }
}
