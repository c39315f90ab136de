//! What the server is asked: one SELECT for each system table, all with the columns `figure`,
//! `value` and `note`, so that they can be asked together, or one by one where a user may not read
//! all of them.

use serde::Deserialize;

use super::sample::{PartitionParts, Sample};
use super::task::Watched;
use crate::clickhouse::{merge_tree_setting, quote_literal};

/// One figure of an answer.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    figure: String,
    value: Option<u64>,
    note: String,
}

/// The questions about this table. `seconds` is how long it is watched already.
pub(super) fn questions(watched: &Watched, seconds: u64) -> Vec<String> {
    let (database, table) =
        (quote_literal(&watched.table.database), quote_literal(&watched.table.table));
    // Parts of other partitions are not this run's doing. Where it is not known which it fills,
    // they show by their parts' age.
    let filled = match &watched.partition_id {
        Some(id) => format!("partition_id = {}", quote_literal(id)),
        None => format!("max(modification_time) >= now() - {seconds}"),
    };
    let is_replicated = watched.engine.starts_with("Replicated");
    let mut questions = vec![
        "SELECT metric AS figure, toNullable(toUInt64(greatest(value, 0))) AS value, '' AS note FROM system.metrics \
            WHERE metric IN ('Merge', 'MemoryTracking', 'DelayedInserts')"
            .to_owned(),
        "SELECT name AS figure, toUInt64OrNull(value) AS value, '' AS note FROM system.server_settings WHERE name = 'max_server_memory_usage'"
            .to_owned(),
        "SELECT metric AS figure, toNullable(toUInt64(value)) AS value, '' AS note FROM system.asynchronous_metrics WHERE metric = 'OSMemoryTotal'"
            .to_owned(),
    ];
    if !watched.engine.ends_with("MergeTree") {
        return questions;
    }
    let unknown = quote_literal(watched.partition_id.as_deref().unwrap_or_default());
    questions.push(format!(
        "SELECT 'parts' AS figure, toNullable(toUInt64(max(parts))) AS value, if(count() = 0, {unknown}, argMax(name, parts)) AS note \
            FROM (SELECT count() AS parts, any(partition) AS name FROM system.parts \
            WHERE database = {database} AND table = {table} AND active GROUP BY partition_id HAVING {filled})"
    ));
    for limit in ["parts_to_delay_insert", "parts_to_throw_insert"] {
        questions.push(format!(
            "SELECT '{limit}' AS figure, toNullable(toUInt64({})) AS value, '' AS note FROM system.tables \
                WHERE database = {database} AND name = {table}",
            merge_tree_setting(&watched.engine, limit)
        ));
    }
    questions.push(format!(
        "SELECT 'mutations' AS figure, toNullable(toUInt64(count())) AS value, '' AS note FROM system.mutations \
            WHERE database = {database} AND table = {table} AND NOT is_done"
    ));
    if is_replicated {
        questions.push(format!(
            "SELECT 'replica_delay' AS figure, toNullable(toUInt64(absolute_delay)) AS value, '' AS note FROM system.replicas \
                WHERE database = {database} AND table = {table}"
        ));
    }
    questions
}

/// All of them as one.
pub(super) fn together<'a>(questions: impl Iterator<Item = &'a String>) -> String {
    let each: Vec<_> =
        questions.map(|question| format!("SELECT figure, value, note FROM ({question})")).collect();
    each.join(" UNION ALL ")
}

/// Puts the answers together.
pub(super) fn sample(answers: Vec<Answer>) -> Sample {
    let mut sample = Sample::unknown();
    let mut machine = None;
    for Answer { figure, value, note } in answers {
        match figure.as_str() {
            "Merge" => sample.merges = value,
            "MemoryTracking" => sample.memory_used = value,
            "DelayedInserts" => sample.delayed_inserts = value,
            // 0 means no limit but the machine's.
            "max_server_memory_usage" => sample.memory_total = value.filter(|&bytes| bytes > 0),
            "OSMemoryTotal" => machine = value,
            "parts" => sample.parts = value.map(|parts| PartitionParts { partition: note, parts }),
            "parts_to_delay_insert" => sample.parts_to_delay_insert = value,
            "parts_to_throw_insert" => sample.parts_to_throw_insert = value,
            "mutations" => sample.mutations = value,
            "replica_delay" => sample.replica_delay_seconds = value,
            _ => {}
        }
    }
    sample.memory_total = sample.memory_total.or(machine);
    sample
}
