//! What decides a load's result: the statements, settings, types and keys, each under a name that
//! people understand.

use crate::clickhouse::{Servers, TableSchema};
use crate::engine::stream::PipelineOptions;
use crate::job::statements::{self, Scope};
use crate::job::{BoundJob, SettingMap};
use crate::ledger::{Fingerprint, LoadKey};

/// The part whose change is said, but does not forbid to go on: servers are updated while loads
/// last.
pub(super) const SERVER: &str = "the version of ClickHouse";

/// The parts that decide which rows lie in which batch. They are in the definition where the target
/// recognizes repeated batches, and count as long as some may come.
pub(super) const BATCHES: [&str; 2] =
    ["the size of batches", "the memory for rows that are looked up late"];

/// By what the ledger knows the load of this partition.
pub fn load_key(job: &BoundJob, partition_id: &str) -> LoadKey {
    LoadKey {
        job: job.name.clone(),
        source_table: job.source.name.to_string(),
        target_table: job.target.name.to_string(),
        partition_id: partition_id.to_owned(),
    }
}

/// The definition of a load. What only decides how fast it is, is not in it.
pub fn definition(
    job: &BoundJob,
    options: &PipelineOptions,
    chunk_rows: u64,
    servers: &Servers,
    server_version: &str,
) -> Fingerprint {
    let everything = Scope { partition_id: String::new(), range: None, window: None, bucket: None };
    let mut definition = Fingerprint::default()
        .with(SERVER, server_version)
        .with("the size of chunks", format!("{chunk_rows} rows"))
        .with("the query of the source", statements::source(job, &everything))
        .with("the settings of the source query", settings(&job.settings.source))
        .with("the settings of inserts", settings(&job.settings.insert));
    if servers.source.endpoint().url() != servers.target.endpoint().url() {
        definition =
            definition.with("the server of the source", servers.source.endpoint().url().as_str());
    }
    definition = table(definition, "source", &job.source);
    for column in &job.source_columns {
        definition =
            definition.with(format!("the type of source.{}", column.name), &column.type_name);
    }
    if let Some(lookup) = &job.lookup {
        definition = table(definition, "lookup", &lookup.table)
            .with("the query of the lookup", statements::lookup(lookup, None, None, None))
            .with("the lookup's window", format!("{:?}", lookup.window))
            .with("the settings of the lookup query", settings(&job.settings.lookup));
        for column in &lookup.columns {
            definition =
                definition.with(format!("the type of lookup.{}", column.name), &column.type_name);
        }
    }
    definition = table(definition, "target", &job.target);
    for column in &job.columns {
        definition = definition
            .with(format!("the expression of the column {}", column.name), &column.expression)
            .with(format!("the type of the column {}", column.name), &column.type_name);
    }
    if !job.target.is_replacing() {
        // There, a repeated batch is recognized only if it is cut at the same rows.
        let [batches, late] = BATCHES;
        definition = definition
            .with(batches, format!("{} rows, {} bytes", options.batch_rows, options.batch_bytes));
        if job.has_deferred_lookup() {
            definition =
                definition.with(late, format!("{} bytes a reader", options.deferred.reader));
        }
    }
    definition
}

fn table(definition: Fingerprint, role: &str, table: &TableSchema) -> Fingerprint {
    definition
        .with(format!("the engine of the {role} table"), &table.engine)
        .with(format!("the sorting key of the {role} table"), &table.sorting_key)
        .with(format!("the partition key of the {role} table"), &table.partition_key)
}

fn settings(settings: &SettingMap) -> String {
    settings
        .0
        .iter()
        .map(|(name, value)| format!("{name} = {value}"))
        .collect::<Vec<_>>()
        .join(", ")
}
