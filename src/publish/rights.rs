//! Rights of the user, and those that it lacks.

use crate::clickhouse::{
    Connection, Error as ServerError, TableName, is_granted, quote_identifier,
};

/// The code of a server that does not know `CHECK GRANT`.
const SYNTAX_ERROR: u32 = 62;

/// A right that is needed.
pub(super) struct Right {
    /// What the server is asked for.
    asked: String,
    /// What is granted to have it.
    granted: String,
}

impl Right {
    /// Of a table.
    pub(super) fn on(rights: &str, table: &TableName) -> Self {
        let right = format!("{rights} ON {}", table.quoted());
        Self { asked: right.clone(), granted: right }
    }

    /// Of a table of the run. Its name is not known beforehand, so the right is granted on its database.
    pub(super) fn beside(rights: &str, table: &TableName) -> Self {
        let granted = format!("{rights} ON {}.*", quote_identifier(&table.database));
        Self { granted, ..Self::on(rights, table) }
    }

    /// To create tables of an engine.
    pub(super) fn of_engine(engine: &str) -> Self {
        let right = format!("TABLE ENGINE ON {engine}");
        Self { asked: right.clone(), granted: right }
    }

    /// To read these columns of a table of the server.
    pub(super) fn to_read(table: &str, columns: &str) -> Self {
        Self {
            asked: format!("SELECT({columns}) ON system.{table}"),
            granted: format!("SELECT ON system.{table}"),
        }
    }
}

/// What has to be granted for those of these rights that the user lacks; nothing on a server that cannot be
/// asked.
pub(super) async fn not_granted(
    connection: &Connection,
    needed: Vec<Right>,
) -> Result<Vec<String>, ServerError> {
    let mut missing = Vec::new();
    for Right { asked, granted } in needed {
        match is_granted(connection, "rights", &asked).await {
            Ok(true) => {}
            Ok(false) if missing.contains(&granted) => {}
            Ok(false) => missing.push(granted),
            Err(error) if error.code() == Some(SYNTAX_ERROR) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
    }
    Ok(missing)
}
