//! Holding a job against the tables of one server.
//!
//! Everything that can be wrong is found here, before a row moves: tables, columns, types, expressions, keys.

use std::sync::Arc;

use super::JobError;
use super::bound::{BoundColumn, BoundJob, BoundKey, BoundLookup, BoundVersion, LeftOut, UsedColumn};
use super::common_type::common_key;
use super::error::asking;
use super::file::{Expression, Job, Lookup, StatementSettings};
use super::inspect::{Inspection, check_text, inspect, names_unknown_column};
use super::statements::{self, END_OF_ROW};
use crate::clickhouse::{Column, Connection, Error as ServerError, Settings, TableName, TableSchema, structure, table_schema};
use crate::native::NativeLayout;
use crate::rowbinary::{DataType, RowLayout, VersionEncoding};

/// What the command line may change of a job.
#[derive(Clone, Debug, Default)]
pub struct BindOptions {
    /// Another target table than the job's.
    pub target_table: Option<String>,
    /// The exclusions to apply, by name.
    pub exclusions: Vec<String>,
}

/// Holds the job against the tables.
///
/// # Errors
/// [`JobError`]; none of them leaves anything changed on the server.
pub async fn bind(connection: &Connection, job: &Job, options: &BindOptions) -> Result<BoundJob, JobError> {
    check_settings(connection, job).await?;
    let database = connection.endpoint().database();
    let source = existing(connection, "source", &TableName::parse(&job.source.table, database)).await?;
    if !source.is_merge_tree() {
        let message = format!("its engine is {}; a partition can only be read of a table of the MergeTree family", source.engine);
        return Err(JobError::Unfit { role: "source", table: source.name, message });
    }
    let lookup_table = match &job.lookup {
        Some(lookup) => Some(existing(connection, "lookup", &TableName::parse(&lookup.table, database)).await?),
        None => None,
    };
    let target_name = options.target_table.as_ref().unwrap_or(&job.target.table);
    let target = existing(connection, "target", &TableName::parse(target_name, database)).await?;

    refuse_qualified_names("source", &source, &source)?;
    if let Some(lookup) = &lookup_table {
        refuse_qualified_names("lookup", &source, lookup)?;
        refuse_qualified_names("lookup", lookup, lookup)?;
    }
    for name in [&job.source.version, &job.source.deleted, &job.source.time].into_iter().flatten() {
        needed("source", &source, name)?;
    }
    let exclusions = enabled_exclusions(job, options)?;
    let over = structure_of(&source, lookup_table.as_ref());
    let (columns, left_out) = columns_to_write(connection, job, &target, &over).await?;
    let inspection = inspect(connection, &inspecting(job), &job.origin, &columns, &over, &job.target.allow_functions).await?;
    let used = used_columns(&over, &inspection);
    let bound_columns = fit_to_target(connection, job, &target, &columns, &inspection, &over).await?;
    let defaults = columns_left_to_defaults(job, &target, &bound_columns)?;

    let lookup = match (&job.lookup, lookup_table) {
        (Some(lookup), Some(table)) => Some(bind_lookup(connection, job, lookup, &source, table, used.lookup).await?),
        _ => None,
    };
    let keys = lookup.as_ref().map(|lookup| lookup.keys.as_slice()).unwrap_or_default();
    let framed = keys
        .iter()
        .map(|key| (key.source.as_str(), key.type_name.as_str()))
        .chain(used.source.iter().map(name_and_type))
        .chain([END_OF_ROW]);
    let source_layout = Arc::new(layout("source", &source.name, framed, keys.len())?);
    let remarks = remarks(&used.source, lookup.as_ref());
    let mut bound = BoundJob {
        name: job.name.clone(),
        origin: job.origin.clone(),
        source,
        collapse: job.source.collapse,
        source_deleted: job.source.deleted.clone(),
        source_time: job.source.time.clone(),
        exclusions,
        source_columns: used.source,
        lookup,
        target,
        columns: bound_columns,
        left_out,
        defaults,
        settings: job.settings.clone(),
        source_layout,
        native_layout: Err(String::new()),
        remarks,
    };
    bound.native_layout = native_layout(&bound);
    Ok(bound)
}

/// Compiles how rows become Native blocks; the error says why they cannot.
fn native_layout(job: &BoundJob) -> Result<Arc<NativeLayout>, String> {
    let parse =
        |(name, type_name): (String, &str)| DataType::parse(type_name).map(|parsed| (name, parsed)).map_err(|error| error.to_string());
    let columns = statements::input_columns(job).into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    NativeLayout::new(&columns).map(Arc::new).map_err(|error| error.to_string())
}

