//! What is wrong, and what to do about it.

use super::figures::{Health, HealthOptions, Merge, Mutation, Problem, Replica, Table};
use crate::units::{count, counted, duration};

/// The delay in seconds from which a replica counts as behind.
const REPLICA_DELAY: u64 = 300;
/// A TTL is applied by merges, a day late at most by default (`merge_with_ttl_timeout` is 4 hours).
const TTL_OVERDUE: u64 = 86_400;

/// All that is wrong.
pub(super) fn problems(health: &Health, options: &HealthOptions) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |subject: &str, message: String, advice: String| {
        problems.push(Problem { subject: subject.to_owned(), message, advice });
    };
    for name in options.tables.iter().flatten() {
        if !health.tables.iter().any(|table| table.name == *name) {
            add(
                name,
                "does not exist".to_owned(),
                "`clickhouse-backfill pack apply` creates it".to_owned(),
            );
        }
    }
    for table in health.tables.iter().filter(|table| table.ttl_overdue_seconds > TTL_OVERDUE) {
        let Table { name, parts_with_expired_rows: parts, ttl_overdue_seconds: overdue, .. } =
            table;
        let message = format!(
            "{} with rows that the TTL expired {} ago",
            counted(*parts, "part"),
            seconds(*overdue)
        );
        add(
            name,
            message,
            format!("ALTER TABLE {name} MATERIALIZE TTL, or look for stopped merges"),
        );
    }
    let is_stuck = |mutation: &&Mutation| {
        !mutation.failure.is_empty() || mutation.age_seconds >= options.stuck_after.as_secs()
    };
    for mutation in health.mutations.iter().flatten().filter(is_stuck) {
        let Mutation { table, mutation_id, command, age_seconds, parts_to_do, failure } = mutation;
        let why = if failure.is_empty() { String::new() } else { format!(": {failure}") };
        let message = format!(
            "the mutation {command} is not done after {}, {} left{why}",
            seconds(*age_seconds),
            counted(*parts_to_do, "part")
        );
        let kill =
            format!("KILL MUTATION WHERE table = '{table}' AND mutation_id = '{mutation_id}'");
        add(table, message, format!("correct its cause, or {kill}"));
    }
    let is_long = |merge: &&Merge| merge.elapsed_seconds >= options.stuck_after.as_secs_f64();
    for merge in health.merges.iter().flatten().filter(is_long) {
        let done = merge.progress * 100.0;
        let elapsed = duration(std::time::Duration::from_secs_f64(merge.elapsed_seconds));
        let message = format!("the merge into {} is {done:.1} % done after {elapsed}", merge.part);
        add(&merge.table, message, "look at the server's disks and its log".to_owned());
    }
    for Replica { table, delay_seconds, is_readonly, exception } in health.replicas.iter().flatten()
    {
        let advice = "look at system.replication_queue and at the server's Keeper".to_owned();
        if *is_readonly {
            add(table, format!("the replica is read-only {exception}"), advice);
        } else if *delay_seconds >= REPLICA_DELAY {
            add(table, format!("the replica is {} behind", seconds(*delay_seconds)), advice);
        }
    }
    for view in health.views.iter().flatten().filter(|view| !view.error.is_empty()) {
        let advice = "correct the view or what it reads; inserts into its source fail until then";
        add(&view.name, view.error.clone(), advice.to_owned());
    }
    for rollup in &health.rollups {
        if let Some(different) = rollup.different_groups.filter(|different| *different > 0) {
            let message = format!(
                "{} of {} counts otherwise than {}: {} rows for {}",
                counted(different, "group"),
                rollup.rollup,
                rollup.source,
                rollup.rollup_rows.map_or_else(String::new, count),
                rollup.source_rows.map_or_else(String::new, count),
            );
            let advice =
                format!("`clickhouse-backfill verify --job {}` names the groups", rollup.job);
            add(&rollup.rollup, message, advice);
        }
    }
    problems
}

fn seconds(seconds: u64) -> String {
    duration(std::time::Duration::from_secs(seconds))
}
