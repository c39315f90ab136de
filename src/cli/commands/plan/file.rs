//! The file of `plan --out`, and comparing a run with it: a reviewed plan runs unchanged or not at all.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::document::Document;
use crate::cli::args::ThroughputArguments;
use crate::cli::commands::session::BoundSession;
use crate::cli::config::RunConfig;
use crate::cli::failure::Failure;
use crate::cli::output::next_command::NextCommand;
use crate::clickhouse::{Connection, TableSchema, deduplication};
use crate::engine::stream::PipelineOptions;
use crate::files;
use crate::ledger::Fingerprint;
use crate::load::definition;
use crate::plan::{ChunkBounds, Partition};

/// The format of the file, with its version.
const FORMAT: &str = "clickhouse-backfill plan 1";
/// How many differences are shown.
const SHOWN: usize = 8;

#[derive(Debug, Serialize)]
struct Written<'a> {
    format: &'static str,
    definition: &'a Fingerprint,
    bounds: &'a ChunkBounds,
    plan: &'a Document,
}

/// What a run reads of the file.
#[derive(Debug, Deserialize)]
struct PlanFile {
    format: String,
    definition: Fingerprint,
    /// The bounds of the chunks.
    bounds: ChunkBounds,
}

/// Everything that decides what a run does, each under a readable name. Rows are not part of it: they
/// may change.
pub(crate) async fn plan_fingerprint(
    opened: &BoundSession,
    partition: &Partition,
    throughput: &ThroughputArguments,
    options: &PipelineOptions,
) -> Fingerprint {
    let BoundSession { servers, server_version, source_version, job, chunk_rows, .. } = opened;
    let mut all = definition(job, options, *chunk_rows, servers, server_version)
        .with("the version of this program", env!("CARGO_PKG_VERSION"))
        .with("the job", &job.name)
        .with("the partition", partition.to_string())
        .with("the version of ClickHouse at the source", source_version);
    for (end, connection) in [("source", &servers.source), ("target", &servers.target)] {
        let endpoint = connection.endpoint();
        all = all
            .with(format!("the server of the {end}"), endpoint.url().as_str())
            .with(format!("the user at the {end}"), endpoint.user())
            .with(format!("the database of the {end}"), endpoint.database());
    }
    all = table(all, "source", &job.source, &|name| {
        job.source_columns.iter().any(|column| column.name == name)
    });
    if let Some(lookup) = &job.lookup {
        all = table(all, "lookup", &lookup.table, &|name| {
            lookup.columns.iter().any(|column| column.name == name)
        });
    }
    all = table(all, "target", &job.target, &|name| {
        job.columns.iter().any(|column| column.name == name)
    });
    if let Some(views) = views(&servers.target, &job.target).await {
        all = all.with("what views of the target fill", views);
    }
    settings(throughput).into_iter().fold(all, |all, (name, value)| all.with(name, value))
}

/// The table, and its columns that are not in the load's definition.
fn table(
    all: Fingerprint,
    role: &str,
    table: &TableSchema,
    is_used: &dyn Fn(&str) -> bool,
) -> Fingerprint {
    let all = all.with(format!("the {role} table"), table.name.to_string());
    table.columns.iter().filter(|column| !is_used(&column.name)).fold(all, |all, column| {
        let is = format!("{} {}", column.type_name, column.default_kind);
        all.with(format!("the column {} of the {role} table", column.name), is.trim_end())
    })
}

/// `None` if the user lacks the right.
async fn views(connection: &Connection, target: &TableSchema) -> Option<String> {
    let tables = deduplication(connection, &target.name).await.ok()?;
    let mut fed: Vec<_> = tables
        .iter()
        .filter_map(|table| Some(format!("{} by {}", table.name, table.view.as_ref()?)))
        .collect();
    fed.sort();
    Some(fed.join(", "))
}

/// The flags that decide how a run works, as given.
fn settings(throughput: &ThroughputArguments) -> Vec<(&'static str, String)> {
    let ThroughputArguments {
        memory,
        batch_size,
        batch_bytes,
        stream_block_size,
        readers,
        inserters,
        insert_format,
        ..
    } = throughput;
    let given = |number: &Option<u64>| {
        number.map_or_else(|| "not given".to_owned(), |number| number.to_string())
    };
    vec![
        ("--memory", given(memory)),
        ("--batch-size", batch_size.to_string()),
        ("--batch-bytes", batch_bytes.to_string()),
        ("--stream-block-size", given(stream_block_size)),
        ("--readers", format!("{readers:?}").to_lowercase()),
        ("--inserters", format!("{inserters:?}").to_lowercase()),
        ("--insert-format", format!("{insert_format:?}").to_lowercase()),
    ]
}

/// Writes the file atomically.
pub(crate) fn write(
    path: &Path,
    definition: &Fingerprint,
    bounds: &ChunkBounds,
    plan: &Document,
) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("cannot write the plan to {}: {error}", path.display()))
    };
    let text = serde_json::to_string_pretty(&Written { format: FORMAT, definition, bounds, plan })
        .map_err(|error| failed(&error))?;
    files::replace(path, (text + "\n").as_bytes()).map_err(|error| failed(&error))
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
    let now = plan_fingerprint(session, partition, &config.session.throughput, options).await;
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
        let file: Self = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        if file.format != FORMAT {
            return Err(failed(format!(
                "its format is {:?}, this version reads {FORMAT:?}",
                file.format
            )));
        }
        Ok(file)
    }

    /// The chunk bounds, if nothing has changed.
    ///
    /// # Errors
    /// A refusal that names what has changed.
    fn hold(self, path: &Path, now: &Fingerprint) -> Result<ChunkBounds, Failure> {
        let differences = now.differences_since(&self.definition);
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
