//! A ledger in tables of ClickHouse: `load_state`, `load_state_chunks` and `load_claims`, and beside
//! them `load_samples` and `load_verifications`, which may be missing.
//!
//! All are
//! [ReplacingMergeTree](https://clickhouse.com/docs/engines/table-engines/mergetree-family/replacingmergetree):
//! a change is a new row with a later `updated_at`, and `FINAL` gives the rows as they are. All
//! times are the server's, so the clocks of the machines that work on a load need not agree.
//!
//! Tables that version 0.1 created lack some columns. They are read as they are, and get the columns
//! before something is written.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::claim::StoredClaim;
use super::columns::{Column, Row, Sql, Table};
use super::{
    ChunkRecord, Claim, LedgerError, LiveClaim, LoadKey, LoadRecord, LoadSample, Timestamp,
    Verification,
};
use crate::clickhouse::{
    Connection, Error as ServerError, Settings, TableName, quote_identifier, quote_literal,
};

/// The server's codes for a table and a database that are not there.
const UNKNOWN_TABLE: u32 = 60;
const UNKNOWN_DATABASE: u32 = 81;
/// Its codes for a column that is not there, in a query and in an insert.
const UNKNOWN_IDENTIFIER: u32 = 47;
const NO_SUCH_COLUMN: u32 = 16;
/// Its code for a user who may not choose settings.
const READONLY: u32 = 164;

const UPDATED_AT: Column =
    Column::new("updated_at", Sql::now(), "When this row was written; the last one counts");

/// One row for each version of each load.
const LOADS: Table = Table {
    name: "load_state",
    label: "ledger",
    columns: LoadRecord::columns,
    own_columns: &[UPDATED_AT],
    engine: "ReplacingMergeTree(updated_at)",
    order_by: "job, source_table, target_table, partition_id, run_id",
    comment: "Loads of clickhouse-backfill, one row for each version; read it with FINAL",
};
/// One row for each chunk of each load.
const CHUNKS: Table = Table {
    name: "load_state_chunks",
    label: "ledger",
    columns: ChunkRecord::columns,
    own_columns: &[UPDATED_AT],
    engine: "ReplacingMergeTree(updated_at)",
    order_by: "run_id, chunk",
    comment: "Chunks of the loads of clickhouse-backfill, one row each; read it with FINAL",
};
/// One row for each process that worked on a load.
const CLAIMS: Table = Table {
    name: "load_claims",
    label: "ledger",
    columns: Claim::columns,
    own_columns: &[
        Column::new("heartbeat_at", Sql::now(), "The last heartbeat of its process"),
        Column::new(
            "version",
            Sql::computed(
                "UInt64",
                "toUInt64(toUnixTimestamp64Micro(heartbeat_at)) + if(status = 'held', 0, 4611686018427387904)",
            ),
            "The later row counts, but never a heartbeat over the end of its claim",
        ),
    ],
    engine: "ReplacingMergeTree(version)",
    order_by: "job, source_table, target_table, partition_id, claim_id",
    comment: "Processes at work on the loads of clickhouse-backfill, one row each; read it with FINAL",
};
/// A row every ten seconds or so of each process. It may be missing.
const SAMPLES: Table = Table {
    name: "load_samples",
    label: "samples",
    columns: LoadSample::columns,
    own_columns: &[],
    engine: "ReplacingMergeTree",
    order_by: "run_id, claim_id, sampled_at",
    comment: "How runs of clickhouse-backfill went, a row every ten seconds or so of each process",
};
/// One row for each comparison. It may be missing.
const VERIFICATIONS: Table = Table {
    name: "load_verifications",
    label: "verifications",
    columns: Verification::columns,
    own_columns: &[],
    engine: "ReplacingMergeTree",
    order_by: "run_id, verified_at",
    comment: "Comparisons of targets with what jobs make of their sources, by clickhouse-backfill verify",
};

/// The tables of a ledger.
pub(super) struct TableStore {
    connection: Connection,
    database: String,
}

impl TableStore {
    pub(super) fn new(connection: Connection, database: &str) -> Self {
        Self { connection, database: database.to_owned() }
    }

    pub(super) fn with_queries_of(&self, connection: &Connection) -> Self {
        Self {
            connection: self.connection.clone().with_queries(connection.queries().clone()),
            database: self.database.clone(),
        }
    }

    pub(super) fn describe(&self) -> String {
        format!(
            "{}, {} and {} in the database {}",
            LOADS.name, CHUNKS.name, CLAIMS.name, self.database
        )
    }

