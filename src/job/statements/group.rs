//! What is asked of the source about the groups of a job: how many there are, and in which partitions of
//! the target they lie.

use super::source::{self, Scope};
use crate::clickhouse::{Settings, quote_identifier, quote_literal};
use crate::job::bound::{BoundGroup, BoundJob, Horizon};

/// Makes the server take a number in `GROUP BY` as an expression, not as the position of a column.
pub(super) fn grouping(job: &BoundJob, settings: Settings) -> Settings {
    if job.group.is_some() { settings.with("enable_positional_arguments", "0") } else { settings }
}

/// Counts the groups of a scope as `groups`, estimated with an error of about 1 %.
pub(crate) fn estimated_groups(job: &BoundJob, group: &BoundGroup, scope: &Scope) -> String {
    format!(
        "SELECT uniqCombined({}) AS groups\n{}",
        group.expressions.join("\n, "),
        source::from(job, scope)
    )
}

/// The partitions of the target in which the groups of the source's partition lie: their ids as
/// `targets`, at most `most + 1`.
pub(crate) fn targets_of_groups(
    job: &BoundJob,
    group: &BoundGroup,
    scope: &Scope,
    most: usize,
) -> String {
    let own = keys_of_rows(job, group, scope, "=");
    format!(
        "SELECT arraySort(groupUniqArray({})({})) AS targets FROM (\n{own}\n)",
        most + 1,
        group.partition_id
    )
}

/// The same, with the rows of other partitions of the source that belong to groups there as `rows`, and
/// the ids of these partitions as `sources`.
pub(crate) fn partitions_of_groups(
    job: &BoundJob,
    group: &BoundGroup,
    scope: &Scope,
    most: usize,
) -> String {
    let key = &job.target.partition_key;
    let targets = targets_of_groups(job, group, scope, most);
    let others = keys_of_rows(job, group, scope, "!=");
    // The key itself, unlike its id, lets the server skip the parts of other times.
    let among = if group.partition_columns.is_empty() {
        String::new()
    } else {
        format!("\nWHERE {key} IN ({})", partition_keys_of_groups(job, group, scope))
    };
    let others = format!(
        "SELECT count() AS rows, arraySort(groupUniqArray(10)(`partition of a row`)) AS sources FROM (\n{others}\n){among}"
    );
    format!(
        "SELECT targets, rows, sources FROM (\n{targets}\n) AS own\nCROSS JOIN (\n{others}\n) AS others"
    )
}

/// The groups before the horizon: those of the target as `kept`, and those that have rows in the
/// source's partition and are not in the target as `lacking`.
pub(crate) fn groups_before_horizon(
    job: &BoundJob,
    group: &BoundGroup,
    horizon: &Horizon,
    scope: &Scope,
) -> String {
    let names: Vec<_> = group.keys.iter().map(|name| quote_identifier(name).to_string()).collect();
    let (names, target) = (names.join(", "), job.target.name.quoted());
    let kept = format!("SELECT DISTINCT {names} FROM {target} WHERE {}", horizon.of_target);
    format!(
        "SELECT (SELECT count() FROM (\n{kept}\n)) AS kept, (SELECT count() FROM (\nSELECT DISTINCT {}\nFROM {} AS source\nWHERE _partition_id = {} AND {}\nEXCEPT {kept}\n)) AS lacking",
        group.expressions.join("\n, "),
        job.source.name.quoted(),
        quote_literal(&scope.partition_id),
        horizon.of_source
    )
}

/// The distinct values of the target's partition key that the groups of a scope have.
pub(crate) fn partition_keys_of_groups(
    job: &BoundJob,
    group: &BoundGroup,
    scope: &Scope,
) -> String {
    let own = keys_of_rows(job, group, scope, "=");
    format!("SELECT DISTINCT {} FROM (\n{own}\n)", job.target.partition_key)
}

/// The columns of the target's partition key: the distinct ones of the source's partition, or with `!=`
/// those of each row of all others.
fn keys_of_rows(job: &BoundJob, group: &BoundGroup, scope: &Scope, comparison: &str) -> String {
    let condition = format!("_partition_id {comparison} {}", quote_literal(&scope.partition_id));
    let keys = group.keys.iter().zip(&group.expressions);
    let columns = keys
        .filter(|(name, _)| group.partition_columns.contains(name))
        .map(|(name, expression)| format!("{expression}\n AS {}", quote_identifier(name)));
    let columns: Vec<_> = std::iter::once("_partition_id AS `partition of a row`".to_owned())
        .chain(columns)
        .collect();
    let distinct = if comparison == "=" { "DISTINCT " } else { "" };
    let rows = source::from_where(job, &job.from(None), &condition);
    format!("SELECT {distinct}{}\n{rows}", columns.join(", "))
}
