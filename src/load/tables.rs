//! The job's tables while the load runs: a chunk is recorded as completed only where they are still as
//! the job was held against them.
//!
//! A column whose type changes in mid-run can keep its width, so that neither the framing of rows nor
//! the server notices. One query to `system.tables` and `system.columns`, which takes a few milliseconds,
//! compares the tables' uuids and the columns that the job uses.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::clickhouse::{
    Connection, Error as ServerError, Servers, TableIdentity, TableName, TableSchema,
    table_identities,
};
use crate::job::BoundJob;
use crate::retry::{
    Attempts, FailedAttempt, FailureKind, OutageHandling, RetryError, RetryPolicy, Retryable,
    milliseconds,
};
use crate::stop::Stop;

/// Between two looks at the tables while chunks are under way.
const LOOK: Duration = Duration::from_secs(5);

/// How long an answer is waited for after a failure.
const BRIEF: Duration = Duration::from_secs(5);

/// The tables of a job, as it was held against them.
#[derive(Clone)]
pub(super) struct JobTables {
    source: Vec<UsedTable>,
    target: Vec<UsedTable>,
    servers: Servers,
    /// How long a server that cannot be reached is waited for.
    patience: Duration,
}

/// A table, and those of its columns that decide the result.
#[derive(Clone)]
struct UsedTable {
    schema: TableSchema,
    columns: BTreeSet<String>,
}

/// The tables are not as they were, or cannot be asked for.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// What has changed.
    #[error("a table of the job has changed since the run began: {}", .0.join("; "))]
    Changed(Vec<String>),
    /// The server did not answer.
    #[error("asking whether the job's tables have changed failed")]
    Server(#[source] Box<ServerError>),
}

impl JobTables {
    pub(super) fn new(job: &BoundJob, servers: &Servers, patience: Duration) -> Self {
        let lookup = job.lookup.as_ref();
        let keys = lookup.into_iter().flat_map(|lookup| &lookup.keys);
        let names = job.source_columns.iter().map(|column| &column.name);
        let names = names.chain(keys.map(|key| &key.source));
        let names = names.chain(&job.source_deleted).chain(&job.source_time);
        let newest_by = job.newest_by.iter();
        let names = names.chain(newest_by.flat_map(|newest| &newest.columns));
        let names = names.chain(job.before.as_ref().map(|before| &before.column));
        let of_source = UsedTable {
            columns: if job.exclusions.is_empty() && job.filters.is_empty() {
                names.cloned().collect()
            } else {
                // An exclusion or a filter may read any of them.
                job.source.columns.iter().map(|column| column.name.clone()).collect()
            },
            schema: job.source.clone(),
        };
        // Objects are compared by themselves, and PostgreSQL does not tell what has changed.
        let mut source: Vec<_> = (!job.reads_outside()).then_some(of_source).into_iter().collect();
        source.extend(lookup.map(|lookup| {
            let names = lookup.columns.iter().map(|column| &column.name);
            let names = names.chain(lookup.keys.iter().map(|key| &key.lookup));
            let names = names.chain(lookup.version.as_ref().map(|version| &version.name));
            let names = names.chain(lookup.window.as_ref().map(|window| &window.column));
            UsedTable {
                columns: names.chain(&lookup.deleted).cloned().collect(),
                schema: lookup.table.clone(),
            }
        }));
        let target = vec![UsedTable {
            columns: job.columns.iter().map(|column| column.name.clone()).collect(),
            schema: job.target.clone(),
        }];
        Self { source, target, servers: servers.clone(), patience }
    }

    /// Compares the tables with what they were.
    ///
    /// # Errors
    /// [`TablesError`].
    pub(super) async fn check(&self) -> Result<(), TablesError> {
        let Servers { source, target, .. } = &self.servers;
        let changes = if self.servers.is_one_server() {
            let all: Vec<_> = self.source.iter().chain(&self.target).collect();
            self.changes(target, &all).await?
        } else {
            let mut changes = self.changes(source, &self.source.iter().collect::<Vec<_>>()).await?;
            changes.extend(self.changes(target, &self.target.iter().collect::<Vec<_>>()).await?);
            changes
        };
        if changes.is_empty() { Ok(()) } else { Err(TablesError::Changed(changes)) }
    }

    /// The same, where the server may be away: who does not answer soon has not changed.
    ///
    /// # Errors
    /// [`TablesError::Changed`].
    pub(super) async fn check_briefly(&self) -> Result<(), TablesError> {
        let brief = Self { patience: Duration::ZERO, ..self.clone() };
        match timeout(BRIEF, brief.check()).await {
            Ok(Err(changed @ TablesError::Changed(_))) => Err(changed),
            _ => Ok(()),
        }
    }

