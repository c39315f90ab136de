//! Merges under way, and whether the server has threads left for those that the run will cause.

use serde::Deserialize;

use super::Check;
use super::ask::{ask_one, of_table};
use crate::clickhouse::Connection;
use crate::job::BoundJob;
use crate::units::bytes;

pub(super) const NAME: &str = "merges";

#[derive(Deserialize)]
struct Merges {
    merges: u64,
    bytes: u64,
}

#[derive(Deserialize)]
struct Pool {
    used: u64,
    size: u64,
}

/// Counts the target's merges, and the threads that are at them.
pub(super) async fn check(target: &Connection, job: &BoundJob) -> Check {
    let name = &job.target.name;
    let merges = format!(
        "SELECT count() AS merges, sum(total_size_bytes_compressed) AS bytes FROM system.merges WHERE {}",
        of_table(name)
    );
    // system.metrics: https://clickhouse.com/docs/operations/system-tables/metrics
    let pool = "SELECT toUInt64(greatest(sumIf(value, metric = 'BackgroundMergesAndMutationsPoolTask'), 0)) AS used, \
        toUInt64(greatest(sumIf(value, metric = 'BackgroundMergesAndMutationsPoolSize'), 0)) AS size FROM system.metrics";
    let (merges, pool) = tokio::join!(
        ask_one::<Merges>(target, "system.merges", &merges),
        ask_one::<Pool>(target, "system.metrics", pool)
    );
    let Merges { merges, bytes: size } = match merges {
        Ok(merges) => merges,
        Err(reason) => return Check::unknown(NAME, reason),
    };
    let here = match merges {
        0 => format!("none under way in {name}"),
        1 => format!("1 of {} under way in {name}", bytes(size)),
        _ => format!("{merges} of {} under way in {name}", bytes(size)),
    };
    match pool {
        Ok(Pool { used, size }) if size > 0 && used >= size => {
            let detail = format!(
                "{here}; all {size} places that the server has for merges are taken, so that parts of the run would pile up"
            );
            Check::warning(NAME, detail)
                .lifted_by("wait: SELECT database, table, elapsed, progress FROM system.merges")
                .lifted_by("a larger background_pool_size of the server")
        }
        Ok(Pool { used, size }) if size > 0 => Check::ok(
            NAME,
            format!("{here}; {used} of the server's {size} places for merges are taken"),
        ),
        _ => Check::ok(NAME, here),
    }
}