/// Lets the server look at the job's settings by themselves, so that no column is blamed for them later.
async fn check_settings(connection: &Connection, job: &Job) -> Result<(), JobError> {
    let StatementSettings { source, lookup, insert } = &job.settings;
    for (statement, settings) in [("source", source), ("lookup", lookup), ("insert", insert)] {
        if settings.0.is_empty() {
            continue;
        }
        match connection.fetch("settings", "SELECT 1", "TSV", &Settings::default().with_all(&settings.0)).await {
            Ok(_) => {}
            Err(ServerError::Server { message, .. }) => return Err(JobError::Settings { origin: job.origin.clone(), statement, message }),
            Err(other) => return Err(asking("asking the server about the job's settings")(other)),
        }
    }
    Ok(())
}

async fn existing(connection: &Connection, role: &'static str, name: &TableName) -> Result<TableSchema, JobError> {
    let found = table_schema(connection, name).await.map_err(asking("asking the server for its tables"))?;
    found.ok_or_else(|| JobError::MissingTable { role, table: name.clone() })
}

fn needed<'a>(role: &'static str, table: &'a TableSchema, name: &str) -> Result<&'a Column, JobError> {
    let found = table.column(name).filter(|column| column.is_selectable());
    found.ok_or_else(|| JobError::Unfit {
        role,
        table: table.name.clone(),
        message: format!("it has no column {name}, which the job names"),
    })
}

/// Where a table has a column that is literally named `source.x`, and the source has an `x`, the server would take one for the other.
fn refuse_qualified_names(qualifier: &'static str, table: &TableSchema, owner: &TableSchema) -> Result<(), JobError> {
    let meant = |column: &&Column| {
        column.name.strip_prefix(qualifier).and_then(|rest| rest.strip_prefix('.')).is_some_and(|name| owner.column(name).is_some())
    };
    let Some(column) = table.columns.iter().find(meant) else { return Ok(()) };
    let message = format!("its column {0} could be taken for the column that a job means by {0}", column.name);
    Err(JobError::Unfit { role: "source", table: table.name.clone(), message })
}

fn enabled_exclusions(job: &Job, options: &BindOptions) -> Result<Vec<String>, JobError> {
    let find = |name: &String| {
        job.source.exclusions.get(name).cloned().ok_or_else(|| JobError::Invalid {
            origin: job.origin.clone(),
            line: 1,
            message: format!("the exclusion {name} was asked for, but [source.exclusions] has none of that name"),
        })
    };
    options.exclusions.iter().map(find).collect()
}

/// All columns of both tables under their qualified names.
fn structure_of(source: &TableSchema, lookup: Option<&TableSchema>) -> Vec<(String, String)> {
    let qualified = |qualifier: &'static str, table: &TableSchema| {
        let columns = table.columns.iter().filter(|column| column.is_selectable());
        columns.map(move |column| (format!("{qualifier}.{}", column.name), column.type_name.clone())).collect::<Vec<_>>()
    };
    let mut structure = qualified("source", source);
    structure.extend(lookup.map(|table| qualified("lookup", table)).unwrap_or_default());
    structure
}

/// Leaves out what the target lacks, and optional columns for which the source or the lookup lacks something.
async fn columns_to_write(
    connection: &Connection,
    job: &Job,
    target: &TableSchema,
    over: &[(String, String)],
) -> Result<(Vec<(String, Expression)>, Vec<LeftOut>), JobError> {
    let (mut columns, mut left_out) = (Vec::new(), Vec::new());
    for (name, expression) in &job.columns {
        let Some(column) = target.column(name) else {
            left_out.push(LeftOut { name: name.clone(), reason: "the target has no such column".to_owned() });
            continue;
        };
        if !column.is_insertable() {
            left_out.push(LeftOut {
                name: name.clone(),
                reason: format!("it is {} in the target, which computes it itself", column.default_kind),
            });
            continue;
        }
        if job.target.optional.contains(name)
            && check_text(&expression.sql).is_ok()
            && names_unknown_column(connection, &inspecting(job), &expression.sql, over).await?.is_some()
        {
            left_out.push(LeftOut { name: name.clone(), reason: "it is optional, and the tables lack a column that it needs".to_owned() });
            continue;
        }
        columns.push((name.clone(), expression.clone()));
    }
    if columns.is_empty() {
        let message = "it has none of the columns that the job fills".to_owned();
        return Err(JobError::Unfit { role: "target", table: target.name.clone(), message });
    }
    Ok((columns, left_out))
}

