//! Columns that exist, but that the user has no right to read: `system.columns` does not list them.

use super::error::JobError;
use super::file::Job;
use crate::clickhouse::{
    Connection, Error as ServerError, Servers, Settings, TableName, quote_identifier,
};

/// The error, or one that names the missing right if that is the cause of a missing column.
pub(super) async fn or_denied_column(servers: &Servers, job: &Job, error: JobError) -> JobError {
    let Some((role, table, column)) = missing_column(servers, job, &error) else { return error };
    let connection = if role == "target" { &servers.target } else { &servers.source };
    if is_denied(connection, &table, &column).await {
        JobError::DeniedColumn { role, table, column }
    } else {
        error
    }
}

/// The column that is missing according to an error, with the role and the name of its table.
fn missing_column(
    servers: &Servers,
    job: &Job,
    error: &JobError,
) -> Option<(&'static str, TableName, String)> {
    match error {
        JobError::MissingColumn { role, table, column, .. } => {
            Some((role, table.clone(), column.clone()))
        }
        JobError::Expression { message, .. } => {
            let (qualifier, column) = unknown_identifier(message)?.split_once('.')?;
            let (role, table) = match qualifier {
                "source" => ("source", &job.source.table),
                "lookup" => ("lookup", &job.lookup.as_ref()?.table),
                _ => return None,
            };
            let table = TableName::parse(table, servers.source.endpoint().database());
            Some((role, table, column.to_owned()))
        }
        _ => None,
    }
}

/// The identifier in "Unknown expression identifier `source.x` in scope …".
fn unknown_identifier(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("identifier")?;
    let rest = rest.trim_start_matches([' ', ':', '\'', '`']);
    rest.split(['`', '\'', ' ']).next().filter(|name| !name.is_empty())
}

/// Whether the server has the column, and refuses it to this user.
async fn is_denied(connection: &Connection, table: &TableName, column: &str) -> bool {
    let sql = format!("SELECT {} FROM {} LIMIT 0", quote_identifier(column), table.quoted());
    let asked = connection.execute("grants", &sql, &Settings::default()).await;
    asked.is_err_and(|error: ServerError| error.is_access_denied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_identifiers_are_found() {
        for message in [
            "Code: 47. DB::Exception: Unknown expression identifier `source.x` in scope SELECT 1",
            "Code: 47. DB::Exception: Unknown expression or function identifier 'source.x' in scope",
            "Missing columns: identifier: source.x while processing",
        ] {
            assert_eq!(unknown_identifier(message), Some("source.x"), "{message}");
        }
        assert_eq!(unknown_identifier("no such thing"), None);
    }
}
