//! Binding a job with `[group]`: its keys, its aggregates, and whether the target holds the groups
//! exactly.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::bound::{Aggregate, BoundColumn, BoundGroup, LeftOut};
use super::error::{Inexact, JobError, asking};
use super::file::Job;
use super::fit::{columns_to_write, inspecting};
use super::horizon::find_horizon;
use super::inspect::{Inspection, Inspector, Over, inspect};
use super::keys::Expression;
use super::lexer::{Token, tokens};
use super::merging::{Filled, MergeEngine};
use super::target_key::{closing, partition_id, without_direction};
use super::ttl::names_in;
use crate::clickhouse::{
    Column, Connection, TableSchema, quote_identifier, quote_literal, split_list, unquoted,
};

/// The columns of a job with their analysis.
pub(super) struct Analyzed {
    pub columns: Vec<(String, Expression)>,
    pub left_out: Vec<LeftOut>,
    pub inspection: Inspection,
    /// `None` for a job of rows.
    pub group: Option<BoundGroup>,
}

/// Analyzes the keys and the aggregates of a job with `[group]`.
///
/// # Errors
/// [`JobError::Inexact`] with everything that would make groups wrong, and those of the expressions.
pub(super) async fn analyze_groups(
    connection: &Connection,
    job: &Job,
    keys: &[(String, Expression)],
    (source, target): (&TableSchema, &TableSchema),
    structure: &[(String, String)],
) -> Result<Analyzed, JobError> {
    missing_keys(keys, target)?;
    let (aggregates, left_out) = columns_to_write(connection, job, target, structure).await?;
    let settings = inspecting(job);
    let inspector = |over| Inspector {
        connection,
        settings: &settings,
        origin: &job.origin,
        structure,
        over,
        allowed_functions: &job.target.allow_functions,
    };
    let of_keys = inspect(inspector(Over::Row), keys).await?;
    let of_aggregates = inspect(inspector(Over::Group), &aggregates).await?;
    let engine = match merge_engine(connection, target).await? {
        Ok(engine) => engine,
        Err(what) => {
            let remedy = "use an AggregatingMergeTree".to_owned();
            let findings = vec![Inexact { what, remedy }];
            return Err(JobError::Inexact { table: target.name.clone(), findings });
        }
    };
    let mut findings = inexact_keys(keys, target, &engine);
    let mut found = Vec::with_capacity(aggregates.len());
    for (position, (name, expression)) in aggregates.iter().enumerate() {
        let filled = filled(job, target, &of_aggregates, position, (name, expression), structure)?;
        match filled.combining(&engine) {
            Ok(combining) => {
                found.push(Aggregate { function: filled.function.to_owned(), combining });
            }
            Err(finding) => findings.push(finding),
        }
    }
    findings.extend(uncounted(&engine, &of_aggregates, target));
    if !findings.is_empty() {
        return Err(JobError::Inexact { table: target.name.clone(), findings });
    }
    let mut group = bound_group(keys, &of_keys, found, target);
    let expressions = &group.expressions;
    group.horizon =
        find_horizon(connection, source, keys, expressions, &of_keys, structure).await?;
    let mut inspection = of_keys;
    inspection.types.extend(of_aggregates.types);
    inspection.inputs.extend(of_aggregates.inputs);
    inspection.used.extend(of_aggregates.used);
    inspection.aggregates.extend(of_aggregates.aggregates);
    Ok(Analyzed {
        columns: keys.iter().cloned().chain(aggregates).collect(),
        left_out,
        inspection,
        group: Some(group),
    })
}

fn bound_group(
    keys: &[(String, Expression)],
    of_keys: &Inspection,
    aggregates: Vec<Aggregate>,
    target: &TableSchema,
) -> BoundGroup {
    let type_of = |name: &str| target.column(name).map(|column| column.type_name.as_str());
    let typed = || keys.iter().zip(&of_keys.types);
    let expressions = typed().map(|((name, key), expression_type)| match type_of(name) {
        // Values that are equal only in the target are one group there.
        Some(column_type) if column_type != expression_type => {
            format!("CAST({}\n AS {column_type})", key.sql)
        }
        _ => key.sql.clone(),
    });
    let along = typed()
        .filter(|((name, _), expression_type)| type_of(name) == Some(expression_type.as_str()));
    let names = names_in(&target.partition_key);
    let is_one_partition = !target.columns.iter().any(|column| names.contains(&column.name));
    BoundGroup {
        keys: keys.iter().map(|(name, _)| name.clone()).collect(),
        expressions: expressions.collect(),
        along: along.filter_map(|((_, key), _)| source_column(&key.sql)).collect(),
        aggregates,
        partition_id: if is_one_partition {
            "'all'".to_owned()
        } else {
            partition_id(&target.partition_key)
        },
        partition_columns: keys
            .iter()
            .map(|(name, _)| name.clone())
            .filter(|name| names.contains(name))
            .collect(),
        horizon: None,
    }
}

