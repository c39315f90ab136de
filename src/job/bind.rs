//! Binding a job to its tables: source and lookup on one server, the target on the same or another.
//!
//! Errors in tables, columns, types, expressions and keys are found here, before a row moves.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bound::{
    BoundColumn, BoundGroup, BoundJob, BoundKey, BoundLookup, BoundVersion, LeftOut, LiveRows,
    NewestBy, Owned, UsedColumn,
};
use super::cutoff::{Cutoff, Moment};
use super::error::{JobError, asking, suggestion};
use super::file::Job;
use super::fit::{Fitting, columns_left_to_defaults, columns_to_write, fit_to_target, inspecting};
use super::group::{Analyzed, analyze_groups, with_key_expressions};
use super::inspect::{Inspection, Inspector, Over, common_key, inspect};
use super::keys::{EqualVersion, Expression, StatementSettings};
use super::listing::Listed;
use super::objects::BoundObjects;
use super::statements::{self, END_OF_ROW, Scope, is_read_narrow};
use super::tables::{Tables, needed, or_denied_column, structure_of, tables};
use super::target_key::TargetKey;
use crate::clickhouse::{
    Column, Connection, Error as ServerError, Servers, Settings, TableName, TableSchema,
    deduplication_settings, version_of,
};
use crate::formats::native::{NativeLayout, SourceLayout};
use crate::formats::rowbinary::{DataType, RowLayout, VersionEncoding};

/// What the command line changes of a job.
#[derive(Clone, Debug, Default)]
pub struct BindOptions {
    /// A target table in place of the job's.
    pub target_table: Option<String>,
    /// The exclusions to apply, by name.
    pub exclusions: Vec<String>,
    /// The filters to apply, by name.
    pub filters: Vec<String>,
    /// Only rows before this moment.
    pub(crate) before: Option<Moment>,
    /// The period of the objects, for a job that reads objects.
    pub(crate) period: Option<String>,
}

/// Checks the job against its tables and resolves every type.
///
/// The target's server evaluates the expressions, so it is the one that is asked about them. The
/// common type of the key is that of a join, so the source's server is asked for it.
///
/// # Errors
/// [`JobError`]. Nothing changes on the servers.
pub async fn bind(
    servers: &Servers,
    job: &Job,
    options: &BindOptions,
) -> Result<BoundJob, JobError> {
    match Box::pin(bind_visible(servers, job, options)).await {
        Err(error) => Err(or_denied_column(servers, job, error).await),
        bound => bound,
    }
}

/// Binds the job to the columns that the user may see.
async fn bind_visible(
    servers: &Servers,
    job: &Job,
    options: &BindOptions,
) -> Result<BoundJob, JobError> {
    check_profiles(servers)?;
    check_settings(servers, job).await?;
    let Servers { source: reading, target: writing, .. } = servers;
    let target_table = options.target_table.as_ref();
    let tables = tables(servers, job, target_table, options.period.as_deref()).await?;
    let selection = bind_selection(reading, job, &tables.source, options).await?;
    let Mapping { columns, left_out, defaults, group, used } =
        bind_mapping(writing, job, &tables).await?;
    let newest_by = bind_newest_by(reading, job, &tables.source).await?;
    let (owned, live) = bind_owners(writing, job, &tables.target).await?;
    let Tables { source, listed, postgres, lookup, target } = tables;
    let lookup = bind_lookup(reading, job, &source, lookup, used.lookup).await?;
    let SourceRow { rows: source_layout, blocks: source_blocks } =
        source_row(&source, &used.source, lookup.as_ref())?;
    let (objects, of_objects) = bind_objects(job, listed, &used.source, &selection)?;
    let remarks = remarks(&used.source, lookup.as_ref()).into_iter().chain(of_objects).collect();
    let bound = BoundJob {
        name: job.name.clone(),
        origin: job.origin.clone(),
        collapse: job.source.collapse,
        narrow: reads_narrow(reading, job, &source).await?,
        source_deleted: job.source.deleted.clone(),
        newest_by,
        snapshot: job.source.snapshot,
        source_time: job.source.time.clone(),
        exclusions: selection.exclusions,
        filters: selection.filters,
        before: selection.before,
        remarks,
        source_columns: used.source,
        source,
        objects,
        postgres,
        lookup,
        target,
        owned,
        on_equal_version: job.target.on_equal_version,
        publish: job.target.publish,
        keep_versions: job.target.keep_versions,
        live,
        live_rows: None,
        removal: job.target.removal,
        checks: job.checks.clone(),
        group,
        columns,
        left_out,
        defaults,
        settings: settings(job),
        deduplication_settings: recognition(writing).await?,
        source_layout,
        source_blocks,
        native_layout: Err(String::new()),
    };
    complete(servers, bound).await
}

