//! Memory of the server against what the inserts take there.

use serde::Deserialize;

use super::Check;
use super::ask::{ask_one, ask_with};
use crate::clickhouse::Connection;
use crate::engine::stream::{PipelineOptions, insert_memory_bytes};
use crate::job::BoundJob;
use crate::plan::Plan;
use crate::units::bytes;

pub(super) const NAME: &str = "memory";

#[derive(Deserialize)]
struct Limits {
    query: u64,
    user: u64,
}

#[derive(Deserialize)]
struct Server {
    allowed: u64,
    used: u64,
}

/// Holds what the inserts take against the limits of the user and of the server.
pub(super) async fn check(
    target: &Connection,
    job: &BoundJob,
    plan: &Plan,
    options: &PipelineOptions,
) -> Check {
    let row = if plan.stored_bytes == 0 {
        options.batch_bytes
    } else {
        plan.stored_bytes / plan.stored_rows.max(1)
    };
    let batch =
        row.saturating_mul(options.batch_rows.min(plan.stored_rows)).min(options.batch_bytes);
    // A dry run writes no part.
    let columns = if options.dry_run { 0 } else { job.target.columns.len() };
    let (one, inserters) = (insert_memory_bytes(batch, columns), options.inserters.most() as u64);
    let all = one.saturating_mul(inserters);
    let settings = options.insert_settings(job);
    let limits = "SELECT toUInt64(getSetting('max_memory_usage')) AS query, toUInt64(getSetting('max_memory_usage_for_user')) AS user";
    let server = "SELECT (SELECT toUInt64(sum(toFloat64(value))) FROM system.server_settings WHERE name = 'max_server_memory_usage') AS allowed, \
        toUInt64(greatest(sum(value), 0)) AS used FROM system.metrics WHERE metric = 'MemoryTracking'";
    let (limits, server) = tokio::join!(
        ask_with::<Limits>(target, "the user's settings", limits, &settings),
        ask_one::<Server>(target, "system.metrics", server)
    );
    let takes = format!(
        "an insert takes about {} of the server's memory, {inserters} at once {}",
        bytes(one),
        bytes(all)
    );
    let smaller = "a smaller --batch-bytes, or fewer --inserters";
    if let Ok(limits) = &limits
        && let Some(Limits { query, user }) = limits.first()
    {
        for (limit, needed, name) in
            [(*query, one, "max_memory_usage"), (*user, all, "max_memory_usage_for_user")]
        {
            if limit > 0 && limit < needed {
                return Check::warning(
                    NAME,
                    format!("{takes}; {name} of the user is {}", bytes(limit)),
                )
                .lifted_by(smaller)
                .lifted_by(format!(
                    "a larger {name} under [settings.insert] of the job, or in the user's profile"
                ));
            }
        }
    }
    match server {
        // 0 means that only the machine sets a limit.
        Ok(Server { allowed: 0, used }) => {
            Check::ok(NAME, format!("{takes}; the server uses {} and has no limit", bytes(used)))
        }
        Ok(Server { allowed, used }) => {
            let free = allowed.saturating_sub(used);
            let words = format!("{takes}; it uses {} of {} now", bytes(used), bytes(allowed));
            if free < all {
                Check::warning(NAME, words).lifted_by(smaller)
            } else {
                Check::ok(NAME, words)
            }
        }
        Err(reason) => Check::unknown(NAME, reason),
    }
}
