//! The plan as data, for `--json`, whose field names are a contract, and as text that fits the
//! terminal.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::engine::{EngineShown, GroupsShown};
use super::ledger::LedgerShown;
use super::trial::{Estimate, EstimateShown};
use crate::cli::commands::session::Session;
use crate::cli::output::{cut, cut_at_word, width, wrap_block, wrapped};
use crate::clickhouse::Connection;
use crate::job::{BoundColumn, BoundJob, BoundLookup, PinnedObject};
use crate::plan::{Chunk, Plan};
use crate::preflight::{Check, Cluster, Disk, Findings, Topology, Verdict};
use crate::units::{bytes, count, counted, duration};

/// Everything that `plan` reports.
#[derive(Debug, Serialize)]
pub(crate) struct Document {
    /// The version of this program.
    pub tool_version: &'static str,
    /// The job's name, and where it was read.
    pub job: String,
    pub job_file: String,
    pub partition: String,
    pub servers: ServersShown,
    pub topology: Option<Topology>,
    /// What the ledger knows of the load.
    pub ledger: LedgerShown,
    pub source: SourceShown,
    pub lookup: Option<LookupShown>,
    pub target: TargetShown,
    pub engine: EngineShown,
    /// `null` for a job of rows.
    pub groups: Option<GroupsShown>,
    /// What fills the target's columns.
    pub mapping: Vec<ColumnShown>,
    /// Columns of the target that the job does not fill.
    pub defaults: Vec<String>,
    /// Columns of the job that the target lacks, or that are left out for another reason.
    pub left_out: Vec<LeftOutShown>,
    pub remarks: Vec<String>,
    pub waves: Vec<WaveShown>,
    pub chunks: Vec<ChunkShown>,
    pub memory: MemoryShown,
    /// Parts that the run will make, about; merges make fewer of them.
    pub new_parts: Option<u64>,
    pub disk: Disk,
    /// `null` where nothing was measured; `estimate_none` says why, where it was to be.
    pub estimate: Option<EstimateShown>,
    pub estimate_none: Option<String>,
    pub checks: Vec<Check>,
    /// Whether a run would begin.
    pub runs: bool,
    /// The command that follows: `run`, or `plan` again where a check blocks it.
    pub next_command: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct ServersShown {
    /// Whether source and target are reached by the same URL, user and database.
    pub one: bool,
    pub source: ServerShown,
    pub target: ServerShown,
}

#[derive(Debug, Serialize)]
pub(crate) struct ServerShown {
    pub url: String,
    pub user: String,
    pub database: String,
    pub version: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct SourceShown {
    pub table: String,
    /// Versions not collapsed.
    pub stored_rows: u64,
    /// Uncompressed; `null` where the server does not tell.
    pub stored_bytes: Option<u64>,
    pub parts: u64,
    /// The column and the moment of `--before`.
    pub before: Option<CutoffShown>,
    /// The names of `--where`.
    pub filters: Vec<String>,
    /// `null` for a job that takes all rows.
    pub newest_by: Option<NewestByShown>,
}

#[derive(Debug, Serialize)]
pub(crate) struct NewestByShown {
    /// The columns of which only the newest row counts.
    pub columns: Vec<String>,
    /// Rows of the partition that are left out, since another row is newer.
    pub older_rows: u64,
    /// Rows of the table that were read to find them; `null` where the server does not tell.
    pub read_rows: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct CutoffShown {
    pub column: String,
    /// RFC 3339 in UTC; a day for a column of days.
    pub moment: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct LookupShown {
    pub table: String,
    pub keys: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct TargetShown {
    pub table: String,
    pub engine: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct ColumnShown {
    pub column: String,
    #[serde(rename = "type")]
    pub type_name: String,
    pub expression: String,
    pub expression_type: String,
    /// The columns that the expression reads.
    pub inputs: Vec<String>,
    /// `source`, `lookup`, `both` or `none`.
    pub from: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct LeftOutShown {
    pub column: String,
    pub reason: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct WaveShown {
    /// From 1.
    pub wave: usize,
    /// The first and the last of its chunks.
    pub first_chunk: usize,
    pub last_chunk: usize,
    /// The part of the keys, from 1, and of how many, where a wave is split by keys.
    pub keys: Option<[u32; 2]>,
    /// About how many rows are looked up, and the memory that they take.
    pub lookup_rows: u64,
    pub lookup_bytes: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct ChunkShown {
    /// From 1.
    pub chunk: usize,
    /// The range of the source's primary key; `null` for the whole partition, and for objects.
    pub range: Option<String>,
    /// The object; `null` for a table.
    pub object: Option<PinnedObject>,
}

#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "in JSON, a number's unit ends its name")]
pub(crate) struct MemoryShown {
    pub total_bytes: u64,
    pub attributes_bytes: u64,
    pub filling_bytes: u64,
    pub queue_bytes: u64,
    pub late_bytes: u64,
    pub program_bytes: u64,
    pub batch_bytes: u64,
}

fn source(job: &BoundJob, plan: &Plan) -> SourceShown {
    let is_size_known = plan.stored_bytes > 0 || plan.stored_rows == 0;
    let before = job
        .before
        .as_ref()
        .map(|before| CutoffShown { column: before.column.clone(), moment: before.moment.clone() });
    SourceShown {
        table: job.source.name.to_string(),
        stored_rows: plan.stored_rows,
        stored_bytes: is_size_known.then_some(plan.stored_bytes),
        parts: plan.parts,
        before,
        filters: job.filters.iter().map(|(name, _)| name.clone()).collect(),
        newest_by: job.newest_by.as_ref().zip(plan.scope.older.as_ref()).map(
            |(newest_by, older)| NewestByShown {
                columns: newest_by.columns.clone(),
                older_rows: older.rows,
                read_rows: older.read_rows,
            },
        ),
    }
}

fn left_out(job: &BoundJob) -> Vec<LeftOutShown> {
    let left = job.left_out.iter();
    left.map(|left| LeftOutShown { column: left.name.clone(), reason: left.reason.clone() })
        .collect()
}

fn chunks(plan: &Plan) -> Vec<ChunkShown> {
    let shown = |chunk: &Chunk| {
        let number = chunk.id.planned_number();
        let object = plan.bounds.objects.get(number).cloned();
        let range = chunk.range.clone().filter(|_| object.is_none());
        ChunkShown { chunk: number + 1, range, object }
    };
    plan.chunks.iter().map(shown).collect()
}

/// Puts together what was found. `findings` are none for a partition without rows.
pub(crate) fn document(
    session: &Session,
    (ledger, engine, groups): (LedgerShown, EngineShown, Option<GroupsShown>),
    findings: Option<&Findings>,
    estimate: Option<&Estimate>,
    next_command: String,
) -> Document {
    let Session { servers, server_version, source_version, job, plan, .. } = session;
    let checks = findings.map(|findings| findings.checks.clone()).unwrap_or_default();
    Document {
        tool_version: env!("CARGO_PKG_VERSION"),
        job: job.name.clone(),
        job_file: job.origin.clone(),
        partition: plan.partition.to_string(),
        servers: ServersShown {
            one: servers.is_one_server(),
            source: server(&servers.source, source_version),
            target: server(&servers.target, server_version),
        },
        topology: findings.map(|findings| findings.topology.clone()),
        ledger,
        source: source(job, plan),
        lookup: job.lookup.as_ref().map(lookup),
        target: TargetShown {
            table: job.target.name.to_string(),
            engine: job.target.engine.clone(),
        },
        engine,
        groups,
        mapping: job.columns.iter().map(column).collect(),
        defaults: job.defaults.clone(),
        left_out: left_out(job),
        remarks: job.remarks.clone(),
        waves: waves(plan),
        chunks: chunks(plan),
        memory: memory(plan),
        new_parts: findings.map(|findings| findings.parts),
        disk: findings.map(|findings| findings.disk).unwrap_or_default(),
        estimate: estimate.and_then(|estimate| estimate.shown(plan.stored_rows)),
        estimate_none: estimate.and_then(Estimate::reason),
        runs: checks.iter().all(|check| check.verdict != Verdict::Blocked),
        checks,
        next_command,
    }
}

fn server(connection: &Connection, version: &str) -> ServerShown {
    let endpoint = connection.endpoint();
    ServerShown {
        url: endpoint.url().to_string(),
        user: endpoint.user().to_owned(),
        database: endpoint.database().to_owned(),
        version: version.to_owned(),
    }
}

fn lookup(lookup: &BoundLookup) -> LookupShown {
    LookupShown {
        table: lookup.table.name.to_string(),
        keys: lookup.keys.iter().map(|key| key.lookup.clone()).collect(),
    }
}

fn column(column: &BoundColumn) -> ColumnShown {
    let BoundColumn { name, type_name, expression, expression_type, inputs } = column;
    let reads = |table: &str| {
        inputs.iter().any(|input| input.split_once('.').is_some_and(|(of, _)| of == table))
    };
    let from = match (reads("source"), reads("lookup")) {
        (true, false) => "source",
        (false, true) => "lookup",
        (true, true) => "both",
        (false, false) => "none",
    };
    ColumnShown {
        column: name.clone(),
        type_name: type_name.clone(),
        expression: expression.trim().to_owned(),
        expression_type: expression_type.clone(),
        inputs: inputs.clone(),
        from,
    }
}

fn waves(plan: &Plan) -> Vec<WaveShown> {
    let mut planner = plan.waves.clone();
    std::iter::from_fn(move || planner.next_wave())
        .map(|wave| WaveShown {
            wave: wave.number + 1,
            first_chunk: wave.chunks.start + 1,
            last_chunk: wave.chunks.end,
            keys: wave.bucket.map(|bucket| [bucket.index + 1, bucket.count]),
            lookup_rows: wave.estimated_rows,
            lookup_bytes: wave.estimated_bytes,
        })
        .collect()
}

fn memory(plan: &Plan) -> MemoryShown {
    let memory = &plan.memory;
    MemoryShown {
        total_bytes: memory.total,
        attributes_bytes: memory.attributes,
        filling_bytes: memory.readers,
        queue_bytes: memory.queue,
        late_bytes: memory.deferred.total,
        program_bytes: memory.base,
        batch_bytes: memory.batch_bytes,
    }
}

/// Longer names push their line to the right.
const LONGEST_NAME: usize = 28;
/// Longer types are cut; `--json` has them in full.
const LONGEST_TYPE: usize = 23;
/// How many chunks are shown at each end of a list; `--json` has all.
const CHUNKS: usize = 12;
/// The indentation of values in blocks.
const VALUES: usize = 14;

/// The text. `head` describes the servers and tables, `estimate` the duration.
pub(crate) fn text(document: &Document, head: &str, estimate: &str) -> String {
    let mut text = wrap_block(head, VALUES, width());
    if let Some(topology) = &document.topology {
        text.push_str(&wrapped("  topology    ", &around(topology, document.servers.one)));
    }
    text.push_str(&wrapped("  ledger      ", &document.ledger.words()));
    text.push_str(&mapping(document));
    text.push_str(&document.engine.text());
    text.push_str(&document.groups.as_ref().map(GroupsShown::text).unwrap_or_default());
    text.push_str(&memory_text(&document.memory));
    if let Some(parts) = document.new_parts {
        let size = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), self::bytes);
        text.push_str("\ndisk of the target\n");
        line(&mut text, "needed", &format!("about {}", size(document.disk.needed_bytes)));
        line(&mut text, "free", &size(document.disk.free_bytes));
        line(&mut text, "new parts", &format!("about {}, before merges", count(parts)));
    }
    for wave in &document.waves {
        text.push_str(&self::wave(document, wave));
    }
    text.push_str(estimate);
    if !document.checks.is_empty() {
        text.push_str("\nchecks\n");
        document.checks.iter().for_each(|check| text.push_str(&self::check(check)));
    }
    text.push_str(&verdict(document));
    text.push_str(&summary(document));
    text
}

/// The figures that decide, and the command that follows.
fn summary(document: &Document) -> String {
    let mut text = String::new();
    let Document { source, chunks, waves, engine, memory, .. } = document;
    if waves.is_empty() {
        return text;
    }
    let size = source.stored_bytes.map_or_else(|| "unknown size".to_owned(), bytes);
    line(&mut text, "rows", &format!("{}, {size}", counted(source.stored_rows, "stored row")));
    let (chunks, waves) = (chunks.len() as u64, waves.len() as u64);
    line(&mut text, "chunks", &format!("{} in {}", count(chunks), counted(waves, "wave")));
    line(&mut text, "time", &time(document));
    line(&mut text, "memory", &format!("at most {} in this process", bytes(memory.total_bytes)));
    line(&mut text, "engine", engine.name.as_str());
    // A command line is not wrapped, so that it can be pasted.
    let _ = writeln!(text, "  {:<12}{}", "next", document.next_command);
    text
}

fn time(document: &Document) -> String {
    match (&document.estimate, &document.estimate_none) {
        (Some(estimate), _) => {
            let [from, to] = [estimate.seconds_from, estimate.seconds_to]
                .map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
                .map(duration);
            format!("{from} to {to}, by a dry run")
        }
        (None, Some(reason)) => format!("unknown: {reason}"),
        (None, None) => "not measured, since --measure is 0s".to_owned(),
    }
}

fn line(text: &mut String, name: &str, value: &str) {
    text.push_str(&wrapped(&format!("  {name:<12}"), value));
}

/// Whether a run would start.
fn verdict(document: &Document) -> String {
    if document.waves.is_empty() {
        return format!("\npartition {} has no rows: there is nothing to do\n", document.partition);
    }
    let of = |verdict| document.checks.iter().filter(|check| check.verdict == verdict).count();
    let blocking = of(Verdict::Blocked) as u64;
    if blocking > 0 {
        return format!(
            "\nblocked: {} must be corrected before a run\n",
            counted(blocking, "check")
        );
    }
    match of(Verdict::Warning) as u64 {
        0 => "\nready: a run would start\n".to_owned(),
        warnings => format!("\nready: a run would start, with {}\n", counted(warnings, "warning")),
    }
}

fn around(topology: &Topology, one: bool) -> String {
    let mut parts = vec![
        if one {
            "one server for source and target"
        } else {
            "two servers, or one server with two users"
        }
        .to_owned(),
    ];
    parts.extend(topology.host.as_ref().map(|host| format!("host {host}")));
    match topology.clusters.as_deref() {
        None => parts.push("cluster unknown".to_owned()),
        Some([]) => parts.push("in no cluster".to_owned()),
        Some(clusters) => parts.extend(clusters.iter().map(Cluster::words)),
    }
    parts.extend(topology.target_replicas.map(|replicas| {
        format!("{} of the target's {} replicas are active", replicas.active, replicas.total)
    }));
    parts.join(", ")
}

fn mapping(document: &Document) -> String {
    let longest = |texts: &mut dyn Iterator<Item = &str>, most: usize| {
        texts.map(|text| text.chars().count()).max().unwrap_or_default().min(most)
    };
    let columns = &document.mapping;
    let names = longest(&mut columns.iter().map(|column| column.column.as_str()), LONGEST_NAME)
        .max("column".len());
    let types = longest(&mut columns.iter().map(|column| column.type_name.as_str()), LONGEST_TYPE)
        .max("type".len());
    let head = |name: &str, type_name: &str, from: &str| {
        format!("  {name:<names$}  {type_name:<types$}  {from:<6}  ")
    };
    let mut text = format!(
        "\nmapping of {}\n{}expression\n",
        counted(columns.len() as u64, "column"),
        head("column", "type", "from")
    );
    for ColumnShown { column, type_name, from, expression, .. } in columns {
        text.push_str(&wrapped(&head(column, &cut(type_name, types), from), expression));
    }
    if !document.defaults.is_empty() {
        text.push_str(&wrapped("  defaults: ", &document.defaults.join(", ")));
    }
    for left in &document.left_out {
        text.push_str(&wrapped("  not written: ", &format!("{}: {}", left.column, left.reason)));
    }
    text
}

/// How memory is divided.
fn memory_text(memory: &MemoryShown) -> String {
    let mut text = "\nmemory\n".to_owned();
    let batches = format!(
        "{} for batches being filled, {} each",
        bytes(memory.filling_bytes),
        bytes(memory.batch_bytes)
    );
    line(&mut text, "limit", &bytes(memory.total_bytes));
    let attributes = format!("{}, for one wave or two at once", bytes(memory.attributes_bytes));
    line(&mut text, "attributes", &attributes);
    line(&mut text, "batches", &batches);
    line(&mut text, "queue", &format!("{}, waiting and in flight", bytes(memory.queue_bytes)));
    if memory.late_bytes > 0 {
        let late = format!("{}, for rows without a match in the window", bytes(memory.late_bytes));
        line(&mut text, "deferred", &late);
    }
    line(&mut text, "program", &bytes(memory.program_bytes));
    text
}

fn wave(document: &Document, wave: &WaveShown) -> String {
    let split = wave.keys.map_or_else(String::new, |[part, of]| format!(", keys {part} of {of}"));
    let mut text = format!(
        "\nwave {}{split}: about {} lookup rows, {}\n",
        wave.wave,
        count(wave.lookup_rows),
        bytes(wave.lookup_bytes)
    );
    let chunks = document
        .chunks
        .get(wave.first_chunk.saturating_sub(1)..wave.last_chunk)
        .unwrap_or_default();
    let last = chunks.len().saturating_sub(CHUNKS);
    for (position, chunk) in chunks.iter().enumerate() {
        if position == CHUNKS && last > position {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  and {} more, up to", count((last - position) as u64));
        }
        if position < CHUNKS || position >= last {
            let head = format!("  chunk {:<4}", chunk.chunk);
            let object = chunk.object.as_ref().map(|object| object.path.as_str());
            let range = object.or(chunk.range.as_deref()).unwrap_or("the whole partition");
            let _ = writeln!(
                text,
                "{head}{}",
                cut_at_word(range, width().saturating_sub(head.chars().count()))
            );
        }
    }
    text
}

pub(crate) fn check(check: &Check) -> String {
    let head = format!("  {:<8} {:<14} ", check.verdict.as_str(), check.name);
    let mut text = wrapped(&head, &check.detail);
    if check.verdict != Verdict::Ok {
        for means in &check.lifted_by {
            text.push_str(&wrapped(&format!("{}hint: ", " ".repeat(head.len())), means));
        }
    }
    text
}