/// The expressions of a bound group take the place of those of the job's keys.
pub(super) fn with_key_expressions(
    mut columns: Vec<BoundColumn>,
    group: Option<&BoundGroup>,
) -> Vec<BoundColumn> {
    let expressions = group.iter().flat_map(|group| &group.expressions);
    for (column, expression) in columns.iter_mut().zip(expressions) {
        if column.expression != *expression {
            column.expression.clone_from(expression);
            column.expression_type.clone_from(&column.type_name);
        }
    }
    columns
}

/// The column's name if the expression is nothing but `source.x`.
fn source_column(sql: &str) -> Option<String> {
    match tokens(sql).ok()?.as_slice() {
        [Token::Word("source"), Token::Sign('.'), Token::Word(name)] => Some((*name).to_owned()),
        [Token::Word("source"), Token::Sign('.'), Token::QuotedName(name)] => Some(unquoted(name)),
        _ => None,
    }
}

/// Refuses keys that the target does not store: their groups would be one there.
fn missing_keys(keys: &[(String, Expression)], target: &TableSchema) -> Result<(), JobError> {
    let is_missing = |name: &str| !target.column(name).is_some_and(Column::is_insertable);
    let findings: Vec<_> = keys
        .iter()
        .filter(|(name, _)| is_missing(name))
        .map(|(name, key)| Inexact {
            what: format!(
                "it has no column {name} that an insert may fill, which line {} groups by",
                key.line
            ),
            remedy: format!("add the column {name} to the target, or remove it from [group]"),
        })
        .collect();
    if findings.is_empty() {
        return Ok(());
    }
    Err(JobError::Inexact { table: target.name.clone(), findings })
}

/// What is wrong with the sorting key and the partition key for groups of these keys.
fn inexact_keys(
    keys: &[(String, Expression)],
    target: &TableSchema,
    engine: &MergeEngine,
) -> Vec<Inexact> {
    let TableSchema { sorting_key, partition_key, columns, .. } = target;
    let names = || keys.iter().map(|(name, _)| name.as_str());
    let is_key = |name: &str| names().any(|key| key == name);
    let elements: Vec<_> = split_list(sorting_key)
        .into_iter()
        .map(|element| unquoted(&without_direction(element)))
        .collect();
    let mut findings = Vec::new();
    if engine.merges_rows() {
        let missing: Vec<_> =
            names().filter(|name| !elements.iter().any(|element| element == name)).collect();
        if !missing.is_empty() {
            let quoted = missing.iter().map(|name| quote_identifier(name).to_string());
            let key: Vec<_> = Some(sorting_key.clone())
                .filter(|key| !key.is_empty())
                .into_iter()
                .chain(quoted)
                .collect();
            findings.push(Inexact {
                what: format!(
                    "its sorting key ({sorting_key}) lacks {}, which the job groups by: merges would make one row of groups that differ only there",
                    missing.join(", ")
                ),
                remedy: format!("ORDER BY ({}) in the target", key.join(", ")),
            });
        }
    }
    let read_by = |sql: &str| {
        let read: BTreeSet<_> = names_in(sql).into_iter().collect();
        let read = columns.iter().filter(move |column| read.contains(&column.name));
        read.map(|column| column.name.clone()).filter(|name| !is_key(name)).collect::<Vec<_>>()
    };
    let ungrouped = read_by(sorting_key);
    if !ungrouped.is_empty() && engine.merges_rows() {
        let names = ungrouped.join(", ");
        findings.push(Inexact {
            what: format!(
                "its sorting key ({sorting_key}) has {names}, which the job does not group by: rows of one group would not be merged"
            ),
            remedy: format!("add {names} under [group], or leave it out of the sorting key"),
        });
    }
    let ungrouped = read_by(partition_key);
    if !ungrouped.is_empty() {
        let names = ungrouped.join(", ");
        findings.push(Inexact {
            what: format!(
                "its partition key ({partition_key}) reads {names}, which the job does not group by: rows of one group could lie in several partitions"
            ),
            remedy: format!("add {names} under [group], or partition the target by a key of the group"),
        });
    }
    findings
}

