//! What a server and the tables of a database are like, and what is wrong with them.

use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::clickhouse::{
    Connection, Error, TableName, literal_list, quote_identifier, quote_literal, table_schema,
};
use crate::job::{Job, table_ttl};
use crate::units::{count, counted, duration};

/// What is looked at.
#[derive(Clone, Debug)]
pub(crate) struct HealthOptions {
    /// The tables of a pack; `None` for all of the database.
    pub tables: Option<Vec<String>>,
    /// The roll-ups whose counts are compared with those of their raw tables.
    pub rollups: Vec<RollupJob>,
    /// The age from which a mutation or a merge counts as stuck.
    pub stuck_after: Duration,
}

/// The result. Field names are a contract; what the user may not read is `null`.
#[derive(Debug, Serialize)]
pub(crate) struct Health {
    /// Whether nothing is wrong.
    pub healthy: bool,
    pub database: String,
    pub version: String,
    pub uptime_seconds: u64,
    pub ping_milliseconds: f64,
    pub tables: Vec<Table>,
    pub mutations: Option<Vec<Mutation>>,
    pub merges: Option<Vec<Merge>>,
    pub replicas: Option<Vec<Replica>>,
    pub views: Option<Vec<View>>,
    pub rollups: Vec<Rollup>,
    pub problems: Vec<Problem>,
}

/// A table or a view.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Table {
    pub name: String,
    pub engine: String,
    pub rows: Option<u64>,
    pub bytes: Option<u64>,
    pub uncompressed_bytes: u64,
    pub compression_ratio: Option<f64>,
    pub parts: u64,
    pub oldest_partition: Option<String>,
    pub newest_partition: Option<String>,
    /// Parts with rows that the TTL has expired and no merge has removed.
    pub parts_with_expired_rows: u64,
    /// The seconds since the first of them expired.
    pub ttl_overdue_seconds: u64,
}

/// A mutation that is not done.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Mutation {
    pub table: String,
    pub mutation_id: String,
    pub command: String,
    pub age_seconds: u64,
    pub parts_to_do: u64,
    pub failure: String,
}

/// A merge in progress.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Merge {
    pub table: String,
    pub part: String,
    pub elapsed_seconds: f64,
    pub progress: f64,
}

/// A replicated table.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Replica {
    pub table: String,
    pub delay_seconds: u64,
    pub is_readonly: bool,
    pub exception: String,
}

/// A materialized view.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct View {
    pub name: String,
    #[serde(skip_serializing)]
    pub query: String,
    #[serde(skip_serializing)]
    pub has_target: bool,
    /// Why it cannot work; empty if it can.
    #[serde(default)]
    pub error: String,
}

/// Something that is wrong.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// The table or the view.
    pub subject: String,
    /// What is wrong with it.
    pub message: String,
    /// What helps.
    pub advice: String,
}

/// Looks at everything. Only questions about the server and its tables fail; what the user may not read
/// is left out.
pub(crate) async fn examine(
    connection: &Connection,
    version: String,
    options: &HealthOptions,
) -> Result<Health, Error> {
    #[derive(Deserialize)]
    struct Uptime {
        uptime_seconds: u64,
    }
    let asked = Instant::now();
    connection.ping().await?;
    let ping = asked.elapsed();
    let uptime: Uptime =
        connection.row("health", "SELECT toUInt64(uptime()) AS uptime_seconds").await?;
    let scope = Scope::new(connection, options);
    let mut rollups = Vec::new();
    for job in &options.rollups {
        rollups.push(compare(connection, job).await);
    }
    let mut health = Health {
        healthy: false,
        database: connection.endpoint().database().to_owned(),
        version,
        uptime_seconds: uptime.uptime_seconds,
        ping_milliseconds: ping.as_secs_f64() * 1000.0,
        tables: connection.rows("health", &tables(&scope)).await?,
        mutations: optional(connection, &scope, MUTATIONS, "table").await,
        merges: optional(connection, &scope, MERGES, "table").await,
        replicas: optional(connection, &scope, REPLICAS, "table").await,
        views: views(connection, &scope).await,
        rollups,
        problems: Vec::new(),
    };
    health.problems = problems(&health, options);
    health.healthy = health.problems.is_empty();
    Ok(health)
}

/// The conditions that a row of a system table belongs to what is looked at.
struct Scope {
    database: String,
    tables: Option<String>,
}