    /// Creates the tables that are not there, and adds the columns that are not there. A user who may
    /// not do so can work with tables that another user made.
    pub(super) async fn create(&self) -> Result<(), LedgerError> {
        for table in [&LOADS, &CHUNKS, &CLAIMS] {
            let probe = table.probe(&self.name(table));
            match self.connection.execute(table.label, &probe, &reading()).await {
                Ok(()) => {}
                Err(error) if error.code() == Some(UNKNOWN_TABLE) => {
                    self.create_table(table).await?;
                }
                Err(error) if error.code() == Some(UNKNOWN_IDENTIFIER) => {
                    self.upgrade_table(table).await?;
                }
                Err(error) => return Err(self.failed("reading", table, error)),
            }
        }
        Ok(())
    }

    pub(super) async fn loads(
        &self,
        key: Option<&LoadKey>,
    ) -> Result<Vec<LoadRecord>, LedgerError> {
        self.select(&LOADS, "", &key.map_or_else(|| "1".to_owned(), of_load)).await
    }

    pub(super) async fn chunks(&self, run_id: &str) -> Result<Vec<ChunkRecord>, LedgerError> {
        self.select(&CHUNKS, "", &format!("{} ORDER BY chunk", of_run(run_id))).await
    }

    pub(super) async fn claims(&self, key: &LoadKey) -> Result<Vec<LiveClaim>, LedgerError> {
        let age = format!(
            ", toUnixTimestamp64Micro(now64(6, 'UTC')) - toUnixTimestamp64Micro({}.heartbeat_at) AS age_us",
            quote_identifier(CLAIMS.name)
        );
        let claims: Vec<StoredClaim> = self.select(&CLAIMS, &age, &of_load(key)).await?;
        Ok(claims.into_iter().map(StoredClaim::into_live).collect())
    }

    /// By the server's clock.
    pub(super) async fn now(&self) -> Result<Timestamp, LedgerError> {
        #[derive(Deserialize)]
        struct Now {
            now_us: i64,
        }
        let sql = "SELECT toUnixTimestamp64Micro(now64(6, 'UTC')) AS now_us";
        let rows =
            self.rows::<Now>(sql).await.map_err(|error| self.failed("reading", &LOADS, error))?;
        Ok(rows.first().map_or_else(Timestamp::now, |row| Timestamp(row.now_us)))
    }

    pub(super) async fn samples(&self, run_id: &str) -> Result<Vec<LoadSample>, LedgerError> {
        self.samples_where(&of_run(run_id)).await
    }

    pub(super) async fn samples_since(
        &self,
        run_id: &str,
        since: Timestamp,
    ) -> Result<Vec<LoadSample>, LedgerError> {
        // The bare name is the text that is selected.
        let recent = format!(
            "{}.sampled_at >= fromUnixTimestamp64Micro({})",
            quote_identifier(SAMPLES.name),
            since.0
        );
        self.samples_where(&format!("{} AND {recent}", of_run(run_id))).await
    }

    async fn samples_where(&self, condition: &str) -> Result<Vec<LoadSample>, LedgerError> {
        self.select(&SAMPLES, "", &format!("{condition} ORDER BY sampled_at, claim_id")).await
    }

    pub(super) async fn verifications(
        &self,
        run_id: &str,
    ) -> Result<Vec<Verification>, LedgerError> {
        self.select(&VERIFICATIONS, "", &format!("{} ORDER BY verified_at", of_run(run_id))).await
    }

    /// All of these at once: readers see either none or all of them.
    pub(super) async fn write_loads(&self, loads: &[LoadRecord]) -> Result<(), LedgerError> {
        self.insert(&LOADS, loads).await
    }

    pub(super) async fn write_chunks(&self, chunks: &[ChunkRecord]) -> Result<(), LedgerError> {
        if chunks.is_empty() { Ok(()) } else { self.insert(&CHUNKS, chunks).await }
    }

    pub(super) async fn write_claim(&self, claim: &Claim) -> Result<(), LedgerError> {
        self.insert(&CLAIMS, &[claim]).await
    }

    pub(super) async fn write_sample(&self, sample: &LoadSample) -> Result<(), LedgerError> {
        let sample = LoadSample { sampled_at: None, ..sample.clone() };
        self.insert_creating(&SAMPLES, &sample).await
    }

    pub(super) async fn write_verification(
        &self,
        verification: &Verification,
    ) -> Result<(), LedgerError> {
        let verification = Verification { verified_at: None, ..verification.clone() };
        self.insert_creating(&VERIFICATIONS, &verification).await
    }

    fn name(&self, table: &Table) -> TableName {
        TableName { database: self.database.clone(), table: table.name.to_owned() }
    }

