//! The statements of a publication, and the state of the partition that is replaced.

use serde::Deserialize;

use super::PublishError;
use super::stage::{Stage, StagedAttempt};
use crate::clickhouse::{Connection, Error as ServerError, Settings, TableName, quote_literal};
use crate::job::Horizon;
use crate::ledger::Publication;

/// The label of the inserts into the tables beside the target.
const INSERT: &str = "publish-insert";
/// Attempts that one statement copies.
const COPIED_AT_ONCE: usize = 16;
/// The code of a table or a partition that is larger than may be dropped.
const TOO_LARGE_TO_DROP: u32 = 359;

/// The name of the table that a run publishes.
pub(crate) fn publish_name(target: &TableName, run_id: &str) -> String {
    format!("{}_publish_{run_id}", target.table)
}

/// The name of the table with what a run has replaced.
pub(crate) fn kept_name(target: &TableName, run_id: &str) -> String {
    format!("{}_kept_{run_id}", target.table)
}

/// A target and the tables beside it.
#[derive(Clone, Copy)]
pub(crate) struct PublishTables<'a> {
    pub connection: &'a Connection,
    pub target: &'a TableName,
}

/// The rows of a partition of the target, and when they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct PartitionState {
    /// Rows in its active parts.
    pub rows: u64,
    /// Their least and their greatest block number: blocks are numbered in the order in which they are
    /// written, and merges keep the numbers. 0 without parts.
    pub oldest_block: i64,
    pub newest_block: i64,
    /// Rows in parts of which no block is older than the load.
    pub newer_rows: u64,
}

/// How the table that is published is built.
pub(crate) struct Build<'a> {
    pub stage: &'a Stage,
    /// The attempts that count.
    pub attempts: &'a [StagedAttempt],
    /// Rows that these chunks had in the source.
    pub rows: u64,
    /// The groups that keep what the target has, and the table that has it.
    pub kept: Option<(&'a Horizon, &'a TableName)>,
    /// Settings of its inserts.
    pub settings: &'a Settings,
}