impl Scope {
    fn new(connection: &Connection, options: &HealthOptions) -> Self {
        Self {
            database: quote_literal(connection.endpoint().database()).to_string(),
            tables: options.tables.as_ref().map(literal_list),
        }
    }

    fn condition(&self, column: &str) -> String {
        let tables = self.tables.as_ref();
        let tables = tables.map(|names| format!(" AND {column} IN ({names})")).unwrap_or_default();
        format!("database = {}{tables}", self.database)
    }
}

fn tables(scope: &Scope) -> String {
    let (tables, parts) = (scope.condition("name"), scope.condition("table"));
    format!(
        "SELECT name, engine, total_rows AS rows, total_bytes AS bytes, p.uncompressed AS uncompressed_bytes, \
         if(p.compressed = 0, NULL, round(p.uncompressed / p.compressed, 2)) AS compression_ratio, p.parts AS parts, \
         nullIf(p.oldest, '') AS oldest_partition, nullIf(p.newest, '') AS newest_partition, \
         p.expired AS parts_with_expired_rows, p.overdue AS ttl_overdue_seconds \
         FROM system.tables AS t LEFT JOIN ( \
         SELECT table, sum(data_uncompressed_bytes) AS uncompressed, sum(data_compressed_bytes) AS compressed, count() AS parts, \
         min(partition) AS oldest, max(partition) AS newest, \
         countIf(delete_ttl_info_min > 0 AND delete_ttl_info_min < now()) AS expired, \
         toUInt64(maxIf(now() - delete_ttl_info_min, delete_ttl_info_min > 0 AND delete_ttl_info_min < now())) AS overdue \
         FROM system.parts WHERE active AND {parts} GROUP BY table) AS p ON p.table = t.name \
         WHERE {tables} AND NOT startsWith(name, '.inner') ORDER BY name"
    )
}

const MUTATIONS: &str = "SELECT table, mutation_id, command, toUInt64(greatest(0, now() - create_time)) AS age_seconds, \
     toUInt64(greatest(0, parts_to_do)) AS parts_to_do, latest_fail_reason AS failure FROM system.mutations WHERE NOT is_done AND ";
const MERGES: &str = "SELECT table, result_part_name AS part, elapsed AS elapsed_seconds, round(progress, 3) AS progress \
     FROM system.merges WHERE ";
const REPLICAS: &str = "SELECT table, absolute_delay AS delay_seconds, toBool(is_readonly) AS is_readonly, \
     if(zookeeper_exception = '', last_queue_update_exception, zookeeper_exception) AS exception FROM system.replicas WHERE ";

/// The rows of a question that the user may be denied.
async fn optional<T: DeserializeOwned>(
    connection: &Connection,
    scope: &Scope,
    sql: &str,
    column: &str,
) -> Option<Vec<T>> {
    let sql = format!("{sql}{} ORDER BY {column}", scope.condition(column));
    connection.rows("health", &sql).await.ok()
}

/// The materialized views, each with the server's words if its query or its target is broken.
async fn views(connection: &Connection, scope: &Scope) -> Option<Vec<View>> {
    const VIEWS: &str = "SELECT name, as_select AS query, \
         toBool(target_table = '' OR (target_database, target_table) IN (SELECT database, name FROM system.tables)) AS has_target \
         FROM system.tables WHERE engine = 'MaterializedView' AND ";
    const REFRESHES: &str = "SELECT view AS name, '' AS query, true AS has_target, splitByString(', Stack trace (', exception)[1] AS error FROM system.view_refreshes WHERE ";
    let mut views: Vec<View> = optional(connection, scope, VIEWS, "name").await?;
    let refreshes: Vec<View> =
        optional(connection, scope, REFRESHES, "view").await.unwrap_or_default();
    for view in &mut views {
        let sql = format!("DESCRIBE ({})", view.query);
        if let Err(error) = connection.rows::<serde::de::IgnoredAny>("health", &sql).await {
            view.error = error.to_string();
        } else if !view.has_target {
            "the table that it fills does not exist".clone_into(&mut view.error);
        } else if let Some(refresh) = refreshes.iter().find(|refresh| refresh.name == view.name) {
            view.error.clone_from(&refresh.error);
        }
    }
    Some(views)
}

/// A roll-up of a pack.
#[derive(Clone, Debug)]
pub(crate) struct RollupJob {
    /// As `--job` takes it.
    pub reference: String,
    pub job: Job,
}

