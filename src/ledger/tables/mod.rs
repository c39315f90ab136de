//! A ledger in tables of ClickHouse: `load_state`, `load_state_chunks` and `load_claims`; beside
//! them `load_samples` and `load_verifications`.
//!
//! All are
//! [ReplacingMergeTree](https://clickhouse.com/docs/engines/table-engines/mergetree-family/replacingmergetree):
//! a change is a new row with a later `updated_at`, and `FINAL` gives the rows as they are. All
//! times are the server's, so that the clocks of the machines that work on a load need not agree.

mod observations;
mod rows;
mod schema;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use self::rows::{ChunkRow, ClaimRow, LoadRow};
use self::schema::{CHUNKS, CLAIMS, LOADS, Table};
use super::{ChunkRecord, Claim, LedgerError, LiveClaim, LoadKey, LoadRecord, Timestamp};
use crate::clickhouse::{Connection, Error as ServerError, Settings, TableName, quote_literal};

/// The server says so of a table that is not there, and of a database.
const UNKNOWN_TABLE: u32 = 60;
const UNKNOWN_DATABASE: u32 = 81;
/// And so to a user who may not choose settings.
const READONLY: u32 = 164;

/// The tables of a ledger.
pub(super) struct TableStore {
    connection: Connection,
    database: String,
}

impl TableStore {
    pub fn new(connection: Connection, database: &str) -> Self {
        Self { connection, database: database.to_owned() }
    }

    pub fn with_queries_of(&self, connection: &Connection) -> Self {
        Self {
            connection: self.connection.clone().with_queries(connection.queries().clone()),
            database: self.database.clone(),
        }
    }

    pub fn describe(&self) -> String {
        format!(
            "{}, {} and {} in the database {}",
            LOADS.name, CHUNKS.name, CLAIMS.name, self.database
        )
    }

    /// Creates the tables that are not there. A user who may not create tables can work with those
    /// that somebody else made.
    pub async fn create(&self) -> Result<(), LedgerError> {
        for table in [&LOADS, &CHUNKS, &CLAIMS] {
            let look = format!("SELECT 1 AS one FROM {} LIMIT 0", self.name(table).quoted());
            match self.connection.execute("ledger", &look, &reading()).await {
                Ok(()) => {}
                Err(error) if error.code() == Some(UNKNOWN_TABLE) => {
                    let sql = table.create(&self.name(table));
                    let created =
                        self.connection.execute("ledger", &sql, &Settings::common()).await;
                    created.map_err(|error| self.refused(table, error))?;
                }
                Err(error) => return Err(self.failed("reading", table, error)),
            }
        }
        Ok(())
    }

    pub async fn current_loads(&self, key: &LoadKey) -> Result<Vec<LoadRecord>, LedgerError> {
        let condition = format!("{} AND is_current", of_load(key));
        self.select::<LoadRow>(&LOADS, &rows::load_columns(), &condition)
            .await?
            .into_iter()
            .map(LoadRow::into_record)
            .collect()
    }

    pub async fn all_loads(&self) -> Result<Vec<LoadRecord>, LedgerError> {
        self.select::<LoadRow>(&LOADS, &rows::load_columns(), "1")
            .await?
            .into_iter()
            .map(LoadRow::into_record)
            .collect()
    }

    pub async fn chunks(&self, run_id: &str) -> Result<Vec<ChunkRecord>, LedgerError> {
        let condition = format!("run_id = {} ORDER BY chunk", quote_literal(run_id));
        let rows = self.select::<ChunkRow>(&CHUNKS, &rows::chunk_columns(), &condition).await?;
        Ok(rows.into_iter().map(ChunkRow::into_record).collect())
    }

    pub async fn claims(&self, key: &LoadKey, own_id: &str) -> Result<Vec<LiveClaim>, LedgerError> {
        let condition = format!(
            "{} AND (status = 'held' OR claim_id = {})",
            of_load(key),
            quote_literal(own_id)
        );
        let rows = self.select::<ClaimRow>(&CLAIMS, &rows::claim_columns(), &condition).await?;
        Ok(rows.into_iter().map(ClaimRow::into_claim).collect())
    }

