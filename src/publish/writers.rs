//! What keeps a partition of a target from being replaced: its engine, views that write into it, and
//! rights that the user lacks.

use serde::Deserialize;

use super::PublishError;
use super::rights::{Right, not_granted};
use crate::clickhouse::{
    Connection, Error as ServerError, TableName, TableSchema, is_replicated, quote_identifier,
    quote_literal,
};
use crate::job::BoundJob;

/// A reason why a partition cannot be replaced, and what would remove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// The reason.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

/// The reasons why no partition of the job's target can be replaced exactly, while these views write into
/// it.
pub(crate) fn obstacles(job: &BoundJob, views: &[View]) -> Vec<Obstacle> {
    if let Some(obstacle) = of_engine(&job.target) {
        return vec![obstacle];
    }
    let (source, target) = (&job.source, &job.target.name);
    let Some(why) = (if !source.is_merge_tree() || is_replicated(&source.engine) {
        Some(format!(
            "{} has the engine {}, of which no moment can be copied with the rows that views made of it",
            source.name, source.engine
        ))
    } else if job.collapse {
        Some(format!(
            "the job reads the newest versions of {}, and a view writes all of them",
            source.name
        ))
    } else if job.group.as_ref().is_some_and(|group| !group.is_mergeable()) {
        Some(format!(
            "{target} does not merge the rows of a group, and a view writes one for each insert"
        ))
    } else {
        None
    }) else {
        return views
            .iter()
            .filter(|view| view.is_refreshed)
            .map(|view| refreshed(view, target))
            .collect();
    };
    views
        .iter()
        .map(View::table_name)
        .map(|view| Obstacle {
            reason: format!(
                "the view {view} writes into {target}, and rows that it writes while the load is built would be lost: {why}"
            ),
            remedy: format!(
                "stop all writers, DETACH TABLE {}, run the load, ATTACH TABLE: rows that are inserted while it is detached never reach {target}",
                view.quoted()
            ),
        })
        .collect()
}

fn refreshed(view: &View, target: &TableName) -> Obstacle {
    let name = view.table_name();
    Obstacle {
        reason: format!("the view {name} is refreshed: it replaces all rows of {target}"),
        remedy: format!("DROP TABLE {}, run the load, create the view again", name.quoted()),
    }
}

fn of_engine(target: &TableSchema) -> Option<Obstacle> {
    let TableSchema { name, engine, .. } = target;
    let in_place = || "publish = \"in_place\" inserts the rows into the target".to_owned();
    if !target.is_merge_tree() {
        let reason = format!(
            "{name} has the engine {engine}; only tables of the MergeTree family have partitions"
        );
        return Some(Obstacle { reason, remedy: in_place() });
    }
    if is_replicated(engine) {
        let reason = format!(
            "{name} has the engine {engine}: a table beside it would need a path of its own in Keeper, which the program does not choose"
        );
        return Some(Obstacle { reason, remedy: in_place() });
    }
    None
}

/// A materialized view.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct View {
    /// Its database.
    pub database: String,
    /// Its name.
    pub name: String,
    /// Its query.
    pub as_select: String,
    /// Whether it is refreshed at intervals, instead of by inserts.
    pub is_refreshed: bool,
}

impl View {
    /// Its name with its database.
    pub(crate) fn table_name(&self) -> TableName {
        TableName { database: self.database.clone(), table: self.name.clone() }
    }
}

/// Selects the materialized views, each a [`View`], that write into a table.
pub(crate) fn views_into(table: &TableName) -> String {
    // The column target_table is younger than the servers that the program supports.
    let into = [
        table.quoted(),
        format!("{}.{}", table.database, table.table),
        format!("{}.{}", table.database, quote_identifier(&table.table)),
        format!("{}.{}", quote_identifier(&table.database), table.table),
    ];
    let into = into.map(|into| {
        let (behind, before) = (format!(" TO {into} "), format!(" TO {into}\n"));
        format!(
            "position(create_table_query, {}) > 0 OR position(create_table_query, {}) > 0",
            quote_literal(&behind),
            quote_literal(&before)
        )
    });
    let of_inner = table.table.strip_prefix(".inner_id.").map_or_else(
        || {
            let view = table.table.strip_prefix(".inner.").unwrap_or_default();
            format!("name = {}", quote_literal(view))
        },
        |uuid| format!("toString(uuid) = {}", quote_literal(uuid)),
    );
    format!(
        "SELECT database, name, as_select, CAST(match(create_table_query, ' REFRESH (EVERY|AFTER) ') AS Bool) AS is_refreshed \
         FROM system.tables WHERE engine = 'MaterializedView' AND ({} OR (database = {} AND {of_inner})) ORDER BY database, name",
        into.join(" OR "),
        quote_literal(&table.database)
    )
}

/// The materialized views that write into a table.
///
/// # Errors
/// The server cannot be asked.
pub(crate) async fn views_into_table(
    connection: &Connection,
    table: &TableName,
) -> Result<Vec<View>, PublishError> {
    let views = connection.rows("views", &views_into(table)).await;
    views.map_err(PublishError::of("asking for views into", table))
}

/// The rights for a publication that the user lacks, as they are granted. `late` are the tables that catch
/// rows of live writers, if there are such. Servers without
/// [CHECK GRANT](https://clickhouse.com/docs/sql-reference/statements/check-grant) tell none.
///
/// # Errors
/// The server cannot be asked.
pub(crate) async fn missing_rights(
    connection: &Connection,
    target: &TableSchema,
    tables: &[TableName],
    source: &TableSchema,
    late: &[TableName],
) -> Result<Vec<String>, ServerError> {
    let beside = "CREATE TABLE, DROP TABLE, SELECT, INSERT, ALTER DELETE";
    // The stage, and the tables that are like the target.
    let engines = [Right::of_engine("MergeTree"), Right::of_engine(&target.engine)];
    let mut needed = vec![Right::on("SELECT, INSERT, ALTER DELETE", &target.name)];
    needed.extend(engines);
    needed.extend(tables.iter().map(|table| Right::beside(beside, table)));
    needed
        .push(Right::to_read("parts", "active, partition_id, min_block_number, max_block_number"));
    if !late.is_empty() {
        needed.push(Right::on("SELECT", &source.name));
        needed.extend(["Memory", &source.engine].map(Right::of_engine));
        needed.push(Right::to_read("processes", "query_id, elapsed"));
    }
    let of_late = "CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, SELECT, INSERT, TRUNCATE, ALTER DELETE, ALTER TTL, SYSTEM MERGES";
    needed.extend(late.iter().map(|table| Right::beside(of_late, table)));
    not_granted(connection, needed).await
}