/// How the counts of a roll-up compare. A figure that cannot be asked for is `null`.
#[derive(Debug, Serialize)]
pub(crate) struct Rollup {
    pub job: String,
    pub source: String,
    pub rollup: String,
    /// Rows of the groups whose raw rows no TTL has expired, but for those of the last hour.
    pub source_rows: Option<u64>,
    /// The rows that the roll-up counts in them.
    pub rollup_rows: Option<u64>,
    pub different_groups: Option<u64>,
    /// Why they cannot be compared.
    pub reason: Option<String>,
}

#[derive(Deserialize)]
struct Counts {
    source_rows: u64,
    rollup_rows: u64,
    different: u64,
}

/// How often a difference is looked at again: a view fills its target a moment after the source.
const ATTEMPTS: u32 = 3;

/// Compares the counts, group by group of time.
async fn compare(connection: &Connection, rollup: &RollupJob) -> Rollup {
    let RollupJob { reference, job } = rollup;
    let mut found = Rollup {
        job: reference.clone(),
        source: job.relation.text().to_owned(),
        rollup: job.target.table.clone(),
        source_rows: None,
        rollup_rows: None,
        different_groups: None,
        reason: None,
    };
    match ask(connection, job).await {
        Ok(Some(counts)) => {
            found.source_rows = Some(counts.source_rows);
            found.rollup_rows = Some(counts.rollup_rows);
            found.different_groups = Some(counts.different);
        }
        Ok(None) => {
            let reason =
                "the job has no count() or no group of time that the TTL of its source reads";
            found.reason = Some(reason.to_owned());
        }
        Err(error) => found.reason = Some(error.to_string()),
    }
    found
}

async fn ask(connection: &Connection, job: &Job) -> Result<Option<Counts>, Error> {
    let Some(sql) = question(connection, job).await? else { return Ok(None) };
    let mut counts: Counts = connection.row("health", &sql).await?;
    for _ in 1..ATTEMPTS {
        if counts.different == 0 {
            break;
        }
        sleep(Duration::from_secs(1)).await;
        counts = connection.row("health", &sql).await?;
    }
    Ok(Some(counts))
}

/// The query of both counts; `None` where they cannot be compared.
async fn question(connection: &Connection, job: &Job) -> Result<Option<String>, Error> {
    let database = connection.endpoint().database();
    let source = job.relation.name(database);
    let target = TableName::parse(&job.target.table, database);
    let Some(schema) = table_schema(connection, &source).await? else { return Ok(None) };
    let ttl = table_ttl(connection, &schema).await?;
    let counter = job.columns.iter().find(|(_, expression)| expression.sql.trim() == "count()");
    // The column of time: that of the TTL, or the one that the job names.
    let time = match &*ttl.columns {
        [] => job.source.time.clone(),
        [column] => Some(column.clone()),
        _ => None,
    };
    let key = job.group.iter().flatten().find(|(_, expression)| {
        let reads = |column: &String| expression.sql.contains(&format!("source.{column}"));
        time.as_ref().is_none_or(reads) && expression.sql.contains("toStartOf")
    });
    let (Some((counter, _)), Some((key, expression))) = (counter, key) else { return Ok(None) };
    let (counter, key) = (quote_identifier(counter), quote_identifier(key));
    let kept = time
        .zip(ttl.expired_by(ttl.now))
        .map(|(time, expired)| (quote_identifier(&time), format!(" AND NOT {expired}")));
    let (time, alive) = kept.unwrap_or_else(|| (quote_identifier("k"), String::new()));
    let [source, target] = [source.quoted(), target.quoted()];
    Ok(Some(format!(
        "SELECT sum(raw) AS source_rows, sum(rolled) AS rollup_rows, countIf(raw != rolled) AS different FROM (\
         SELECT k AS {time}, sum(r) AS raw, sum(n) AS rolled FROM (\
         SELECT {} AS k, count() AS r, 0 AS n FROM {source} AS source GROUP BY k \
         UNION ALL SELECT {key} AS k, 0 AS r, sum({counter}) AS n FROM {target} GROUP BY k) GROUP BY k) \
         WHERE {time} + INTERVAL 1 HOUR < now(){alive}",
        expression.sql
    )))
}