    async fn changes(
        &self,
        connection: &Connection,
        tables: &[&UsedTable],
    ) -> Result<Vec<String>, TablesError> {
        let names = tables.iter().map(|table| table.schema.name.clone()).collect();
        let found = Attempts::new(RetryPolicy::default(), OutageHandling::WaitFor(self.patience))
            .run(&mut Asking { connection, names })
            .await
            .map_err(RetryError::into_error)
            .map_err(|error| TablesError::Server(error.into()))?;
        Ok(tables
            .iter()
            .flat_map(|table| {
                let now = found.iter().find(|now| now.name == table.schema.name);
                changes_of(table, now)
            })
            .collect())
    }

    /// Stops the run as soon as a table has changed, so that few rows are written that may be wrong.
    pub(super) async fn watch(self, stop: Stop) {
        loop {
            sleep(LOOK).await;
            if let Err(TablesError::Changed(changes)) = self.check_briefly().await {
                tracing::error!(?changes, "a table of the job has changed, stopping");
                stop.fail();
                return;
            }
        }
    }
}

/// The question for tables.
struct Asking<'a> {
    connection: &'a Connection,
    names: Vec<TableName>,
}

impl Retryable for Asking<'_> {
    type Output = Vec<TableIdentity>;
    type Error = ServerError;

    async fn attempt(&mut self) -> Result<Vec<TableIdentity>, ServerError> {
        table_identities(self.connection, &self.names).await
    }

    async fn diagnose(&mut self, error: &ServerError) -> FailureKind {
        error.into()
    }

    fn before_retry(&mut self, failed: FailedAttempt<'_, ServerError>) {
        let FailedAttempt { number, error, pause, .. } = failed;
        tracing::warn!(attempt = number, pause_ms = milliseconds(pause), %error, "asking whether the job's tables have changed failed, trying again");
    }
}

/// What has changed of one table, for people.
fn changes_of(table: &UsedTable, now: Option<&TableIdentity>) -> Vec<String> {
    let UsedTable { schema, columns } = table;
    let name = &schema.name;
    let Some(now) = now else { return vec![format!("the table {name} is gone")] };
    if now.uuid != schema.uuid {
        return vec![format!(
            "{name} is another table than it was: its uuid was {}, and is {}",
            schema.uuid, now.uuid
        )];
    }
    let used = schema.columns.iter().filter(|column| columns.contains(&column.name));
    used.filter_map(|before| {
        let of = format!("the column {} of {name}", before.name);
        let Some(now) = now.columns.iter().find(|now| now.name == before.name) else {
            return Some(format!("{of} is gone; its type was `{}`", before.type_name));
        };
        if now.type_name != before.type_name {
            return Some(format!(
                "the type of {of} was `{}`, and is `{}`",
                before.type_name, now.type_name
            ));
        }
        let kind = |kind: &str| {
            if kind.is_empty() { "none".to_owned() } else { format!("`{kind}`") }
        };
        (now.default_kind != before.default_kind).then(|| {
            format!(
                "the kind of default of {of} was {}, and is {}",
                kind(&before.default_kind),
                kind(&now.default_kind)
            )
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clickhouse::Column;

    fn column(name: &str, type_name: &str, default_kind: &str) -> Column {
        let [name, type_name, default_kind] = [name, type_name, default_kind].map(str::to_owned);
        Column { name, type_name, default_kind }
    }

    #[test]
    fn only_what_the_job_uses_is_a_change() {
        let name = TableName { database: "d".to_owned(), table: "t".to_owned() };
        let columns =
            vec![column("a", "UInt8", ""), column("b", "String", ""), column("c", "String", "")];
        let schema = TableSchema {
            name: name.clone(),
            uuid: "u1".to_owned(),
            engine: "MergeTree".to_owned(),
            sorting_key: String::new(),
            partition_key: String::new(),
            columns: columns.clone(),
        };
        let used = ["a", "b"].map(str::to_owned).into();
        let table = UsedTable { schema, columns: used };
        let now = |uuid: &str, columns: Vec<Column>| {
            let now = TableIdentity { name: name.clone(), uuid: uuid.to_owned(), columns };
            changes_of(&table, Some(&now))
        };
        let same = columns.clone();
        assert!(now("u1", same).is_empty());
        let other = vec![
            column("new", "Date", ""),
            column("b", "String", ""),
            column("c", "Date", ""),
            column("a", "UInt8", ""),
        ];
        assert!(now("u1", other).is_empty(), "unused and new columns, and their order");
        assert_eq!(
            now("u1", vec![column("a", "Int8", ""), column("b", "String", "DEFAULT")]),
            [
                "the type of the column a of d.t was `UInt8`, and is `Int8`",
                "the kind of default of the column b of d.t was none, and is `DEFAULT`",
            ]
        );
        assert_eq!(
            now("u1", vec![column("a", "UInt8", "")]),
            ["the column b of d.t is gone; its type was `String`"]
        );
        assert_eq!(
            now("u2", columns),
            ["d.t is another table than it was: its uuid was u1, and is u2"]
        );
        assert_eq!(changes_of(&table, None), ["the table d.t is gone"]);
    }
}
