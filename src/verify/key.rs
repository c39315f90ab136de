//! What identifies a row of the target, which of its versions counts, and in which partition it
//! lies: the server's own words on the table's keys, made into expressions over its columns.

use serde::Deserialize;

use super::VerifyError;
use super::list::{arguments_of, split_list};
use crate::clickhouse::{Connection, Error as ServerError, quote_identifier, quote_literal};
use crate::formats::rowbinary::DataType;
use crate::job::BoundJob;

/// How rows of the target are told apart.
#[derive(Clone, Debug)]
pub(super) struct TargetKey {
    /// The expressions of the sorting key; all columns where the table has none.
    pub expressions: Vec<String>,
    /// The columns that these are made of, with their types: what a person is told of a row.
    pub columns: Vec<(String, String)>,
    /// The column whose greatest value is the newest version, with its type.
    pub version: Option<(String, String)>,
    /// The column that marks a deleted row.
    pub deleted: Option<String>,
    /// SQL for the id of a row's partition.
    pub partition_id: String,
    /// The columns of the sorting key, of the partition key, the version and the deleted flag.
    pub own_columns: Vec<String>,
    /// Columns that the job does not fill and that are needed here: name, type, and what the table
    /// fills them with.
    pub filled_by_table: Vec<(String, String, String)>,
}

#[derive(Deserialize)]
struct Engine {
    engine_full: String,
}

#[derive(Deserialize)]
struct Flags {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
    default_expression: String,
    in_sorting_key: u8,
    in_partition_key: u8,
}

impl TargetKey {
    /// Asks the server.
    pub async fn ask(connection: &Connection, job: &BoundJob) -> Result<Self, VerifyError> {
        let table = &job.target.name;
        let failed = |source: ServerError| VerifyError::Query {
            what: "asking for the keys".to_owned(),
            table: table.clone(),
            attempts: 1,
            source: Box::new(source),
        };
        let (database, name) = (quote_literal(&table.database), quote_literal(&table.table));
        let sql = format!(
            "SELECT engine_full FROM system.tables WHERE database = {database} AND name = {name}"
        );
        let engine = connection.row::<Engine>("verify", &sql).await.map_err(failed)?;
        let sql = format!(
            "SELECT name, type, default_expression, is_in_sorting_key AS in_sorting_key, is_in_partition_key AS in_partition_key \
             FROM system.columns WHERE database = {database} AND table = {name} ORDER BY position"
        );
        let flags = connection.rows::<Flags>("verify", &sql).await.map_err(failed)?;
        let (version, deleted) = if job.target.is_replacing() {
            version_and_deleted(&engine.engine_full)
        } else {
            (None, None)
        };
        let type_of = |name: &str| {
            flags.iter().find(|column| column.name == name).map(|column| column.type_name.clone())
        };
        let version = version.and_then(|name| type_of(&name).map(|type_name| (name, type_name)));

        let mut expressions: Vec<_> =
            split_list(&job.target.sorting_key).into_iter().map(without_direction).collect();
        let mut columns: Vec<_> = flags
            .iter()
            .filter(|column| column.in_sorting_key != 0)
            .map(|column| (column.name.clone(), column.type_name.clone()))
            .collect();
        if expressions.is_empty() {
            // Without a sorting key a row is identified by all that it holds.
            columns = job
                .columns
                .iter()
                .map(|column| (column.name.clone(), column.type_name.clone()))
                .collect();
            expressions =
                columns.iter().map(|(name, _)| quote_identifier(name).to_string()).collect();
        }
        let own = |column: &Flags| {
            let by_name = version.as_ref().is_some_and(|(name, _)| *name == column.name)
                || deleted.as_ref() == Some(&column.name);
            column.in_sorting_key != 0 || column.in_partition_key != 0 || by_name
        };
        let own_columns =
            flags.iter().filter(|column| own(column)).map(|column| column.name.clone()).collect();
        let owned = |column: &Flags| {
            job.owned.as_ref().is_some_and(|owned| owned.columns.contains(&column.name))
        };
        let unfilled = flags
            .iter()
            .filter(|column| own(column) || owned(column))
            .filter(|column| job.columns.iter().all(|filled| filled.name != column.name));
        let filled_by_table = unfilled
            .map(|column| {
                let default = match column.default_expression.as_str() {
                    "" => format!("defaultValueOfTypeName({})", quote_literal(&column.type_name)),
                    expression => expression.to_owned(),
                };
                (column.name.clone(), column.type_name.clone(), default)
            })
            .collect();
        Ok(Self {
            expressions,
            columns,
            version,
            deleted,
            partition_id: partition_id(&job.target.partition_key),
            own_columns,
            filled_by_table,
        })
    }

