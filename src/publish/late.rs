//! Replacing a partition while live writers add rows to it.
//!
//! A view of the target catches what any insert adds to the partition, in the *late* table. The *cut* is a
//! moment at which inserts are paused: the source's partition is copied by hard links, and the late table
//! is emptied. From then on the source is the copy and what the late rows stand for. What was built from
//! the copy is published together with the late rows, again while inserts are paused.
//!
//! A pause can fail to hold. So both moments are confirmed: when the inserts that may have passed have
//! ended, the late table must have no block that it had not when it was emptied or copied.

use std::time::Duration;

use serde::Deserialize;

use super::PublishError;
use super::pause::{Pause, pause, settle};
use super::snapshot::create_copy;
use super::tables::PublishTables;
use crate::clickhouse::{
    Settings, TableName, TableSchema, literal_list, quote_identifier, quote_literal,
};
use crate::job::statements::{self, Scope};
use crate::job::target_key::partition_id;
use crate::job::{BoundColumn, BoundJob, names_in};
use crate::ledger::{LateRows, SourceCut};

/// The tables of a cut.
pub(crate) struct LateTables<'a> {
    pub tables: PublishTables<'a>,
    pub target: &'a TableSchema,
    /// The ids of the target's partitions that are replaced.
    pub partitions: &'a [String],
    pub cut: &'a SourceCut,
    /// Whether groups before a horizon keep what the target has.
    pub keeps_groups: bool,
}

/// What an attempt to replace the partition came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// The target has what was built and all late rows; for this long writers were paused.
    Exactly(Duration),
    /// It was replaced, and rows may have come in between.
    InBetween(Duration),
    /// Inserts could not be paused, and the target is as it was.
    Not,
    /// The server was restarted since the cut: late rows may be missing, and the target is as it was.
    Lost,
}

/// The parts of the late table.
#[derive(Deserialize)]
struct Blocks {
    newest: i64,
    /// The ids of its partitions.
    partitions: Vec<String>,
}

#[derive(Deserialize)]
struct Rows {
    rows: u64,
}

