//! The active parts of a table at one moment, to find out later whether its rows have changed.
//!
//! A part is named `<partition>_<first block>_<last block>_<level>[_<mutation>]`. Inserts and
//! mutations take the next block number, so every change but a removal shows as a greater number. A
//! merge covers the blocks of the parts that it replaces.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clickhouse::{Connection, TableSchema, literal_list, quote_literal};

/// The active parts of some partitions of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartsSnapshot {
    /// Tells the table apart from another one of its name.
    uuid: String,
    /// Whether a merge leaves the result of a query unchanged.
    merges_are_neutral: bool,
    /// Rows by the name of the part.
    parts: BTreeMap<String, u64>,
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
