//! The job file: TOML of a few dozen lines. Keys that it does not know are errors that point at the
//! line.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::error::{JobError, suggested_key};

/// A job as its file says it, not yet held against any table.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name, for the run's records.
    pub name: String,
    /// One line that says what it does.
    pub description: String,
    /// Where the job was read: a path, or the built-in job's name.
    pub origin: String,
    /// What is read, row by row.
    pub source: Source,
    /// What each row is enriched with.
    pub lookup: Option<Lookup>,
    /// What is written.
    pub target: Target,
    /// ClickHouse settings, per statement.
    pub settings: StatementSettings,
    /// What fills each column of the target, in the file's order.
    pub columns: Vec<(String, Expression)>,
}

/// One ClickHouse expression over `source.x` and `lookup.y`, and where it stands.
#[derive(Clone, Debug)]
pub struct Expression {
    /// The SQL.
    pub sql: String,
    /// The line in the file, counted from 1.
    pub line: usize,
}

/// `[source]`: the table whose rows are streamed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// `table` or `database.table`.
    pub table: String,
    /// Whether versions of a row are collapsed before it is streamed
    /// ([FINAL](https://clickhouse.com/docs/sql-reference/statements/select/from#final-modifier)).
    #[serde(default, rename = "final")]
    pub collapse: bool,
    /// The column whose greatest value is the newest version.
    pub version: Option<String>,
    /// The column that marks a deleted row; rows where it is true are left out after versions were
    /// collapsed.
    pub deleted: Option<String>,
    /// The columns that are looked up, in the order of the lookup's `join_key`.
    #[serde(default)]
    pub join_key: Vec<String>,
    /// The column of the row's time, from which the lookup's window is reckoned.
    pub time: Option<String>,
    /// Named predicates over `source.x`; rows for which an enabled one is true are left out.
    #[serde(default)]
    pub exclusions: BTreeMap<String, String>,
}

/// `[lookup]`: the table in which each row's attributes are found.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// `table` or `database.table`.
    pub table: String,
    /// The columns that identify a row, in the order of the source's `join_key`.
    pub join_key: Vec<String>,
    /// The column whose greatest value is the newest version.
    pub version: Option<String>,
    /// The column that marks a deleted row; a newest version where it is true is a miss.
    pub deleted: Option<String>,
    /// Which rows are loaded, by time.
    pub window: Option<LookupWindow>,
}

/// The span of the lookup's time column that is loaded, around the times of the partition's rows.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupWindow {
    /// The lookup table's time column.
    pub column: String,
    /// Days before the earliest row of the partition.
    pub days_before: u32,
    /// Days after the latest row of the partition.
    pub days_after: u32,
}

/// `[target]`: the table that is filled.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// `table` or `database.table`.
    pub table: String,
    /// Columns, or patterns ending in `*`, that may stay at their type's default although the table
    /// declares none.
    #[serde(default)]
    pub defaults: Vec<String>,
    /// Columns that are left out where the source or the lookup lacks a column that their
    /// expression names.
    #[serde(default)]
    pub optional: Vec<String>,
    /// Functions that expressions may use although they may give another result the second time.
    #[serde(default)]
    pub allow_functions: Vec<String>,
    /// Which rows of the target the job answers for, as an expression over the target's columns;
    /// all where it is not given. `verify` takes only such rows for ones that should not be there.
    #[serde(default, deserialize_with = "expression_at")]
    pub owned: Option<Expression>,
}

/// An expression whose `line` is its offset in the text, which [`Job::parse`] turns into the line.
fn expression_at<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Expression>, D::Error> {
    let sql = Spanned::<String>::deserialize(deserializer)?;
    Ok(Some(Expression { line: sql.span().start, sql: sql.into_inner() }))
}

/// `[settings.source]`, `[settings.lookup]` and `[settings.insert]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatementSettings {
    /// For the source query.
    #[serde(default)]
    pub source: SettingMap,
    /// For the lookup query.
    #[serde(default)]
    pub lookup: SettingMap,
    /// For the inserts.
    #[serde(default)]
    pub insert: SettingMap,
}

