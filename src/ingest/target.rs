//! Whether a table counts a batch once that is sent twice.

use crate::clickhouse::{
    Connection, Deduplication, Error as ServerError, TableName, deduplication,
};

/// A target that cannot be exact.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    /// No such table.
    #[error("the table {0} does not exist, or the user has no right to see it")]
    Missing(TableName),
    /// A table, or one that its views fill, that keeps repeated batches.
    #[error("{table} ({engine}) does not recognize repeated inserts: rows that are sent again after a failure would stay twice{}", of_view(view.as_ref()))]
    Repeats {
        /// The table.
        table: TableName,
        /// Its engine.
        engine: String,
        /// The view that fills it; `None` for the target itself.
        view: Option<TableName>,
        /// The setting that makes it recognize them; `None` if its engine cannot.
        setting: Option<&'static str>,
    },
    /// The server cannot be asked.
    #[error("reading how tables recognize repeated inserts failed")]
    Server(#[source] ServerError),
}

fn of_view(view: Option<&TableName>) -> String {
    view.map_or_else(String::new, |view| format!(" (the view {view} fills it)"))
}

/// The number of latest inserts that a table recognizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// That number; the smallest among the target and the tables of its views.
    pub inserts: u64,
    /// The table that has it.
    pub table: TableName,
    /// The table's setting.
    pub setting: &'static str,
}

/// The smallest window among the table and those that its views fill. `None` if all of them collapse
/// repeated rows by their keys.
pub(crate) async fn check_target(
    connection: &Connection,
    table: &TableName,
) -> Result<Option<Window>, TargetError> {
    let tables = deduplication(connection, table).await.map_err(TargetError::Server)?;
    if tables.is_empty() {
        return Err(TargetError::Missing(table.clone()));
    }
    let mut smallest: Option<Window> = None;
    for found in tables {
        let setting = found.window_setting();
        if found.window == 0 && found.is_replacing() {
            continue;
        }
        if found.window == 0 {
            let Deduplication { name: table, engine, view, .. } = found;
            let setting = engine.ends_with("MergeTree").then_some(setting);
            return Err(TargetError::Repeats { table, engine, view, setting });
        }
        if smallest.as_ref().is_none_or(|smallest| found.window < smallest.inserts) {
            smallest = Some(Window { inserts: found.window, table: found.name, setting });
        }
    }
    Ok(smallest)
}
