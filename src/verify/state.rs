//! The state of an interrupted comparison: the sums of the pieces that were compared.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::VerifyError;
use super::sums::Sums;
use crate::clickhouse::{Connection, TableSchema, literal_list, quote_literal};
use crate::files;
use crate::job::statements::LookupTimes;

/// The version of the format. That of 0.1 had no such field.
const FORMAT_VERSION: u32 = 3;
/// Least interval between two writes of the state.
const WRITE_INTERVAL: Duration = Duration::from_secs(5);

/// The state of a comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SavedState {
    /// [`FORMAT_VERSION`]
    format_version: u32,
    /// A digest of everything that determines the comparison: job, tables and share.
    pub identity: String,
    /// The load whose rows are compared, if the ledger has one.
    pub run_id: Option<String>,
    /// Time of the last write in microseconds since 1970.
    written_at: i64,
    /// The ranges of the source's chunks, fixed for the whole comparison.
    pub chunks: Vec<Option<String>>,
    /// The lookup window in microseconds.
    pub window: Option<(i64, i64)>,
    /// Rows that the target's TTL removes by this moment are not compared; in seconds since 1970.
    pub expired_by: i64,
    /// The number of buckets of keys.
    pub buckets: u32,
    /// The parts of the source's partition when the comparison began.
    pub source_parts: Option<PartsSnapshot>,
    /// The chunks that were compared.
    pub expected: SideSums,
    /// The parts of the target's partitions before the first range was read.
    pub target_parts: Option<PartsSnapshot>,
    /// The ranges of the target: partition id and predicate. `None` until all chunks were compared.
    pub ranges: Option<Vec<(String, Option<String>)>>,
    /// The ranges that were compared.
    pub found: SideSums,
}

/// The completed pieces of one side.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct SideSums {
    /// Number of pieces.
    pub done: usize,
    /// Their sums.
    pub sums: Sums,
}

/// What the state file holds.
pub(super) enum StateRead {
    /// There is no state.
    Nothing,
    /// A state of the same comparison.
    State(Box<SavedState>),
    /// A state that cannot be used, for this reason.
    Unusable(String),
}

impl StateRead {
    /// Why the state cannot be used, if there is one.
    pub(super) fn unusable_because(self) -> Option<String> {
        match self {
            Self::Unusable(reason) => Some(reason),
            Self::Nothing | Self::State(_) => None,
        }
    }
}

impl SavedState {
    /// The state of a comparison that begins.
    pub(super) fn new(
        identity: String,
        run_id: Option<String>,
        chunks: Vec<Option<String>>,
        window: Option<LookupTimes>,
        expired_by: i64,
        buckets: u32,
    ) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            identity,
            run_id,
            written_at: 0,
            chunks,
            window: window.map(|window| (window.from, window.to)),
            expired_by,
            buckets,
            source_parts: None,
            expected: SideSums::default(),
            target_parts: None,
            ranges: None,
            found: SideSums::default(),
        }
    }

    /// The parts of the target before its first range was read.
    pub(super) fn compared_parts(&self) -> Option<ComparedParts> {
        let mut partitions: Vec<_> =
            self.ranges.iter().flatten().map(|(partition, _)| partition.clone()).collect();
        partitions.dedup();
        Some(ComparedParts { partitions, snapshot: self.target_parts.clone()? })
    }

    pub(super) fn window(&self) -> Option<LookupTimes> {
        self.window.map(|(from, to)| LookupTimes { from, to })
    }

    /// Time since the last write; `None` if it lies in the future.
    pub(super) fn age(&self) -> Option<Duration> {
        let age = now_in_microseconds().checked_sub(self.written_at)?;
        u64::try_from(age).ok().map(Duration::from_micros)
    }
}

fn now_in_microseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// The file that keeps the state.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
    written: Instant,
}