    /// By the server's clock.
    pub async fn now(&self) -> Result<Timestamp, LedgerError> {
        #[derive(Deserialize)]
        struct Now {
            now_us: i64,
        }
        let sql = "SELECT toUnixTimestamp64Micro(now64(6, 'UTC')) AS now_us";
        let rows =
            self.rows::<Now>(sql).await.map_err(|error| self.failed("reading", &LOADS, error))?;
        Ok(rows.first().map_or_else(Timestamp::now, |row| Timestamp(row.now_us)))
    }

    pub async fn write_load(&self, load: &LoadRecord) -> Result<(), LedgerError> {
        self.insert(&LOADS, &rows::INSERT_LOAD, &[LoadRow::from_record(load)?]).await
    }

    pub async fn write_chunks(&self, chunks: &[ChunkRecord]) -> Result<(), LedgerError> {
        let rows: Vec<_> = chunks.iter().map(ChunkRow::from_record).collect();
        if rows.is_empty() {
            Ok(())
        } else {
            self.insert(&CHUNKS, &rows::INSERT_CHUNKS, &rows).await
        }
    }

    pub async fn write_claim(&self, claim: &Claim) -> Result<(), LedgerError> {
        self.insert(&CLAIMS, &rows::INSERT_CLAIM, &[ClaimRow::from_claim(claim)]).await
    }

    fn name(&self, table: &Table) -> TableName {
        TableName { database: self.database.clone(), table: table.name.to_owned() }
    }

    /// Rows as they are now. A table that is not there has none.
    async fn select<T: DeserializeOwned>(
        &self,
        table: &Table,
        columns: &str,
        condition: &str,
    ) -> Result<Vec<T>, LedgerError> {
        let sql =
            format!("SELECT {columns} FROM {} FINAL WHERE {condition}", self.name(table).quoted());
        match self.rows(&sql).await {
            Ok(rows) => Ok(rows),
            Err(error) if matches!(error.code(), Some(UNKNOWN_TABLE | UNKNOWN_DATABASE)) => {
                Ok(Vec::new())
            }
            Err(error) => Err(self.failed("reading", table, error)),
        }
    }

    /// A user who may read and no more, not even choose settings (`readonly = 1`), reads with those
    /// of the profile.
    async fn rows<T: DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>, ServerError> {
        match self.connection.rows_with("ledger", sql, &reading()).await {
            Err(error) if error.code() == Some(READONLY) => {
                self.connection.rows_without_settings("ledger", sql).await
            }
            rows => rows,
        }
    }

    async fn insert<T: Serialize>(
        &self,
        table: &Table,
        form: &rows::InsertForm,
        rows: &[T],
    ) -> Result<(), LedgerError> {
        let mut body = Vec::new();
        for row in rows {
            serde_json::to_writer(&mut body, row).map_err(|error| LedgerError::Malformed {
                what: "row".to_owned(),
                message: error.to_string(),
            })?;
            body.push(b'\n');
        }
        let sql = format!(
            "INSERT INTO {} ({}) SELECT {} FROM input({}) FORMAT JSONEachRow",
            self.name(table).quoted(),
            form.columns,
            form.values,
            quote_literal(form.structure)
        );
        let inserted =
            self.connection.insert(table.label, &sql, &writing(), &[Bytes::from(body)]).await;
        inserted.map_err(|error| self.failed("writing", table, error))
    }

    fn failed(&self, doing: &'static str, table: &Table, error: ServerError) -> LedgerError {
        LedgerError::Server { doing, table: self.name(table).to_string(), source: Box::new(error) }
    }

    fn refused(&self, table: &Table, error: ServerError) -> LedgerError {
        match error {
            error @ ServerError::Server { .. } => LedgerError::MayNotCreate {
                table: self.name(table).to_string(),
                source: Box::new(error),
            },
            error => self.failed("creating", table, error),
        }
    }
}

/// The rows of one load.
fn of_load(key: &LoadKey) -> String {
    let LoadKey { job, source_table, target_table, partition_id } = key;
    let [job, source, target, partition] =
        [job, source_table, target_table, partition_id].map(|text| quote_literal(text));
    format!(
        "job = {job} AND source_table = {source} AND target_table = {target} AND partition_id = {partition}"
    )
}

/// Where the tables are replicated, what another process wrote through another replica must be
/// seen.
fn reading() -> Settings {
    Settings::common().with("select_sequential_consistency", "1")
}

/// Nothing may wait in a buffer, and a heartbeat is not the repetition of the one before.
fn writing() -> Settings {
    Settings::insert(1_000_000)
        .with("insert_deduplicate", "0")
        .with("date_time_input_format", "basic")
}
