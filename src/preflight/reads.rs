//! The statements that read, tried in advance with the settings of a run: what the server refuses of
//! them is found before a row moves.
//!
//! `EXPLAIN PIPELINE` checks grants, functions, settings and limits, and opens the tables, but reads
//! no rows. What a limit of the result allows depends on the rows, so one row more than that is
//! counted.

use serde::Deserialize;
use tokio::time::timeout;

use super::check::{Check, Finding, LIMIT, ask_one_with};
use crate::clickhouse::{
    Connection, Error as ServerError, ErrorClass, Servers, Settings, TableName,
};
use crate::engine::Engine;
use crate::engine::stream::{PipelineOptions, source_reading};
use crate::job::statements::{self, KeyBytes};
use crate::job::{BoundJob, BoundLookup};
use crate::plan::Plan;
use crate::retry::in_crowd;
use crate::units::count;

pub(super) const READS: &str = "reads";

/// Codes of refusals; see [ClickHouse's
/// list](https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp).
mod code {
    pub(super) const TOO_MANY_ROWS: u32 = 158;
    pub(super) const TOO_MANY_COLUMNS: u32 = 161;
    pub(super) const TOO_MANY_TEMPORARY_COLUMNS: u32 = 165;
    pub(super) const TOO_MANY_BYTES: u32 = 307;
    pub(super) const TOO_MANY_ROWS_OR_BYTES: u32 = 396;
    pub(super) const READONLY: u32 = 164;
    pub(super) const SETTING_CONSTRAINT_VIOLATION: u32 = 452;
    pub(super) const ILLEGAL_FINAL: u32 = 181;
    pub(super) const INDEX_NOT_USED: u32 = 277;
    pub(super) const UNKNOWN_FUNCTION: u32 = 46;
}

/// A statement of a run.
struct Reading<'a> {
    /// Its purpose, as a participle.
    what: &'static str,
    table: &'a TableName,
    sql: String,
    settings: Settings,
    /// Its section under `[settings]` of the job file.
    section: &'static str,
    /// Whether its rows are the result, which `max_result_rows` bounds.
    is_streamed: bool,
}

/// Tries the statements of a run that read the source and the lookup.
pub(super) async fn check_reads(
    servers: &Servers,
    job: &BoundJob,
    plan: &Plan,
    options: &PipelineOptions,
) -> Check {
    let range = plan.chunks.first().and_then(|chunk| chunk.range.as_deref());
    let mut readings = vec![of_count(job, plan)];
    match options.engine {
        Engine::Stream => {
            readings.insert(0, of_source(job, plan, range, options));
            if let Some(lookup) = &job.lookup {
                readings.extend(of_lookup(job, lookup, plan));
            }
        }
        Engine::Server => readings.push(of_join(job, plan, range, options)),
    }
    check(&servers.source, &readings, "the server accepts every read, tried without rows").await
}

/// Tries the join that `verify` and `repair` compare the target with.
pub(super) async fn check_join(servers: &Servers, job: &BoundJob, plan: &Plan) -> Check {
    let range = plan.chunks.first().and_then(|chunk| chunk.range.as_deref());
    let sql = statements::finished(job, &plan.scope.within(range));
    let join = Reading {
        what: "evaluating the job over",
        table: &job.source.name,
        settings: longer(statements::finished_settings(job), &sql),
        sql,
        section: "insert",
        is_streamed: false,
    };
    check(&servers.source, &[join], "the server accepts the join, tried without rows").await
}

fn longer(settings: Settings, sql: &str) -> Settings {
    settings.with("max_query_size", &(sql.len() + 4096).to_string())
}

/// The statement that reads a chunk.
fn of_source<'a>(
    job: &'a BoundJob,
    plan: &Plan,
    range: Option<&str>,
    options: &PipelineOptions,
) -> Reading<'a> {
    let bucket = plan.waves.clone().next_wave().and_then(|wave| wave.bucket);
    let scope = plan.scope.in_bucket(bucket).within(range);
    // Which of the two a run sends is only known when it has asked about repeated blocks.
    let in_order = !options.dry_run && !job.target.is_replacing();
    let read = if in_order { statements::source_in_order } else { statements::source };
    Reading {
        what: "reading",
        table: &job.source.name,
        sql: read(job, &scope),
        settings: source_reading(options, job, plan).0,
        section: "source",
        is_streamed: true,
    }
}

fn of_count<'a>(job: &'a BoundJob, plan: &Plan) -> Reading<'a> {
    Reading {
        what: "counting",
        table: &job.source.name,
        sql: statements::count(job, &plan.scope),
        settings: statements::count_settings(job),
        section: "source",
        is_streamed: false,
    }
}

/// What the server engine inserts for a chunk.
fn of_join<'a>(
    job: &'a BoundJob,
    plan: &Plan,
    range: Option<&str>,
    options: &PipelineOptions,
) -> Reading<'a> {
    let sql = statements::join(job, &plan.scope.within(range));
    let settings = statements::insert_join_settings(job, options.batch_rows, options.batch_bytes);
    Reading {
        what: "joining",
        table: &job.source.name,
        settings: longer(settings, &sql),
        sql,
        section: "insert",
        is_streamed: false,
    }
}

