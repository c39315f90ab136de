//! The tables that a job names, and their columns.

use std::sync::Arc;

use super::error::{JobError, asking, suggestion};
use super::file::{Job, Relation};
use super::listing::{Listed, list_objects};
use super::postgres::BoundPostgres;
use crate::clickhouse::{
    Column, Connection, Error as ServerError, Servers, Settings, TableName, TableSchema,
    is_granted, quote_identifier, table_schema,
};

/// The tables that a job names.
pub(super) struct Tables {
    pub source: TableSchema,
    /// For a job that reads objects, what was found of them.
    pub listed: Option<Listed>,
    /// For a job that reads PostgreSQL, its query.
    pub postgres: Option<Arc<BoundPostgres>>,
    pub lookup: Option<TableSchema>,
    pub target: TableSchema,
}

/// Reads the schemas of the job's tables, and rejects unsuitable ones.
pub(super) async fn tables(
    servers: &Servers,
    job: &Job,
    target_table: Option<&String>,
    period: Option<&str>,
) -> Result<Tables, JobError> {
    let Servers { source: reading, target: writing, .. } = servers;
    let database = reading.endpoint().database();
    let SourceOf { schema: source, listed, postgres } = source(servers, job, period).await?;
    let lookup = match &job.lookup {
        Some(lookup) => {
            Some(existing(reading, "lookup", &TableName::parse(&lookup.table, database)).await?)
        }
        None => None,
    };
    let target = target_table.unwrap_or(&job.target.table);
    let target = TableName::parse(target, writing.endpoint().database());
    let target = existing(writing, "target", &target).await?;
    refuse_qualified_names("source", &source, &source)?;
    if let Some(lookup) = &lookup {
        refuse_qualified_names("lookup", &source, lookup)?;
        refuse_qualified_names("lookup", lookup, lookup)?;
    }
    Ok(Tables { source, listed, postgres, lookup, target })
}

/// What a job reads.
struct SourceOf {
    schema: TableSchema,
    listed: Option<Listed>,
    postgres: Option<Arc<BoundPostgres>>,
}

/// The source's columns; also the objects or the query of a job that reads these.
async fn source(servers: &Servers, job: &Job, period: Option<&str>) -> Result<SourceOf, JobError> {
    let reading = &servers.source;
    match &job.relation {
        Relation::Table(table) => {
            let name = TableName::parse(table, reading.endpoint().database());
            let schema = existing(reading, "source", &name).await?;
            if schema.is_merge_tree() {
                return Ok(SourceOf { schema, listed: None, postgres: None });
            }
            let message = format!(
                "its engine is {}; only tables of the MergeTree family have partitions",
                schema.engine
            );
            Err(JobError::Unfit { role: "source", table: schema.name, message })
        }
        Relation::Objects(objects) => {
            let unusable =
                |message| JobError::Objects { objects: objects.pattern.clone(), message };
            if objects.is_open() {
                return Err(unusable("{root} is not replaced by an address".to_owned()));
            }
            let period = read_outside(servers, period).map_err(unusable)?;
            let listed = list_objects(reading, objects, period).await?;
            Ok(SourceOf { schema: listed.schema.clone(), listed: Some(listed), postgres: None })
        }
        Relation::Postgres(postgres) => {
            let unusable = |message| JobError::Postgres { name: postgres.name.clone(), message };
            let period = read_outside(servers, period).map_err(unusable)?;
            let (schema, bound) = postgres.bind(reading, period).await?;
            Ok(SourceOf { schema, listed: None, postgres: Some(Arc::new(bound)) })
        }
    }
}

/// The period of what the target's server reads outside of its tables.
fn read_outside<'a>(servers: &Servers, period: Option<&'a str>) -> Result<&'a str, String> {
    let Some(period) = period else {
        let message =
            "they are read for one period, which --partition of run, plan and verify names";
        return Err(message.to_owned());
    };
    if !servers.is_one_server() {
        let message = "the target's server reads them, and the source is another server";
        return Err(message.to_owned());
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.=".contains(c);
    if period.is_empty() || !period.chars().all(plain) {
        return Err(format!(
            "the period {period:?} has other characters than letters, digits and -_.="
        ));
    }
    Ok(period)
}

async fn existing(
    connection: &Connection,
    role: &'static str,
    name: &TableName,
) -> Result<TableSchema, JobError> {
    let found =
        table_schema(connection, name).await.map_err(asking("asking the server for its tables"))?;
    found.ok_or_else(|| JobError::MissingTable { role, table: name.clone() })
}