/// Setting names with values; numbers and booleans may be written as such.
#[derive(Clone, Debug, Default)]
pub struct SettingMap(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for SettingMap {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a string, a number or true or false")]
        enum Value {
            Boolean(bool),
            Integer(i64),
            Float(f64),
            Text(String),
        }
        let values = BTreeMap::<String, Value>::deserialize(deserializer)?;
        let text = |value| match value {
            Value::Boolean(value) => u8::from(value).to_string(),
            Value::Integer(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Text(value) => value,
        };
        Ok(Self(values.into_iter().map(|(name, value)| (name, text(value))).collect()))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    #[serde(default)]
    description: String,
    source: Spanned<Source>,
    lookup: Option<Spanned<Lookup>>,
    target: Spanned<Target>,
    #[serde(default)]
    settings: StatementSettings,
    columns: Spanned<BTreeMap<Spanned<String>, Spanned<String>>>,
}

impl Job {
    /// Reads a job from its text. `origin` names the file in messages.
    ///
    /// # Errors
    /// [`JobError::Syntax`] and [`JobError::Invalid`], which name the line.
    pub fn parse(origin: &str, text: &str) -> Result<Self, JobError> {
        let file: File = toml::from_str(text).map_err(|error| {
            let suggestion = suggested_key(error.message()).map(str::to_owned);
            JobError::Syntax { origin: origin.to_owned(), message: error.to_string(), suggestion }
        })?;
        let invalid = |at: usize, message: String| JobError::Invalid {
            origin: origin.to_owned(),
            line: line_of(text, at),
            message,
        };
        let mut columns: Vec<_> = file.columns.get_ref().iter().collect();
        columns.sort_by_key(|(name, _)| name.span().start);
        if columns.is_empty() {
            return Err(invalid(
                file.columns.span().start,
                "[columns] is empty: nothing would be written".to_owned(),
            ));
        }
        if file.name.get_ref().trim().is_empty() {
            return Err(invalid(file.name.span().start, "the name is empty".to_owned()));
        }
        if let Some((at, message)) = contradiction(&file) {
            return Err(invalid(at, message));
        }
        let columns = columns
            .into_iter()
            .map(|(name, sql)| {
                let expression = Expression {
                    sql: sql.get_ref().clone(),
                    line: line_of(text, sql.span().start),
                };
                (name.get_ref().clone(), expression)
            })
            .collect();
        let mut target = file.target.into_inner();
        if let Some(owned) = &mut target.owned {
            owned.line = line_of(text, owned.line);
        }
        Ok(Self {
            name: file.name.into_inner(),
            description: file.description,
            origin: origin.to_owned(),
            source: file.source.into_inner(),
            lookup: file.lookup.map(Spanned::into_inner),
            target,
            settings: file.settings,
            columns,
        })
    }
}

/// What the parts of a file say against each other, and the offset at which that part begins.
fn contradiction(file: &File) -> Option<(usize, String)> {
    let (source, at_source) = (file.source.get_ref(), file.source.span().start);
    let Some(lookup) = &file.lookup else {
        let message = "[source] has a join_key, but there is no [lookup]".to_owned();
        return (!source.join_key.is_empty()).then_some((at_source, message));
    };
    let (lookup, at_lookup) = (lookup.get_ref(), lookup.span().start);
    let (ours, theirs) = (lookup.join_key.len(), source.join_key.len());
    let message = if ours == 0 {
        "[lookup] needs at least one column in join_key".to_owned()
    } else if ours != theirs {
        format!("the join_key of [lookup] has {ours} columns and that of [source] {theirs}")
    } else if lookup.window.is_some() && source.time.is_none() {
        "[lookup] has a window, so [source] must name its time column".to_owned()
    } else {
        return None;
    };
    Some((at_lookup, message))
}

/// The line, counted from 1, in which the byte at this offset stands.
fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "name = 'x'\n[source]\ntable = 's'\n[target]\ntable = 't'\n[columns]\nz = 'source.z'\na = '''\nsource.a'''\n";

    #[test]
    fn columns_keep_their_order_and_know_their_line() {
        let job = Job::parse("x.toml", SMALL).unwrap();
        let columns: Vec<_> =
            job.columns.iter().map(|(name, expression)| (name.as_str(), expression.line)).collect();
        assert_eq!(columns, [("z", 7), ("a", 8)]);
    }

    #[test]
    fn the_owned_expression_knows_its_line() {
        let job =
            Job::parse("x.toml", &SMALL.replace("table = 't'", "table = 't'\nowned = \"a = 1\""))
                .unwrap();
        assert_eq!(
            job.target.owned.map(|owned| (owned.sql, owned.line)),
            Some(("a = 1".to_owned(), 6))
        );
    }

    #[test]
    fn unknown_keys_and_typos_point_at_the_line() {
        let error = Job::parse("x.toml", &SMALL.replace("table = 's'", "tabel = 's'"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 3") && error.contains("tabel"), "{error}");
        let error = Job::parse("x.toml", "name = 'x\n").unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
    }

    #[test]
    fn contradictions_name_the_line() {
        let text = SMALL.replace("[target]", "join_key = ['a']\n[target]");
        assert!(
            Job::parse("x.toml", &text).unwrap_err().to_string().starts_with("x.toml, line 2: "),
            "source without lookup"
        );
        let text = SMALL.replace("[target]", "[lookup]\ntable = 'l'\njoin_key = ['a']\n[target]");
        assert!(
            Job::parse("x.toml", &text).unwrap_err().to_string().starts_with("x.toml, line 4: "),
            "keys of other lengths"
        );
    }

    #[test]
    fn settings_may_be_numbers() {
        let job = Job::parse(
            "x.toml",
            &SMALL.replace("[columns]", "[settings.insert]\na = 1\nb = true\nc = 'x'\n[columns]"),
        )
        .unwrap();
        let settings: Vec<_> =
            job.settings.insert.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(settings, ["a=1", "b=1", "c=x"]);
    }
}