/// The delay in seconds from which a replica counts as behind.
const REPLICA_DELAY: u64 = 300;
/// By default a merge applies the TTL within 4 hours (`merge_with_ttl_timeout`); a day late is a fault.
const TTL_OVERDUE: u64 = 86_400;

/// All that is wrong.
fn problems(health: &Health, options: &HealthOptions) -> Vec<Problem> {
    let stuck_after = options.stuck_after;
    let is_stuck = |mutation: &&Mutation| {
        !mutation.failure.is_empty() || mutation.age_seconds >= stuck_after.as_secs()
    };
    let is_long = |merge: &&Merge| merge.elapsed_seconds >= stuck_after.as_secs_f64();
    let is_missing = |name: &&String| !health.tables.iter().any(|table| table.name == **name);
    let is_overdue = |table: &&Table| table.ttl_overdue_seconds > TTL_OVERDUE;
    options
        .tables
        .iter()
        .flatten()
        .filter(is_missing)
        .map(|name| missing(name))
        .chain(health.tables.iter().filter(is_overdue).map(expired))
        .chain(health.mutations.iter().flatten().filter(is_stuck).map(stuck))
        .chain(health.merges.iter().flatten().filter(is_long).map(long))
        .chain(health.replicas.iter().flatten().filter_map(behind))
        .chain(health.views.iter().flatten().filter_map(failing))
        .chain(health.rollups.iter().filter_map(differing))
        .collect()
}

fn problem(subject: &str, message: String, advice: impl Into<String>) -> Problem {
    Problem { subject: subject.to_owned(), message, advice: advice.into() }
}

fn missing(name: &str) -> Problem {
    problem(name, "does not exist".to_owned(), "`clickhouse-backfill pack apply` creates it")
}

fn expired(table: &Table) -> Problem {
    let Table { name, parts_with_expired_rows: parts, ttl_overdue_seconds: overdue, .. } = table;
    let message = format!(
        "{} with rows that the TTL expired {} ago",
        counted(*parts, "part"),
        seconds(*overdue)
    );
    let advice = format!("ALTER TABLE {name} MATERIALIZE TTL, or look for stopped merges");
    problem(name, message, advice)
}

fn stuck(mutation: &Mutation) -> Problem {
    let Mutation { table, mutation_id, command, age_seconds, parts_to_do, failure } = mutation;
    let why = if failure.is_empty() { String::new() } else { format!(": {failure}") };
    let message = format!(
        "the mutation {command} is not done after {}, {} left{why}",
        seconds(*age_seconds),
        counted(*parts_to_do, "part")
    );
    let kill = format!("KILL MUTATION WHERE table = '{table}' AND mutation_id = '{mutation_id}'");
    problem(table, message, format!("correct its cause, or {kill}"))
}

fn long(merge: &Merge) -> Problem {
    let done = merge.progress * 100.0;
    let elapsed = duration(Duration::from_secs_f64(merge.elapsed_seconds));
    let message = format!("the merge into {} is {done:.1} % done after {elapsed}", merge.part);
    problem(&merge.table, message, "look at the server's disks and its log")
}

fn behind(replica: &Replica) -> Option<Problem> {
    let Replica { table, delay_seconds, is_readonly, exception } = replica;
    let message = if *is_readonly {
        format!("the replica is read-only {exception}")
    } else if *delay_seconds >= REPLICA_DELAY {
        format!("the replica is {} behind", seconds(*delay_seconds))
    } else {
        return None;
    };
    let advice = "look at system.replication_queue and at the server's Keeper";
    Some(problem(table, message, advice))
}

fn failing(view: &View) -> Option<Problem> {
    let advice = "correct the view or what it reads; inserts into its source fail until then";
    (!view.error.is_empty()).then(|| problem(&view.name, view.error.clone(), advice))
}

fn differing(rollup: &Rollup) -> Option<Problem> {
    let different = rollup.different_groups.filter(|different| *different > 0)?;
    let message = format!(
        "{} of {} counts otherwise than {}: {} rows for {}",
        counted(different, "group"),
        rollup.rollup,
        rollup.source,
        rollup.rollup_rows.map_or_else(String::new, count),
        rollup.source_rows.map_or_else(String::new, count),
    );
    let advice = format!("`clickhouse-backfill verify --job {}` names the groups", rollup.job);
    Some(problem(&rollup.rollup, message, advice))
}

fn seconds(seconds: u64) -> String {
    duration(Duration::from_secs(seconds))
}