/// The settings under which the target's server recognizes blocks.
async fn recognition(target: &Connection) -> Result<Settings, JobError> {
    let recognizing = "asking the server how it recognizes blocks";
    deduplication_settings(target).await.map_err(asking(recognizing))
}

/// What a person should know of a source in PostgreSQL.
const OWN_TRANSACTIONS: &str = "PostgreSQL reads each chunk in a transaction of its own: a row that changes its range meanwhile is read twice or not at all";

/// The objects of a job that reads objects, and remarks on what is read outside of tables.
fn bind_objects(
    job: &Job,
    listed: Option<Listed>,
    used: &[UsedColumn],
    selection: &Selection,
) -> Result<(Option<Arc<BoundObjects>>, Vec<String>), JobError> {
    let Some((objects, listed)) = job.objects().zip(listed) else {
        let of_postgres = job.reads_outside().then(|| OWN_TRANSACTIONS.to_owned());
        return Ok((None, of_postgres.into_iter().collect()));
    };
    let filters = selection.filters.iter().map(|(_, filter)| filter.as_str());
    let predicates: Vec<_> =
        selection.exclusions.iter().map(String::as_str).chain(filters).collect();
    let remarks = listed.remarks(objects, used, &job.source.join_key, &predicates)?;
    Ok((Some(Arc::new(listed.objects)), remarks))
}

/// Adds what follows from the rest of a bound job, and checks its predicates.
async fn complete(servers: &Servers, mut bound: BoundJob) -> Result<BoundJob, JobError> {
    bound.native_layout = native_layout(&bound);
    if bound.on_equal_version == EqualVersion::Live {
        bound.live_rows = live_rows(servers, &bound).await?;
    }
    check_exclusions(&servers.source, &bound).await?;
    Ok(bound)
}

/// Which rows of the source the job takes.
struct Selection {
    exclusions: Vec<String>,
    filters: Vec<(String, String)>,
    before: Option<Cutoff>,
}

async fn bind_selection(
    connection: &Connection,
    job: &Job,
    source: &TableSchema,
    options: &BindOptions,
) -> Result<Selection, JobError> {
    for name in [&job.source.version, &job.source.deleted, &job.source.time].into_iter().flatten() {
        needed("source", source, name)?;
    }
    let exclusions =
        predicates(job, "source.exclusions", &job.source.exclusions, &options.exclusions)?;
    let only = job.source.only.iter().map(|only| ("where".to_owned(), only.clone()));
    let named = predicates(job, "source.filters", &job.source.filters, &options.filters)?;
    Ok(Selection {
        exclusions: exclusions.into_iter().map(|(_, predicate)| predicate).collect(),
        filters: only.chain(named).collect(),
        before: bind_cutoff(connection, job, source, options.before).await?,
    })
}

/// The columns of `newest_by`, and the version of the engine, which decides among rows of one key too.
async fn bind_newest_by(
    connection: &Connection,
    job: &Job,
    source: &TableSchema,
) -> Result<Option<NewestBy>, JobError> {
    let columns = &job.source.newest_by;
    if columns.is_empty() {
        return Ok(None);
    }
    let unfit = |message: &str| JobError::Unfit {
        role: "source",
        table: source.name.clone(),
        message: format!("[source] has newest_by, {message}"),
    };
    for name in columns {
        needed("source", source, name)?;
    }
    if !source.is_replacing() || source.sorting_key.is_empty() {
        return Err(unfit(
            "and its engine keeps no newest version of a row; it must be a ReplacingMergeTree with a version",
        ));
    }
    if source.sorting_key.contains(" DESC") {
        return Err(unfit(
            "and its sorting key has descending columns, which no statement can name",
        ));
    }
    let version = version_of(connection, &source.name).await;
    match version.map_err(asking("asking the server for the version of the source"))? {
        Some(version) => Ok(Some(NewestBy { columns: columns.clone(), version })),
        None => Err(unfit(
            "and its ReplacingMergeTree has no version, so no row of several is the newest",
        )),
    }
}