struct Used {
    source: Vec<UsedColumn>,
    lookup: Vec<UsedColumn>,
}

fn used_columns(over: &[(String, String)], inspection: &Inspection) -> Used {
    let mut used = Used { source: Vec::new(), lookup: Vec::new() };
    for (qualified, type_name) in inspection.used.iter().filter_map(|&position| over.get(position)) {
        let column = |name: &str| UsedColumn { name: name.to_owned(), type_name: type_name.clone() };
        if let Some(name) = qualified.strip_prefix("source.") {
            used.source.push(column(name));
        } else if let Some(name) = qualified.strip_prefix("lookup.") {
            used.lookup.push(column(name));
        }
    }
    used
}

/// The settings under which the expressions are analyzed: those of the insert, which some types of columns need.
fn inspecting(job: &Job) -> Settings {
    Settings::common().with_all(&job.settings.insert.0)
}

/// Checks that each expression's type can be written into its column.
async fn fit_to_target(
    connection: &Connection,
    job: &Job,
    target: &TableSchema,
    columns: &[(String, Expression)],
    inspection: &Inspection,
    over: &[(String, String)],
) -> Result<Vec<BoundColumn>, JobError> {
    let mut bound = Vec::with_capacity(columns.len());
    for ((name, expression), expression_type) in columns.iter().zip(&inspection.types) {
        let Some(column) = target.column(name) else { continue };
        if can_be_null(expression_type) && !can_be_null(&column.type_name) {
            return Err(JobError::Unfit {
                role: "target",
                table: target.name.clone(),
                message: format!(
                    "its column {name} is {}, and the expression in line {} of {} gives {expression_type}; \
                     say what a NULL becomes, as in coalesce(…, '')",
                    column.type_name, expression.line, job.origin
                ),
            });
        }
        bound.push(BoundColumn {
            name: name.clone(),
            type_name: column.type_name.clone(),
            expression: expression.sql.clone(),
            expression_type: expression_type.clone(),
        });
    }
    let casts: Vec<_> = bound.iter().map(cast).collect();
    if convert(connection, job, &casts, over).await?.is_err() {
        for (column, cast) in bound.iter().zip(&casts) {
            if let Err(message) = convert(connection, job, std::slice::from_ref(cast), over).await? {
                let BoundColumn { name, type_name, expression_type, .. } = column;
                let message = format!("its column {name} is {type_name}, and {expression_type} cannot be converted into that: {message}");
                return Err(JobError::Unfit { role: "target", table: target.name.clone(), message });
            }
        }
    }
    Ok(bound)
}

fn cast(column: &BoundColumn) -> String {
    format!("CAST({}\n AS {})", column.expression, column.type_name)
}

/// Analyzes the conversions without running them; the inner error is the server's refusal.
async fn convert(connection: &Connection, job: &Job, casts: &[String], over: &[(String, String)]) -> Result<Result<(), String>, JobError> {
    let columns = structure(over.iter().map(|(name, type_name)| (name.as_str(), type_name.as_str())));
    let sql = format!("DESCRIBE (SELECT {}\nFROM null({columns}))", casts.join("\n, "));
    match connection.fetch("fit", &sql, "TSV", &inspecting(job)).await {
        Ok(_) => Ok(Ok(())),
        Err(ServerError::Server { message, .. }) => Ok(Err(message)),
        Err(other) => Err(asking("asking the server about conversions")(other)),
    }
}

/// Types whose values can be NULL by themselves.
fn can_be_null(type_name: &str) -> bool {
    let nullable = DataType::parse(type_name).map(|parsed| parsed.is_nullable());
    nullable.unwrap_or(false) || type_name.starts_with("Variant(") || type_name.starts_with("Dynamic")
}