    /// SQL for the version as an `Int128` in the order of versions; 0 where there are none.
    pub fn version_number(&self) -> String {
        let Some((name, type_name)) = &self.version else { return "toInt128(0)".to_owned() };
        let name = quote_identifier(name);
        match DataType::parse(type_name) {
            Ok(DataType::DateTime64 { .. }) => format!("toInt128(reinterpretAsInt64({name}))"),
            Ok(DataType::Date | DataType::DateTime(_)) => format!("toInt128(toUInt32({name}))"),
            _ => format!("toInt128({name})"),
        }
    }

    /// The version that rows written at this time have, where versions are times: microseconds
    /// since 1970.
    pub fn version_at(&self, microseconds: i64) -> Option<i128> {
        let microseconds = i128::from(microseconds);
        match DataType::parse(&self.version.as_ref()?.1).ok()? {
            DataType::DateTime64 { precision, .. } => match u32::from(precision) {
                precision @ 6.. => Some(microseconds * 10_i128.pow(precision - 6)),
                precision => Some(microseconds / 10_i128.pow(6 - precision)),
            },
            DataType::DateTime(_) => Some(microseconds / 1_000_000),
            _ => None,
        }
    }

    /// SQL that is true for a row that marks a deletion.
    pub fn is_deleted(&self) -> String {
        self.deleted
            .as_ref()
            .map_or_else(|| "0".to_owned(), |name| format!("{} != 0", quote_identifier(name)))
    }
}

/// A sorting key may say in which direction a column is sorted.
fn without_direction(expression: String) -> String {
    match expression.strip_suffix(" DESC").or_else(|| expression.strip_suffix(" ASC")) {
        Some(expression) => expression.to_owned(),
        None => expression,
    }
}

/// The arguments of
/// [ReplacingMergeTree](https://clickhouse.com/docs/engines/table-engines/mergetree-family/replacingmergetree)
/// that name columns; a replicated one has texts before them.
fn version_and_deleted(engine: &str) -> (Option<String>, Option<String>) {
    let mut names = arguments_of(engine).into_iter().filter(|argument| !argument.starts_with('\''));
    (names.next().map(|name| unquoted(&name)), names.next().map(|name| unquoted(&name)))
}

fn unquoted(name: &str) -> String {
    match name.strip_prefix('`').and_then(|name| name.strip_suffix('`')) {
        Some(inside) => inside.replace("\\`", "`").replace("\\\\", "\\"),
        None => name.to_owned(),
    }
}

/// SQL for the id of a row's partition, as `_partition_id` has it. A key of several expressions is
/// several arguments.
fn partition_id(partition_key: &str) -> String {
    if partition_key.is_empty() {
        return "'all'".to_owned();
    }
    let several = partition_key.starts_with('(') && split_list(partition_key).len() == 1 && {
        let inside = arguments_of(partition_key);
        inside.len() > 1
    };
    if several {
        format!("partitionID{partition_key}")
    } else {
        format!("partitionID({partition_key})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_name_their_version_and_their_deleted_flag() {
        let of = |engine: &str| version_and_deleted(engine);
        let text = |name: &str| Some(name.to_owned());
        assert_eq!(
            of("ReplacingMergeTree(event_ts, is_deleted) PARTITION BY toYYYYMM(t) ORDER BY a"),
            (text("event_ts"), text("is_deleted"))
        );
        assert_eq!(
            of("ReplicatedReplacingMergeTree('/a, (b)', '{replica}', `v x`) ORDER BY a"),
            (text("v x"), None)
        );
        assert_eq!(of("ReplacingMergeTree ORDER BY (a, b)"), (None, None));
    }

    #[test]
    fn a_tuple_is_the_arguments_of_the_partition() {
        assert_eq!(partition_id("toYYYYMM(t)"), "partitionID(toYYYYMM(t))");
        assert_eq!(partition_id("(a, toYYYYMM(t))"), "partitionID(a, toYYYYMM(t))");
        assert_eq!(partition_id("(a + b) % 4"), "partitionID((a + b) % 4)");
        assert_eq!(partition_id(""), "'all'");
    }
}