/// What fills the target's columns.
struct Mapping {
    columns: Vec<BoundColumn>,
    left_out: Vec<LeftOut>,
    defaults: Vec<String>,
    group: Option<BoundGroup>,
    used: Used,
}

async fn bind_mapping(
    connection: &Connection,
    job: &Job,
    Tables { source, lookup, target, .. }: &Tables,
) -> Result<Mapping, JobError> {
    let over = structure_of(source, lookup.as_ref());
    let Analyzed { columns, left_out, inspection, group } =
        analyze(connection, job, (source, target), &over).await?;
    let clause = group.as_ref().map(BoundGroup::clause).unwrap_or_default();
    let fitting = Fitting { connection, job, over: &over, clause: &clause };
    let columns = fit_to_target(fitting, target, &columns, &inspection).await?;
    let columns = with_key_expressions(columns, group.as_ref());
    let defaults = columns_left_to_defaults(job, target, &columns)?;
    Ok(Mapping { columns, left_out, defaults, group, used: used_columns(&over, &inspection) })
}

/// Whether FINAL of the source is replaced by a narrow read.
async fn reads_narrow(
    connection: &Connection,
    job: &Job,
    source: &TableSchema,
) -> Result<bool, JobError> {
    Ok(job.source.collapse
        && is_read_narrow(connection, source)
            .await
            .map_err(asking("asking the server how FINAL can read the source"))?)
}

/// Which of the target's rows are the job's, and which are live writers'.
async fn bind_owners(
    connection: &Connection,
    job: &Job,
    target: &TableSchema,
) -> Result<(Option<Owned>, Option<Owned>), JobError> {
    let owned = bind_rows(connection, job, target, "owned", job.target.owned.as_ref()).await?;
    let live = bind_rows(connection, job, target, "live", job.target.live.as_ref()).await?;
    Ok(owned_and_live(owned, live))
}

/// Analyzes the expressions of the job's columns.
async fn analyze(
    connection: &Connection,
    job: &Job,
    (source, target): (&TableSchema, &TableSchema),
    over: &[(String, String)],
) -> Result<Analyzed, JobError> {
    if let Some(keys) = &job.group {
        return analyze_groups(connection, job, keys, (source, target), over).await;
    }
    let (columns, left_out) = columns_to_write(connection, job, target, over).await?;
    let inspector = Inspector {
        connection,
        settings: &inspecting(job),
        origin: &job.origin,
        structure: over,
        over: Over::Row,
        allowed_functions: &job.target.allow_functions,
    };
    let inspection = inspect(inspector, &columns).await?;
    Ok(Analyzed { columns, left_out, inspection, group: None })
}

/// A row of the source query: key columns, columns that expressions read, end of the row.
struct SourceRow {
    /// As rows.
    rows: Arc<RowLayout>,
    /// As blocks, or the reason why they cannot be read.
    blocks: Result<Arc<SourceLayout>, String>,
}

fn source_row(
    source: &TableSchema,
    used: &[UsedColumn],
    lookup: Option<&BoundLookup>,
) -> Result<SourceRow, JobError> {
    let keys = lookup.map(|lookup| lookup.keys.as_slice()).unwrap_or_default();
    let framed = keys
        .iter()
        .map(|key| (key.source.as_str(), key.type_name.as_str()))
        .chain(used.iter().map(name_and_type))
        .chain([END_OF_ROW]);
    let columns = parsed("source", &source.name, framed)?;
    let rows = Arc::new(row_layout("source", &source.name, &columns, keys.len())?);
    let blocks = SourceLayout::new(&columns, keys.len());
    Ok(SourceRow { rows, blocks: blocks.map(Arc::new).map_err(|error| error.to_string()) })
}

