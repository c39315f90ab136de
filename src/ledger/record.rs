//! The records of loads: each is a row of a table, or a file.
#![allow(
    clippy::doc_markdown,
    reason = "a field's documentation is its column's comment, which is plain text"
)]

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::columns::{FORMAT_VERSION, Row, Sql, record};
use super::cut::SourceCut;
use super::{Definition, Timestamp};
use crate::plan::ChunkId;
use crate::state::LoadState;
use crate::units::counted;

/// The form of records that have no number: those of version 0.1.
pub(super) fn first_form() -> u32 {
    1
}

record! {
    /// What is filled, by what, from what. Two loads of one key are two versions of the same.
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    pub struct LoadKey {
        job: String => Sql::of("String"), "The job";
        source_table: String => Sql::of("String"), "The source table, with its database";
        target_table: String => Sql::of("String"), "The target table, with its database";
        partition_id: String => Sql::of("String"), "The id of the source's partition";
    }
}

impl fmt::Display for LoadKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, source_table, target_table, partition_id } = self;
        write!(formatter, "partition {partition_id} of {source_table} into {target_table} by {job}")
    }
}

record! {
    /// One version of a load: one row of `load_state`.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct LoadRecord {
        #[serde(default = "first_form")]
        format_version: u32 => Sql::of("UInt16").added("1"), "Form of this row";
        #[serde(flatten)]
        key: LoadKey => <LoadKey as Row>::columns(), "What it fills";
        run_id: String => Sql::of("String"), "Identity of the load, the same each time it is resumed; query ids begin with clickhouse-backfill-<run_id>";
        #[serde(default)]
        load_version: u32 => Sql::of("UInt32").added("0"), "Number of this version of the load, from 1; 0 if another one counts that was begun at the same time";
        is_current: bool => Sql::of("UInt8"), "1 for the version that readers may trust: the newest one that is completed";
        status: LoadState => Sql::of("LowCardinality(String)"), "started, staged, completed, superseded, failed or interrupted";
        error: String => Sql::of("String"), "Why it failed";
        fingerprint: String => Sql::of("String"), "Hash of the definition";
        definition: Definition => Sql::json(), "What decides the result, as JSON: job, tables, types, keys, settings, server";
        chunk_bounds: String => Sql::long(), "The bounds of the chunks, as JSON: made once, so that merges do not change them";
        chunks: u64 => Sql::of("UInt64"), "Number of chunks";
        chunks_completed: u64 => Sql::of("UInt64"), "Completed chunks; live figures are in load_state_chunks";
        chunks_failed: u64 => Sql::of("UInt64"), "Failed chunks";
        rows_expected: Option<u64> => Sql::of("Nullable(UInt64)"), "Rows of the source by an independent count when the load began";
        #[serde(default)]
        keys_expected: Option<u64> => Sql::of("Nullable(UInt64)").added("NULL"), "Sum of the hashes of their sorting keys, to notice other rows at the end; NULL if unknown";
        rows_read: u64 => Sql::of("UInt64"), "Rows read, over all completed chunks";
        rows_inserted: u64 => Sql::of("UInt64"), "Rows inserted, over all completed chunks";
        #[serde(default)]
        is_untouched: bool => Sql::of("Bool").added("0"), "1 where it is certain that no row of it was inserted";
        #[serde(default)]
        publication: Option<Publication> => Sql::json().added("'null'"), "What was built beside the target and published, as JSON; null where rows were inserted in place";
        matched: u64 => Sql::of("UInt64"), "Rows with attributes inside the lookup window";
        matched_late: u64 => Sql::of("UInt64"), "Rows with attributes outside of it";
        unmatched: u64 => Sql::of("UInt64"), "Rows without attributes";
        tool_version: String => Sql::of("LowCardinality(String)"), "Version of clickhouse-backfill";
        server_version: String => Sql::of("LowCardinality(String)"), "Version of ClickHouse when the load began";
        started_at: Option<Timestamp> => Sql::moment(), "When it began";
        completed_at: Option<Timestamp> => Sql::completion(), "When it was completed";
    }
}

