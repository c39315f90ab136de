//! Materialized views that every batch will fire.

use super::Check;
use super::ask::words;
use crate::clickhouse::{Connection, deduplication};
use crate::job::BoundJob;

pub(super) const NAME: &str = "views";

/// Names what an insert into the target fills besides it.
pub(super) async fn check(target: &Connection, job: &BoundJob) -> Check {
    let tables = match deduplication(target, &job.target.name).await {
        Ok(tables) => tables,
        Err(error) => {
            return Check::unknown(NAME, words(&error, "system.tables", target.endpoint().user()));
        }
    };
    let fed: Vec<_> = tables
        .iter()
        .filter_map(|table| {
            let view = table.view.as_ref()?;
            Some(if *view == table.name {
                format!("{view} fires")
            } else {
                format!("{view} fires and fills {}", table.name)
            })
        })
        .collect();
    if fed.is_empty() {
        return Check::ok(
            NAME,
            format!("no materialized view reads {} as far as the user can see", job.target.name),
        );
    }
    Check::warning(
        NAME,
        format!("with every batch {}; each must be meant to see these rows", fed.join(", ")),
    )
}