impl LateTables<'_> {
    fn late(&self) -> &LateRows {
        &self.cut.late
    }

    fn named(&self, table: &str) -> TableName {
        self.tables.beside(table)
    }

    /// The table with the copy of the source's partition.
    pub(crate) fn snapshot(&self) -> TableName {
        self.named(&self.cut.snapshot)
    }

    /// The table with the target's partition as it was at the cut.
    pub(crate) fn base(&self) -> TableName {
        self.named(&self.late().base)
    }

    /// Tries to make the cut. Returns for how long writers were paused; `None` if inserts could not be
    /// paused.
    ///
    /// # Errors
    /// [`PublishError::Inserting`], and those of the statements. What was created stays and is dropped
    /// by the next attempt.
    pub(crate) async fn cut(
        &self,
        source: &TableName,
        source_partition: &str,
    ) -> Result<Option<Duration>, PublishError> {
        self.create(source).await?;
        // Inserts that began before pass neither the gate nor the late table.
        settle(self.tables.connection, &[source, self.tables.target]).await?;
        let (gate, drain) = (self.named(&self.late().gate), self.named(&self.late().drain));
        let Some(pause) = pause(self.tables.connection, &gate, &drain).await? else {
            return Ok(None);
        };
        let copied = self.copy_source(&pause, source, source_partition).await;
        let paused = pause.open().await;
        Ok(copied?.then_some(paused))
    }

    /// Copies the source's partition while inserts are paused. Returns whether they were until the end.
    async fn copy_source(
        &self,
        pause: &Pause<'_>,
        source: &TableName,
        source_partition: &str,
    ) -> Result<bool, PublishError> {
        let late = self.named(&self.late().table);
        self.execute("truncate", &format!("TRUNCATE TABLE {}", late.quoted()), &late).await?;
        self.tables.attach(&self.snapshot(), &[source_partition.to_owned()], source).await?;
        if self.keeps_groups {
            self.tables.attach(&self.base(), self.partitions, self.tables.target).await?;
        }
        let alive = self.named(&self.late().alive);
        let sql = format!("INSERT INTO {} VALUES (1)", alive.quoted());
        self.execute("alive", &sql, &alive).await?;
        Ok(pause.is_closed().await?
            && pause.is_drained().await?
            && self.blocks().await?.newest == 0)
    }

    /// Creates the tables and views, without those of earlier attempts.
    async fn create(&self, source: &TableName) -> Result<(), PublishError> {
        let late = self.late();
        for table in late.tables().iter().chain([&self.cut.snapshot]) {
            self.tables.drop_table(&self.named(table)).await?;
        }
        create_copy(self.tables.connection, source, &self.snapshot()).await?;
        for table in [&late.table, &late.base] {
            self.tables.create_as_target(&self.named(table)).await?;
        }
        for table in [&late.gate, &late.drain, &late.alive] {
            let table = self.named(table);
            let sql = format!("CREATE TABLE {} (x UInt8) ENGINE = Memory", table.quoted());
            self.execute("create", &sql, &table).await?;
        }
        let (target, gate) = (self.tables.target, self.named(&late.gate));
        let passing = format!("SELECT toUInt8(1) AS x FROM {} WHERE 0", target.quoted());
        self.create_view(&late.gate, &passing).await?;
        self.create_view(&late.drain, &format!("SELECT x FROM {}", gate.quoted())).await?;
        let columns = self.target.columns.iter();
        let columns = columns.filter(|column| column.is_insertable() && column.is_selectable());
        let names: Vec<_> =
            columns.map(|column| quote_identifier(&column.name).to_string()).collect();
        let read = names_in(&self.target.partition_key);
        let of_partition = if self.target.columns.iter().any(|column| read.contains(&column.name)) {
            partition_id(&self.target.partition_key)
        } else {
            "'all'".to_owned()
        };
        let rows = format!(
            "SELECT {} FROM {} WHERE {of_partition} IN ({})",
            names.join(", "),
            target.quoted(),
            literal_list(self.partitions)
        );
        self.create_view(&late.table, &rows).await
    }

    async fn create_view(&self, into: &str, rows: &str) -> Result<(), PublishError> {
        let (view, into) = (self.named(&LateRows::view_of(into)), self.named(into));
        let sql =
            format!("CREATE MATERIALIZED VIEW {} TO {} AS {rows}", view.quoted(), into.quoted());
        self.execute("create", &sql, &view).await
    }

    async fn execute(&self, label: &str, sql: &str, table: &TableName) -> Result<(), PublishError> {
        let done = self.tables.connection.execute(label, sql, &Settings::common()).await;
        done.map_err(PublishError::of("preparing", table))
    }

    /// Whether the server has been running since the cut, so that no late row was lost with it.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub(crate) async fn is_alive(&self) -> Result<bool, PublishError> {
        #[derive(Deserialize)]
        struct Alive {
            rows: Option<u64>,
        }
        let alive = self.named(&self.late().alive);
        let sql = format!(
            "SELECT total_rows AS rows FROM system.tables WHERE database = {} AND name = {}",
            quote_literal(&alive.database),
            quote_literal(&alive.table)
        );
        let found = self.tables.connection.rows::<Alive>("alive", &sql).await;
        let found = found.map_err(PublishError::of("asking for the rows of", &alive))?;
        Ok(found.iter().any(|table| table.rows == Some(1)))
    }

    /// Replaces the partition by what was built and the late rows, once.
    ///
    /// # Errors
    /// Those of the statements. The partition may have been replaced then.
    pub(crate) async fn replace(&self, publish: &TableName) -> Result<Replaced, PublishError> {
        let ready = self.named(&self.late().ready);
        self.tables.drop_table(&ready).await?;
        self.tables.create_as_target(&ready).await?;
        self.tables.attach(&ready, self.partitions, publish).await?;
        let (gate, drain) = (self.named(&self.late().gate), self.named(&self.late().drain));
        let Some(pause) = pause(self.tables.connection, &gate, &drain).await? else {
            return Ok(Replaced::Not);
        };
        let replaced = self.replace_while(&pause, &ready).await;
        let paused = pause.open().await;
        Ok(match replaced? {
            Some(true) => Replaced::Exactly(paused),
            Some(false) => Replaced::InBetween(paused),
            None => Replaced::Lost,
        })
    }

    /// Replaces the partition while inserts are paused. Returns whether they were until the end; `None`
    /// if late rows may be missing, since a restart may have come right before.
    async fn replace_while(
        &self,
        pause: &Pause<'_>,
        ready: &TableName,
    ) -> Result<Option<bool>, PublishError> {
        let Blocks { newest, partitions } = self.blocks().await?;
        if !partitions.is_empty() {
            let late = self.named(&self.late().table);
            self.tables.attach(ready, &partitions, &late).await?;
        }
        if !self.is_alive().await? {
            return Ok(None);
        }
        self.tables.replace(self.partitions, ready).await?;
        Ok(Some(
            pause.is_closed().await?
                && pause.is_drained().await?
                && self.blocks().await?.newest == newest,
        ))
    }

    /// The newest block of the late table, which merges keep; 0 if it has no rows.
    async fn blocks(&self) -> Result<Blocks, PublishError> {
        let late = self.named(&self.late().table);
        let sql = format!(
            "SELECT max(max_block_number) AS newest, groupUniqArray(partition_id) AS partitions FROM system.parts WHERE active AND database = {} AND table = {}",
            quote_literal(&late.database),
            quote_literal(&late.table)
        );
        let found = self.tables.connection.row::<Blocks>("late", &sql).await;
        found.map_err(PublishError::of("asking for the parts of", &late))
    }

    /// How many rows of the source the late rows stand for, as far as the job counts them.
    ///
    /// # Errors
    /// Those of the query.
    pub(crate) async fn caught(&self, job: &BoundJob) -> Result<u64, PublishError> {
        let late = self.named(&self.late().table);
        let rows = rows_of_source(job).unwrap_or_else(|| "count()".to_owned());
        let sql = format!("SELECT {rows} AS rows FROM {}", late.quoted());
        let counted = self.tables.connection.row::<Rows>("late", &sql).await;
        Ok(counted.map_err(PublishError::of("counting the rows of", &late))?.rows)
    }

    /// Runs [`counts`] while inserts are paused. `None` if they could not be paused.
    ///
    /// # Errors
    /// Those of the queries.
    pub(crate) async fn counted_while_paused(
        &self,
        job: &BoundJob,
        counts: &str,
    ) -> Result<Option<Counts>, PublishError> {
        let (gate, drain) = (self.named(&self.late().gate), self.named(&self.late().drain));
        let Some(pause) = pause(self.tables.connection, &gate, &drain).await? else {
            return Ok(None);
        };
        let counted = async {
            let counted = self.counted(job, counts).await?;
            Ok(pause.is_closed().await?.then_some(counted))
        };
        let counted = counted.await;
        pause.open().await;
        counted
    }

    /// The same while inserts go on.
    ///
    /// # Errors
    /// Those of the query.
    pub(crate) async fn counted(
        &self,
        job: &BoundJob,
        counts: &str,
    ) -> Result<Counts, PublishError> {
        let settings = statements::join_settings(job);
        let counted = self.tables.connection.row_with("counts", counts, &settings).await;
        counted.map_err(PublishError::of("counting the rows of", self.tables.target))
    }
}