/// The column of this name, which expressions may read.
pub(super) fn needed<'a>(
    role: &'static str,
    table: &'a TableSchema,
    name: &str,
) -> Result<&'a Column, JobError> {
    let found = table.column(name).filter(|column| column.is_selectable());
    found.ok_or_else(|| {
        let columns = table
            .columns
            .iter()
            .filter(|column| column.is_selectable())
            .map(|column| column.name.as_str());
        let suggestion = suggestion(name, columns).map(str::to_owned);
        JobError::MissingColumn {
            role,
            table: table.name.clone(),
            column: name.to_owned(),
            suggestion,
        }
    })
}

/// Rejects a table with a column that is literally named `source.x` if the source has a column `x`:
/// the server would confuse them.
fn refuse_qualified_names(
    qualifier: &'static str,
    table: &TableSchema,
    owner: &TableSchema,
) -> Result<(), JobError> {
    let ambiguous = |column: &&Column| {
        column
            .name
            .strip_prefix(qualifier)
            .and_then(|rest| rest.strip_prefix('.'))
            .is_some_and(|name| owner.column(name).is_some())
    };
    let Some(column) = table.columns.iter().find(ambiguous) else { return Ok(()) };
    let message = format!(
        "its column {0} is ambiguous, because jobs use {0} for another column",
        column.name
    );
    Err(JobError::Unfit { role: "source", table: table.name.clone(), message })
}

/// All columns of both tables under their qualified names.
pub(super) fn structure_of(
    source: &TableSchema,
    lookup: Option<&TableSchema>,
) -> Vec<(String, String)> {
    let qualified = |qualifier: &'static str, table: &TableSchema| {
        let columns = table.columns.iter().filter(|column| column.is_selectable());
        columns
            .map(move |column| (format!("{qualifier}.{}", column.name), column.type_name.clone()))
            .collect::<Vec<_>>()
    };
    let mut structure = qualified("source", source);
    structure.extend(lookup.map(|table| qualified("lookup", table)).unwrap_or_default());
    structure
}

/// The error, or one that names the missing right if that is the cause of a missing column:
/// `system.columns` does not list columns that the user has no right to read. Otherwise an expression
/// with an unknown column is told by that column, not by the statement that the server refused.
pub(super) async fn or_denied_column(servers: &Servers, job: &Job, error: JobError) -> JobError {
    if let Some((role, table, column)) = missing_column(servers, job, &error) {
        let connection = if role == "target" { &servers.target } else { &servers.source };
        if is_denied(connection, &table, &column).await {
            return JobError::DeniedColumn { role, table, column };
        }
    }
    match error {
        JobError::Expression { origin, line, column, message } => {
            let message = unknown_column(&message).unwrap_or(message);
            JobError::Expression { origin, line, column, message }
        }
        error => error,
    }
}

/// The server's words about an unknown column of the source or the lookup, in one sentence.
fn unknown_column(message: &str) -> Option<String> {
    let is_column = |name: &&str| name.starts_with("source.") || name.starts_with("lookup.");
    let name = unknown_identifier(message).filter(is_column)?;
    let suggestion = message
        .split_once("Maybe you meant: ['")
        .and_then(|(_, rest)| rest.split_once('\''))
        .map(|(name, _)| format!("; did you mean {name}?"));
    Some(format!("names {name}, which is no column{}", suggestion.unwrap_or_default()))
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
            let database = servers.source.endpoint().database();
            let (role, table) = match (qualifier, &job.relation) {
                ("source", Relation::Table(table)) => ("source", table),
                ("lookup", _) => ("lookup", &job.lookup.as_ref()?.table),
                _ => return None,
            };
            Some((role, TableName::parse(table, database), column.to_owned()))
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

/// Whether the column of the target is missing because this user has no right on it: it would be left
/// out of the target, or of a comparison, without a reason.
pub(super) async fn is_hidden(target: &Connection, table: &TableName, column: &str) -> bool {
    let right = format!("INSERT({}) ON {}", quote_identifier(column), table.quoted());
    // With the right to insert, every column is listed. A server that does not know the question is
    // not asked again.
    let may_insert = is_granted(target, "grants", &right).await;
    matches!(may_insert, Ok(false)) && is_denied(target, table, column).await
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
        let message = "is refused by the server: Code: 47. DB::Exception: Unknown expression identifier `lookup.nmae` in scope SELECT `lookup.nmae` FROM null('…'). Maybe you meant: ['lookup.name']. (UNKNOWN_IDENTIFIER)";
        assert_eq!(
            unknown_column(message).as_deref(),
            Some("names lookup.nmae, which is no column; did you mean lookup.name?")
        );
        assert_eq!(unknown_column("Unknown expression identifier `amount` in scope"), None);
    }
}
