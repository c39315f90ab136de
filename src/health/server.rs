//! The figures: the server, its tables, and what is in progress on them.

use std::time::Instant;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::figures::{Health, HealthOptions, View};
use super::problems::problems;
use super::rollups::compare;
use crate::clickhouse::{Connection, Error, literal_list, quote_literal};

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
    const REFRESHES: &str = "SELECT view AS name, '' AS query, true AS has_target, exception AS error FROM system.view_refreshes WHERE ";
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