impl PublishTables<'_> {
    /// A table of the target's database.
    pub(crate) fn beside(&self, table: &str) -> TableName {
        TableName { database: self.target.database.clone(), table: table.to_owned() }
    }

    /// Creates the stage, unless it is there.
    pub(crate) async fn create_stage(&self, stage: &Stage) -> Result<(), PublishError> {
        let created = self.connection.execute("stage", &stage.create(), &Settings::common()).await;
        created.map_err(PublishError::of("creating the stage", stage.table()))
    }

    /// Builds the table that is published: creates it as the target is, and copies the attempts that
    /// count. What an earlier attempt left of it is dropped.
    ///
    /// `is_stopped` is asked between two statements.
    pub(crate) async fn build(
        &self,
        publish: &TableName,
        partition_id: &str,
        build: &Build<'_>,
        is_stopped: impl Fn() -> bool,
    ) -> Result<(), PublishError> {
        let Build { stage, attempts, rows, kept, settings } = *build;
        self.end_inserts().await?;
        let counted: Counted = self
            .connection
            .row("staged", &stage.count_all(attempts))
            .await
            .map_err(PublishError::of("counting the rows of the stage", stage.table()))?;
        if counted.rows != rows {
            let table = stage.table().clone();
            return Err(PublishError::Stage { table, found: counted.rows, expected: rows });
        }
        self.drop_as("publish", publish).await?;
        self.create_as_target(publish).await?;
        for attempts in attempts.chunks(COPIED_AT_ONCE) {
            if is_stopped() {
                return Err(PublishError::Stopped);
            }
            let sql = stage.copy(publish, attempts);
            let copied = self.connection.insert(INSERT, &sql, settings, &[]).await;
            copied.map_err(PublishError::of("filling", publish))?;
        }
        if let Some((kept, from)) = kept {
            let sql = format!(
                "INSERT INTO {} SELECT * FROM {} WHERE _partition_id = {} AND {}",
                publish.quoted(),
                from.quoted(),
                quote_literal(partition_id),
                kept.of_target
            );
            let copied = self.connection.insert(INSERT, &sql, settings, &[]).await;
            copied.map_err(PublishError::of("keeping groups in", publish))?;
        }
        self.require_one_partition(publish, partition_id).await
    }

    /// Refuses a table that has rows of other partitions, since those would not be published, or none.
    async fn require_one_partition(
        &self,
        publish: &TableName,
        partition_id: &str,
    ) -> Result<(), PublishError> {
        let sql =
            format!("SELECT DISTINCT _partition_id AS id FROM {} ORDER BY id", publish.quoted());
        let found = self.connection.rows::<Partition>("published", &sql).await;
        let found = found.map_err(PublishError::of("reading the partitions of", publish))?;
        let ids: Vec<_> = found.into_iter().map(|partition| partition.id).collect();
        if ids == [partition_id] {
            return Ok(());
        }
        let message = format!(
            "what was built lies in the partitions {}, and partition {partition_id} is the one to replace",
            if ids.is_empty() { "–".to_owned() } else { ids.join(", ") }
        );
        Err(PublishError::Unfit { table: self.target.clone(), message })
    }

    /// Creates a table with the target's structure.
    pub(super) async fn create_as_target(&self, table: &TableName) -> Result<(), PublishError> {
        let sql =
            format!("CREATE TABLE IF NOT EXISTS {} AS {}", table.quoted(), self.target.quoted());
        let created = self.connection.execute("publish", &sql, &Settings::common()).await;
        created.map_err(PublishError::of("creating", table))
    }

    /// Ends the copies of this process whose connections were lost.
    async fn end_inserts(&self) -> Result<(), PublishError> {
        let ended = self.connection.end_queries(INSERT).await;
        ended.map_err(PublishError::of("ending inserts beside", self.target))
    }

    /// Rows of a table.
    pub(crate) async fn rows_of(&self, table: &TableName) -> Result<u64, PublishError> {
        let sql = format!("SELECT count() AS rows FROM {}", table.quoted());
        let counted = self.connection.row::<Counted>("published", &sql).await;
        Ok(counted.map_err(PublishError::of("counting the rows of", table))?.rows)
    }

    /// The state of a partition of the target; blocks after `since` are newer than the load.
    pub(crate) async fn state(
        &self,
        partition_id: &str,
        since: i64,
    ) -> Result<PartitionState, PublishError> {
        let sql = format!(
            "SELECT sum(parts.rows) AS rows, min(min_block_number) AS oldest_block, max(max_block_number) AS newest_block, \
             sumIf(parts.rows, min_block_number > {since}) AS newer_rows FROM system.parts AS parts \
             WHERE active AND database = {} AND table = {} AND partition_id = {}",
            quote_literal(&self.target.database),
            quote_literal(&self.target.table),
            quote_literal(partition_id)
        );
        let state = self.connection.row("state", &sql).await;
        state.map_err(PublishError::of("asking for the parts of", self.target))
    }

    /// Whether the partition was replaced, by a run that could not record it.
    pub(crate) async fn is_replaced(&self, load: &Publication) -> Result<bool, PublishError> {
        let state = self.state(&load.partition_id, load.newest_block).await?;
        Ok(state.newest_block > load.newest_block
            && if load.rows_before > 0 {
                // No part of what stood there is left.
                state.oldest_block > load.newest_block
            } else {
                Some(state.rows) == load.rows_published
            })
    }

    /// Refuses a partition into which rows were written since the load began.
    pub(crate) async fn require_unwritten(&self, load: &Publication) -> Result<(), PublishError> {
        let state = self.state(&load.partition_id, load.newest_block).await?;
        if state.newest_block <= load.newest_block {
            return Ok(());
        }
        let more = state.rows.saturating_sub(load.rows_before);
        Err(PublishError::Written {
            table: self.target.clone(),
            partition: load.partition_id.clone(),
            rows: more.max(state.newer_rows).max(1),
        })
    }

    /// Replaces the partition of the target by that of another table.
    pub(crate) async fn replace(
        &self,
        partition_id: &str,
        by: &TableName,
    ) -> Result<(), PublishError> {
        self.replace_in(self.target, partition_id, by).await
    }

    /// Keeps what stands in the partition in a table of its own, by hard links.
    pub(crate) async fn keep(
        &self,
        partition_id: &str,
        kept: &TableName,
    ) -> Result<(), PublishError> {
        self.create_as_target(kept).await?;
        self.replace_in(kept, partition_id, self.target).await
    }

    /// Adds the partition of another table to that of a table, by hard links.
    pub(super) async fn attach(
        &self,
        table: &TableName,
        partition_id: &str,
        from: &TableName,
    ) -> Result<(), PublishError> {
        let sql = format!(
            "ALTER TABLE {} ATTACH PARTITION ID {} FROM {}",
            table.quoted(),
            quote_literal(partition_id),
            from.quoted()
        );
        let attached = self.connection.execute("attach", &sql, &Settings::common()).await;
        attached.map_err(PublishError::of("copying the partition to", table))
    }

    async fn replace_in(
        &self,
        table: &TableName,
        partition_id: &str,
        by: &TableName,
    ) -> Result<(), PublishError> {
        let sql = format!(
            "ALTER TABLE {} REPLACE PARTITION ID {} FROM {}",
            table.quoted(),
            quote_literal(partition_id),
            by.quoted()
        );
        let replaced = self.dropping("replace", &sql).await;
        replaced.map_err(PublishError::of("replacing the partition of", table))
    }

    /// Removes all rows of the target's partition.
    pub(crate) async fn drop_partition(&self, partition_id: &str) -> Result<(), PublishError> {
        let (table, id) = (self.target.quoted(), quote_literal(partition_id));
        let sql = format!("ALTER TABLE {table} DROP PARTITION ID {id}");
        let dropped = self.dropping("replace", &sql).await;
        dropped.map_err(PublishError::of("dropping the partition of", self.target))
    }

    /// Drops a table, if it is there.
    pub(crate) async fn drop_table(&self, table: &TableName) -> Result<(), PublishError> {
        self.drop_as("drop", table).await
    }

    async fn drop_as(&self, label: &str, table: &TableName) -> Result<(), PublishError> {
        let sql = format!("DROP TABLE IF EXISTS {} SYNC", table.quoted());
        self.dropping(label, &sql).await.map_err(PublishError::of("dropping", table))
    }

    /// Runs a statement that drops rows. Where there are more of them than the server drops unasked
    /// ([`max_table_size_to_drop`](https://clickhouse.com/docs/operations/settings/settings#max_table_size_to_drop)),
    /// it is asked: the tables are the program's, and what the target loses is replaced.
    async fn dropping(&self, label: &str, sql: &str) -> Result<(), ServerError> {
        let settings = Settings::common();
        match self.connection.execute(label, sql, &settings).await {
            Err(error) if error.code() == Some(TOO_LARGE_TO_DROP) => {
                let settings = settings
                    .with("max_table_size_to_drop", "0")
                    .with("max_partition_size_to_drop", "0");
                self.connection.execute(label, sql, &settings).await
            }
            done => done,
        }
    }
}

#[derive(Deserialize)]
struct Counted {
    rows: u64,
}

#[derive(Deserialize)]
struct Partition {
    id: String,
}
