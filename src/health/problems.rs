//! What is wrong, and what to do about it.

use std::time::Duration;

use super::figures::{Health, HealthOptions, Merge, Mutation, Problem, Replica, Table, View};
use super::rollups::Rollup;
use crate::units::{count, counted, duration};

/// The delay in seconds from which a replica counts as behind.
const REPLICA_DELAY: u64 = 300;
/// By default a merge applies the TTL within 4 hours (`merge_with_ttl_timeout`); a day late is a fault.
const TTL_OVERDUE: u64 = 86_400;

/// All that is wrong.
pub(super) fn problems(health: &Health, options: &HealthOptions) -> Vec<Problem> {
    let stuck_after = options.stuck_after;
    let is_stuck = |mutation: &&Mutation| {
        !mutation.failure.is_empty() || mutation.age_seconds >= stuck_after.as_secs()
    };
    let is_long = |merge: &&Merge| merge.elapsed_seconds >= stuck_after.as_secs_f64();
    let is_missing = |name: &&String| !health.tables.iter().any(|table| table.name == **name);
    let is_overdue = |table: &&Table| table.ttl_overdue_seconds > TTL_OVERDUE;
    options
        .tables
        .iter()
        .flatten()
        .filter(is_missing)
        .map(|name| missing(name))
        .chain(health.tables.iter().filter(is_overdue).map(expired))
        .chain(health.mutations.iter().flatten().filter(is_stuck).map(stuck))
        .chain(health.merges.iter().flatten().filter(is_long).map(long))
        .chain(health.replicas.iter().flatten().filter_map(behind))
        .chain(health.views.iter().flatten().filter_map(failing))
        .chain(health.rollups.iter().filter_map(differing))
        .collect()
}

fn problem(subject: &str, message: String, advice: impl Into<String>) -> Problem {
    Problem { subject: subject.to_owned(), message, advice: advice.into() }
}

fn missing(name: &str) -> Problem {
    problem(name, "does not exist".to_owned(), "`clickhouse-backfill pack apply` creates it")
}

fn expired(table: &Table) -> Problem {
    let Table { name, parts_with_expired_rows: parts, ttl_overdue_seconds: overdue, .. } = table;
    let message = format!(
        "{} with rows that the TTL expired {} ago",
        counted(*parts, "part"),
        seconds(*overdue)
    );
    let advice = format!("ALTER TABLE {name} MATERIALIZE TTL, or look for stopped merges");
    problem(name, message, advice)
}

fn stuck(mutation: &Mutation) -> Problem {
    let Mutation { table, mutation_id, command, age_seconds, parts_to_do, failure } = mutation;
    let why = if failure.is_empty() { String::new() } else { format!(": {failure}") };
    let message = format!(
        "the mutation {command} is not done after {}, {} left{why}",
        seconds(*age_seconds),
        counted(*parts_to_do, "part")
    );
    let kill = format!("KILL MUTATION WHERE table = '{table}' AND mutation_id = '{mutation_id}'");
    problem(table, message, format!("correct its cause, or {kill}"))
}

fn long(merge: &Merge) -> Problem {
    let done = merge.progress * 100.0;
    let elapsed = duration(Duration::from_secs_f64(merge.elapsed_seconds));
    let message = format!("the merge into {} is {done:.1} % done after {elapsed}", merge.part);
    problem(&merge.table, message, "look at the server's disks and its log")
}

fn behind(replica: &Replica) -> Option<Problem> {
    let Replica { table, delay_seconds, is_readonly, exception } = replica;
    let message = if *is_readonly {
        format!("the replica is read-only {exception}")
    } else if *delay_seconds >= REPLICA_DELAY {
        format!("the replica is {} behind", seconds(*delay_seconds))
    } else {
        return None;
    };
    let advice = "look at system.replication_queue and at the server's Keeper";
    Some(problem(table, message, advice))
}

fn failing(view: &View) -> Option<Problem> {
    let advice = "correct the view or what it reads; inserts into its source fail until then";
    (!view.error.is_empty()).then(|| problem(&view.name, view.error.clone(), advice))
}

fn differing(rollup: &Rollup) -> Option<Problem> {
    let different = rollup.different_groups.filter(|different| *different > 0)?;
    let message = format!(
        "{} of {} counts otherwise than {}: {} rows for {}",
        counted(different, "group"),
        rollup.rollup,
        rollup.source,
        rollup.rollup_rows.map_or_else(String::new, count),
        rollup.source_rows.map_or_else(String::new, count),
    );
    let advice = format!("`clickhouse-backfill verify --job {}` names the groups", rollup.job);
    Some(problem(&rollup.rollup, message, advice))
}

fn seconds(seconds: u64) -> String {
    duration(Duration::from_secs(seconds))
}
