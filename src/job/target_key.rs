//! The keys of the target table as SQL expressions over its columns: what identifies a row, which of
//! its versions is kept, and in which partition it lies.

use serde::Deserialize;

use super::bound::{BoundColumn, BoundJob, LiveRows};
use super::ttl::names_in;
use crate::clickhouse::{
    Connection, Error as ServerError, find_outside, quote_identifier, quote_literal, split_list,
    unquoted,
};
use crate::formats::rowbinary::DataType;

/// Elements of the sorting key whose columns narrow the search for live rows.
const LEADING_ELEMENTS: usize = 2;

/// The keys of the target.
#[derive(Clone, Debug)]
pub(crate) struct TargetKey {
    /// The expressions of the sorting key; all columns if the table has none.
    pub expressions: Vec<String>,
    /// The columns of the sorting key with their types; they name a row in reports.
    pub columns: Vec<(String, String)>,
    /// The version column with its type.
    pub version: Option<(String, String)>,
    /// The deleted flag.
    pub deleted: Option<String>,
    /// SQL for the partition id of a row; none if it cannot be computed, since the server makes ids of
    /// NULL that no function gives.
    pub partition_id: Option<String>,
    /// The columns of the sorting key and the partition key, the version and the deleted flag.
    pub own_columns: Vec<String>,
    /// Columns that the comparison needs and the job does not fill, with those that their values are
    /// made of.
    pub filled_by_table: Vec<TableColumn>,
}

/// A column that the table fills.
#[derive(Clone, Debug)]
pub(crate) struct TableColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_name: String,
    /// SQL for its value over the other columns.
    pub value: String,
    /// The columns that `value` reads.
    pub reads: Vec<String>,
    /// Whether it can be selected.
    pub is_stored: bool,
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
    default_kind: String,
    default_expression: String,
    in_sorting_key: u8,
    in_partition_key: u8,
}

impl TargetKey {
    /// Reads the keys from the server. `further_columns` are needed too, whether or not the job fills
    /// them.
    ///
    /// # Errors
    /// Those of the queries.
    pub(crate) async fn read(
        connection: &Connection,
        job: &BoundJob,
        compared: &[BoundColumn],
        further_columns: &[String],
    ) -> Result<Self, ServerError> {
        let table = &job.target.name;
        let (database, name) = (quote_literal(&table.database), quote_literal(&table.table));
        let sql = format!(
            "SELECT engine_full FROM system.tables WHERE database = {database} AND name = {name}"
        );
        let engine = connection.row::<Engine>("keys", &sql).await?;
        let sql = format!(
            "SELECT name, type, default_kind, default_expression, is_in_sorting_key AS in_sorting_key, is_in_partition_key AS in_partition_key \
             FROM system.columns WHERE database = {database} AND table = {name} ORDER BY position"
        );
        let flags = connection.rows::<Flags>("keys", &sql).await?;
        let (version, deleted) = if job.target.is_replacing() {
            version_and_deleted(&engine.engine_full)
        } else {
            (None, None)
        };
        let type_of = |name: &str| {
            flags.iter().find(|column| column.name == name).map(|column| column.type_name.clone())
        };
        let version = version.and_then(|name| type_of(&name).map(|type_name| (name, type_name)));

        let (expressions, columns) = sorting_key(job, &flags, compared);
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
        let needed =
            |column: &Flags| own(column) || owned(column) || further_columns.contains(&column.name);
        let filled_by_table = filled_by_table(&flags, job, needed);
        Ok(Self {
            expressions,
            columns,
            version,
            deleted,
            partition_id: partition_id_of_rows(job, &flags),
            own_columns,
            filled_by_table,
        })
    }

    /// SQL for the version as an `Int128` of the same order; 0 without a version column.
    pub(crate) fn version_number(&self) -> String {
        let Some((name, type_name)) = &self.version else { return "toInt128(0)".to_owned() };
        let name = quote_identifier(name);
        match DataType::parse(type_name) {
            Ok(DataType::DateTime64 { .. }) => format!("toInt128(reinterpretAsInt64({name}))"),
            Ok(DataType::Date | DataType::DateTime(_)) => format!("toInt128(toUInt32({name}))"),
            _ => format!("toInt128({name})"),
        }
    }

