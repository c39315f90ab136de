//! What is kept beside the records themselves, and may be missing: how runs went, and what
//! comparisons found. Its tables are created when something is first written into them.

use serde::Serialize;

use super::rows::InsertForm;
use super::schema::{SAMPLES, Table, VERIFICATIONS};
use super::{TableStore, UNKNOWN_TABLE};
use crate::clickhouse::{Settings, quote_identifier, quote_literal};
use crate::ledger::{LedgerError, LoadSample, Timestamp, Verification};

const INSERT_SAMPLE: InsertForm = InsertForm {
    columns: "run_id, claim_id, sampled_at, worker, phase, interval_seconds, rows_read, rows_inserted, bytes_inserted, rows_read_per_second, \
        rows_inserted_per_second, bytes_inserted_per_second, inserts, insert_p50_seconds, insert_p95_seconds, insert_max_seconds, active_parts, merges, \
        server_memory_bytes, server_memory_limit_bytes, client_memory_bytes, queue_bytes, inserts_in_flight, retries, waiting, settings",
    values: "run_id, claim_id, now64(6, 'UTC'), worker, phase, interval_seconds, rows_read, rows_inserted, bytes_inserted, rows_read_per_second, \
        rows_inserted_per_second, bytes_inserted_per_second, inserts, insert_p50_seconds, insert_p95_seconds, insert_max_seconds, active_parts, merges, \
        server_memory_bytes, server_memory_limit_bytes, client_memory_bytes, queue_bytes, inserts_in_flight, retries, waiting, settings",
    structure: "run_id String, claim_id String, worker String, phase String, interval_seconds Float64, rows_read UInt64, rows_inserted UInt64, \
        bytes_inserted UInt64, rows_read_per_second Float64, rows_inserted_per_second Float64, bytes_inserted_per_second Float64, inserts UInt64, \
        insert_p50_seconds Nullable(Float64), insert_p95_seconds Nullable(Float64), insert_max_seconds Nullable(Float64), active_parts Nullable(UInt64), \
        merges Nullable(UInt64), server_memory_bytes Nullable(UInt64), server_memory_limit_bytes Nullable(UInt64), client_memory_bytes Nullable(UInt64), \
        queue_bytes UInt64, inserts_in_flight UInt64, retries UInt64, waiting String, settings String",
};

const INSERT_VERIFICATION: InsertForm = InsertForm {
    columns: "job, source_table, target_table, partition_id, run_id, verified_at, equal, expected_rows, target_rows, differences, sample, seconds, \
        tool_version, report",
    values: "job, source_table, target_table, partition_id, run_id, now64(6, 'UTC'), equal, expected_rows, target_rows, differences, sample, seconds, \
        tool_version, report",
    structure: "job String, source_table String, target_table String, partition_id String, run_id String, equal Bool, expected_rows UInt64, \
        target_rows UInt64, differences UInt64, sample String, seconds Float64, tool_version String, report String",
};

/// RFC 3339.
fn time(column: &str) -> String {
    format!("concat(replaceOne(toString({column}), ' ', 'T'), 'Z') AS {column}")
}

impl TableStore {
    pub async fn samples(&self, run_id: &str) -> Result<Vec<LoadSample>, LedgerError> {
        self.samples_where(&format!("run_id = {}", quote_literal(run_id))).await
    }

    pub async fn samples_since(
        &self,
        run_id: &str,
        since: Timestamp,
    ) -> Result<Vec<LoadSample>, LedgerError> {
        // The column's name is the text by now; the table's own is behind the table's name.
        let recent = format!(
            "{}.sampled_at >= fromUnixTimestamp64Micro({})",
            quote_identifier(SAMPLES.name),
            since.0
        );
        self.samples_where(&format!("run_id = {} AND {recent}", quote_literal(run_id))).await
    }

    async fn samples_where(&self, condition: &str) -> Result<Vec<LoadSample>, LedgerError> {
        let columns = format!("* REPLACE ({})", time("sampled_at"));
        self.select(&SAMPLES, &columns, &format!("{condition} ORDER BY sampled_at, claim_id")).await
    }

    pub async fn verifications(&self, run_id: &str) -> Result<Vec<Verification>, LedgerError> {
        let columns = format!("* REPLACE ({})", time("verified_at"));
        self.select(
            &VERIFICATIONS,
            &columns,
            &format!("run_id = {} ORDER BY verified_at", quote_literal(run_id)),
        )
        .await
    }

    pub async fn write_sample(&self, sample: &LoadSample) -> Result<(), LedgerError> {
        self.insert_creating(&SAMPLES, &INSERT_SAMPLE, sample).await
    }

    pub async fn write_verification(&self, verification: &Verification) -> Result<(), LedgerError> {
        self.insert_creating(&VERIFICATIONS, &INSERT_VERIFICATION, verification).await
    }

    async fn insert_creating(
        &self,
        table: &Table,
        form: &InsertForm,
        row: &impl Serialize,
    ) -> Result<(), LedgerError> {
        match self.insert(table, form, &[row]).await {
            Err(LedgerError::Server { source, .. }) if source.code() == Some(UNKNOWN_TABLE) => {
                let sql = table.create(&self.name(table));
                let created = self.connection.execute(table.label, &sql, &Settings::common()).await;
                created.map_err(|error| self.refused(table, error))?;
                self.insert(table, form, &[row]).await
            }
            inserted => inserted,
        }
    }
}
