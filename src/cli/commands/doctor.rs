//! `clickhouse-backfill doctor`: whether this machine, the servers and their users are fit for runs.

use std::fs;
use std::io::{IsTerminal, stderr, stdin, stdout};
use std::process::ExitCode;
use std::time::Instant;

use serde::Serialize;

use super::plan::check_text;
use crate::cli::args::{CompressionChoice, DoctorArguments, RootArguments, WhatArguments};
use crate::cli::config::{JobConfig, LedgerConfig, ServerConfig};
use crate::cli::failure::{BLOCKED, End, Failure, connecting};
use crate::cli::output::{json, print};
use crate::cli::runtime::run_to_end;
use crate::clickhouse::{Connection, Endpoint, Servers, TableName};
use crate::job::{BoundJob, Job, Publish, bind, load};
use crate::ledger::LedgerLocation;
use crate::load::new_id;
use crate::preflight::{Check, Doctor, JobTables, Verdict};
use crate::progress::{counted, duration};

/// Open files below which a run with many readers and inserters may fail.
const FEW_FILES: u64 = 256;
/// Columns that most lines of the screen need.
const NARROW: usize = 80;

/// What was found. Field names are a contract.
#[derive(Serialize)]
struct Diagnosis {
    /// Whether nothing is blocked.
    ready: bool,
    checks: Vec<Check>,
}

/// Runs the command.
pub(crate) fn doctor(arguments: &DoctorArguments, columns: usize) -> Result<ExitCode, Failure> {
    let mut checks = vec![terminal(columns), open_files()];
    let servers = ServerConfig::resolve(&arguments.server);
    let of_servers = run_to_end(async {
        Ok(match &servers {
            Ok(config) => examine(arguments, config).await,
            Err(failure) => vec![failed("connection", failure)],
        })
    })?;
    checks.extend(of_servers);
    let ready = checks.iter().all(|check| check.verdict != Verdict::Blocked);
    let diagnosis = Diagnosis { ready, checks };
    print(&if arguments.format.is_json() { json(&diagnosis) } else { text(&diagnosis) })?;
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::from(BLOCKED) })
}

/// A failure as a check that blocks.
fn failed(name: &'static str, failure: &Failure) -> Check {
    Check::refused(name, failure.one_line(), failure.hints().to_vec())
}

async fn examine(arguments: &DoctorArguments, config: &ServerConfig) -> Vec<Check> {
    let servers = match config.connect(CompressionChoice::None, &new_id()) {
        Ok(servers) => servers,
        Err(failure) => return vec![failed("connection", &failure)],
    };
    let (mut checks, versions) = connections(&servers).await;
    let Some(versions) = versions else { return checks };
    checks.extend(servers.each().map(encryption));
    let ledger = LedgerConfig::resolve(&arguments.ledger, config.target_database());
    let (job, tables) = match tables(arguments, &servers).await {
        Ok((job, tables)) => (job, tables),
        Err(failure) => (Some(failed("job", &failure)), None),
    };
    let doctor = Doctor {
        servers: &servers,
        versions: (&versions.0, &versions.1),
        tables,
        ledger: (ledger.location == LedgerLocation::Tables).then_some(&*ledger.database),
    };
    checks.extend(doctor.run().await);
    checks.extend(job);
    checks
}

/// Sends the first query to each server; also gives the versions of the target's and the source's, if both
/// have answered.
async fn connections(servers: &Servers) -> (Vec<Check>, Option<(String, String)>) {
    let (mut checks, mut versions) = (Vec::new(), Vec::new());
    let ends = [(&servers.target, End::Target), (&servers.source, End::Source)];
    let number = if servers.is_one_server() { 1 } else { 2 };
    for (connection, end) in ends.into_iter().take(number) {
        let began = Instant::now();
        match connection.hello().await {
            Ok(version) => {
                checks.push(Check::passed("connection", answered(connection, began), false));
                versions.push(version);
            }
            Err(error) => checks.push(failed("connection", &connecting(&error, end))),
        }
    }
    let versions = match &*versions {
        [target, source] => Some((target.clone(), source.clone())),
        [only] if number == 1 => Some((only.clone(), only.clone())),
        _ => None,
    };
    (checks, versions)
}

fn answered(connection: &Connection, began: Instant) -> String {
    let endpoint = connection.endpoint();
    let (url, user, database) = (endpoint.url(), endpoint.user(), endpoint.database());
    format!("{url} answers the user {user}, database {database}, in {}", duration(began.elapsed()))
}

/// Whether rows and the password are readable on the way.
fn encryption(connection: &Connection) -> Check {
    let endpoint: &Endpoint = connection.endpoint();
    let host = endpoint.url().host_str().unwrap_or_default();
    if endpoint.is_encrypted() {
        Check::passed(
            "tls",
            format!("the connection to {host} is encrypted, its certificate verified"),
            false,
        )
    } else if endpoint.is_local() {
        Check::passed("tls", "not needed: the server is on this machine", false)
    } else {
        Check::warned(
            "tls",
            format!("the password and all rows go to {host} unencrypted"),
            vec!["use an https URL; ClickHouse's https_port is 8443 by default".to_owned()],
        )
    }
}

