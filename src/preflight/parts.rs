//! Active parts of the target against the numbers from which inserts are slowed and refused.
//!
//! The server takes the partition that has the most, whichever it is, unless its parts are large:
//! [parts_to_throw_insert](https://clickhouse.com/docs/operations/settings/merge-tree-settings#parts_to_throw_insert).

use serde::Deserialize;

use super::Check;
use super::ask::{ask, ask_one, of_table};
use crate::clickhouse::{Connection, merge_tree_setting, quote_literal};
use crate::job::BoundJob;
use crate::units::{bytes, count};

pub(super) const NAME: &str = "parts";

#[derive(Deserialize)]
struct Limits {
    delay: u64,
    throw: u64,
    total: u64,
    large: u64,
}

#[derive(Deserialize)]
struct Partition {
    id: String,
    parts: u64,
    bytes: u64,
}

/// Holds the parts against the limits; `made` are those that the run will make.
pub(super) async fn check(target: &Connection, job: &BoundJob, made: u64) -> Check {
    let name = &job.target.name;
    if !job.target.is_merge_tree() {
        return Check::ok(NAME, format!("{name} ({}) has none", job.target.engine));
    }
    let setting = |setting| merge_tree_setting(&job.target.engine, setting);
    let limits = format!(
        "SELECT {} AS delay, {} AS throw, {} AS total, {} AS large FROM system.tables WHERE database = {} AND name = {}",
        setting("parts_to_delay_insert"),
        setting("parts_to_throw_insert"),
        setting("max_parts_in_total"),
        setting("max_avg_part_size_for_too_many_parts"),
        quote_literal(&name.database),
        quote_literal(&name.table)
    );
    let parts = format!(
        "SELECT partition_id AS id, count() AS parts, sum(bytes_on_disk) AS bytes FROM system.parts WHERE active AND {} \
         GROUP BY partition_id ORDER BY parts DESC",
        of_table(name)
    );
    let (limits, parts) = tokio::join!(
        ask_one::<Limits>(target, "system.tables", &limits),
        ask::<Partition>(target, "system.parts", &parts)
    );
    match (limits, parts) {
        (Ok(limits), Ok(parts)) => judge(job, &limits, &parts, made),
        (_, Err(reason)) | (Err(reason), _) => Check::unknown(NAME, reason),
    }
}

fn judge(job: &BoundJob, limits: &Limits, partitions: &[Partition], made: u64) -> Check {
    let name = &job.target.name;
    let Limits { delay, throw, total, large } = *limits;
    let all: u64 = partitions.iter().map(|partition| partition.parts).sum();
    if total > 0 && all >= total {
        let detail = format!(
            "{name} has {} active parts, and inserts are refused from {} on (max_parts_in_total)",
            count(all),
            count(total)
        );
        return lifted(Check::forbids(NAME, detail), job, "max_parts_in_total", total.max(all));
    }
    let will = format!("the run makes about {}", count(made));
    let Some(most) = partitions.first() else {
        return Check::ok(
            NAME,
            format!(
                "{name} is empty; inserts are slowed from {} parts of a partition on; {will}",
                count(delay)
            ),
        );
    };
    let Partition { id, parts, bytes: size } = most;
    let has = format!("partition {id} of {name} has {} active parts", count(*parts));
    if large > 0 && size / (*parts).max(1) > large {
        return Check::ok(
            NAME,
            format!(
                "{has} of {} on average, so large that nothing is slowed; {will}",
                bytes(size / (*parts).max(1))
            ),
        );
    }
    if throw > 0 && *parts >= throw {
        let detail = format!(
            "{has}, and inserts are refused from {} on (parts_to_throw_insert)",
            count(throw)
        );
        return lifted(
            Check::forbids(NAME, detail),
            job,
            "parts_to_throw_insert",
            throw.max(*parts),
        );
    }
    if delay > 0 && *parts >= delay {
        let detail = format!(
            "{has}, and inserts are slowed from {} on (parts_to_delay_insert); {will}",
            count(delay)
        );
        return lifted(
            Check::warning(NAME, detail),
            job,
            "parts_to_delay_insert",
            delay.max(*parts),
        );
    }
    let limits = format!("slowed from {} on, refused from {}", count(delay), count(throw));
    Check::ok(NAME, format!("{has}; inserts are {limits}; {will}, which are merged meanwhile"))
}

fn lifted(check: Check, job: &BoundJob, setting: &str, value: u64) -> Check {
    let name = &job.target.name;
    check
        .lifted_by(format!(
            "wait until merges have caught up: SELECT partition_id, count() FROM system.parts WHERE active AND {} GROUP BY 1",
            of_table(name)
        ))
        .lifted_by(format!("ALTER TABLE {} MODIFY SETTING {setting} = {}", name.quoted(), value.saturating_mul(2)))
}