/// Rows of the source, and those that the target stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Counts {
    pub source: u64,
    pub target: u64,
}

/// Counts the rows of the source's partition, and those that the target stands for where a condition is
/// true, where these numbers must be equal.
pub(crate) fn counts(job: &BoundJob, scope: &Scope, is_of_partition: &str) -> Option<String> {
    if job.source.engine != "MergeTree" {
        return None;
    }
    let rows = rows_of_source(job)?;
    let horizon = job.group.as_ref().and_then(|group| group.horizon.as_ref());
    let whole = horizon.map(|horizon| format!(" AND NOT {}", horizon.of_target));
    Some(format!(
        "SELECT (\n{}\n) AS source, (\nSELECT {rows} FROM {} WHERE {is_of_partition}{}\n) AS target",
        statements::count(job, scope),
        job.target.name.quoted(),
        whole.unwrap_or_default()
    ))
}

/// SQL over the target for the number of rows of the source that its rows stand for, where the job counts
/// them.
fn rows_of_source(job: &BoundJob) -> Option<String> {
    let Some(group) = &job.group else {
        return (job.target.engine == "MergeTree").then(|| "count()".to_owned());
    };
    let is_count = |column: &&BoundColumn| {
        ["count()", "count(*)"].contains(&column.expression.trim().to_lowercase().as_str())
    };
    let column = job.columns.iter().skip(group.keys.len()).find(is_count)?;
    Some(format!("sum({})", quote_identifier(&column.name)))
}