/// Which of the target's rows are the job's, and which are live writers'. Either is by default what the
/// other is not, and no row is both.
fn owned_and_live(owned: Option<Owned>, live: Option<Owned>) -> (Option<Owned>, Option<Owned>) {
    let not = |rows: &Owned| Owned {
        sql: format!("NOT {}", rows.is_true()),
        columns: rows.columns.clone(),
    };
    match (owned, live) {
        (None, None) => (None, None),
        (Some(owned), None) => {
            let live = not(&owned);
            (Some(owned), Some(live))
        }
        (None, Some(live)) => (Some(not(&live)), Some(live)),
        (Some(owned), Some(live)) => {
            let sql = format!("{} AND NOT {}", live.is_true(), owned.is_true());
            let live = Owned { sql, columns: [live.columns, owned.columns.clone()].concat() };
            (Some(owned), Some(live))
        }
    }
}

/// Recognizes the source rows that are left out because of a live row of an equal version.
///
/// That takes a comparison of both tables, so they must be on one server, and the target's key must be
/// known. Elsewhere the job is rejected if the target has live rows.
async fn live_rows(servers: &Servers, job: &BoundJob) -> Result<Option<LiveRows>, JobError> {
    let Some(live) = &job.live else { return Ok(None) };
    let target = &servers.target;
    let unfit = |message: String| {
        let message = format!("[target] on_equal_version is live, but {message}");
        JobError::Unfit { role: "target", table: job.target.name.clone(), message }
    };
    let is_elsewhere = servers.source.endpoint().url() != target.endpoint().url();
    if is_elsewhere || !job.target.is_merge_tree() {
        let sql = format!("SELECT 1 FROM {} WHERE {} LIMIT 1", job.target.name.quoted(), live.sql);
        let found = target.fetch("live", &sql, "TSV", &Settings::common()).await;
        let found = found.map_err(asking("looking for rows of live writers"))?;
        let reason = if is_elsewhere {
            "the source is on another server"
        } else {
            "the key of the target is not known"
        };
        return if found.is_empty() {
            Ok(None)
        } else {
            Err(unfit(format!(
                "{reason}, and the target has rows of live writers; on_equal_version = \"backfill\" replaces those of an equal version"
            )))
        };
    }
    if !job.target.is_replacing() {
        return Ok(None);
    }
    let key = TargetKey::read(target, job, &job.columns, &[]).await;
    let key = key.map_err(asking("asking the server for the keys of the target"))?;
    key.live_rows(job, &live.sql).map(Some).map_err(unfit)
}

/// Checks an expression that selects some of the target's rows.
async fn bind_rows(
    connection: &Connection,
    job: &Job,
    target: &TableSchema,
    name: &str,
    expression: Option<&Expression>,
) -> Result<Option<Owned>, JobError> {
    let Some(owned) = expression else { return Ok(None) };
    let columns = target.columns.iter().filter(|column| column.is_selectable());
    let over: Vec<_> =
        columns.map(|column| (column.name.clone(), column.type_name.clone())).collect();
    let asked = [(name.to_owned(), owned.clone())];
    let inspector = Inspector {
        connection,
        settings: &inspecting(job),
        origin: &job.origin,
        structure: &over,
        over: Over::Row,
        allowed_functions: &[],
    };
    let inspection = inspect(inspector, &asked).await?;
    let type_name = inspection.types.first().map(String::as_str);
    let is_plain = matches!(type_name, Some("UInt8" | "Bool"));
    match type_name {
        Some("UInt8" | "Bool" | "LowCardinality(UInt8)" | "LowCardinality(Bool)") => {
            let columns = inspection
                .used
                .iter()
                .filter_map(|&position| over.get(position))
                .map(|(name, _)| name.clone())
                .collect();
            let sql = if is_plain {
                owned.sql.clone()
            } else {
                format!("CAST(({}\n) != 0 AS UInt8)", owned.sql)
            };
            Ok(Some(Owned { sql, columns }))
        }
        other => Err(JobError::Expression {
            origin: job.origin.clone(),
            line: owned.line,
            column: name.to_owned(),
            message: format!(
                "gives {}; it must be a Boolean for each row of the target",
                other.unwrap_or("nothing")
            ),
        }),
    }
}

/// The layout of rows as Native blocks, or the reason why they cannot be sent so.
fn native_layout(job: &BoundJob) -> Result<Arc<NativeLayout>, String> {
    let parse = |(name, type_name): (String, &str)| {
        DataType::parse(type_name).map(|parsed| (name, parsed)).map_err(|error| error.to_string())
    };
    let columns =
        statements::input_columns(job).into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    NativeLayout::new(&columns).map(Arc::new).map_err(|error| error.to_string())
}