fn of_lookup<'a>(job: &'a BoundJob, lookup: &'a BoundLookup, plan: &Plan) -> Vec<Reading<'a>> {
    let (table, section) = (&lookup.table.name, "lookup");
    let wave = plan.waves.clone().next_wave();
    let (range, bucket) = wave.map_or((None, None), |wave| (wave.lookup_range, wave.bucket));
    let window = plan.scope.window;
    let settings = statements::lookup_settings(job);
    let mut readings = vec![Reading {
        what: "looking up in",
        table,
        sql: statements::lookup(lookup, window, range.as_deref(), bucket),
        settings: settings.clone(),
        section,
        is_streamed: true,
    }];
    if !lookup.columns.is_empty() {
        let sql = statements::miss(lookup);
        let what = "joining without a match in";
        readings.push(Reading { what, table, sql, settings, section, is_streamed: false });
    }
    if let Some(window) = window {
        let ends = vec![0; lookup.keys.len()];
        let sql =
            statements::deferred_lookup(lookup, window, &[KeyBytes { bytes: &[], ends: &ends }]);
        let settings = statements::deferred_lookup_settings(job, sql.len());
        let what = "looking up outside of the window in";
        readings.push(Reading { what, table, sql, settings, section, is_streamed: false });
    }
    readings
}

async fn check(connection: &Connection, readings: &[Reading<'_>], accepted: &str) -> Check {
    let mut findings = Vec::new();
    for reading in readings {
        findings.push(reading.attempt(connection).await);
    }
    Check::of_findings(READS, findings, accepted)
}

/// What became of a statement that was tried: nothing, a refusal, or why it is not known.
type Attempted = Result<Option<Finding>, String>;

impl Reading<'_> {
    async fn attempt(&self, connection: &Connection) -> Attempted {
        let Self { what, table, sql, settings, is_streamed, .. } = self;
        let sql = format!("EXPLAIN PIPELINE {sql}");
        let asked = in_crowd(|| connection.fetch("preflight", &sql, "TSVRaw", settings));
        let error = match timeout(LIMIT, asked).await {
            Err(_) => {
                let seconds = LIMIT.as_secs();
                return Err(format!("{what} {table} was not answered within {seconds} s"));
            }
            Ok(Ok(_)) if *is_streamed => return self.count_result(connection).await,
            Ok(Ok(_)) => return Ok(None),
            Ok(Err(error)) => error,
        };
        // Without rows, an error about values is one of the statement.
        if error.code().is_none() || !matches!(error.class(), ErrorClass::Fatal | ErrorClass::Rows)
        {
            return Err(format!("{what} {table} failed: {error}"));
        }
        Ok(Some(Finding {
            detail: format!("the server refuses {what} {table}: {error}"),
            lifted_by: self.means(&error, connection.endpoint().user()),
        }))
    }

    /// What would lift a refusal.
    fn means(&self, error: &ServerError, user: &str) -> Vec<String> {
        let section = self.section;
        let limit = || {
            vec![
                format!(
                    "set the limit that the server names to 0 under [settings.{section}] of the job, if the profile allows it"
                ),
                "raise the limit in the user's profile".to_owned(),
            ]
        };
        let means = match error.code() {
            _ if error.is_access_denied() => format!("GRANT the right that the server names TO {user}"),
            Some(code::ILLEGAL_FINAL) => "remove `final = true` under [source] of the job: the table's engine does not replace rows".to_owned(),
            Some(code::READONLY | code::SETTING_CONSTRAINT_VIOLATION) => {
                format!("remove the constraint on the setting that the server names from the profile of {user}")
            }
            Some(code::INDEX_NOT_USED) => format!("turn the setting that the server names off under [settings.{section}] of the job, or in the user's profile"),
            Some(code::UNKNOWN_FUNCTION) => "correct the function's name in the job".to_owned(),
            Some(
                code::TOO_MANY_ROWS
                | code::TOO_MANY_COLUMNS
                | code::TOO_MANY_TEMPORARY_COLUMNS
                | code::TOO_MANY_BYTES
                | code::TOO_MANY_ROWS_OR_BYTES,
            ) => return limit(),
            _ => "correct what the server names".to_owned(),
        };
        vec![means]
    }

    /// Whether the statement's rows would exceed `max_result_rows`.
    async fn count_result(&self, connection: &Connection) -> Attempted {
        #[derive(Deserialize)]
        struct Rows {
            rows: u64,
        }
        let Self { what, table, sql, settings, section, .. } = self;
        let limit = "SELECT toUInt64(getSetting('max_result_rows')) AS rows";
        let of_user = ask_one_with::<Rows>(connection, "the user's settings", limit, settings);
        let most = of_user.await?.rows;
        if most == 0 {
            return Ok(None);
        }
        let limited = most.saturating_add(1);
        let counting = format!("SELECT count() AS rows FROM (\n{sql}\nLIMIT {limited}\n)");
        let table_name = table.to_string();
        let counted = ask_one_with::<Rows>(connection, &table_name, &counting, settings).await?;
        Ok((counted.rows > most).then(|| Finding {
            detail: format!(
                "{what} {table} gives more rows than max_result_rows, {}, allows for one statement",
                count(most)
            ),
            lifted_by: vec![
                format!(
                    "max_result_rows = 0 under [settings.{section}] of the job, if the profile allows it"
                ),
                "raise the limit in the user's profile".to_owned(),
            ],
        }))
    }
}
