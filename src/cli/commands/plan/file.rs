//! The file of `plan --out`, and comparing a run with it: a reviewed plan runs unchanged or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::document::Document;
use crate::cli::args::{AtOnce, ReadFormatChoice, ThroughputArguments};
use crate::cli::commands::session::BoundSession;
use crate::cli::config::{NextCommand, RunConfig};
use crate::cli::failure::Failure;
use crate::clickhouse::{Connection, Endpoint, TableSchema, deduplication};
use crate::engine::Engine;
use crate::engine::stream::PipelineOptions;
use crate::escape::escape;
use crate::files;
use crate::ledger::definition::{self, LoadDefinition};
use crate::ledger::{Difference, Parts};
use crate::load::definition;
use crate::plan::{ChunkBounds, Partition};

/// The format of the file.
const FORMAT: &str = "clickhouse-backfill plan";
/// The version of the format.
const FORMAT_VERSION: u32 = 2;
/// The format of the files of version 0.1.
const FORMAT_OF_0_1: &str = "clickhouse-backfill plan 1";
/// How many differences are shown.
const SHOWN: usize = 8;

/// The fields that every version of the format has.
#[derive(Debug, Deserialize)]
struct Head {
    format: String,
    format_version: Option<u32>,
}

#[derive(Debug, Serialize)]
struct WrittenPlan<'a> {
    format: &'static str,
    format_version: u32,
    basis: &'a PlanBasis,
    bounds: &'a ChunkBounds,
    plan: &'a Document,
}

/// What a run reads of the file.
#[derive(Debug, Deserialize)]
struct PlanFile {
    basis: PlanBasis,
    /// Where the chunks meet.
    bounds: ChunkBounds,
}

/// Everything that decides what a run does. Rows are not part of it: they may change.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PlanBasis {
    tool_version: String,
    job: String,
    partition: String,
    source_server_version: String,
    source: EndBasis,
    target: EndBasis,
    lookup_columns: BTreeMap<String, String>,
    /// What views of the target fill; `None` if the user lacks the right to see them.
    view_targets: Option<String>,
    /// The flags that decide how it is done.
    flags: BTreeMap<String, String>,
    load: LoadDefinition,
}

/// One end of a run.
#[derive(Debug, Serialize, Deserialize)]
struct EndBasis {
    url: String,
    user: String,
    database: String,
    /// The columns that are not in the load's definition.
    other_columns: BTreeMap<String, String>,
}

impl PlanBasis {
    /// What a run would rest on now.
    pub(crate) async fn now(
        opened: &BoundSession,
        partition: &Partition,
        throughput: &ThroughputArguments,
        options: &PipelineOptions,
    ) -> Self {
        let BoundSession { servers, server_version, source_version, job, engine, .. } = opened;
        let is_read = |name: &str| job.source_columns.iter().any(|column| column.name == name);
        let is_written = |name: &str| job.columns.iter().any(|column| column.name == name);
        let lookup_columns = job.lookup.as_ref().map(|lookup| {
            let is_used = |name: &str| lookup.columns.iter().any(|column| column.name == name);
            other_columns(&lookup.table, &is_used)
        });
        Self {
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            job: job.name.clone(),
            partition: partition.to_string(),
            source_server_version: source_version.clone(),
            source: EndBasis::of(servers.source.endpoint(), other_columns(&job.source, &is_read)),
            target: EndBasis::of(
                servers.target.endpoint(),
                other_columns(&job.target, &is_written),
            ),
            lookup_columns: lookup_columns.unwrap_or_default(),
            view_targets: view_targets(&servers.target, &job.target).await,
            flags: flags(throughput, engine.engine),
            load: definition(job, options, opened.chunk_rows(), servers, server_version),
        }
    }

    fn differences_since(&self, before: &Self) -> Vec<Difference> {
        Parts::of(self).differences_since(&Parts::of(before), label)
    }
}

impl EndBasis {
    fn of(endpoint: &Endpoint, other_columns: BTreeMap<String, String>) -> Self {
        Self {
            url: endpoint.url().to_string(),
            user: endpoint.user().to_owned(),
            database: endpoint.database().to_owned(),
            other_columns,
        }
    }
}

/// What people call a part of the basis.
fn label(path: &[&str]) -> String {
    match path {
        ["load", part @ ..] => definition::label(part),
        ["tool_version"] => "the version of this program".to_owned(),
        ["source_server_version"] => "the version of ClickHouse at the source".to_owned(),
        [end, "url"] => format!("the server of the {end}"),
        [end, "user"] => format!("the user at the {end}"),
        [end, "database"] => format!("the database of the {end}"),
        [end, "other_columns", column] => format!("the column {column} of the {end} table"),
        ["lookup_columns", column] => format!("the column {column} of the lookup table"),
        ["view_targets"] => "what views of the target fill".to_owned(),
        ["flags", flag] => format!("--{}", flag.replace('_', "-")),
        other => format!("the {}", other.join(" ")),
    }
}

fn other_columns(table: &TableSchema, is_used: &dyn Fn(&str) -> bool) -> BTreeMap<String, String> {
    let others = table.columns.iter().filter(|column| !is_used(&column.name));
    others
        .map(|column| {
            let is = format!("{} {}", column.type_name, column.default_kind);
            (column.name.clone(), is.trim_end().to_owned())
        })
        .collect()
}