    async fn create_table(&self, table: &Table) -> Result<(), LedgerError> {
        let sql = table.create(&self.name(table));
        let created = self.connection.execute(table.label, &sql, &Settings::common()).await;
        created.map_err(|error| match error {
            error @ ServerError::Server { .. } => LedgerError::MayNotCreate {
                table: self.name(table).to_string(),
                source: Box::new(error),
            },
            error => self.failed("creating", table, error),
        })
    }

    async fn upgrade_table(&self, table: &Table) -> Result<(), LedgerError> {
        let sql = table.upgrade(&self.name(table));
        let upgraded = self.connection.execute(table.label, &sql, &Settings::common()).await;
        upgraded.map_err(|error| match error {
            error @ ServerError::Server { .. } => LedgerError::MayNotUpgrade {
                table: self.name(table).to_string(),
                statement: sql,
                source: Box::new(error),
            },
            error => self.failed("upgrading", table, error),
        })
    }

    /// Records as they are now. A table that is not there has none. `more` is appended to the list
    /// of what is selected.
    async fn select<T: DeserializeOwned>(
        &self,
        table: &Table,
        more: &str,
        condition: &str,
    ) -> Result<Vec<T>, LedgerError> {
        let sql = format!(
            "SELECT {}{more} FROM {} FINAL WHERE {condition}",
            table.selected(),
            self.name(table).quoted()
        );
        match self.rows::<Map<String, Value>>(&sql).await {
            Ok(rows) => {
                let records =
                    rows.into_iter().map(|row| table.record(row)).collect::<Result<_, _>>();
                records.map_err(|error| malformed(table, &error))
            }
            Err(error) if matches!(error.code(), Some(UNKNOWN_TABLE | UNKNOWN_DATABASE)) => {
                Ok(Vec::new())
            }
            Err(error) => Err(self.failed("reading", table, error)),
        }
    }

    /// Reads with the settings of the profile where the user may not change settings (`readonly = 1`).
    async fn rows<T: DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>, ServerError> {
        match self.connection.rows_with("ledger", sql, &reading()).await {
            Err(error) if error.code() == Some(READONLY) => {
                self.connection.rows_without_settings("ledger", sql).await
            }
            rows => rows,
        }
    }

    /// Creates the table first if it is not there.
    async fn insert_creating(
        &self,
        table: &Table,
        row: &impl Serialize,
    ) -> Result<(), LedgerError> {
        match self.insert(table, &[row]).await {
            Err(LedgerError::Server { source, .. }) if source.code() == Some(UNKNOWN_TABLE) => {
                self.create_table(table).await?;
                self.insert(table, &[row]).await
            }
            Err(LedgerError::Server { source, .. }) if source.code() == Some(NO_SUCH_COLUMN) => {
                self.upgrade_table(table).await?;
                self.insert(table, &[row]).await
            }
            inserted => inserted,
        }
    }

    async fn insert<T: Serialize>(&self, table: &Table, rows: &[T]) -> Result<(), LedgerError> {
        let mut body = Vec::new();
        for row in rows {
            let row = table.to_row(row).map_err(|error| malformed(table, &error))?;
            body.extend_from_slice(row.to_string().as_bytes());
            body.push(b'\n');
        }
        let sql = table.insert(&self.name(table));
        let inserted =
            self.connection.insert(table.label, &sql, &writing(), &[Bytes::from(body)]).await;
        inserted.map_err(|error| self.failed("writing", table, error))
    }

    fn failed(&self, doing: &'static str, table: &Table, error: ServerError) -> LedgerError {
        LedgerError::Server { doing, table: self.name(table).to_string(), source: Box::new(error) }
    }
}

fn malformed(table: &Table, error: &serde_json::Error) -> LedgerError {
    LedgerError::Malformed { what: format!("table {}", table.name), message: error.to_string() }
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

/// The rows of one version of a load.
fn of_run(run_id: &str) -> String {
    format!("run_id = {}", quote_literal(run_id))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The page that tells users how to create the tables themselves has them as they are.
    #[test]
    fn the_documented_definitions_are_those_of_the_program() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/ledger.sql");
        let definition = |table: &Table| {
            let name = TableName { database: "DATABASE".to_owned(), table: table.name.to_owned() };
            table.create(&name).replace("`DATABASE`.", "").replace('`', "") + ";\n"
        };
        let tables = [&LOADS, &CHUNKS, &CLAIMS, &SAMPLES, &VERIFICATIONS];
        let expected = "-- The tables of the ledger, for whoever creates them beforehand.\n\n"
            .to_owned()
            + &tables.map(definition).join("\n");
        if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
            std::fs::write(page, &expected).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(page).unwrap(),
            expected,
            "UPDATE_DOCUMENTS=1 writes it"
        );
    }
}