impl LoadRecord {
    /// A load that begins, of which nothing is recorded.
    pub fn new(key: LoadKey, run_id: String) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            key,
            run_id,
            load_version: 1,
            is_current: false,
            status: LoadState::Started,
            error: String::new(),
            fingerprint: String::new(),
            definition: Definition::default(),
            chunk_bounds: String::new(),
            chunks: 0,
            chunks_completed: 0,
            chunks_failed: 0,
            rows_expected: None,
            keys_expected: None,
            rows_read: 0,
            rows_inserted: 0,
            is_untouched: false,
            publication: None,
            matched: 0,
            matched_late: 0,
            unmatched: 0,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            server_version: String::new(),
            started_at: None,
            completed_at: None,
        }
    }

    /// The rows of the source when the load began, and the sum of the hashes of their keys; `None` until
    /// they are counted.
    pub fn counted(&self) -> Option<(u64, Option<u64>)> {
        self.rows_expected.map(|rows| (rows, self.keys_expected))
    }

    /// Sums the figures of its chunks, unless it is completed: those of a load that has not ended are
    /// as old as its last end.
    pub fn catch_up(&mut self, chunks: &[ChunkRecord]) {
        if self.status != LoadState::Completed {
            self.sum(chunks);
        }
    }

    /// Sums the figures of its chunks.
    pub fn sum(&mut self, chunks: &[ChunkRecord]) {
        let completed = || chunks.iter().filter(|chunk| chunk.status == ChunkStatus::Completed);
        let sum = |figure: fn(&ChunkRecord) -> u64| completed().map(figure).sum();
        // There are more than planned where some were divided.
        self.chunks = self.chunks.max(chunks.len() as u64);
        self.chunks_completed = completed().count() as u64;
        self.chunks_failed =
            chunks.iter().filter(|chunk| chunk.status == ChunkStatus::Failed).count() as u64;
        self.rows_read = sum(|chunk| chunk.rows_read);
        self.rows_inserted = sum(|chunk| chunk.rows_inserted);
        self.matched = sum(|chunk| chunk.matched);
        self.matched_late = sum(|chunk| chunk.matched_late);
        self.unmatched = sum(|chunk| chunk.unmatched);
    }
}

/// The state of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChunkStatus {
    /// Not completed; some of its rows may have been inserted.
    Pending,
    /// Its stream ended without an error, and every row of it was acknowledged.
    Completed,
    /// It failed in the last run; the next run retries it.
    Failed,
    /// Its parts are chunks in its place.
    Divided,
}

record! {
    /// One chunk: one row of `load_state_chunks`.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct ChunkRecord {
        #[serde(default = "first_form")]
        format_version: u32 => Sql::of("UInt16").added("1"), "Form of this row";
        run_id: String => Sql::of("String"), "The load, as in load_state";
        chunk: u64 => Sql::of("UInt64"), "Number of the chunk, from 0; of a part of a divided chunk, the chunk's in the lower 32 bits and the part's place above";
        range: String => Sql::long(), "Its range as a predicate on the source; empty for the whole partition";
        status: ChunkStatus => Sql::of("LowCardinality(String)"), "pending, completed, failed or divided; completed only when its stream ended without an error and every row was acknowledged";
        #[serde(default)]
        cuts: String => Sql::long().added("''"), "Of a divided chunk, the bounds between its parts, as JSON";
        worker: String => Sql::of("String"), "Who wrote the row: worker, host and process; empty while it is pending";
        attempts: u64 => Sql::of("UInt64"), "Attempts of the last run";
        rows_read: u64 => Sql::of("UInt64"), "Rows read";
        rows_inserted: u64 => Sql::of("UInt64"), "Rows inserted";
        matched: u64 => Sql::of("UInt64"), "Rows with attributes inside the lookup window";
        matched_late: u64 => Sql::of("UInt64"), "Rows with attributes outside of it";
        unmatched: u64 => Sql::of("UInt64"), "Rows without attributes";
        bytes_inserted: u64 => Sql::of("UInt64"), "Bytes inserted";
        batches: u64 => Sql::of("UInt64"), "Batches acknowledged";
        #[serde(with = "decimal")]
        hash: u128 => Sql::of("UInt128"), "Sum, modulo 2^128, of the hashes of its inserted rows, the same in any order; of blocks that are passed on, the hash of each block";
        #[serde(default)]
        batch_rows: Option<u64> => Sql::of("Nullable(UInt64)").added("NULL"), "Rows of its batches, where the target recognizes repeated ones: written before the first is sent; 0 before that, NULL if unknown";
        #[serde(default)]
        stage_attempt: u32 => Sql::of("UInt32").added("0"), "The attempt whose rows in the stage count; 0 without a stage";
        error: String => Sql::of("String"), "Why it failed";
        started_at: Option<Timestamp> => Sql::local_moment(), "When its reading began";
        completed_at: Option<Timestamp> => Sql::local_moment(), "When its last batch was acknowledged, or it failed";
    }
}

