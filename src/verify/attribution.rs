//! Which partition of the source a row of the target came from.
//!
//! Source and target may be partitioned differently, so the partitions of the target that a load
//! writes to can also have rows of other loads. A row belongs to the load of the partition that the
//! source's partition key gives for the source row. That partition can be computed from the target if
//! the job copies every column of the partition key in a form that can be converted back. In the same
//! way, the columns of the primary key give the chunk of the source.

use serde::Deserialize;

use super::VerifyError;
use crate::clickhouse::{Column, Error as ServerError, Servers, quote_identifier, quote_literal};
use crate::formats::rowbinary::DataType;
use crate::job::target_key::{is_nullable, partition_id, with_values};
use crate::job::{BoundColumn, BoundJob, Publish, Token, tokens};
use crate::plan::Plan;

/// How the source partition of a row of the target is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attribution {
    /// The source has only one partition.
    Single,
    /// By a condition over the target's columns, which is true for rows of the compared partition.
    Condition(String),
    /// It is not known, for this reason.
    Unknown(String),
}

/// A column of the source's partition key.
#[derive(Clone, Debug, Deserialize)]
struct KeyColumn {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
    time_zone: String,
}

impl Attribution {
    /// Finds out how rows of this partition of the source are recognized in the target.
    pub(super) async fn read(
        servers: &Servers,
        job: &BoundJob,
        compared: &[BoundColumn],
        partition: &str,
    ) -> Result<Self, VerifyError> {
        if job.objects.is_some() && job.publish == Publish::InPlace
            || job.postgres.is_some() && job.is_of_period() && job.publish == Publish::InPlace
        {
            let reason = "rows of the target do not tell from which period they came";
            return Ok(Self::Unknown(reason.to_owned()));
        }
        if job.source.partition_key.is_empty() {
            return Ok(Self::Single);
        }
        let columns = key_columns(servers, job, "partition").await?;
        Ok(by_columns(&job.source.partition_key, &columns, compared, partition))
    }

    /// The condition on rows of the target, if there is one.
    pub(super) fn condition(&self) -> Option<&str> {
        match self {
            Self::Condition(condition) => Some(condition),
            Self::Single | Self::Unknown(_) => None,
        }
    }

    /// Why the source partition of a row is not known.
    pub(super) fn unknown_because(&self) -> Option<&str> {
        match self {
            Self::Unknown(reason) => Some(reason),
            Self::Single | Self::Condition(_) => None,
        }
    }
}

/// A condition on rows of the target that is true for those of this partition of the source; or why
/// there is none.
///
/// # Errors
/// The source cannot be asked.
pub(crate) async fn rows_of_partition(
    servers: &Servers,
    job: &BoundJob,
    partition: &str,
) -> Result<Result<String, String>, VerifyError> {
    Ok(match Attribution::read(servers, job, &job.columns, partition).await? {
        Attribution::Single => Ok("1".to_owned()),
        Attribution::Condition(condition) => Ok(condition),
        Attribution::Unknown(reason) => Err(reason),
    })
}

/// The columns of the source's `partition` or `primary` key.
async fn key_columns(
    servers: &Servers,
    job: &BoundJob,
    key: &str,
) -> Result<Vec<KeyColumn>, VerifyError> {
    let table = &job.source.name;
    let sql = format!(
        "SELECT name, type, serverTimezone() AS time_zone FROM system.columns WHERE database = {} AND table = {} AND is_in_{key}_key",
        quote_literal(&table.database),
        quote_literal(&table.table)
    );
    let columns = servers.source.rows::<KeyColumn>("verify", &sql).await;
    columns.map_err(|source: ServerError| VerifyError::Query {
        what: format!("reading the {key} key"),
        table: table.clone(),
        attempts: 1,
        source: Box::new(source),
    })
}

/// Chunks of a plan to compare, without the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SelectedChunks {
    /// Their numbers in the plan, from 0.
    pub numbers: Vec<usize>,
    /// SQL that is true for rows of the target that came from them; `None` if only their keys, which the
    /// server has to compute from the source, tell which ones did.
    pub(super) condition: Option<String>,
}

impl SelectedChunks {
    /// Finds out how rows of these chunks are recognized in the target; or why they cannot be.
    ///
    /// # Errors
    /// The source cannot be asked.
    pub(crate) async fn find(
        servers: &Servers,
        job: &BoundJob,
        plan: &Plan,
        numbers: Vec<usize>,
    ) -> Result<Result<Self, String>, VerifyError> {
        let columns = key_columns(servers, job, "primary").await?;
        let is_stored = |name: &str| job.target.column(name).is_none_or(Column::is_selectable);
        let stored: Vec<_> =
            job.columns.iter().filter(|column| is_stored(&column.name)).cloned().collect();
        let condition = match of_chunks(plan, &numbers, &columns, &stored) {
            Ok(condition) => Some(condition),
            Err(_) if servers.is_one_server() => None,
            Err(reason) => return Ok(Err(reason)),
        };
        Ok(Ok(Self { numbers, condition }))
    }
}

