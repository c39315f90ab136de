//! What the last comparison of a load's target is worth now.

use serde::Serialize;

use super::time_text;
use crate::clickhouse::{Connection, TableName, TableSchema, table_schema};
use crate::ledger::{Ledger, Timestamp};
use crate::progress::counted;
use crate::verify::ComparedParts;

/// A comparison of a load's target.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verified {
    /// When it ended.
    pub verified_at: Option<Timestamp>,
    /// Whether the target was equal.
    pub equal: bool,
    /// Rows that differed.
    pub differences: u64,
    /// What was compared if that was not everything, such as `1/100`; empty for all.
    pub sample: String,
    /// Whether parts of the target have changed since; `null` if unknown.
    pub changed_since: Option<bool>,
}

impl Verified {
    /// The newest comparison of everything, else the newest; `None` if the ledger has none or cannot be
    /// asked.
    pub(super) async fn find(
        ledger: &Ledger,
        run_id: &str,
        target: Option<&Target<'_>>,
    ) -> Option<Self> {
        let mut all = match ledger.verifications(run_id).await {
            Ok(all) => all,
            Err(error) => {
                tracing::debug!(%error, "the comparisons of {run_id} are not shown");
                return None;
            }
        };
        let whole = all.iter().rposition(|verification| verification.sample.is_empty());
        let found = match whole {
            Some(place) => all.swap_remove(place),
            None => all.pop()?,
        };
        let parts = serde_json::from_str::<ComparedParts>(&found.target_parts).ok();
        let changed_since = match parts.zip(target) {
            Some((parts, target)) => parts.changed(target.connection, &target.schema).await,
            None => None,
        };
        Some(Self {
            verified_at: found.verified_at,
            equal: found.equal,
            differences: found.differences,
            sample: found.sample,
            changed_since,
        })
    }

    /// `2025-11-05T11:00:39Z equal, before later changes`
    pub(super) fn text(&self) -> String {
        let when = self.verified_at.map(time_text).unwrap_or_default();
        let result = if self.equal {
            "equal".to_owned()
        } else {
            format!("{} differ", counted(self.differences, "row"))
        };
        let sample = match &*self.sample {
            "" => String::new(),
            sample => format!(" ({sample})"),
        };
        let later = if self.changed_since == Some(true) { ", before later changes" } else { "" };
        format!("{when} {result}{sample}{later}")
    }
}

/// A target table as it is now.
pub(super) struct Target<'a> {
    connection: &'a Connection,
    schema: TableSchema,
}

impl<'a> Target<'a> {
    /// Reads its schema; `None` if it cannot be read.
    pub(super) async fn read(connection: &'a Connection, table: &str) -> Option<Self> {
        let name = TableName::parse(table, connection.endpoint().database());
        let schema = table_schema(connection, &name).await.ok()??;
        Some(Self { connection, schema })
    }
}