impl ChunkRecord {
    /// Which chunk of the load it is.
    pub(crate) fn id(&self) -> ChunkId {
        ChunkId::of_record(self.chunk)
    }

    /// A chunk that was not begun.
    pub fn pending(run_id: &str, chunk: u64, range: &str) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            run_id: run_id.to_owned(),
            chunk,
            range: range.to_owned(),
            status: ChunkStatus::Pending,
            cuts: String::new(),
            worker: String::new(),
            attempts: 0,
            rows_read: 0,
            rows_inserted: 0,
            matched: 0,
            matched_late: 0,
            unmatched: 0,
            bytes_inserted: 0,
            batches: 0,
            hash: 0,
            batch_rows: Some(0),
            stage_attempt: 0,
            error: String::new(),
            started_at: None,
            completed_at: None,
        }
    }
}

/// What counts of these records: no chunk that was divided, but its parts. Parts of a chunk that is
/// not recorded as divided are left over from a process that died, and do not count.
pub(crate) fn undivided(records: &[ChunkRecord]) -> Vec<ChunkRecord> {
    let divided: BTreeSet<_> = records
        .iter()
        .filter(|record| record.status == ChunkStatus::Divided)
        .map(ChunkRecord::id)
        .collect();
    let counts = |record: &&ChunkRecord| {
        let wholes = std::iter::successors(record.id().whole(), |id| id.whole());
        record.status != ChunkStatus::Divided && wholes.into_iter().all(|id| divided.contains(&id))
    };
    records.iter().filter(counts).cloned().collect()
}

record! {
    /// The figures of one process at one moment: one row of `load_samples`. A figure that is not
    /// known is `None`.
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    pub struct LoadSample {
        #[serde(default = "first_form")]
        format_version: u32 => Sql::of("UInt16").added("1"), "Form of this row";
        run_id: String => Sql::of("String"), "The load, as in load_state";
        claim_id: String => Sql::of("String"), "The process, as in load_claims";
        #[serde(skip_serializing_if = "Option::is_none")]
        sampled_at: Option<Timestamp> => Sql::moment(), "When";
        worker: String => Sql::of("String"), "Whose figures these are: worker, host and process";
        phase: String => Sql::of("LowCardinality(String)"), "plan, lookup, stream or done";
        interval_seconds: f64 => Sql::of("Float64"), "Time since the sample before, to which rates and latencies refer";
        rows_read: u64 => Sql::of("UInt64"), "Rows that the process has read so far";
        rows_inserted: u64 => Sql::of("UInt64"), "Rows of it that were acknowledged";
        bytes_inserted: u64 => Sql::of("UInt64"), "Their bytes";
        rows_read_per_second: f64 => Sql::of("Float64"), "Over the interval";
        rows_inserted_per_second: f64 => Sql::of("Float64"), "Over the interval";
        bytes_inserted_per_second: f64 => Sql::of("Float64"), "Over the interval";
        inserts: u64 => Sql::of("UInt64"), "Batches acknowledged in the interval";
        insert_p50_seconds: Option<f64> => Sql::of("Nullable(Float64)"), "Half of them took at most this time; NULL if there was none";
        insert_p95_seconds: Option<f64> => Sql::of("Nullable(Float64)"), "95 % of them took at most this time";
        insert_max_seconds: Option<f64> => Sql::of("Nullable(Float64)"), "The time of the longest of them";
        active_parts: Option<u64> => Sql::of("Nullable(UInt64)"), "Active parts of the fullest partition of the target; NULL if unknown";
        merges: Option<u64> => Sql::of("Nullable(UInt64)"), "Merges in progress on the server";
        server_memory_bytes: Option<u64> => Sql::of("Nullable(UInt64)"), "Memory that the server uses";
        server_memory_limit_bytes: Option<u64> => Sql::of("Nullable(UInt64)"), "Memory that it may use";
        client_memory_bytes: Option<u64> => Sql::of("Nullable(UInt64)"), "Memory that the process uses";
        queue_bytes: u64 => Sql::of("UInt64"), "Bytes of batches that wait or are being sent";
        inserts_in_flight: u64 => Sql::of("UInt64"), "Inserts in flight";
        retries: u64 => Sql::of("UInt64"), "Statements that were retried so far";
        waiting: String => Sql::of("String"), "Why it starts no chunk; empty if it does not wait";
        settings: String => Sql::long(), "What the process was started with, as JSON; in its first sample only";
    }
}

