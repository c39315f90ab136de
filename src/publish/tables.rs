//! The statements of a publication, and the state of the partition that is replaced.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::PublishError;
use super::stage::{Stage, StagedAttempt};
use crate::clickhouse::{
    Connection, Error as ServerError, Settings, TableName, literal_list, quote_literal,
};
use crate::job::Horizon;
use crate::ledger::{Publication, ReplacedPartition, partitions_in_words};

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct PartitionState {
    id: String,
    /// Rows in its active parts.
    rows: u64,
    /// Their least and their greatest block number: blocks are numbered in the order in which they are
    /// written, and merges keep the numbers. 0 without parts.
    oldest_block: i64,
    newest_block: i64,
    /// Rows in parts of which no block is older than the load.
    newer_rows: u64,
}

impl PartitionState {
    /// Whether the partition was replaced since.
    fn is_replaced(&self, partition: &ReplacedPartition) -> bool {
        if partition.rows_published == Some(0) {
            // It was emptied.
            return self.rows == 0;
        }
        self.newest_block > partition.newest_block
            && if partition.rows_before > 0 {
                // No part of what stood there is left.
                self.oldest_block > partition.newest_block
            } else {
                Some(self.rows) == partition.rows_published
            }
    }
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
        partitions: &[String],
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
                "INSERT INTO {} SELECT * FROM {} WHERE _partition_id IN ({}) AND {}",
                publish.quoted(),
                from.quoted(),
                literal_list(partitions),
                kept.of_target
            );
            let copied = self.connection.insert(INSERT, &sql, settings, &[]).await;
            copied.map_err(PublishError::of("keeping groups in", publish))?;
        }
        self.require_partitions(publish, partitions).await
    }

    /// Refuses a table that has rows of other partitions, since those would not be published, or none.
    async fn require_partitions(
        &self,
        publish: &TableName,
        partitions: &[String],
    ) -> Result<(), PublishError> {
        let built = self.rows_by_partition(publish).await?;
        if !built.is_empty() && built.keys().all(|id| partitions.contains(id)) {
            return Ok(());
        }
        let message = format!(
            "what was built lies in {}, and {} would be replaced",
            partitions_in_words(built.keys().map(String::as_str)),
            partitions_in_words(partitions.iter().map(String::as_str))
        );
        Err(PublishError::Unfit { table: self.target.clone(), message })
    }

    /// Rows of each partition of a table.
    pub(crate) async fn rows_by_partition(
        &self,
        table: &TableName,
    ) -> Result<BTreeMap<String, u64>, PublishError> {
        let sql = format!(
            "SELECT _partition_id AS id, count() AS rows FROM {} GROUP BY id",
            table.quoted()
        );
        let found = self.connection.rows::<Partition>("published", &sql).await;
        let found = found.map_err(PublishError::of("counting the rows of", table))?;
        Ok(found.into_iter().map(|partition| (partition.id, partition.rows)).collect())
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

    /// These partitions of the target as they are, to be replaced.
    pub(crate) async fn standing(
        &self,
        ids: &[String],
    ) -> Result<Vec<ReplacedPartition>, PublishError> {
        let partitions = ids.iter().map(|id| ReplacedPartition {
            id: id.clone(),
            newest_block: 0,
            rows_before: 0,
            rows_published: None,
        });
        let mut partitions: Vec<_> = partitions.collect();
        let states = self.states(&partitions).await?;
        for (partition, state) in partitions.iter_mut().zip(states) {
            partition.newest_block = state.newest_block;
            partition.rows_before = state.rows;
        }
        Ok(partitions)
    }

    /// The states of these partitions of the target, in their order.
    async fn states(
        &self,
        partitions: &[ReplacedPartition],
    ) -> Result<Vec<PartitionState>, PublishError> {
        let ids = literal_list(partitions.iter().map(|partition| &partition.id));
        let blocks = partitions.iter().map(|partition| partition.newest_block.to_string());
        let sql = format!(
            "SELECT partition_id AS id, sum(parts.rows) AS rows, min(min_block_number) AS oldest_block, max(max_block_number) AS newest_block, \
             sumIf(parts.rows, min_block_number > transform(partition_id, [{ids}], CAST([{}] AS Array(Int64)), toInt64(0))) AS newer_rows \
             FROM system.parts AS parts WHERE active AND database = {} AND table = {} AND partition_id IN ({ids}) GROUP BY partition_id",
            blocks.collect::<Vec<_>>().join(", "),
            quote_literal(&self.target.database),
            quote_literal(&self.target.table),
        );
        let found = self.connection.rows::<PartitionState>("state", &sql).await;
        let found = found.map_err(PublishError::of("asking for the parts of", self.target))?;
        let state = |partition: &ReplacedPartition| {
            let state = found.iter().find(|state| state.id == partition.id);
            state.cloned().unwrap_or_default()
        };
        Ok(partitions.iter().map(state).collect())
    }

    /// The partitions of a publication that are not replaced yet, by a run that could not record it.
    pub(crate) async fn unreplaced(
        &self,
        load: &Publication,
    ) -> Result<Vec<ReplacedPartition>, PublishError> {
        let states = self.states(&load.partitions).await?;
        let partitions = load.partitions.iter().zip(states);
        let left = partitions.filter(|(partition, state)| !state.is_replaced(partition));
        Ok(left.map(|(partition, _)| partition.clone()).collect())
    }

    /// Refuses partitions into which rows were written since the load began.
    pub(crate) async fn require_unwritten(
        &self,
        partitions: &[ReplacedPartition],
    ) -> Result<(), PublishError> {
        let states = self.states(partitions).await?;
        let written = |(partition, state): (&ReplacedPartition, PartitionState)| {
            (state.newest_block > partition.newest_block).then(|| PublishError::Written {
                table: self.target.clone(),
                partition: partition.id.clone(),
                rows: state.rows.saturating_sub(partition.rows_before).max(state.newer_rows).max(1),
            })
        };
        partitions.iter().zip(states).find_map(written).map_or(Ok(()), Err)
    }

    /// Replaces partitions of the target by those of another table.
    pub(crate) async fn replace(&self, ids: &[String], by: &TableName) -> Result<(), PublishError> {
        self.replace_in(self.target, ids, by).await
    }

    /// Keeps what stands in the partitions in a table of its own, by hard links.
    pub(crate) async fn keep(&self, ids: &[String], kept: &TableName) -> Result<(), PublishError> {
        self.create_as_target(kept).await?;
        self.replace_in(kept, ids, self.target).await
    }

    /// Adds partitions of another table to those of a table, by hard links.
    pub(super) async fn attach(
        &self,
        table: &TableName,
        ids: &[String],
        from: &TableName,
    ) -> Result<(), PublishError> {
        let from = from.quoted();
        let commands = ids
            .iter()
            .map(|id| format!("ATTACH PARTITION ID {} FROM {from}", quote_literal(id)))
            .collect::<Vec<_>>();
        let sql = format!("ALTER TABLE {} {}", table.quoted(), commands.join(", "));
        let attached = self.connection.execute("attach", &sql, &Settings::common()).await;
        attached.map_err(PublishError::of("copying the partition to", table))
    }

    /// Replaces partitions in one statement, each at once. Those that the other table does not have are
    /// dropped: the server refuses to replace a partition by nothing.
    async fn replace_in(
        &self,
        table: &TableName,
        ids: &[String],
        by: &TableName,
    ) -> Result<(), PublishError> {
        let there = self.partitions_of(by).await?;
        let commands = ids.iter().map(|id| {
            let literal = quote_literal(id);
            if there.contains(id) {
                format!("REPLACE PARTITION ID {literal} FROM {}", by.quoted())
            } else {
                format!("DROP PARTITION ID {literal}")
            }
        });
        let commands = commands.collect::<Vec<_>>().join(", ");
        let sql = format!("ALTER TABLE {} {commands}", table.quoted());
        let replaced = self.dropping("replace", &sql).await;
        replaced.map_err(PublishError::of("replacing the partition of", table))
    }

    /// The ids of the partitions that a table has.
    pub(super) async fn partitions_of(
        &self,
        table: &TableName,
    ) -> Result<BTreeSet<String>, PublishError> {
        let sql = format!(
            "SELECT partition_id AS id, sum(rows) AS rows FROM system.parts WHERE active AND database = {} AND table = {} GROUP BY id",
            quote_literal(&table.database),
            quote_literal(&table.table)
        );
        let found = self.connection.rows::<Partition>("state", &sql).await;
        let found = found.map_err(PublishError::of("asking for the partitions of", table))?;
        Ok(found.into_iter().map(|partition| partition.id).collect())
    }

    /// Removes all rows of partitions of the target.
    pub(crate) async fn drop_partitions(&self, ids: &[String]) -> Result<(), PublishError> {
        let commands = ids.iter().map(|id| format!("DROP PARTITION ID {}", quote_literal(id)));
        let commands = commands.collect::<Vec<_>>().join(", ");
        let sql = format!("ALTER TABLE {} {commands}", self.target.quoted());
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
    rows: u64,
}