/// The aggregate that fills a column.
fn filled<'a>(
    job: &Job,
    target: &'a TableSchema,
    inspection: &'a Inspection,
    position: usize,
    (name, expression): (&'a str, &'a Expression),
    structure: &'a [(String, String)],
) -> Result<Filled<'a>, JobError> {
    let function = inspection.aggregates.get(position).and_then(Option::as_deref);
    let function = function.ok_or_else(|| JobError::Expression {
        origin: job.origin.clone(),
        line: expression.line,
        column: name.to_owned(),
        message: "is not an aggregate function; with [group] each column is one, such as sum(…), and a column to group by belongs under [group]".to_owned(),
    })?;
    let inputs = inspection.inputs.get(position);
    let only = inputs.filter(|inputs| inputs.len() == 1).and_then(BTreeSet::first);
    Ok(Filled {
        name,
        column_type: target
            .column(name)
            .map(|column| column.type_name.as_str())
            .unwrap_or_default(),
        function,
        parameters: parameters(&expression.sql, function),
        expression_type: inspection.types.get(position).map(String::as_str).unwrap_or_default(),
        argument_type: only
            .and_then(|&input| structure.get(input))
            .map(|(_, type_name)| type_name.as_str()),
        line: expression.line,
    })
}

/// The parameters of an aggregate function in parentheses: `(0.95)` of `quantile(0.95)(source.x)`.
fn parameters<'a>(sql: &'a str, function: &str) -> &'a str {
    let rest = sql.trim().strip_prefix(function).filter(|rest| rest.starts_with('('));
    let parameters = rest.and_then(|rest| {
        let close = closing(rest)?;
        let (parameters, arguments) = rest.split_at_checked(close + 1)?;
        arguments.starts_with('(').then_some(parameters)
    });
    parameters.unwrap_or_default()
}

/// A `SummingMergeTree` removes rows whose sums are all 0, which a number of rows never is.
fn uncounted(
    engine: &MergeEngine,
    inspection: &Inspection,
    target: &TableSchema,
) -> Option<Inexact> {
    let is_count = |function: &Option<String>| function.as_deref() == Some("count");
    if !matches!(engine, MergeEngine::Summing(_)) || inspection.aggregates.iter().any(is_count) {
        return None;
    }
    Some(Inexact {
        what: format!(
            "its engine {} removes rows whose sums are all 0, and the job counts no rows",
            target.engine
        ),
        remedy: "add a column filled by count(), or use an AggregatingMergeTree".to_owned(),
    })
}

/// What merges of the table do.
async fn merge_engine(
    connection: &Connection,
    table: &TableSchema,
) -> Result<Result<MergeEngine, String>, JobError> {
    #[derive(Deserialize)]
    struct Definition {
        engine_full: String,
    }
    let (database, name) = (quote_literal(&table.name.database), quote_literal(&table.name.table));
    let sql = format!(
        "SELECT engine_full FROM system.tables WHERE database = {database} AND name = {name}"
    );
    let definition: Definition = connection
        .row("schema", &sql)
        .await
        .map_err(asking("asking the server for the engine of the target"))?;
    Ok(MergeEngine::of(table, &definition.engine_full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_stand_before_the_arguments() {
        assert_eq!(parameters("quantile(0.95)(source.a)", "quantile"), "(0.95)");
        assert_eq!(parameters(" f('(', (1))(source.a)", "f"), "('(', (1))");
        assert_eq!(parameters("avg(source.a)", "avg"), "");
        assert_eq!(parameters("SUM(source.a)", "sum"), "");
    }

    #[test]
    fn a_bare_column_is_recognized() {
        assert_eq!(source_column(" source.a -- b"), Some("a".to_owned()));
        assert_eq!(source_column("source.`a b`"), Some("a b".to_owned()));
        for other in ["source.a.b", "source.a + 1", "f(source.a)", "a"] {
            assert_eq!(source_column(other), None, "{other}");
        }
    }
}
