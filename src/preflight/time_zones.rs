//! The time zones in which the two ends evaluate: functions of times without a zone, and columns
//! without one, depend on them.

use serde::Deserialize;

use super::Check;
use super::ask::ask_with;
use crate::clickhouse::{Connection, Servers, Settings};
use crate::job::{BoundJob, statements};

pub(super) const NAME: &str = "time-zones";

#[derive(Deserialize)]
struct Zone {
    zone: String,
}

/// Asks both servers, under the settings of their statements.
pub(super) async fn check(servers: &Servers, job: &BoundJob) -> Check {
    let (read, insert) =
        (statements::source_settings(job), Settings::common().with_all(&job.settings.insert.0));
    let (source, target) =
        tokio::join!(zone(&servers.source, &read), zone(&servers.target, &insert));
    match (source, target) {
        (Ok(source), Ok(target)) if same(&source, &target) => Check::ok(NAME, format!("{target} on both ends")),
        (Ok(source), Ok(target)) => Check::warning(
            NAME,
            format!(
                "the source is read in {source}, and expressions are evaluated in {target}: what they make of a time \
                 without a zone, as toDate does, is that of {target}"
            ),
        )
        .lifted_by(format!("session_timezone = '{source}' under [settings.insert] of the job")),
        (Err(reason), _) | (_, Err(reason)) => Check::unknown(NAME, reason),
    }
}

/// Names of one zone that are in use side by side.
fn same(one: &str, other: &str) -> bool {
    let plain =
        |zone: &str| matches!(zone, "UTC" | "Etc/UTC" | "Universal" | "Etc/Universal" | "Zulu");
    one == other || (plain(one) && plain(other))
}

async fn zone(connection: &Connection, settings: &Settings) -> Result<String, String> {
    let rows =
        ask_with::<Zone>(connection, "the server", "SELECT timezone() AS zone", settings).await?;
    rows.into_iter()
        .next()
        .map(|zone| zone.zone)
        .ok_or_else(|| "the server does not tell its time zone".to_owned())
}