impl StateFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, written: Instant::now() }
    }

    /// Reads the state of an earlier comparison with this identity.
    ///
    /// # Errors
    /// If the file cannot be read, or is of another comparison.
    pub(super) fn read(&self, identity: &str) -> Result<StateRead, VerifyError> {
        #[derive(Deserialize)]
        struct Header {
            format_version: Option<u32>,
            identity: String,
        }

        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(StateRead::Nothing);
            }
            Err(error) => return Err(self.failed(&format!("it cannot be read: {error}"))),
        };
        let no_state = |error| self.failed(&format!("it holds no state of verify: {error}"));
        let header: Header = serde_json::from_str(&text).map_err(no_state)?;
        if header.format_version != Some(FORMAT_VERSION) {
            let writer =
                if header.format_version.is_none() { "version 0.1" } else { "another version" };
            return Ok(StateRead::Unusable(format!(
                "its state was written by {writer} of the program, whose sums are others"
            )));
        }
        if header.identity != identity {
            return Err(self.failed(
                "it belongs to another comparison, or the job or the tables have changed since; remove it to start over",
            ));
        }
        let state = serde_json::from_str(&text).map_err(no_state)?;
        Ok(StateRead::State(Box::new(state)))
    }

    /// Writes the state if the last write is long enough ago.
    pub(super) fn write_at_intervals(&mut self, state: &mut SavedState) -> Result<(), VerifyError> {
        if self.written.elapsed() < WRITE_INTERVAL { Ok(()) } else { self.write(state) }
    }

    /// Replaces the file atomically.
    pub(super) fn write(&mut self, state: &mut SavedState) -> Result<(), VerifyError> {
        state.written_at = now_in_microseconds();
        let text = serde_json::to_string(state).map_err(|error| self.failed(&error.to_string()))?;
        files::replace(&self.path, text.as_bytes())
            .map_err(|error| self.failed(&format!("it cannot be written: {error}")))?;
        self.written = Instant::now();
        Ok(())
    }

    /// Removes the file after a completed comparison.
    pub(super) fn remove(&self) -> Result<(), VerifyError> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(self.failed(&format!("it cannot be removed: {error}")))
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, message: &str) -> VerifyError {
        VerifyError::State { path: self.path.clone(), message: message.to_owned() }
    }
}

/// The active parts of some partitions of a table at one moment, to find out later whether its rows have
/// changed.
///
/// A part is named `<partition>_<first block>_<last block>_<level>[_<mutation>]`. Inserts and
/// mutations take the next block number, so every change but a removal shows as a greater number. A
/// merge covers the blocks of the parts that it replaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartsSnapshot {
    /// Tells the table apart from another one of its name.
    uuid: String,
    /// Whether a merge leaves the result of a query unchanged.
    merges_are_neutral: bool,
    /// Rows by the name of the part.
    parts: BTreeMap<String, u64>,
}

/// The parts of a target when it was compared, as the ledger keeps them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ComparedParts {
    partitions: Vec<String>,
    snapshot: PartsSnapshot,
}

impl ComparedParts {
    /// Whether rows of the target may have changed since; `None` if nothing tells.
    pub(crate) async fn changed(
        &self,
        connection: &Connection,
        target: &TableSchema,
    ) -> Option<bool> {
        let partitions: Vec<_> = self.partitions.iter().map(String::as_str).collect();
        let now = PartsSnapshot::read(connection, target, &partitions).await?;
        Some(self.snapshot.changed_until(&now))
    }
}

#[derive(Deserialize)]
struct Table {
    uuid: String,
    has_ttl: u8,
}

#[derive(Deserialize)]
struct PartRow {
    name: String,
    rows: u64,
}

impl PartsSnapshot {
    /// Reads the parts of these partitions. `None` if the engine has no parts, or the user cannot
    /// read them: then nothing tells whether rows have changed.
    pub(super) async fn read(
        connection: &Connection,
        table: &TableSchema,
        partitions: &[&str],
    ) -> Option<Self> {
        if !table.is_merge_tree() {
            return None;
        }
        let name = &table.name;
        let (database, name) = (quote_literal(&name.database), quote_literal(&name.table));
        let sql = format!(
            "SELECT toString(uuid) AS uuid, create_table_query ILIKE '% TTL %' AS has_ttl FROM system.tables WHERE database = {database} AND name = {name}"
        );
        let properties = connection.row::<Table>("verify", &sql).await.ok()?;
        // Lightweight updates are kept in parts of partitions of their own.
        let sql = format!(
            "SELECT name, rows FROM system.parts WHERE active AND database = {database} AND table = {name} \
             AND (partition_id IN ({}) OR startsWith(partition_id, 'patch-'))",
            literal_list(partitions)
        );
        let rows = connection.rows::<PartRow>("verify", &sql).await.ok()?;
        let plain = table.engine.trim_start_matches("Replicated").trim_start_matches("Shared");
        Some(Self {
            uuid: properties.uuid,
            merges_are_neutral: properties.has_ttl == 0
                && matches!(plain, "MergeTree" | "ReplacingMergeTree"),
            parts: rows.into_iter().map(|part| (part.name, part.rows)).collect(),
        })
    }