/// Refuses users whose profiles fix settings under which the result would be wrong.
fn check_profiles(servers: &Servers) -> Result<(), JobError> {
    let forced = servers.each().find(|connection| !connection.profile().forced().is_empty());
    forced.map_or(Ok(()), |connection| {
        Err(JobError::Profile {
            user: connection.endpoint().user().to_owned(),
            settings: connection.profile().forced().to_vec(),
        })
    })
}

/// Lets the server look at the job's settings by themselves, so that no column is blamed for them
/// later.
async fn check_settings(servers: &Servers, job: &Job) -> Result<(), JobError> {
    let StatementSettings { source, lookup, insert } = &job.settings;
    let Servers { source: reading, target: writing, .. } = servers;
    for (statement, settings, connection) in
        [("source", source, reading), ("lookup", lookup, reading), ("insert", insert, writing)]
    {
        if settings.0.is_empty() {
            continue;
        }
        match connection
            .fetch("settings", "SELECT 1", "TSV", &Settings::default().with_all(&settings.0))
            .await
        {
            Ok(_) => {}
            Err(ServerError::Server { message, .. }) => {
                return Err(JobError::Settings { origin: job.origin.clone(), statement, message });
            }
            Err(other) => return Err(asking("asking the server about the job's settings")(other)),
        }
    }
    Ok(())
}

/// Checks the exclusions and filters, and the search for live rows, by planning a query with them: they may name
/// tables that the user cannot read.
async fn check_exclusions(connection: &Connection, job: &BoundJob) -> Result<(), JobError> {
    let nothing = Scope::of_nothing();
    let without_live_rows = BoundJob { live_rows: None, ..job.clone() };
    for (needed, job, role, table, what) in [
        (
            !job.exclusions.is_empty() || !job.filters.is_empty(),
            &without_live_rows,
            "source",
            &job.source.name,
            if job.filters.is_empty() { "the exclusion" } else { "the exclusion or the filter" },
        ),
        (job.live_rows.is_some(), job, "target", &job.target.name, "the search for live rows"),
    ] {
        if !needed {
            continue;
        }
        let sql = format!("EXPLAIN {}", statements::count(job, &nothing));
        match connection.fetch("exclusions", &sql, "TSV", &statements::source_settings(job)).await {
            Ok(_) => {}
            Err(ServerError::Server { message, .. }) => {
                let message = format!("the server rejects {what}: {message}");
                return Err(JobError::Unfit { role, table: table.clone(), message });
            }
            Err(other) => return Err(asking("checking the exclusions")(other)),
        }
    }
    Ok(())
}

/// The predicates of these names, with their names.
fn predicates(
    job: &Job,
    table: &'static str,
    known: &BTreeMap<String, String>,
    names: &[String],
) -> Result<Vec<(String, String)>, JobError> {
    if let Some(name) = names.iter().find(|name| !known.contains_key(*name)) {
        return Err(JobError::UnknownPredicate {
            origin: job.origin.clone(),
            table,
            name: name.clone(),
            known: known.keys().cloned().collect(),
            suggestion: suggestion(name, known.keys().map(String::as_str)).map(str::to_owned),
        });
    }
    // In the order of the job, whatever the order of the options.
    let enabled = known.iter().filter(|(name, _)| names.contains(name));
    Ok(enabled.map(|(name, predicate)| (name.clone(), predicate.clone())).collect())
}

/// Resolves the moment of `--before` for the job's column.
async fn bind_cutoff(
    connection: &Connection,
    job: &Job,
    source: &TableSchema,
    moment: Option<Moment>,
) -> Result<Option<Cutoff>, JobError> {
    let column = match &job.source.before {
        Some(name) => Some(needed("source", source, name)?),
        None => None,
    };
    match (moment, column) {
        (None, _) => Ok(None),
        (Some(moment), Some(column)) => {
            Cutoff::resolve(connection, source, column, moment).await.map(Some)
        }
        (Some(moment), None) => {
            Err(JobError::NoCutoff { origin: job.origin.clone(), moment: moment.to_string() })
        }
    }
}

struct Used {
    source: Vec<UsedColumn>,
    lookup: Vec<UsedColumn>,
}