/// Columns that stay at a default, and an error for those that have none and were not allowed to.
fn columns_left_to_defaults(job: &Job, target: &TableSchema, written: &[BoundColumn]) -> Result<Vec<String>, JobError> {
    let allowed = |name: &str| {
        job.target.defaults.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        })
    };
    let (mut defaults, mut missing) = (Vec::new(), Vec::new());
    for column in target.columns.iter().filter(|column| column.is_insertable()) {
        if written.iter().any(|written| written.name == column.name) {
            continue;
        }
        if column.default_kind.is_empty() && !can_be_null(&column.type_name) && !allowed(&column.name) {
            missing.push(column.name.as_str());
        } else {
            defaults.push(column.name.clone());
        }
    }
    if missing.is_empty() {
        return Ok(defaults);
    }
    let message = format!(
        "nothing fills its column{} {}, and the table declares no default; add an expression under [columns], or list it under `defaults` of [target]",
        if missing.len() == 1 { "" } else { "s" },
        missing.join(", ")
    );
    Err(JobError::Unfit { role: "target", table: target.name.clone(), message })
}

async fn bind_lookup(
    connection: &Connection,
    job: &Job,
    lookup: &Lookup,
    source: &TableSchema,
    table: TableSchema,
    columns: Vec<UsedColumn>,
) -> Result<BoundLookup, JobError> {
    let mut keys: Vec<BoundKey> = Vec::new();
    for (ours, theirs) in job.source.join_key.iter().zip(&lookup.join_key) {
        let (ours, theirs) = (needed("source", source, ours)?, needed("lookup", &table, theirs)?);
        keys.push(common_key(connection, &table.name, ours, theirs).await?);
    }
    let version = match &lookup.version {
        Some(name) => Some(bind_version(&table, needed("lookup", &table, name)?)?),
        None => None,
    };
    if let Some(name) = &lookup.deleted {
        needed("lookup", &table, name)?;
    }
    let window_type = match &lookup.window {
        Some(window) => Some(needed("lookup", &table, &window.column)?.type_name.clone()),
        None => None,
    };
    let head = keys.iter().map(|key| (key.lookup.as_str(), key.type_name.as_str()));
    let version_column = version.iter().map(|version| (version.name.as_str(), version.type_name.as_str()));
    let deleted_column = lookup.deleted.iter().map(|name| (name.as_str(), "Bool"));
    let framed: Vec<_> =
        head.chain(version_column).chain(deleted_column).chain(columns.iter().map(name_and_type)).chain([END_OF_ROW]).collect();
    let marked = framed.len();
    let layout = Arc::new(layout("lookup", &table.name, framed.into_iter(), marked)?);
    Ok(BoundLookup { keys, version, deleted: lookup.deleted.clone(), window: lookup.window.clone(), window_type, columns, layout, table })
}

fn bind_version(table: &TableSchema, column: &Column) -> Result<BoundVersion, JobError> {
    let unfit = |message: String| JobError::Unfit { role: "lookup", table: table.name.clone(), message };
    let parsed = DataType::parse(&column.type_name).map_err(|error| unfit(error.to_string()))?;
    let encoding = VersionEncoding::of(&parsed).ok_or_else(|| {
        unfit(format!(
            "its version column {} is {}; integers, dates and times of at most 8 bytes can be compared",
            column.name, column.type_name
        ))
    })?;
    Ok(BoundVersion { name: column.name.clone(), type_name: column.type_name.clone(), encoding })
}

fn name_and_type(column: &UsedColumn) -> (&str, &str) {
    (&column.name, &column.type_name)
}

/// Compiles how rows of these columns are framed.
fn layout<'a>(
    role: &'static str,
    table: &TableName,
    columns: impl Iterator<Item = (&'a str, &'a str)>,
    marked: usize,
) -> Result<RowLayout, JobError> {
    let unfit = |message: String| JobError::Unfit { role, table: table.clone(), message };
    let parse = |(name, type_name): (&str, &str)| {
        let parsed = DataType::parse(type_name).map_err(|error| unfit(format!("its column {name} cannot be streamed: {error}")))?;
        Ok((name.to_owned(), parsed))
    };
    let columns = columns.map(parse).collect::<Result<Vec<_>, JobError>>()?;
    RowLayout::new(&columns, marked).map_err(|error| unfit(error.to_string()))
}

fn remarks(source: &[UsedColumn], lookup: Option<&BoundLookup>) -> Vec<String> {
    let lookup_columns = lookup.map(|lookup| lookup.columns.as_slice()).unwrap_or_default();
    let json = |column: &&UsedColumn| DataType::parse(&column.type_name).is_ok_and(|parsed| parsed.contains_json());
    let names: Vec<_> = source.iter().chain(lookup_columns).filter(json).map(|column| column.name.as_str()).collect();
    if names.is_empty() {
        return Vec::new();
    }
    vec![format!("JSON travels as text, which loses the difference between 1.0 and 1: {}", names.join(", "))]
}