    /// The version of a row that is written at this time, in microseconds since 1970, if versions
    /// are times.
    pub(crate) fn version_at(&self, microseconds: i64) -> Option<i128> {
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

    /// SQL for a hash of the key.
    pub(crate) fn hash(&self) -> String {
        hash_of(&self.expressions)
    }

    /// SQL over a source row for the hash of the key, the version and the partition id of the row that
    /// it becomes, as a tuple; an unknown partition id is empty. The error says why they cannot be
    /// computed.
    pub(crate) fn made_of_source(&self, job: &BoundJob) -> Result<String, String> {
        let is_needed = |name: &&String| Some(*name) != self.deleted.as_ref();
        let names: Vec<_> = self.own_columns.iter().filter(is_needed).map(String::as_str).collect();
        let made = format!(
            "tuple({}, toString({}), {})",
            self.hash(),
            self.version_number(),
            self.partition_id.as_deref().unwrap_or("''")
        );
        let values = names.iter().map(|name| source_value(job, name).map(|(value, _)| value));
        Ok(with_values(&names, &values.collect::<Result<Vec<_>, _>>()?, &made))
    }

    /// Recognizes rows of live writers that have the key and the version of a row that the job makes.
    /// `live` is SQL over the target's columns that is true for rows of live writers. The error says
    /// why they cannot be recognized.
    pub(crate) fn live_rows(&self, job: &BoundJob, live: &str) -> Result<LiveRows, String> {
        let mut names: Vec<_> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        let mut values = self.expressions.clone();
        if let Some((version, _)) = &self.version {
            values.push(quote_identifier(version).to_string());
            if !names.contains(&version.as_str()) {
                names.push(version);
            }
        }
        let columns = names.iter().map(|name| source_value(job, name));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let hash = format!("sipHash128(formatRow('RowBinary', {}))", values.join(", "));
        let made: Vec<_> = columns.iter().map(|(value, _)| value.clone()).collect();
        let leading = self.expressions.iter().take(LEADING_ELEMENTS);
        let leading: Vec<_> = leading.flat_map(|expression| names_in(expression)).collect();
        let bounds = names.iter().zip(&columns).filter(|(name, (_, type_name))| {
            leading.iter().any(|leading| leading == **name) && is_ordered(type_name)
        });
        Ok(LiveRows {
            made: with_values(&names, &made, &hash),
            bounds: bounds
                .map(|(name, (value, _))| (quote_identifier(name).to_string(), value.clone()))
                .collect(),
            found: hash,
            live: live.to_owned(),
            target: job.target.name.quoted(),
        })
    }

    /// SQL that is true for a row that is marked as deleted.
    pub(crate) fn is_deleted(&self) -> String {
        self.deleted
            .as_ref()
            .map_or_else(|| "0".to_owned(), |name| format!("{} != 0", quote_identifier(name)))
    }
}

/// SQL of the expressions of the sorting key, and its columns with their types. Without a sorting key,
/// all values identify a row.
fn sorting_key(
    job: &BoundJob,
    flags: &[Flags],
    compared: &[BoundColumn],
) -> (Vec<String>, Vec<(String, String)>) {
    let expressions: Vec<_> =
        split_list(&job.target.sorting_key).into_iter().map(without_direction).collect();
    if expressions.is_empty() {
        let columns = compared.iter().map(|column| (column.name.clone(), column.type_name.clone()));
        let quoted = compared.iter().map(|column| quote_identifier(&column.name).to_string());
        return (quoted.collect(), columns.collect());
    }
    let columns = flags
        .iter()
        .filter(|column| column.in_sorting_key != 0)
        .map(|column| (column.name.clone(), column.type_name.clone()));
    (expressions, columns.collect())
}

/// SQL of the partition id of a row, from the columns of the target. `None` where a column of the
/// partition key can be NULL, for which no function gives the server's id.
fn partition_id_of_rows(job: &BoundJob, flags: &[Flags]) -> Option<String> {
    let mut in_partition_key =
        flags.iter().filter(|column| column.in_partition_key != 0).peekable();
    if in_partition_key.peek().is_none() {
        return Some("'all'".to_owned());
    }
    let is_null = |column: &Flags| {
        DataType::parse(&column.type_name).is_ok_and(|parsed| is_nullable(&parsed))
    };
    in_partition_key.all(|column| !is_null(column)).then(|| partition_id(&job.target.partition_key))
}

/// The columns that the job does not fill, of those that are needed and those that their values read.
fn filled_by_table(
    columns: &[Flags],
    job: &BoundJob,
    needed: impl Fn(&Flags) -> bool,
) -> Vec<TableColumn> {
    let is_filled = |name: &str| job.columns.iter().any(|filled| filled.name == name);
    let unfilled: Vec<_> = columns.iter().filter(|column| !is_filled(&column.name)).collect();
    let mut names: Vec<String> =
        unfilled.iter().filter(|column| needed(column)).map(|column| column.name.clone()).collect();
    let mut filled: Vec<TableColumn> = Vec::new();
    while let Some(name) = names.pop() {
        let known = filled.iter().any(|column| column.name == name);
        let Some(column) = unfilled.iter().find(|column| !known && column.name == name) else {
            continue;
        };
        let value = match column.default_expression.as_str() {
            "" => format!("defaultValueOfTypeName({})", quote_literal(&column.type_name)),
            expression => expression.to_owned(),
        };
        let read = names_in(&value);
        let reads: Vec<_> =
            columns.iter().map(|column| column.name.clone()).filter(|n| read.contains(n)).collect();
        names.extend(reads.iter().cloned());
        filled.push(TableColumn {
            name,
            type_name: column.type_name.clone(),
            value,
            reads,
            is_stored: column.default_kind != "EPHEMERAL",
        });
    }
    filled
}

/// SQL for a hash of the bytes of these values.
pub(crate) fn hash_of(values: &[String]) -> String {
    if values.is_empty() {
        return "toUInt64(0)".to_owned();
    }
    format!("sipHash64(formatRow({}, {}))", quote_literal("RowBinary"), values.join(", "))
}

/// SQL over columns of these names as SQL over other columns, in which these are their values.
pub(crate) fn with_values(names: &[&str], values: &[String], sql: &str) -> String {
    let parameters: Vec<_> = names.iter().map(|name| quote_identifier(name).to_string()).collect();
    let arguments: Vec<_> = values.iter().map(|value| format!("[{value}]")).collect();
    // The parameters of the lambda hide columns of the same names.
    format!("arrayMap(({}) -> {sql}, {})[1]", parameters.join(", "), arguments.join(", "))
}

/// SQL over a source row for its value in this column of the target, with the type.
pub(crate) fn source_value<'a>(job: &'a BoundJob, name: &str) -> Result<(String, &'a str), String> {
    let is_it = |column: &&BoundColumn| column.name == name;
    let Some(column) = job.columns.iter().find(is_it) else {
        return Err(format!("the job does not fill {name}, a column of the target's key"));
    };
    if column.reads_lookup() {
        return Err(format!("{name}, a column of the target's key, reads the lookup"));
    }
    let value = format!("CAST({}\n AS {})", column.expression, column.type_name);
    Ok((value, &column.type_name))
}