record! {
    /// One comparison of the target with what the job makes of the source: one row of
    /// `load_verifications`.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub struct Verification {
        #[serde(default = "first_form")]
        format_version: u32 => Sql::of("UInt16").added("1"), "Form of this row";
        #[serde(flatten)]
        key: LoadKey => <LoadKey as Row>::columns(), "What was compared";
        run_id: String => Sql::of("String"), "The newest version of the load, as in load_state";
        #[serde(skip_serializing_if = "Option::is_none")]
        verified_at: Option<Timestamp> => Sql::moment(), "When the comparison ended";
        equal: bool => Sql::of("Bool"), "Whether the target is what the job makes of the source";
        expected_rows: u64 => Sql::of("UInt64"), "Rows that the job makes";
        target_rows: u64 => Sql::of("UInt64"), "Rows of the target that it answers for";
        differences: u64 => Sql::of("UInt64"), "Rows that differ";
        sample: String => Sql::of("String"), "The share of keys that was compared, such as 1/100; empty for all";
        seconds: f64 => Sql::of("Float64"), "How long it took";
        tool_version: String => Sql::of("LowCardinality(String)"), "Version of clickhouse-backfill";
        report: String => Sql::long(), "The result as JSON: what verify --json prints";
        #[serde(default)]
        target_parts: String => Sql::long().added("''"), "Parts of the target when it was compared, as JSON; empty if they are not known";
    }
}

/// JSON has no numbers of 128 bits that every reader keeps.
mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<u128, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The record of a load's publication, in the load's row. Its tables exist only where the row names
/// them: the row is written before they are created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredPublication")]
pub struct Publication {
    /// How far it is.
    pub step: PublicationStep,
    /// The target's partitions that are replaced.
    pub partitions: Vec<ReplacedPartition>,
    /// The database of its tables: the target's.
    pub database: String,
    /// The table with the rows of every attempt of every chunk.
    pub stage: String,
    /// The table with the rows that are published.
    pub publish: String,
    /// The table with the rows that were replaced, where they are kept.
    pub kept: Option<String>,
    /// Rows in the partitions when the load began.
    pub rows_before: u64,
    /// Rows in the table that is published, once it is built.
    pub rows_published: Option<u64>,
    /// The copy of the source's partition that is read in its place; `None` where the source itself is
    /// read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<SourceCut>,
}

/// A publication as it is stored. Before there could be several partitions, the one had keys of its own.
#[derive(Deserialize)]
struct StoredPublication {
    step: PublicationStep,
    #[serde(default)]
    partitions: Vec<ReplacedPartition>,
    partition_id: Option<String>,
    newest_block: Option<i64>,
    database: String,
    stage: String,
    publish: String,
    kept: Option<String>,
    rows_before: u64,
    rows_published: Option<u64>,
    cut: Option<SourceCut>,
}

impl From<StoredPublication> for Publication {
    fn from(stored: StoredPublication) -> Self {
        let StoredPublication { step, database, stage, publish, kept, .. } = stored;
        let StoredPublication { rows_before, rows_published, cut, .. } = stored;
        let only = stored.partition_id.map(|id| ReplacedPartition {
            id,
            newest_block: stored.newest_block.unwrap_or_default(),
            rows_before,
            rows_published,
        });
        let partitions = stored.partitions.into_iter().chain(only).collect();
        Self { step, partitions, database, stage, publish, kept, rows_before, rows_published, cut }
    }
}

