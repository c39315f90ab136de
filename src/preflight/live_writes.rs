//! Who else has written to the partition a short while ago.
//!
//! From [system.part_log](https://clickhouse.com/docs/operations/system-tables/part_log), where the
//! server keeps one that the user may read; else from the times of parts that are one insert's: of
//! one block, which no mutation has touched.

use serde::Deserialize;

use super::Check;
use super::ask::{ask_one, of_table};
use crate::clickhouse::{Connection, QUERY_ID_BEGINNING, quote_literal};
use crate::job::BoundJob;
use crate::plan::Plan;
use crate::units::{counted, duration};
use std::time::Duration;

pub(super) const NAME: &str = "live-writes";

/// Seconds that are looked back.
const LOOK_BACK: u64 = 600;

#[derive(Deserialize)]
struct Written {
    inserts: u64,
    rows: u64,
    seconds_ago: u64,
}

/// Looks at the source's partition.
pub(super) async fn check(source: &Connection, job: &BoundJob, plan: &Plan) -> Check {
    let name = &job.source.name;
    let partition =
        format!("{} AND partition_id = {}", of_table(name), quote_literal(plan.partition.id()));
    let figures = |time: &str| {
        format!(
            "count() AS inserts, sum(rows) AS rows, toUInt64(greatest(now() - max({time}), 0)) AS seconds_ago"
        )
    };
    let of_log = format!(
        "SELECT {} FROM system.part_log WHERE event_date >= toDate(now() - {LOOK_BACK}) AND event_time > now() - {LOOK_BACK} \
         AND event_type = 'NewPart' AND {partition} AND NOT startsWith(query_id, '{QUERY_ID_BEGINNING}')",
        figures("event_time")
    );
    let of_parts = format!(
        "SELECT {} FROM system.parts WHERE min_block_number = max_block_number AND data_version = max_block_number AND modification_time > now() - {LOOK_BACK} AND {partition}",
        figures("modification_time")
    );
    let written = match ask_one::<Written>(source, "system.part_log", &of_log).await {
        Ok(written) if written.inserts > 0 => written,
        // The log is written every few seconds, and may have been switched on a moment ago.
        _ => match ask_one::<Written>(source, "system.parts", &of_parts).await {
            Ok(written) => written,
            Err(reason) => return Check::unknown(NAME, reason),
        },
    };
    let (place, minutes) = (format!("partition {} of {name}", plan.partition), LOOK_BACK / 60);
    if written.inserts == 0 {
        return Check::ok(NAME, format!("nobody has written to {place} within {minutes} min"));
    }
    let detail = format!(
        "{} of {} into {place} within {minutes} min, the last {} ago: rows that are changed after they were read are in the target as they were",
        counted(written.inserts, "insert"),
        counted(written.rows, "row"),
        duration(Duration::from_secs(written.seconds_ago))
    );
    Check::warning(NAME, detail).lifted_by(
        "fill a partition that nobody writes to any more; or `verify` afterwards, and `repair`",
    )
}