    /// Whether rows may have changed between this moment and a later one.
    pub(super) fn changed_until(&self, later: &Self) -> bool {
        if self.uuid != later.uuid {
            return true;
        }
        if !self.merges_are_neutral || !later.merges_are_neutral {
            return self.parts != later.parts;
        }
        let (Some(before), Some(after)) = (self.blocks(), later.blocks()) else {
            return self.parts != later.parts;
        };
        let newest = |blocks: &[Blocks], partition: &str| {
            let of_partition = blocks.iter().filter(|part| part.partition == partition);
            of_partition.map(|part| part.last.max(part.mutation)).max()
        };
        let is_new = |part: &Blocks| {
            let emptied = part.rows == 0 && !before.contains(part);
            emptied || newest(&before, part.partition) < Some(part.last.max(part.mutation))
        };
        let is_covered = |part: &Blocks| {
            after.iter().any(|later| {
                later.partition == part.partition
                    && later.first <= part.first
                    && later.last >= part.last
            })
        };
        after.iter().any(is_new) || !before.iter().all(is_covered)
    }

    fn blocks(&self) -> Option<Vec<Blocks<'_>>> {
        self.parts.iter().map(|(name, &rows)| Blocks::parse(name, rows)).collect()
    }
}

/// The blocks of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Blocks<'a> {
    partition: &'a str,
    first: u64,
    last: u64,
    /// The number of the last mutation; 0 if there was none.
    mutation: u64,
    rows: u64,
}

impl<'a> Blocks<'a> {
    fn parse(name: &'a str, rows: u64) -> Option<Self> {
        let mut fields = name.split('_');
        let partition = fields.next()?;
        let mut number = || fields.next().map(str::parse::<u64>);
        let (first, last) = (number()?.ok()?, number()?.ok()?);
        number()?.ok()?;
        let mutation = number().unwrap_or(Ok(0)).ok()?;
        Some(Self { partition, first, last, mutation, rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(parts: &[(&str, u64)]) -> PartsSnapshot {
        PartsSnapshot {
            uuid: "a".to_owned(),
            merges_are_neutral: true,
            parts: parts.iter().map(|(name, rows)| ((*name).to_owned(), *rows)).collect(),
        }
    }

    #[test]
    fn merges_change_nothing() {
        let before = snapshot(&[("202511_1_1_0", 10), ("202511_3_3_0", 10), ("202512_2_2_0", 5)]);
        assert!(!before.changed_until(&before));
        assert!(!before.changed_until(&snapshot(&[("202511_1_3_1", 12), ("202512_2_2_0", 5)])));
        let strict = PartsSnapshot { merges_are_neutral: false, ..before.clone() };
        assert!(!strict.changed_until(&strict));
        let merged = PartsSnapshot {
            merges_are_neutral: false,
            ..snapshot(&[("202511_1_3_1", 12), ("202512_2_2_0", 5)])
        };
        assert!(strict.changed_until(&merged), "a merge may have removed rows");
    }

    #[test]
    fn every_change_of_rows_is_seen() {
        let before = snapshot(&[("202511_1_1_0", 10), ("202511_3_3_0", 10)]);
        for (what, after) in [
            ("insert", snapshot(&[("202511_1_3_1", 20), ("202511_4_4_0", 1)])),
            ("insert and merge", snapshot(&[("202511_1_4_1", 21)])),
            ("mutation", snapshot(&[("202511_1_1_0_4", 10), ("202511_3_3_0_4", 10)])),
            ("merge and mutation", snapshot(&[("202511_1_3_1_4", 20)])),
            ("dropped part", snapshot(&[("202511_1_1_0", 10)])),
            ("dropped partition", snapshot(&[("202511_1_3_2", 0)])),
            ("new partition", snapshot(&[("202511_1_3_1", 20), ("202512_1_1_0", 1)])),
            ("lightweight update", {
                snapshot(&[("202511_1_3_1", 20), ("patch-abc-202511_4_4_0", 1)])
            }),
            ("another table", PartsSnapshot { uuid: "b".to_owned(), ..before.clone() }),
        ] {
            assert!(before.changed_until(&after), "{what}");
        }
        assert!(snapshot(&[]).changed_until(&before));
    }
}