fn used_columns(over: &[(String, String)], inspection: &Inspection) -> Used {
    let mut used = Used { source: Vec::new(), lookup: Vec::new() };
    for (qualified, type_name) in inspection.used.iter().filter_map(|&position| over.get(position))
    {
        let column =
            |name: &str| UsedColumn { name: name.to_owned(), type_name: type_name.clone() };
        if let Some(name) = qualified.strip_prefix("source.") {
            used.source.push(column(name));
        } else if let Some(name) = qualified.strip_prefix("lookup.") {
            used.lookup.push(column(name));
        }
    }
    used
}

async fn bind_lookup(
    connection: &Connection,
    job: &Job,
    source: &TableSchema,
    table: Option<TableSchema>,
    columns: Vec<UsedColumn>,
) -> Result<Option<BoundLookup>, JobError> {
    let (Some(lookup), Some(table)) = (&job.lookup, table) else { return Ok(None) };
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
    let late = head.clone().chain(columns.iter().map(name_and_type)).chain([END_OF_ROW]);
    let deferred_layout = Arc::new(layout("lookup", &table.name, late, keys.len())?);
    let version_column =
        version.iter().map(|version| (version.name.as_str(), version.type_name.as_str()));
    let deleted_column = lookup.deleted.iter().map(|name| (name.as_str(), "Bool"));
    let framed: Vec<_> = head
        .chain(version_column)
        .chain(deleted_column)
        .chain(columns.iter().map(name_and_type))
        .chain([END_OF_ROW])
        .collect();
    let marked = framed.len();
    let layout = Arc::new(layout("lookup", &table.name, framed.into_iter(), marked)?);
    let (deleted, window) = (lookup.deleted.clone(), lookup.window.clone());
    Ok(Some(BoundLookup {
        table,
        keys,
        version,
        deleted,
        window,
        window_type,
        columns,
        layout,
        deferred_layout,
    }))
}

fn bind_version(table: &TableSchema, column: &Column) -> Result<BoundVersion, JobError> {
    let unfit =
        |message: String| JobError::Unfit { role: "lookup", table: table.name.clone(), message };
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

/// The framing of rows of these columns.
fn layout<'a>(
    role: &'static str,
    table: &TableName,
    columns: impl Iterator<Item = (&'a str, &'a str)>,
    marked: usize,
) -> Result<RowLayout, JobError> {
    row_layout(role, table, &parsed(role, table, columns)?, marked)
}

/// These columns with their types.
fn parsed<'a>(
    role: &'static str,
    table: &TableName,
    columns: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<(String, DataType)>, JobError> {
    let unfit = |message: String| JobError::Unfit { role, table: table.clone(), message };
    let parse = |(name, type_name): (&str, &str)| {
        let parsed = DataType::parse(type_name)
            .map_err(|error| unfit(format!("its column {name} cannot be streamed: {error}")))?;
        Ok((name.to_owned(), parsed))
    };
    columns.map(parse).collect()
}

fn row_layout(
    role: &'static str,
    table: &TableName,
    columns: &[(String, DataType)],
    marked: usize,
) -> Result<RowLayout, JobError> {
    RowLayout::new(columns, marked).map_err(|error| JobError::Unfit {
        role,
        table: table.clone(),
        message: error.to_string(),
    })
}

/// The settings of the job's statements.
fn settings(job: &Job) -> StatementSettings {
    let mut settings = job.settings.clone();
    for (name, value) in job.objects().iter().flat_map(|objects| objects.settings()) {
        for statement in [&mut settings.source, &mut settings.insert] {
            statement.0.insert(name.to_owned(), value.to_owned());
        }
    }
    settings
}

fn remarks(source: &[UsedColumn], lookup: Option<&BoundLookup>) -> Vec<String> {
    let lookup_columns = lookup.map(|lookup| lookup.columns.as_slice()).unwrap_or_default();
    let json = |column: &&UsedColumn| {
        DataType::parse(&column.type_name).is_ok_and(|parsed| parsed.contains_json())
    };
    let names: Vec<_> = source
        .iter()
        .chain(lookup_columns)
        .filter(json)
        .map(|column| column.name.as_str())
        .collect();
    if names.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "JSON travels as text, which loses the difference between 1.0 and 1: {}",
        names.join(", ")
    )]
}
