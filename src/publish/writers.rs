//! What keeps a partition of a target from being replaced: its engine, views that write into it, and
//! rights that the user lacks.

use serde::Deserialize;

use crate::clickhouse::{
    Connection, Error as ServerError, TableName, TableSchema, is_replicated, quote_identifier,
    quote_literal,
};

/// A reason why a partition cannot be replaced, and what would remove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// The reason.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

/// The reasons why no partition of this table can be replaced.
///
/// # Errors
/// The server cannot be asked for its views.
pub(crate) async fn obstacles(
    connection: &Connection,
    target: &TableSchema,
) -> Result<Vec<Obstacle>, ServerError> {
    let name = &target.name;
    if let Some(obstacle) = of_engine(target) {
        return Ok(vec![obstacle]);
    }
    let views = connection.rows::<View>("views", &views_into(name)).await?;
    Ok(views
        .iter()
        .map(View::table_name)
        .map(|view| Obstacle {
            reason: format!(
                "the view {view} writes into {name}: rows that it writes while the load is built would be lost"
            ),
            remedy: format!(
                "stop all writers, DETACH TABLE {}, run the load, ATTACH TABLE: rows that are inserted while it is detached never reach {name}",
                view.quoted()
            ),
        })
        .collect())
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
    format!(
        "SELECT database, name, as_select FROM system.tables WHERE engine = 'MaterializedView' AND ({}) ORDER BY database, name",
        into.join(" OR ")
    )
}

/// The rights for a publication that the user lacks, as they are granted. Servers without
/// [CHECK GRANT](https://clickhouse.com/docs/sql-reference/statements/check-grant) tell none.
///
/// # Errors
/// The server cannot be asked.
pub(crate) async fn missing_rights(
    connection: &Connection,
    target: &TableName,
    tables: &[TableName],
) -> Result<Vec<String>, ServerError> {
    #[derive(Deserialize)]
    struct Granted {
        result: u8,
    }
    const SYNTAX_ERROR: u32 = 62;
    let mut needed = vec![
        format!("SELECT, INSERT, ALTER DELETE ON {}", target.quoted()),
        "TABLE ENGINE ON MergeTree".to_owned(),
    ];
    needed.extend(tables.iter().map(|table| {
        format!("CREATE TABLE, DROP TABLE, SELECT, INSERT, ALTER DELETE ON {}", table.quoted())
    }));
    let mut missing = Vec::new();
    for right in needed {
        match connection.rows::<Granted>("rights", &format!("CHECK GRANT {right}")).await {
            Ok(rows) if rows.iter().any(|row| row.result == 0) => missing.push(right),
            Ok(_) => {}
            Err(error) if error.code() == Some(SYNTAX_ERROR) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
    }
    Ok(missing)
}