/// `None` if the user lacks the right.
async fn view_targets(connection: &Connection, target: &TableSchema) -> Option<String> {
    let tables = deduplication(connection, &target.name).await.ok()?;
    let mut fed: Vec<_> = tables
        .iter()
        .filter_map(|table| Some(format!("{} by {}", table.name, table.view.as_ref()?)))
        .collect();
    fed.sort();
    Some(fed.join(", "))
}

/// The flags that decide how it is done, without those that were not given, and the engine that was
/// chosen.
fn flags(throughput: &ThroughputArguments, engine: Engine) -> BTreeMap<String, String> {
    let ThroughputArguments {
        memory,
        batch_size,
        batch_bytes,
        stream_block_size,
        readers,
        inserters,
        insert_format,
        read_format,
        ..
    } = throughput;
    let at_once = |level: &AtOnce| match level {
        AtOnce::Auto => "auto".to_owned(),
        AtOnce::Fixed(number) => number.to_string(),
    };
    let flags = [
        ("engine", Some(engine.as_str().to_owned())),
        ("memory", memory.map(|bytes| bytes.to_string())),
        ("batch_size", Some(batch_size.to_string())),
        ("batch_bytes", Some(batch_bytes.to_string())),
        ("stream_block_size", stream_block_size.map(|rows| rows.to_string())),
        ("readers", Some(at_once(readers))),
        ("inserters", Some(at_once(inserters))),
        ("insert_format", Some(format!("{insert_format:?}").to_lowercase())),
        // Plans of versions without the flag have none.
        (
            "read_format",
            Some(*read_format)
                .filter(|format| *format != ReadFormatChoice::Auto)
                .map(|format| format!("{format:?}").to_lowercase()),
        ),
    ];
    flags.into_iter().filter_map(|(flag, value)| Some((flag.to_owned(), value?))).collect()
}

/// Writes the file atomically.
pub(crate) fn write(
    path: &Path,
    basis: &PlanBasis,
    bounds: &ChunkBounds,
    plan: &Document,
) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("cannot write the plan to {}: {error}", path.display()))
            .hint("set --out to a file in an existing directory that this user can write to")
    };
    let plan = WrittenPlan { format: FORMAT, format_version: FORMAT_VERSION, basis, bounds, plan };
    let text = serde_json::to_string_pretty(&plan).map_err(|error| failed(&error))?;
    files::replace(path, (escape(&text) + "\n").as_bytes()).map_err(|error| failed(&error))
}

/// The chunk bounds of the plan of `--plan`, if the run matches it; `None` without a plan.
pub(crate) async fn planned_bounds(
    config: &RunConfig,
    session: &BoundSession,
    partition: &Partition,
    options: &PipelineOptions,
) -> Result<Option<ChunkBounds>, Failure> {
    // As with other files, an empty name counts as absent.
    let path = config.plan.as_deref().filter(|path| !path.as_os_str().is_empty());
    let Some(path) = path else { return Ok(None) };
    let file = PlanFile::read(path)?;
    let now = PlanBasis::now(session, partition, &config.session.throughput, options).await;
    file.hold(path, &now).map(Some).map_err(|failure| {
        let plan = NextCommand::new("plan")
            .servers(&config.session.servers)
            .job(&config.session.job)
            .partition(partition)
            .value("--out", &path.to_string_lossy());
        failure
            .hint(format!("`{}` makes a new plan", plan.text()))
            .hint("undo the changes to run this plan")
    })
}

impl PlanFile {
    /// Reads a file of `plan --out`.
    fn read(path: &Path) -> Result<Self, Failure> {
        let new = "`clickhouse-backfill plan --out FILE` writes one";
        let failed = |words: String| {
            Failure::usage(format!("cannot use the plan {}: {words}", path.display())).hint(new)
        };
        let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let head: Head = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        match (head.format.as_str(), head.format_version) {
            (FORMAT, Some(FORMAT_VERSION)) => {}
            (FORMAT_OF_0_1, None) => {
                return Err(failed(
                    "it was written by version 0.1, whose plans this version does not read"
                        .to_owned(),
                ));
            }
            (FORMAT, Some(version)) => {
                return Err(failed(format!(
                    "its format_version is {version}, this version reads {FORMAT_VERSION}"
                )));
            }
            (format, _) => {
                return Err(failed(format!(
                    "its format is {format:?}, this version reads {FORMAT:?}"
                )));
            }
        }
        serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
    }

    /// The chunk bounds, if nothing has changed.
    ///
    /// # Errors
    /// A refusal that names what has changed.
    fn hold(self, path: &Path, now: &PlanBasis) -> Result<ChunkBounds, Failure> {
        let differences = now.differences_since(&self.basis);
        if differences.is_empty() {
            return Ok(self.bounds);
        }
        let path = path.display();
        let failure = Failure::refused(format!("the run differs from the plan {path}"));
        let failure = differences
            .iter()
            .take(SHOWN)
            .fold(failure, |failure, difference| failure.because(difference.to_string()));
        let more = differences.len().saturating_sub(SHOWN);
        let failure = if more > 0 { failure.because(format!("and {more} more")) } else { failure };
        Err(failure)
    }
}
