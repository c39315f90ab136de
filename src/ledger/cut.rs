//! The record of how a load divides its source from the rows that live writers add meanwhile.

use serde::{Deserialize, Serialize};

use crate::units::counted;

/// A moment at which the source's partition is divided: a copy by hard links has the rows from before,
/// and tables beside the target get what live writers add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCut {
    /// The table with the copy.
    pub snapshot: String,
    /// Whether the copy is made.
    pub is_made: bool,
    /// What catches the rows that live writers add to the target's partition.
    pub late: LateRows,
}

/// The tables that catch late rows. Each view has the name of its table and `_view`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateRows {
    /// The table with the rows.
    pub table: String,
    /// An empty table that inserts into the target pass: while it is locked, they wait.
    pub gate: String,
    /// An empty table that they pass next: it can be locked when none is under way.
    pub drain: String,
    /// A row in memory, which is gone when the server was restarted.
    pub alive: String,
    /// The target's partition as it was at the cut.
    pub base: String,
    /// What replaces the partition: the rows that were built, and the late ones.
    pub ready: String,
    /// Late rows that were published.
    pub caught: u64,
    /// How often the partition was replaced until no row came in between.
    pub replacements: u64,
    /// For how long writers were paused, in milliseconds.
    pub paused_ms: u64,
    /// Whether rows may have come in between, so that another version has to begin.
    pub is_lost: bool,
}

impl LateRows {
    /// The tables of a run for this target.
    pub(crate) fn new(target: &str, run_id: &str) -> Self {
        let named = |kind: &str| format!("{target}_{kind}_{run_id}");
        Self {
            table: named("late"),
            gate: named("gate"),
            drain: named("drain"),
            alive: named("alive"),
            base: named("base"),
            ready: named("ready"),
            caught: 0,
            replacements: 0,
            paused_ms: 0,
            is_lost: false,
        }
    }

    /// The name of the view that fills one of the tables.
    pub(crate) fn view_of(table: &str) -> String {
        format!("{table}_view")
    }

    /// The views and the tables, in the order in which they can be dropped while rows are written.
    pub(crate) fn tables(&self) -> Vec<String> {
        let views = [&self.table, &self.drain, &self.gate].map(|table| Self::view_of(table));
        let tables = [&self.table, &self.drain, &self.gate, &self.alive, &self.base, &self.ready]
            .map(String::clone);
        views.into_iter().chain(tables).collect()
    }

    /// What became of them, in words.
    pub(super) fn words(&self) -> String {
        let Self { caught, replacements, paused_ms, .. } = self;
        format!(
            "{} caught in {}, writers paused for {paused_ms} ms",
            counted(*caught, "late row"),
            counted(*replacements, "replacement")
        )
    }
}
