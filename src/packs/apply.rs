//! Creating what a database lacks of a pack's schema, and comparing what it has.
//!
//! The server writes definitions in a form of its own. To compare like with like, the whole schema is
//! created in a database for the moment, which also shows whether the server accepts all of it
//! before anything is created where it stays.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::definition::{Definition, Difference};
use super::error::PackError;
use super::folder::PackFile;
use super::script::{Statement, statements};
use crate::clickhouse::{
    Connection, Error as ServerError, Settings, literal_list, quote_identifier, quote_literal,
};

/// What the schema's names of the databases for the moment begin with.
const SCRATCH: &str = "clickhouse_backfill_pack_";
/// The age in seconds at which such a database is a leftover of a process that was killed.
const LEFTOVER_SECONDS: u64 = 3600;

/// What became of a table or a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ObjectState {
    /// It did not exist.
    Created,
    /// It exists as the pack has it.
    Equal,
    /// It exists otherwise, and was left as it is.
    Different,
}

/// A table or a view of a pack in a database.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Applied {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub state: ObjectState,
    /// How it differs from the pack.
    pub differences: Vec<Difference>,
    /// For a view that was created: the tables with rows that it has not seen.
    pub filled_sources: Vec<String>,
}

/// Creates what is missing, in the order of the file, and compares the rest. Nothing is dropped or
/// altered.
pub(crate) async fn apply(
    connection: &Connection,
    schema: &PackFile,
) -> Result<Vec<Applied>, PackError> {
    let statements = statements(schema)?;
    remove_leftovers(connection).await?;
    let scratch = scratch_name(connection).await?;
    let inside = connection.in_database(&scratch);
    let sql = format!("CREATE DATABASE {}", quote_identifier(&scratch));
    let created = execute(connection, &sql).await;
    created.map_err(asking("creating a database to compare definitions in"))?;
    let expected = definitions_of(&inside, schema, &statements).await;
    let dropped = drop_database(connection, &scratch).await;
    let expected = expected?;
    dropped?;

    let before = read(connection, &statements).await?;
    let mut applied = Vec::new();
    for statement in &statements {
        let (mut differences, mut filled_sources) = (Vec::new(), Vec::new());
        let both = before.get(&statement.object).zip(expected.get(&statement.object));
        let state = if let Some((found, expected)) = both {
            differences = expected.differences(found);
            if differences.is_empty() { ObjectState::Equal } else { ObjectState::Different }
        } else {
            create(connection, schema, statement, "creating").await?;
            filled_sources = filled_sources_of(connection, &statement.object).await?;
            ObjectState::Created
        };
        let name = statement.object.clone();
        applied.push(Applied { name, state, differences, filled_sources });
    }
    Ok(applied)
}

/// The definitions of all objects, as the server writes them.
async fn definitions_of(
    scratch: &Connection,
    schema: &PackFile,
    statements: &[Statement],
) -> Result<BTreeMap<String, Definition>, PackError> {
    for statement in statements {
        create(scratch, schema, statement, "trying to create").await?;
    }
    let mut definitions = read(scratch, statements).await?;
    for Statement { object, sql, .. } in statements {
        if let Some(definition) = definitions.get_mut(object) {
            definition.keep_settings_of(sql);
        }
    }
    Ok(definitions)
}

async fn create(
    connection: &Connection,
    schema: &PackFile,
    statement: &Statement,
    doing: &'static str,
) -> Result<(), PackError> {
    execute(connection, &statement.sql).await.map_err(|source| PackError::Refused {
        path: schema.path.clone(),
        line: statement.line,
        doing,
        object: statement.object.clone(),
        source: Box::new(source),
    })
}

/// Sends a statement with the settings of the user's profile: the pack needs no others.
async fn execute(connection: &Connection, sql: &str) -> Result<(), ServerError> {
    connection.execute("pack", sql, &Settings::default()).await
}

#[derive(Deserialize)]
struct Table {
    name: String,
    create_table_query: String,
    as_select: String,
}

/// The definitions of those objects that exist.
async fn read(
    connection: &Connection,
    statements: &[Statement],
) -> Result<BTreeMap<String, Definition>, PackError> {
    let database = connection.endpoint().database();
    if statements.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = format!(
        "SELECT name, create_table_query, as_select FROM system.tables WHERE database = {} AND name IN ({})",
        quote_literal(database),
        literal_list(statements.iter().map(|statement| &statement.object))
    );
    let found = connection.rows::<Table>("pack", &sql).await;
    let found = found.map_err(asking("reading the definitions of tables"))?;
    let definition =
        |table: &Table| Definition::parse(&table.create_table_query, &table.as_select, &[database]);
    Ok(found.into_iter().map(|table| (table.name.clone(), definition(&table))).collect())
}

/// The tables with rows from which a new view takes what is inserted.
async fn filled_sources_of(connection: &Connection, view: &str) -> Result<Vec<String>, PackError> {
    #[derive(Deserialize)]
    struct Source {
        name: String,
    }
    let database = quote_literal(connection.endpoint().database());
    let sql = format!(
        "SELECT name FROM system.tables WHERE database = {database} AND total_rows > 0 \
         AND arrayExists((d, t) -> d = {database} AND t = {}, dependencies_database, dependencies_table) ORDER BY name",
        quote_literal(view)
    );
    let found = connection.rows::<Source>("pack", &sql).await;
    let found = found.map_err(asking("reading the sources of a view"))?;
    Ok(found.into_iter().map(|source| source.name).collect())
}

/// A name that says when it was made, by the server's clock.
async fn scratch_name(connection: &Connection) -> Result<String, PackError> {
    #[derive(Deserialize)]
    struct Now {
        now: u64,
    }
    let now = connection.row::<Now>("pack", "SELECT toUInt64(toUnixTimestamp(now())) AS now").await;
    let now = now.map_err(asking("reading the server's clock"))?.now;
    Ok(format!("{SCRATCH}{now}_{:016x}", rand::random::<u64>()))
}

/// Drops databases that killed processes left behind.
async fn remove_leftovers(connection: &Connection) -> Result<(), PackError> {
    #[derive(Deserialize)]
    struct Database {
        name: String,
    }
    let sql = format!(
        "SELECT name FROM system.databases WHERE match(name, '^{SCRATCH}[0-9]+_[0-9a-f]{{16}}$') \
         AND toUInt64(splitByChar('_', name)[4]) + {LEFTOVER_SECONDS} < toUnixTimestamp(now())"
    );
    let found = connection.rows::<Database>("pack", &sql).await;
    for Database { name } in found.map_err(asking("reading the names of databases"))? {
        drop_database(connection, &name).await?;
    }
    Ok(())
}

async fn drop_database(connection: &Connection, name: &str) -> Result<(), PackError> {
    let sql = format!("DROP DATABASE IF EXISTS {} SYNC", quote_identifier(name));
    execute(connection, &sql).await.map_err(asking("dropping the database for comparing"))
}

fn asking(what: &'static str) -> impl FnOnce(ServerError) -> PackError {
    move |source| PackError::Server { what, source }
}