/// The tables of the job that is given, and the check of the job.
async fn tables(
    arguments: &DoctorArguments,
    servers: &Servers,
) -> Result<(Option<Check>, Option<JobTables>), Failure> {
    let Some(reference) = &arguments.job else {
        let target = arguments.target_table.as_deref().map(|name| {
            let database = servers.target.endpoint().database();
            let target = TableName::parse(name, database);
            JobTables { reads: Vec::new(), target, replaces: false, owns: true }
        });
        return Ok((None, target));
    };
    let what = WhatArguments {
        job: reference.clone(),
        packs: arguments.packs.clone(),
        target_table: arguments.target_table.clone(),
        objects: RootArguments::default(),
        exclude: Vec::new(),
        filters: Vec::new(),
        before: None,
        exclude_dataset_items: false,
    };
    let config = JobConfig::resolve(&what)?;
    let job = load(&config.reference)?;
    if job.reads_outside() {
        let tables = of_job(&job, servers, arguments.target_table.as_deref());
        let words = format!(
            "{} reads {}, which `plan --partition PERIOD` looks at",
            job.name,
            job.relation.text()
        );
        return Ok((Some(Check::passed("job", words, false)), Some(tables)));
    }
    Ok(match bind(servers, &job, &config.options).await {
        Ok(bound) => (Some(bound_check(&bound)), Some(of_bound(&bound))),
        Err(error) => {
            let tables = of_job(&job, servers, arguments.target_table.as_deref());
            (Some(failed("job", &error.into())), Some(tables))
        }
    })
}

fn bound_check(job: &BoundJob) -> Check {
    let lookup = job.lookup.as_ref().map(|lookup| format!(", looked up in {}", lookup.table.name));
    let words = format!(
        "{} fits its tables: {} into {}, {}{}",
        job.name,
        job.source.name,
        job.target.name,
        counted(job.columns.len() as u64, "column"),
        lookup.unwrap_or_default()
    );
    Check::passed("job", words, false)
}

/// The tables, with the columns that are read.
fn of_bound(job: &BoundJob) -> JobTables {
    let source = job.source_columns.iter().map(|column| column.name.clone()).collect();
    let lookup = job.lookup.as_ref().map(|lookup| {
        let columns = lookup.columns.iter().map(|column| column.name.clone());
        (lookup.table.name.clone(), columns.collect())
    });
    JobTables {
        reads: [(job.source.name.clone(), source)].into_iter().chain(lookup).collect(),
        target: job.target.name.clone(),
        replaces: job.publish == Publish::Replace,
        owns: job.owned.is_some(),
    }
}

/// The tables that the file of a job names.
fn of_job(job: &Job, servers: &Servers, target: Option<&str>) -> JobTables {
    let source = servers.source.endpoint().database();
    let reads = [job.source.table.as_ref(), job.lookup.as_ref().map(|lookup| &lookup.table)];
    let read = |table: &String| (TableName::parse(table, source), Vec::new());
    let target = target.unwrap_or(&job.target.table);
    JobTables {
        reads: reads.into_iter().flatten().map(read).collect(),
        target: TableName::parse(target, servers.target.endpoint().database()),
        replaces: job.target.publish == Publish::Replace,
        owns: job.target.owned.is_some() || job.target.live.is_some(),
    }
}

/// What the terminal is good for.
fn terminal(columns: usize) -> Check {
    const NAME: &str = "terminal";
    if !stderr().is_terminal() {
        let words = "stderr is no terminal: progress is shown in lines, and no question is asked";
        return Check::passed(NAME, words, false);
    }
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if dumb {
        return Check::passed(NAME, "TERM is dumb: progress is shown in lines", false);
    }
    if columns < NARROW {
        let words =
            format!("{} wide, and lines of the screen are cut", counted(columns as u64, "column"));
        return Check::warned(NAME, words, vec![format!("widen it to {NARROW} columns")]);
    }
    let asks =
        if stdin().is_terminal() && stdout().is_terminal() { "" } else { ", redirected in part" };
    Check::passed(NAME, format!("{} wide{asks}", counted(columns as u64, "column")), false)
}

/// The open files that this process may have: each reader and inserter has a connection.
fn open_files() -> Check {
    const NAME: &str = "open-files";
    // Only Linux has this file.
    let Ok(limits) = fs::read_to_string("/proc/self/limits") else {
        return Check::unknown(NAME, "the system does not tell the limit in /proc/self/limits");
    };
    let limit = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_whitespace().next());
    match limit.map(|limit| (limit, limit.parse::<u64>())) {
        Some(("unlimited", _)) => Check::passed(NAME, "no limit", false),
        Some((_, Ok(limit))) if limit < FEW_FILES => Check::warned(
            NAME,
            format!(
                "this process may open {}, and each reader and inserter needs some",
                counted(limit, "file")
            ),
            vec!["ulimit -n 1024".to_owned()],
        ),
        Some((_, Ok(limit))) => {
            Check::passed(NAME, format!("at most {}", counted(limit, "file")), false)
        }
        _ => Check::unknown(NAME, "the limit in /proc/self/limits cannot be read"),
    }
}

fn text(diagnosis: &Diagnosis) -> String {
    let mut text: String = diagnosis.checks.iter().map(check_text).collect();
    let of = |verdict| diagnosis.checks.iter().filter(|check| check.verdict == verdict).count();
    let (blocked, warnings) = (of(Verdict::Blocked) as u64, of(Verdict::Warning) as u64);
    let warnings = match warnings {
        0 => String::new(),
        number => format!(", {}", counted(number, "warning")),
    };
    let verdict = if blocked > 0 {
        format!("blocked: {} failed", counted(blocked, "check"))
    } else {
        "ready: nothing is in the way".to_owned()
    };
    text.extend([verdict, warnings, "\n".to_owned()]);
    text
}
