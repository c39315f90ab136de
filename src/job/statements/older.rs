//! `newest_by`: rows of the source that are older than another row of the same id.
//!
//! Rows of one id may lie anywhere in the table, since the id is not what the table is sorted by. So the
//! older ones of a partition are found before its rows are read, in one pass over the ids of all rows, and
//! every statement over the partition leaves them out by the hashes of their sorting keys. No two
//! statements can disagree about them, and neither engine has to see rows of two chunks at once.

use std::sync::Arc;

use crate::clickhouse::{quote_identifier, quote_literal};
use crate::job::bound::{BoundJob, NewestBy};

/// The rows of a partition that are not the newest of their id.
#[derive(Clone, Debug)]
pub(crate) struct OlderRows {
    /// Literals of the hashes of their keys, separated by commas.
    keys: Arc<str>,
    /// The query that found them.
    query: Arc<str>,
    /// How many there are.
    pub rows: u64,
    /// How many rows of the table were read to find them; `None` if the server does not tell.
    pub read_rows: Option<u64>,
    /// Whether statements name them by the query.
    is_shown: bool,
}

impl OlderRows {
    /// The rows with these keys, one a line in what [`older_rows`] gives.
    pub(crate) fn new(query: String, keys: &str, read_rows: Option<u64>) -> Self {
        let keys: Vec<_> = keys.lines().map(|key| format!("'{key}'")).collect();
        let rows = keys.len() as u64;
        Self { keys: keys.join(",").into(), query: query.into(), rows, read_rows, is_shown: false }
    }

    pub(super) fn shown(&self) -> Self {
        Self { is_shown: true, ..self.clone() }
    }

    /// The condition of the rows that count; `None` if all do.
    pub(super) fn predicate(&self, job: &BoundJob) -> Option<String> {
        let older = match (self.is_shown, self.rows) {
            (true, _) => &self.query,
            (false, 0) => return None,
            (false, _) => &self.keys,
        };
        Some(format!("AND {} NOT IN (\n{older}\n)", hash_of_key(job)))
    }
}

/// SQL for what tells the rows of a partition apart, in 32 characters.
fn hash_of_key(job: &BoundJob) -> String {
    format!("hex(sipHash128(tuple({})))", job.source.sorting_key)
}

/// The keys of the rows of a partition that are older than another row of the same id, in any partition.
///
/// The newest is the greatest by version, deletion, partition, sorting key, so that of equal versions every
/// statement takes the same. Deletions count, and so do rows that the job leaves out. Older versions of
/// one key have no say: the newest of them has the greatest version. The ids of the partition's rows are
/// taken in `buckets`, of which this is the one with the number `index`, so that their number bounds the memory.
pub(crate) fn older_rows(
    job: &BoundJob,
    newest_by: &NewestBy,
    partition_id: &str,
    (index, buckets): (u32, u32),
) -> String {
    let column = |name: &String| format!("source.{}", quote_identifier(name));
    let columns: Vec<_> = newest_by.columns.iter().map(column).collect();
    let id = format!("cityHash64(tuple({}))", columns.join(", "));
    let bucket =
        if buckets > 1 { format!(" AND {id} % {buckets} = {index}") } else { String::new() };
    let (table, partition) = (job.source.name.quoted(), quote_literal(partition_id));
    let (key, hash) = (&job.source.sorting_key, hash_of_key(job));
    let rank: Vec<_> = std::iter::once(&newest_by.version)
        .chain(&job.source_deleted)
        .map(column)
        .chain(["toString(_partition_id)".to_owned(), key.clone()])
        .collect();
    format!(
        "SELECT arrayJoin(arrayFilter(key -> (key, {partition}) != newest, keys)) AS older FROM (\n\
         SELECT groupUniqArrayIf({hash}, _partition_id = {partition}) AS keys, argMax(({hash}, toString(_partition_id)), tuple({})) AS newest\n\
         FROM {table} AS source\nWHERE {id} IN (\n\
         SELECT {id} AS id FROM {table} AS source\n\
         WHERE id IN (SELECT {id} FROM {table} AS source WHERE _partition_id = {partition}{})\n\
         GROUP BY id HAVING min(cityHash64(toString(_partition_id), {key})) != max(cityHash64(toString(_partition_id), {key})))\n\
         GROUP BY sipHash128(tuple({})))",
        rank.join(", "),
        bucket,
        columns.join(", ")
    )
}
