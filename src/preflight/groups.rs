//! What only jobs with groups ask: whether one partition of the source makes whole partitions of the
//! target, and whether a materialized view fills the target as the job does.

use serde::Deserialize;

use super::check::{Check, Verdict, ask, ask_one_with, words};
use crate::clickhouse::{Connection, Servers, find_outside, split_list, unquoted};
use crate::job::{BoundGroup, BoundJob, Publish, QueryTree, query_tree, statements};
use crate::plan::Plan;
use crate::publish::{View, views_into};
use crate::units::{count, counted};

pub(super) const GROUPS: &str = "groups";
pub(super) const VIEW_QUERY: &str = "view-query";
pub(super) const HORIZON: &str = "horizon";

/// Partitions of the target that are named.
const NAMED: usize = 10;

#[derive(Deserialize)]
struct Partitions {
    /// Partitions of the target with groups of the source's partition.
    targets: Vec<String>,
    /// Rows of other partitions of the source that belong to groups there.
    rows: u64,
    /// Those partitions.
    sources: Vec<String>,
}

/// Looks for groups that several partitions of the source make together.
pub(super) async fn check_groups(
    servers: &Servers,
    job: &BoundJob,
    group: &BoundGroup,
    plan: &Plan,
) -> Check {
    let sql = statements::partitions_of_groups(job, group, &plan.scope, NAMED);
    let (source, target) = (job.source.name.to_string(), &job.target.name);
    let settings = statements::count_settings(job);
    let asked = ask_one_with::<Partitions>(&servers.source, &source, &sql, &settings).await;
    let found = match asked {
        Ok(found) => found,
        Err(reason) => return Check::unknown(GROUPS, reason),
    };
    let named = if found.targets.len() > NAMED {
        format!("more than {NAMED} partitions of {target}")
    } else {
        format!("partition {} of {target}", found.targets.join(", "))
    };
    if found.rows == 0 {
        return Check::ok(
            GROUPS,
            format!(
                "the groups of partition {} lie in {named}, with no row of another partition of {source}",
                plan.partition
            ),
        );
    }
    let key = if job.target.partition_key.is_empty() {
        "no partition key".to_owned()
    } else {
        format!("the partition key {}", job.target.partition_key)
    };
    Check::blocked(
        GROUPS,
        format!(
            "the groups of partition {} lie in {named}, and so do those of {} of partition {} of {source}: replacing it would lose them ({target} has {key}, {source} {})",
            plan.partition,
            counted(found.rows, "row"),
            found.sources.join(", "),
            job.source.partition_key
        ),
    )
    .lifted_by("group by a time that never crosses the partitions of the source: hours and days of the time zone in which it is partitioned, not weeks")
    .lifted_by("give the target a partition key whose partitions have groups of one partition of the source only")
}

#[derive(Deserialize)]
struct BeforeHorizon {
    /// Groups of the target.
    kept: u64,
    /// Groups that have rows in the source and are not in the target.
    lacking: u64,
}

/// Counts the groups before the horizon of the source's TTL; `None` where it removes no rows.
pub(super) async fn check_horizon(
    servers: &Servers,
    job: &BoundJob,
    group: &BoundGroup,
    plan: &Plan,
) -> Option<Check> {
    let horizon = group.horizon.as_ref()?;
    let (source, target) = (&job.source.name, &job.target.name);
    let sql = statements::groups_before_horizon(job, group, horizon, &plan.scope);
    let settings = statements::count_settings(job);
    let name = source.to_string();
    let asked = ask_one_with::<BeforeHorizon>(&servers.source, &name, &sql, &settings).await;
    let BeforeHorizon { kept, lacking } = match asked {
        Ok(found) => found,
        Err(reason) => return Some(Check::unknown(HORIZON, reason)),
    };
    let detail = format!(
        "of groups whose rows the TTL of {source} removes within two days, {} of {target} stay as they are",
        count(kept)
    );
    Some(if lacking == 0 {
        Check::ok(HORIZON, detail)
    } else {
        Check::warning(
            HORIZON,
            format!(
                "{detail}; {} with rows left in {source} are not in {target} and are not made, since rows of them may be gone",
                counted(lacking, "group")
            ),
        )
    })
}

/// Compares the materialized views that write into the target with the job, as the server resolves
/// both queries.
///
/// `None` for a job that inserts in place, and for one of rows whose target no view writes into.
pub(super) async fn check_view_query(target: &Connection, job: &BoundJob) -> Option<Check> {
    if job.publish == Publish::InPlace {
        return None;
    }
    let check = Box::pin(view_query(target, job)).await;
    let is_shown = job.group.is_some() || check.verdict != Verdict::Ok;
    is_shown.then_some(check)
}

