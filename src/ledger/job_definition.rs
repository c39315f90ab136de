//! The key and the definition of a load, from the job bound to its tables.

use super::LoadKey;
use super::definition::{
    ColumnDefinition, CutoffDefinition, JobDefinition, KeyDefinition, LookupDefinition,
    SourceDefinition, TableDefinition, TargetColumn, TargetDefinition, WindowDefinition,
};
use crate::clickhouse::{Column, Servers, TableSchema};
use crate::job::{BoundJob, BoundLookup, Publish, UsedColumn};

/// The ledger's key of the load of this partition.
pub(crate) fn load_key(job: &BoundJob, partition_id: &str) -> LoadKey {
    LoadKey {
        job: job.name.clone(),
        source_table: job.source.name.to_string(),
        target_table: job.target.name.to_string(),
        partition_id: partition_id.to_owned(),
    }
}

/// The definition of a job at these servers.
pub(crate) fn job_definition(job: &BoundJob, servers: &Servers) -> JobDefinition {
    let source_url = servers.source.endpoint().url();
    let is_elsewhere = source_url != servers.target.endpoint().url();
    JobDefinition {
        source: SourceDefinition {
            table: table(&job.source),
            server: is_elsewhere.then(|| source_url.to_string()),
            collapse: job.collapse,
            deleted: job.source_deleted.clone(),
            time: job.source_time.clone(),
            exclusions: job.exclusions.clone(),
            filters: job.filters.iter().map(|(_, predicate)| predicate.clone()).collect(),
            before: job.before.as_ref().map(|before| CutoffDefinition {
                column: before.column.clone(),
                moment: before.moment.clone(),
            }),
            snapshot: job.snapshot,
            newest_by: job.newest_by.iter().flat_map(|newest| newest.columns.clone()).collect(),
            horizon: job
                .group
                .as_ref()
                .and_then(|group| group.horizon.as_ref())
                .map(|horizon| horizon.moment),
            columns: columns(&job.source_columns),
            structure: if job.reads_outside() { structure(&job.source) } else { Vec::new() },
            query: job.postgres.as_ref().map(|postgres| postgres.query().to_owned()),
            settings: job.settings.source.0.clone(),
        },
        lookup: job.lookup.as_ref().map(|lookup| self::lookup(job, lookup)),
        target: TargetDefinition {
            table: table(&job.target),
            columns: job
                .columns
                .iter()
                .map(|column| TargetColumn {
                    name: column.name.clone(),
                    type_name: column.type_name.clone(),
                    expression: column.expression.clone(),
                })
                .collect(),
            live: job.live_rows.as_ref().map(|rows| rows.live.clone()),
            publish: (job.publish == Publish::Replace).then(|| "replace".to_owned()),
            settings: job.settings.insert.0.clone(),
        },
    }
}

fn lookup(job: &BoundJob, lookup: &BoundLookup) -> LookupDefinition {
    LookupDefinition {
        table: table(&lookup.table),
        keys: lookup
            .keys
            .iter()
            .map(|key| KeyDefinition {
                source: key.source.clone(),
                lookup: key.lookup.clone(),
                type_name: key.type_name.clone(),
            })
            .collect(),
        version: lookup.version.as_ref().map(|version| ColumnDefinition {
            name: version.name.clone(),
            type_name: version.type_name.clone(),
        }),
        deleted: lookup.deleted.clone(),
        window: lookup.window.as_ref().map(|window| WindowDefinition {
            column: window.column.clone(),
            days_before: window.days_before,
            days_after: window.days_after,
        }),
        columns: columns(&lookup.columns),
        settings: job.settings.lookup.0.clone(),
    }
}

fn table(table: &TableSchema) -> TableDefinition {
    // Each replica may have been created with a uuid of its own, and a run may go on at another one.
    let is_one = !table.engine.starts_with("Replicated") && !table.uuid.is_empty();
    TableDefinition {
        database: table.name.database.clone(),
        table: table.name.table.clone(),
        engine: table.engine.clone(),
        sorting_key: table.sorting_key.clone(),
        partition_key: table.partition_key.clone(),
        uuid: is_one.then(|| table.uuid.clone()),
    }
}

/// All columns of objects.
fn structure(source: &TableSchema) -> Vec<ColumnDefinition> {
    let definition = |column: &Column| ColumnDefinition {
        name: column.name.clone(),
        type_name: column.type_name.clone(),
    };
    source.columns.iter().map(definition).collect()
}

fn columns(columns: &[UsedColumn]) -> Vec<ColumnDefinition> {
    columns
        .iter()
        .map(|column| ColumnDefinition {
            name: column.name.clone(),
            type_name: column.type_name.clone(),
        })
        .collect()
}