/// A partition of the target that is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedPartition {
    /// Its id.
    pub id: String,
    /// The greatest block number in it when the load began: a row with a greater one was written since.
    pub newest_block: i64,
    /// Rows in it when the load began.
    pub rows_before: u64,
    /// Rows of it in the table that is published.
    pub rows_published: Option<u64>,
}

/// Partitions in words, by their ids in order.
pub(crate) fn partitions_in_words<'a>(ids: impl IntoIterator<Item = &'a str>) -> String {
    let ids: Vec<_> = ids.into_iter().collect();
    match ids.as_slice() {
        [] => "no partition".to_owned(),
        [one] => format!("partition {one}"),
        [first, .., last] => format!("{} partitions ({first} to {last})", ids.len()),
    }
}

/// How far a publication is. Each step is recorded when it is done, but for `publishing`, which is
/// recorded before the partition is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublicationStep {
    /// Chunks are inserted into the stage.
    Staging,
    /// The rows to publish are built, and equal what the job makes of the source.
    Staged,
    /// What stood in the partition is kept, if it is to be. The partition may have been replaced.
    Publishing,
    /// The partition was replaced.
    Published,
    /// The stage and the table that was published are dropped.
    Done,
    /// Another version began before the partition was replaced, and these tables are dropped.
    Abandoned,
}

impl Publication {
    /// Whether the stage or the table to publish may exist.
    pub(crate) fn may_have_tables(&self) -> bool {
        self.step < PublicationStep::Done
    }

    /// The ids of the partitions that are replaced.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.partitions.iter().map(|partition| partition.id.clone()).collect()
    }

    /// The partitions that are replaced, in words.
    pub(crate) fn partitions_in_words(&self) -> String {
        partitions_in_words(self.partitions.iter().map(|partition| partition.id.as_str()))
    }

    /// How far it is, in words.
    pub(crate) fn words(&self) -> String {
        let Self { stage, publish, rows_before, .. } = self;
        let partitions = self.partitions_in_words();
        let built =
            self.rows_published.map_or_else(|| "rows".to_owned(), |rows| counted(rows, "row"));
        let kept = match &self.kept {
            Some(kept) => format!("{} stood there, kept in {kept}", counted(*rows_before, "row")),
            None if *rows_before == 0 => "none stood there".to_owned(),
            None => format!("{} stood there, not kept", counted(*rows_before, "row")),
        };
        match self.step {
            PublicationStep::Staging => format!("not yet: chunks are staged in {stage}"),
            PublicationStep::Staged => {
                format!("not yet: {built} are built in {publish} and equal the equivalent join")
            }
            PublicationStep::Publishing => {
                format!("unknown: {built} of {publish} were to replace {partitions}")
            }
            PublicationStep::Published | PublicationStep::Done => {
                let late = self.cut.as_ref().map(|cut| format!("; {}", cut.late.words()));
                format!("{built} as {partitions}; {kept}{}", late.unwrap_or_default())
            }
            PublicationStep::Abandoned => "never: another version began before".to_owned(),
        }
    }

    /// The tables that are dropped at its end.
    pub(crate) fn temporary(&self) -> Vec<String> {
        let cut = self
            .cut
            .iter()
            .flat_map(|cut| cut.late.tables().into_iter().chain([cut.snapshot.clone()]));
        cut.chain([self.stage.clone(), self.publish.clone()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_of_one_partition_is_read_as_it_was_stored_first() {
        let stored = r#"{"step":"staged","partition_id":"202610","database":"d","stage":"s","publish":"p","kept":null,"newest_block":7,"rows_before":30,"rows_published":40}"#;
        let read: Publication = serde_json::from_str(stored).unwrap();
        let only = ReplacedPartition {
            id: "202610".to_owned(),
            newest_block: 7,
            rows_before: 30,
            rows_published: Some(40),
        };
        assert_eq!(read.partitions, [only]);
        let written = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<Publication>(&written).unwrap(), read);
    }
}