async fn view_query(target: &Connection, job: &BoundJob) -> Check {
    let name = &job.target.name;
    let views = match ask::<View>(target, "system.tables", &views_into(name)).await {
        Ok(views) => views,
        Err(reason) => return Check::unknown(VIEW_QUERY, reason),
    };
    if views.is_empty() {
        let detail = format!("no materialized view that the user can see writes into {name}");
        return Check::ok(VIEW_QUERY, detail);
    }
    let own = match &job.group {
        Some(group) => match tree_of(target, &statements::aggregation_of_all(job), job).await {
            Ok(own) => Some((group, own)),
            Err(reason) => return Check::unknown(VIEW_QUERY, reason),
        },
        None => None,
    };
    let (mut same, mut differing) = (Vec::new(), Vec::new());
    for view in &views {
        let shown = view.table_name();
        let tree = match tree_of(target, &view.as_select, job).await {
            Ok(tree) => tree,
            Err(reason) => return Check::unknown(VIEW_QUERY, reason),
        };
        let differences = match &own {
            Some((group, own)) => differences(job, group, own, view, &tree),
            None => differences_of_rows(job, &tree),
        };
        if differences.is_empty() {
            same.push(shown.to_string());
        } else {
            differing.push(format!("{shown}: {}", differences.join("; ")));
        }
    }
    if differing.is_empty() {
        let detail = format!("{} fills {name} as the job does", same.join(", "));
        return Check::ok(VIEW_QUERY, detail);
    }
    Check::blocked(
        VIEW_QUERY,
        format!(
            "a materialized view fills {name} otherwise than the job, {}",
            differing.join(", ")
        ),
    )
    .lifted_by("correct the job or the view: what the view writes meanwhile would not be what the job makes")
}

async fn tree_of(connection: &Connection, sql: &str, job: &BoundJob) -> Result<QueryTree, String> {
    let settings = statements::join_settings(job);
    let tree = query_tree(connection, sql, &settings).await;
    tree.map_err(|error| words(&error, &job.source.name.to_string(), connection.endpoint().user()))
}

/// What a view makes otherwise than the job.
fn differences(
    job: &BoundJob,
    group: &BoundGroup,
    own: &QueryTree,
    view: &View,
    tree: &QueryTree,
) -> Vec<String> {
    let mut found = Vec::new();
    if own.tables != tree.tables {
        found.push(format!("it reads {}", tree.tables.join(", ")));
    }
    if tree.has_filter {
        found.push("it has a WHERE, and the job has none".to_owned());
    }
    for (number, column) in job.columns.iter().enumerate() {
        let name = &column.name;
        let position = tree.names.iter().position(|theirs| theirs == name);
        let theirs = position.and_then(|position| tree.expressions.get(position));
        if theirs.is_none() {
            found.push(format!("it does not fill {name}"));
        } else if theirs != own.expressions.get(number) {
            let expression = position.and_then(|position| expression_of(&view.as_select, position));
            found.push(format!(
                "{name} is {} in the view and {} in the job",
                expression.as_deref().unwrap_or("another expression"),
                column.expression.trim()
            ));
        }
    }
    let keys = own.keys.iter().collect::<std::collections::BTreeSet<_>>();
    if keys != tree.keys.iter().collect() {
        found.push(format!("it does not group by {}", group.keys.join(", ")));
    }
    found.extend(left_out(job));
    found
}

/// What a view leaves out or adds beside the rows that a job of rows reads. Values may differ: those that a
/// lookup gives are none of a view.
fn differences_of_rows(job: &BoundJob, tree: &QueryTree) -> Vec<String> {
    let mut found = Vec::new();
    let source = job.source.name.to_string();
    if tree.tables != [source] {
        found.push(format!("it reads {}", tree.tables.join(", ")));
    }
    if tree.has_filter {
        found.push("it has a WHERE, and the job has none".to_owned());
    }
    if !tree.keys.is_empty() {
        found.push("it groups rows, and the job does not".to_owned());
    }
    found.extend(left_out(job));
    found
}

fn left_out(job: &BoundJob) -> Option<String> {
    let leaves_out = !job.exclusions.is_empty() || !job.filters.is_empty();
    (leaves_out || job.source_deleted.is_some() || job.collapse)
        .then(|| "the job leaves out rows that the view reads".to_owned())
}

/// The expression at this position of a SELECT that the server wrote, without its name.
fn expression_of(select: &str, position: usize) -> Option<String> {
    let list = select.strip_prefix("SELECT ")?;
    let list = list.get(..find_outside(list, " FROM ")?)?;
    let item = split_list(list).into_iter().nth(position)?;
    let expression = match find_outside(&item, " AS ") {
        Some(at) => item.get(..at)?.to_owned(),
        None => unquoted(&item),
    };
    Some(expression)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_of_a_select_has_no_name() {
        let select = "SELECT toStartOfHour(t) AS hour, `a b`, f(x, 'y, z') FROM d.t GROUP BY hour";
        let of = |position| expression_of(select, position);
        assert_eq!(of(0).as_deref(), Some("toStartOfHour(t)"));
        assert_eq!(of(1).as_deref(), Some("a b"));
        assert_eq!(of(2).as_deref(), Some("f(x, 'y, z')"));
        assert_eq!(of(3), None);
    }
}