/// A condition on rows of the target that is true for those of these chunks of the source; or why there
/// is none.
fn of_chunks(
    plan: &Plan,
    numbers: &[usize],
    key_columns: &[KeyColumn],
    job_columns: &[BoundColumn],
) -> Result<String, String> {
    let (mut expressions, mut conditions) = (Vec::new(), Vec::new());
    for key in &plan.bounds.key {
        let words = tokens(&key.expression).map_err(|error| format!("{key:?} {error}"))?;
        let reads = |column: &&KeyColumn| {
            words.iter().any(|word| match word {
                Token::Word(word) => *word == column.name,
                Token::QuotedName(name) => name.trim_matches(['`', '"']) == column.name,
                Token::Text(_) | Token::Sign(_) => false,
            })
        };
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for column in key_columns.iter().filter(reads) {
            let (value, condition) = value_in_target(column, job_columns)?;
            names.push(column.name.as_str());
            values.push(value);
            conditions.extend(condition);
        }
        expressions.push(match (&*names, &*values) {
            ([], _) => return Err(format!("the columns of {} are not known", key.name)),
            ([name], [value]) if *name == key.name => value.clone(),
            _ => with_values(&names, &values, &key.expression),
        });
    }
    let chunks = numbers.iter().filter_map(|number| plan.chunks.get(*number));
    let ranges = chunks.map(|chunk| plan.bounds.range_over(&expressions, chunk));
    // A chunk without a range is the whole partition.
    let ranges: Vec<_> =
        ranges.map(|range| format!("({})", range.as_deref().unwrap_or("1"))).collect();
    conditions.push(format!("({})", ranges.join(" OR ")));
    Ok(conditions.join(" AND "))
}

fn by_columns(
    partition_key: &str,
    key_columns: &[KeyColumn],
    job_columns: &[BoundColumn],
    partition: &str,
) -> Attribution {
    if key_columns.is_empty() {
        // A user with rights on some columns sees no others, in whatever key they are.
        return if matches!(partition_key, "" | "tuple()") {
            Attribution::Single
        } else {
            Attribution::Unknown(format!(
                "the source is partitioned by {partition_key}, whose columns this user cannot see"
            ))
        };
    }
    let (mut names, mut values, mut conditions) = (Vec::new(), Vec::new(), Vec::new());
    for column in key_columns {
        match value_in_target(column, job_columns) {
            Ok((value, condition)) => {
                names.push(column.name.as_str());
                values.push(value);
                conditions.extend(condition);
            }
            Err(reason) => {
                return Attribution::Unknown(format!(
                    "the source is partitioned by {partition_key}, and {reason}"
                ));
            }
        }
    }
    let partition_id = with_values(&names, &values, &partition_id(partition_key));
    conditions.push(format!("{partition_id} = {}", quote_literal(partition)));
    Attribution::Condition(format!("({})", conditions.join(" AND ")))
}

/// SQL over the target's columns for the source's value of this column, and a condition for rows that
/// have such a value; or why there is none.
fn value_in_target(
    column: &KeyColumn,
    job_columns: &[BoundColumn],
) -> Result<(String, Option<String>), String> {
    let KeyColumn { name, type_name, time_zone } = column;
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("the name of the column {name} is not a simple identifier"));
    }
    if DataType::parse(type_name).is_ok_and(|parsed| is_nullable(&parsed)) {
        return Err(format!(
            "the id of a partition in which source.{name} is NULL cannot be computed"
        ));
    }
    let expressions = [format!("source.{name}"), format!("source.{}", quote_identifier(name))];
    let copies = || {
        let is_copy = |column: &&BoundColumn| {
            expressions.iter().any(|expression| column.expression.trim() == expression)
        };
        job_columns.iter().filter(is_copy)
    };
    let Some(first) = copies().next() else {
        return Err(format!("no column of the job is source.{name}"));
    };
    let Some(copy) = copies().find(|copy| is_lossless(type_name, &copy.type_name)) else {
        return Err(format!(
            "the column {} ({}) does not keep every value of source.{name} ({type_name})",
            first.name, first.type_name
        ));
    };
    let target = quote_identifier(&copy.name).to_string();
    if copy.type_name == *type_name {
        return Ok((target, None));
    }
    // The source's server partitions by its own time zone, unless the type names one.
    let source_type = match DataType::parse(type_name) {
        Ok(DataType::DateTime(None)) => format!("DateTime({})", quote_literal(time_zone)),
        Ok(DataType::DateTime64 { precision, time_zone: None }) => {
            format!("DateTime64({precision}, {})", quote_literal(time_zone))
        }
        _ => type_name.clone(),
    };
    let nullable = DataType::parse(&copy.type_name).is_ok_and(|parsed| is_nullable(&parsed));
    let (given, mut conditions) = if nullable {
        (format!("assumeNotNull({target})"), vec![format!("{target} IS NOT NULL")])
    } else {
        (target.clone(), Vec::new())
    };
    let value = format!("CAST({given} AS {source_type})");
    // A live writer's value may not exist in the source's type.
    conditions.push(format!("isNotDistinctFrom(CAST({value} AS {}), {target})", copy.type_name));
    Ok((value, Some(conditions.join(" AND "))))
}

