//! What `plan` reports about the groups of a job.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::cli::commands::session::Session;
use crate::cli::output::wrapped;
use crate::job::statements;
use crate::units::counted;

/// How long the number of groups is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The groups of a partition.
#[derive(Debug, Serialize)]
pub(crate) struct GroupsShown {
    /// The columns to group by.
    pub keys: Vec<String>,
    /// About how many groups the partition has; `null` where that is unknown.
    pub estimated_groups: Option<u64>,
    /// The columns of the source's key in which chunks have their bounds.
    pub chunks_along: Vec<String>,
    /// Whether a group may have rows in several chunks; its parts are merged in the target.
    pub chunks_cut_groups: bool,
}

#[derive(Deserialize)]
struct Estimated {
    groups: u64,
}

/// Estimates the groups; `None` for a job of rows.
pub(super) async fn groups(session: &Session) -> Option<GroupsShown> {
    let Session { servers, job, plan, .. } = session;
    let group = job.group.as_ref()?;
    let sql = statements::estimated_groups(job, group, &plan.scope);
    let settings = statements::count_settings(job);
    let asked = servers.source.row_with::<Estimated>("groups", &sql, &settings);
    let estimated = match timeout(PATIENCE, asked).await {
        Ok(Ok(estimated)) => Some(estimated.groups),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the number of groups is unknown");
            None
        }
        Err(_) => None,
    };
    let along: Vec<_> = plan.bounds.key.iter().map(|column| column.name.clone()).collect();
    let is_whole = along.iter().all(|name| group.along.contains(name));
    Some(GroupsShown {
        keys: group.keys.clone(),
        estimated_groups: estimated,
        chunks_cut_groups: plan.chunks.len() > 1 && !is_whole,
        chunks_along: along,
    })
}

impl GroupsShown {
    /// The block of the text.
    pub(super) fn text(&self) -> String {
        let estimated = self.estimated_groups.map_or_else(
            || "unknown".to_owned(),
            |groups| format!("about {}", counted(groups, "group")),
        );
        let along = self.chunks_along.join(", ");
        let chunks = match (self.chunks_along.is_empty(), self.chunks_cut_groups) {
            (true, _) => {
                "one, since no leading column of the source's key is grouped by".to_owned()
            }
            (false, false) => format!("cut along {along}, so that no chunk cuts a group"),
            (false, true) => {
                format!("cut along {along}; parts of a group are merged in the target")
            }
        };
        let mut text = "\ngroups\n".to_owned();
        for (name, value) in
            [("by", self.keys.join(", ")), ("number", estimated), ("chunks", chunks)]
        {
            text.push_str(&wrapped(&format!("  {name:<12}"), &value));
        }
        text
    }
}