/// Whether values of this type can be compared with `BETWEEN`.
fn is_ordered(type_name: &str) -> bool {
    let Ok(parsed) = DataType::parse(type_name) else { return false };
    let bare = match &parsed {
        DataType::LowCardinality(inner) => inner,
        other => other,
    };
    !is_nullable(&parsed)
        && matches!(
            bare,
            DataType::Integer { .. }
                | DataType::String
                | DataType::Date
                | DataType::Date32
                | DataType::DateTime(_)
                | DataType::DateTime64 { .. }
                | DataType::Uuid
        )
}

/// Whether a column of this type can be NULL.
pub(crate) fn is_nullable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Nullable(_) => true,
        DataType::LowCardinality(inner) => is_nullable(inner),
        _ => false,
    }
}

/// The expression of a sorting key's element without its direction.
pub(super) fn without_direction(expression: String) -> String {
    match expression.strip_suffix(" DESC").or_else(|| expression.strip_suffix(" ASC")) {
        Some(expression) => expression.to_owned(),
        None => expression,
    }
}

/// The arguments of
/// [ReplacingMergeTree](https://clickhouse.com/docs/engines/table-engines/mergetree-family/replacingmergetree)
/// that name columns; those of a replicated engine follow two strings.
fn version_and_deleted(engine: &str) -> (Option<String>, Option<String>) {
    let mut names = arguments_of(engine).into_iter().filter(|argument| !argument.starts_with('\''));
    (names.next().map(|name| unquoted(&name)), names.next().map(|name| unquoted(&name)))
}

/// SQL for a row's `_partition_id`. The elements of a tuple are arguments of their own.
pub(crate) fn partition_id(partition_key: &str) -> String {
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

/// The arguments of `name(a, b) …`, or the elements of `(a, b)`. None if the text before the
/// parenthesis is not a name, or a tuple is followed by more text.
fn arguments_of(text: &str) -> Vec<String> {
    let Some(open) = text.find('(') else { return Vec::new() };
    let Some((name, rest)) = text.split_at_checked(open) else { return Vec::new() };
    if !name.chars().all(char::is_alphanumeric) {
        return Vec::new();
    }
    let Some(close) = closing(rest) else { return Vec::new() };
    if name.is_empty() && close + 1 != rest.len() {
        return Vec::new();
    }
    rest.get(1..close).map(split_list).unwrap_or_default()
}

/// The position of the parenthesis that closes the first one.
pub(super) fn closing(text: &str) -> Option<usize> {
    find_outside(text.get(1..)?, ")").map(|position| position + 1)
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
    }

    #[test]
    fn arguments_end_where_their_parenthesis_does() {
        assert_eq!(arguments_of("f(a, (b, c)) PARTITION BY (d)"), ["a", "(b, c)"]);
        assert_eq!(arguments_of("(a, ')')"), ["a", "')'"]);
        assert_eq!(arguments_of("(a + b) % 4"), Vec::<String>::new());
        assert_eq!(arguments_of("f ORDER BY (a, b)"), Vec::<String>::new());
    }
}