/// Whether each value of the one type can be converted to the other and back.
fn is_lossless(from: &str, to: &str) -> bool {
    let (Ok(from), Ok(to)) = (DataType::parse(from), DataType::parse(to)) else { return false };
    if is_nullable(&from) && !is_nullable(&to) {
        return false;
    }
    match (from.strip_nullable(), to.strip_nullable()) {
        (DataType::Date32, DataType::DateTime64 { .. }) => true,
        (from, to) => from.is_within(to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, type_name: &str, expression: &str) -> BoundColumn {
        BoundColumn {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            expression: expression.to_owned(),
            expression_type: type_name.to_owned(),
            inputs: Vec::new(),
        }
    }

    fn key(name: &str, type_name: &str) -> KeyColumn {
        KeyColumn {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            time_zone: "Asia/Tokyo".to_owned(),
        }
    }

    #[test]
    fn copied_columns_give_the_partition() {
        let columns = [column("region", "String", "source.area"), column("t", "Date", "source.t")];
        let found = by_columns(
            "(area, toYYYYMM(t))",
            &[key("area", "String"), key("t", "Date")],
            &columns,
            "x",
        );
        let condition = "(arrayMap((`area`, `t`) -> partitionID(area, toYYYYMM(t)), [`region`], [`t`])[1] = 'x')";
        assert_eq!(found, Attribution::Condition(condition.to_owned()));
    }

    #[test]
    fn a_converted_column_is_converted_back_in_the_time_zone_of_the_source() {
        let columns = [column("placed", "DateTime64(3)", " source.`placed` ")];
        let found =
            by_columns("toYYYYMM(placed)", &[key("placed", "DateTime")], &columns, "202511");
        let value = "CAST(`placed` AS DateTime('Asia/Tokyo'))";
        let condition = format!(
            "(isNotDistinctFrom(CAST({value} AS DateTime64(3)), `placed`) AND arrayMap((`placed`) -> partitionID(toYYYYMM(placed)), [{value}])[1] = '202511')"
        );
        assert_eq!(found, Attribution::Condition(condition));
    }

    #[test]
    fn a_column_that_is_not_copied_or_loses_values_gives_no_partition() {
        let reason = |columns: &[BoundColumn]| {
            let found = by_columns("toYYYYMM(t)", &[key("t", "DateTime64(3)")], columns, "202511");
            found.unknown_because().map(str::to_owned)
        };
        let because =
            |reason: &str| Some(format!("the source is partitioned by toYYYYMM(t), and {reason}"));
        assert_eq!(reason(&[]), because("no column of the job is source.t"));
        assert_eq!(
            reason(&[column("day", "Date", "source.t")]),
            because("the column day (Date) does not keep every value of source.t (DateTime64(3))")
        );
        assert_eq!(by_columns("tuple()", &[], &[], "all"), Attribution::Single);
        // A user with rights on other columns does not see those of the key.
        assert!(matches!(by_columns("toYYYYMM(t)", &[], &[], "202511"), Attribution::Unknown(_)));
        let nullable = key("t", "Nullable(Date)");
        let found = by_columns("t", &[nullable], &[column("t", "Nullable(Date)", "source.t")], "x");
        assert!(found.unknown_because().is_some(), "{found:?}");
    }

    #[test]
    fn conversions_that_lose_nothing() {
        for (from, to) in [
            ("String", "LowCardinality(String)"),
            ("UInt8", "Int16"),
            ("DateTime('UTC')", "Nullable(DateTime64(6))"),
            ("Enum8('a' = 1)", "Enum8('a' = 1)"),
        ] {
            assert!(is_lossless(from, to), "{from} {to}");
        }
        for (from, to) in [
            ("Nullable(String)", "String"),
            ("UInt8", "Int8"),
            ("Int64", "Int32"),
            ("DateTime64(6)", "DateTime64(3)"),
            ("DateTime", "Date"),
            ("UInt32", "String"),
        ] {
            assert!(!is_lossless(from, to), "{from} {to}");
        }
    }
}
