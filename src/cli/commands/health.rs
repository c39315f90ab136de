//! `clickhouse-backfill health`: the server, its tables, and what is wrong with them.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use super::pack::{failure, find};
use super::session::open_target;
use crate::cli::args::{CompressionChoice, HealthArguments};
use crate::cli::failure::Failure;
use crate::cli::output::{json, print};
use crate::cli::runtime::run_to_end;
use crate::health::{Health, HealthOptions, RollupJob, examine};
use crate::job::Job;
use crate::packs::{Pack, PackFile, object_names};
use crate::units::{bytes, count, counted, duration};

/// Runs the command.
pub(crate) fn health(arguments: &HealthArguments) -> Result<ExitCode, Failure> {
    let health = run_to_end(look(arguments))?;
    print(&if arguments.format.is_json() { json(&health) } else { text(&health) })?;
    Ok(if health.healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn look(arguments: &HealthArguments) -> Result<Health, Failure> {
    let pack = arguments.name.as_ref().map(|name| find(name, &arguments.packs)).transpose()?;
    let options = HealthOptions {
        tables: pack.as_ref().map(tables_of).transpose()?.flatten(),
        rollups: pack.as_ref().map_or_else(|| Ok(Vec::new()), rollups_of)?,
        stuck_after: arguments.stuck_after,
    };
    let (connection, version) = open_target(&arguments.server, CompressionChoice::None).await?;
    let health = examine(&connection, version, &options).await;
    health.map_err(|error| Failure::stopped_because("the tables cannot be looked at", &error))
}

/// The tables of a pack; `None` for one without a schema, which uses those of the database.
fn tables_of(pack: &Pack) -> Result<Option<Vec<String>>, Failure> {
    pack.schema.as_ref().map(object_names).transpose().map_err(|error| failure(&error))
}

fn rollups_of(pack: &Pack) -> Result<Vec<RollupJob>, Failure> {
    let read = |file: &PackFile| -> Result<RollupJob, Failure> {
        let job = Job::parse(&file.path, &file.text)?;
        Ok(RollupJob { reference: format!("{}/{}", pack.name, file.name), job })
    };
    let jobs = pack.jobs.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(jobs.into_iter().filter(|rollup| rollup.job.group.is_some()).collect())
}

fn text(health: &Health) -> String {
    let Health { database, version, uptime_seconds, ping_milliseconds, .. } = health;
    let uptime = duration(Duration::from_secs(*uptime_seconds));
    let mut text = format!("database {database} on ClickHouse {version}\n");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  ping      {ping_milliseconds:.1} ms, up for {uptime}");
    let open = |items: Option<usize>, noun: &str| {
        items.map_or_else(|| format!("– {noun}s"), |items| counted(items as u64, noun))
    };
    let _ = writeln!(
        text,
        "  progress  {}, {}, {}",
        open(health.mutations.as_ref().map(Vec::len), "open mutation"),
        open(health.merges.as_ref().map(Vec::len), "merge"),
        open(health.replicas.as_ref().map(Vec::len), "replicated table"),
    );
    let width = health.tables.iter().map(|table| table.name.chars().count()).max().unwrap_or(0);
    text.push_str(&tables(health, width));
    text.push_str(&rollups(health, width));
    text.push('\n');
    for problem in &health.problems {
        let _ = writeln!(text, "problem: {}: {}", problem.subject, problem.message.trim_end());
        let _ = writeln!(text, "  hint: {}", problem.advice);
    }
    let _ = match health.problems.len() {
        0 => writeln!(text, "healthy: nothing is wrong"),
        problems => writeln!(text, "{} found", counted(problems as u64, "problem")),
    };
    text
}

/// The tables, whose names take `width` columns.
fn tables(health: &Health, width: usize) -> String {
    let mut text = "\ntables\n".to_owned();
    // Writing to a string cannot fail.
    for table in &health.tables {
        let Some(rows) = table.rows else {
            let _ = writeln!(text, "  {:<width$}  {}", table.name, table.engine);
            continue;
        };
        let ratio = table.compression_ratio.map(|ratio| format!(", compressed {ratio}:1"));
        let range = table.oldest_partition.as_ref().zip(table.newest_partition.as_ref());
        let range = range.map(|(oldest, newest)| format!(", partitions {oldest} to {newest}"));
        let expired = match table.parts_with_expired_rows {
            0 => String::new(),
            parts => format!(", TTL to be applied to {}", counted(parts, "part")),
        };
        let _ = writeln!(
            text,
            "  {:<width$}  {} rows, {}{}, {}{}{expired}",
            table.name,
            count(rows),
            table.bytes.map_or_else(|| "–".to_owned(), bytes),
            ratio.unwrap_or_default(),
            counted(table.parts, "part"),
            range.unwrap_or_default(),
        );
    }
    text
}

/// The roll-ups, whose names take `width` columns.
fn rollups(health: &Health, width: usize) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    if !health.rollups.is_empty() {
        let _ = writeln!(text, "\nroll-ups");
    }
    for rollup in &health.rollups {
        let words = match (rollup.source_rows, rollup.rollup_rows, &rollup.reason) {
            (Some(source), Some(rolled), _) => {
                format!("counts {} of {} rows of {}", count(rolled), count(source), rollup.source)
            }
            (.., reason) => format!("not compared: {}", reason.as_deref().unwrap_or("unknown")),
        };
        let _ = writeln!(text, "  {:<width$}  {words}", rollup.rollup);
    }
    text
}
