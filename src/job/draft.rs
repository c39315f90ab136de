//! A draft of a job file: what the names, types, keys and engines of tables suggest.
//!
//! Every guess is told in a comment of the file. Nothing here decides whether the job is right: it is a
//! file for a person to read and to change.

use std::fmt::Write;

use super::lexer::{Token, tokens};
use crate::clickhouse::{
    Column, Connection, Error, TableName, TableSchema, quote_literal, replacing_columns,
    table_schema, version_of,
};
use crate::formats::rowbinary::DataType;

/// A table, as a draft needs it.
#[derive(Clone, Debug)]
pub(crate) struct DraftTable {
    schema: TableSchema,
    /// The column whose greatest value is the newest version of a row.
    version: Option<String>,
    /// The column that marks deleted rows.
    deleted: Option<String>,
}

impl DraftTable {
    /// Reads a table; `None` if it does not exist.
    ///
    /// # Errors
    /// Those of the queries.
    pub(crate) async fn read(
        connection: &Connection,
        name: &TableName,
    ) -> Result<Option<Self>, Error> {
        let Some(schema) = table_schema(connection, name).await? else { return Ok(None) };
        let (mut version, mut deleted) = (None, None);
        if schema.is_replacing() {
            version = version_of(connection, name).await?;
            deleted = replacing_columns(connection, name).await?.map(|(_, deleted)| deleted);
        }
        Ok(Some(Self { schema, version, deleted }))
    }

    fn base(&self) -> &str {
        &self.schema.name.table
    }

    /// The columns of the sorting key, without expressions and moments, which identify no row of a
    /// lookup.
    fn key(&self) -> Vec<&Column> {
        let words = tokens(&self.schema.sorting_key).unwrap_or_default();
        let (mut depth, mut parts) = (0_usize, vec![Vec::new()]);
        for word in words {
            match word {
                Token::Sign('(') => depth += 1,
                Token::Sign(')') => depth = depth.saturating_sub(1),
                Token::Sign(',') if depth == 0 => {
                    parts.push(Vec::new());
                    continue;
                }
                _ => {}
            }
            if let Some(part) = parts.last_mut() {
                part.push(word);
            }
        }
        let names = parts.iter().filter_map(|part| match &**part {
            [Token::Word(name)] => Some(*name),
            [Token::QuotedName(name)] => Some(name.trim_matches(['`', '"'])),
            _ => None,
        });
        let columns = names.filter_map(|name| self.schema.column(name));
        columns.filter(|column| !is_moment(&column.type_name)).collect()
    }
}

/// The names of the tables of a database, for a person to choose from, those that can be a source first.
///
/// # Errors
/// Those of the query.
pub(crate) async fn table_names(connection: &Connection) -> Result<Vec<String>, Error> {
    #[derive(serde::Deserialize)]
    struct Name {
        name: String,
    }
    let sql = format!(
        "SELECT name FROM system.tables WHERE database = {} AND NOT is_temporary AND engine NOT LIKE '%View' \
         AND NOT startsWith(name, '.inner') AND name NOT IN ('load_state', 'load_state_chunks', 'load_claims', 'load_samples', 'load_verifications') \
         ORDER BY engine LIKE '%MergeTree' DESC, name",
        quote_literal(connection.endpoint().database())
    );
    let names: Vec<Name> = connection.rows("tables", &sql).await?;
    Ok(names.into_iter().map(|row| row.name).collect())
}

/// A job file, and what of it was guessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    /// The text of the file.
    pub text: String,
    /// The guesses, one sentence each.
    pub guesses: Vec<String>,
    /// Columns of the target's sorting key that nothing fills.
    pub unfilled_key: Vec<String>,
}

/// The tables of a draft, as they were named.
pub(crate) struct DraftRequest<'a> {
    /// The job's name.
    pub name: &'a str,
    pub source: (&'a str, &'a DraftTable),
    pub lookup: Option<(&'a str, &'a DraftTable)>,
    pub target: (&'a str, &'a DraftTable),
    /// Pairs of a source's and a lookup's column, if they are given.
    pub join: &'a [(String, String)],
}

/// No pairs of columns suggest themselves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DraftError {
    /// A column of the lookup's key has no counterpart.
    #[error("no column of {source_table} seems to be {key} of {lookup} ({type_name})")]
    Unjoined {
        /// The source.
        source_table: String,
        /// The lookup.
        lookup: String,
        /// The column of its key.
        key: String,
        /// The column's type.
        type_name: String,
    },
    /// A column that was given does not exist.
    #[error("{table} has no column {column}")]
    UnknownColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// Nothing of the target can be filled.
    #[error("no column of {0} has the name and the type of a column of the source or the lookup")]
    Unfilled(String),
}

impl DraftRequest<'_> {
    /// Writes the draft.
    ///
    /// # Errors
    /// [`DraftError`]
    pub(crate) fn draft(&self) -> Result<Draft, DraftError> {
        let mut guesses = Vec::new();
        let join = self.join_columns(&mut guesses)?;
        let columns = self.columns(&mut guesses);
        if columns.iter().all(|column| column.expression.is_none()) {
            return Err(DraftError::Unfilled(self.target.0.to_owned()));
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "# A draft by `clickhouse-backfill init`, from the names, types, keys and engines of the tables.\n\
             # Lines with `guess:` are to be checked. `clickhouse-backfill plan --job FILE --partition P` checks the job\n\
             # against its tables; docs/reference/job-file.md lists all keys.\n\
             name = {}\n\n",
            string(self.name)
        );
        self.write_source(&mut text, &join);
        if let Some((name, lookup)) = self.lookup {
            write_lookup(&mut text, name, lookup, &join);
        }
        self.write_target(&mut text, &columns);
        write_columns(&mut text, &columns);
        let key = self.target.1.key();
        let unfilled = columns.iter().filter(|column| column.expression.is_none());
        let unfilled = unfilled.map(|column| column.target.name.clone());
        let unfilled_key = unfilled.filter(|name| key.iter().any(|key| key.name == *name));
        let unfilled_key = unfilled_key.collect();
        Ok(Draft { text, guesses, unfilled_key })
    }

    fn write_source(&self, text: &mut String, join: &[(String, String)]) {
        let (name, table) = self.source;
        let _ = writeln!(text, "[source]\ntable = {}", string(name));
        if table.schema.is_replacing() {
            let _ = writeln!(
                text,
                "final = true    # rows of a ReplacingMergeTree: only the newest version of each"
            );
        }
        write_versions(text, table);
        if !join.is_empty() {
            let keys = join.iter().map(|(source, _)| string(source)).collect::<Vec<_>>();
            let how = if self.join.is_empty() { "    # guess: by name and type" } else { "" };
            let _ = writeln!(text, "join_key = [{}]{how}", keys.join(", "));
        }
        text.push('\n');
    }

    fn write_target(&self, text: &mut String, columns: &[Drafted<'_>]) {
        let (name, table) = self.target;
        let _ = writeln!(text, "[target]\ntable = {}", string(name));
        let left: Vec<_> = columns
            .iter()
            .filter(|column| column.expression.is_none() && column.target.default_kind.is_empty())
            .map(|column| string(&column.target.name))
            .collect();
        if !left.is_empty() {
            let _ = writeln!(
                text,
                "defaults = [{}]    # guess: these columns get the default of their type",
                left.join(", ")
            );
        }
        if !table.schema.is_replacing() {
            let engine = &table.schema.engine;
            let _ = writeln!(
                text,
                "# {engine} keeps repeated rows: the table needs a deduplication window, which `plan` checks."
            );
        }
        let _ = writeln!(
            text,
            "# owned = \"source = 'backfill'\"    # a condition on the rows of this job, for verify, repair and undo\n"
        );
    }

    /// The pairs of columns by which rows are looked up.
    fn join_columns(&self, guesses: &mut Vec<String>) -> Result<Vec<(String, String)>, DraftError> {
        let Some((lookup_name, lookup)) = self.lookup else { return Ok(Vec::new()) };
        let (source_name, source) = self.source;
        if !self.join.is_empty() {
            for (of_source, of_lookup) in self.join {
                for (name, table, column) in
                    [(source_name, source, of_source), (lookup_name, lookup, of_lookup)]
                {
                    if table.schema.column(column).is_none() {
                        let (table, column) = (name.to_owned(), column.clone());
                        return Err(DraftError::UnknownColumn { table, column });
                    }
                }
            }
            return Ok(self.join.to_vec());
        }
        let mut join = Vec::new();
        for key in lookup.key() {
            let found = counterpart(key, lookup.base(), source);
            let found = found.ok_or_else(|| DraftError::Unjoined {
                source_table: source_name.to_owned(),
                lookup: lookup_name.to_owned(),
                key: key.name.clone(),
                type_name: key.type_name.clone(),
            })?;
            guesses.push(format!("source.{} finds lookup.{}", found.name, key.name));
            join.push((found.name.clone(), key.name.clone()));
        }
        Ok(join)
    }

    /// What fills each column of the target.
    fn columns(&self, guesses: &mut Vec<String>) -> Vec<Drafted<'_>> {
        let target = self.target.1;
        let insertable = target
            .schema
            .columns
            .iter()
            .filter(|column| column.is_insertable() && column.is_selectable());
        let mut drafted: Vec<_> = insertable.map(|column| self.column(column)).collect();
        self.fill_key(&mut drafted, guesses);
        let left = |drafted: &&Drafted<'_>| drafted.expression.is_none();
        let names: Vec<_> =
            drafted.iter().filter(left).map(|drafted| drafted.target.name.as_str()).collect();
        if !names.is_empty() {
            guesses.push(format!("nothing fills {}", names.join(", ")));
        }
        drafted
    }

    /// Fills the one column of the target's key that nothing fills with the one column of the source's key
    /// that fills nothing.
    fn fill_key(&self, drafted: &mut [Drafted<'_>], guesses: &mut Vec<String>) {
        let target_key = self.target.1.key();
        let is_left = |drafted: &&mut Drafted<'_>| {
            drafted.expression.is_none()
                && target_key.iter().any(|key| key.name == drafted.target.name)
        };
        let is_used = |key: &&Column| {
            let value = format!("source.{}", identifier(&key.name));
            drafted.iter().any(|drafted| drafted.expression.as_deref() == Some(value.as_str()))
        };
        let source_key = self.source.1.key();
        let unused: Vec<_> = source_key.into_iter().filter(|key| !is_used(key)).collect();
        let left: Vec<_> = drafted.iter_mut().filter(is_left).collect();
        if let ([key], [drafted]) = (&*unused, &mut *{ left })
            && fits(&key.type_name, &drafted.target.type_name)
        {
            guesses.push(format!(
                "source.{} fills {}, both in the key",
                key.name, drafted.target.name
            ));
            drafted.expression = Some(format!("source.{}", identifier(&key.name)));
            drafted.is_guess = true;
        }
    }

    fn column<'a>(&'a self, target: &'a Column) -> Drafted<'a> {
        let source = self.source.1;
        let lookup = self.lookup.map(|(_, table)| table);
        let by_name = |table: &'a DraftTable, name: &str| table.schema.column(name);
        let by_prefix = |table: &'a DraftTable| {
            let name = target.name.strip_prefix(&format!("{}_", singular(table.base())))?;
            by_name(table, name)
        };
        let version = || {
            let is_version = self.target.1.version.as_deref() == Some(target.name.as_str());
            source.version.as_deref().filter(|_| is_version).and_then(|name| by_name(source, name))
        };
        let candidates = [
            ("source", by_name(source, &target.name)),
            ("source", by_prefix(source)),
            ("lookup", lookup.and_then(|table| by_name(table, &target.name))),
            ("lookup", lookup.and_then(by_prefix)),
            ("source", version()),
        ];
        let mut refused = None;
        for (side, column) in candidates {
            let Some(column) = column.filter(|column| column.is_selectable()) else { continue };
            let value = format!("{side}.{}", identifier(&column.name));
            if fits(&column.type_name, &target.type_name) {
                let expression =
                    if is_nullable(&column.type_name) && !is_nullable(&target.type_name) {
                        let default = quote_literal(&target.type_name);
                        format!("ifNull({value}, defaultValueOfTypeName({default}))")
                    } else {
                        value
                    };
                let is_guess = column.name != target.name;
                return Drafted { target, expression: Some(expression), is_guess, refused: None };
            }
            refused.get_or_insert((value, column.type_name.as_str()));
        }
        Drafted { target, expression: None, is_guess: false, refused }
    }
}

/// A column of the target in a draft.
struct Drafted<'a> {
    target: &'a Column,
    expression: Option<String>,
    /// Whether the names are not the same.
    is_guess: bool,
    /// A column of that name, with its type, which does not fit.
    refused: Option<(String, &'a str)>,
}

fn write_lookup(text: &mut String, name: &str, table: &DraftTable, join: &[(String, String)]) {
    let _ = writeln!(text, "[lookup]\ntable = {}", string(name));
    let keys: Vec<_> = join.iter().map(|(_, lookup)| string(lookup)).collect();
    let _ = writeln!(text, "join_key = [{}]", keys.join(", "));
    write_versions(text, table);
    text.push('\n');
}

fn write_versions(text: &mut String, table: &DraftTable) {
    if let Some(version) = &table.version {
        let _ = writeln!(text, "version = {}", string(version));
    }
    if let Some(deleted) = &table.deleted {
        let _ = writeln!(text, "deleted = {}", string(deleted));
    }
}

fn write_columns(text: &mut String, columns: &[Drafted<'_>]) {
    text.push_str("[columns]\n");
    for Drafted { target, expression, is_guess, refused } in columns {
        let name = key(&target.name);
        let _ = match (expression, refused) {
            (Some(expression), _) => {
                let guess = if *is_guess { "    # guess: by name" } else { "" };
                writeln!(text, "{name} = {}{guess}", string(expression))
            }
            (None, Some((value, type_name))) => writeln!(
                text,
                "# {name} = {}    # {} may not hold every {type_name}",
                string(value),
                target.type_name
            ),
            (None, None) => {
                writeln!(text, "# {name} = \"\"    # {}: no column of this name", target.type_name)
            }
        };
    }
}

/// The column of the source that seems to hold this key of a lookup.
fn counterpart<'a>(key: &Column, lookup: &str, source: &'a DraftTable) -> Option<&'a Column> {
    let one = singular(lookup);
    let with_key = [
        format!("{one}_{}", key.name),
        format!("{lookup}_{}", key.name),
        format!("{one}{}", capitalized(&key.name)),
    ];
    let itself = [one, lookup.to_owned()];
    // `id` of the source is the source's own.
    let is_general = ["id", "uuid", "key", "code", "name"].contains(&key.name.as_str());
    let same = [key.name.clone()];
    let names: Vec<_> = if is_general {
        with_key.iter().chain(&itself).collect()
    } else {
        same.iter().chain(&with_key).collect()
    };
    let columns = names.into_iter().filter_map(|name| source.schema.column(name));
    columns.into_iter().find(|column| is_joined(&column.type_name, &key.type_name))
}

/// The name of one thing, from that of a table of them.
fn singular(name: &str) -> String {
    if let Some(stem) = name.strip_suffix("ies") {
        format!("{stem}y")
    } else {
        name.strip_suffix('s').unwrap_or(name).to_owned()
    }
}

fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn parsed(type_name: &str) -> Option<DataType> {
    DataType::parse(type_name).ok()
}

fn is_nullable(type_name: &str) -> bool {
    parsed(type_name).is_some_and(|parsed| parsed.is_nullable())
}

fn is_moment(type_name: &str) -> bool {
    parsed(type_name).is_some_and(|parsed| {
        matches!(
            parsed.strip_nullable(),
            DataType::Date | DataType::Date32 | DataType::DateTime(_) | DataType::DateTime64 { .. }
        )
    })
}

/// Whether two columns can be compared by a join.
fn is_joined(one: &str, other: &str) -> bool {
    let (Some(one), Some(other)) = (parsed(one), parsed(other)) else { return one == other };
    let is_integer =
        |parsed: &DataType| matches!(parsed.strip_nullable(), DataType::Integer { .. });
    one.strip_nullable() == other.strip_nullable() || (is_integer(&one) && is_integer(&other))
}

/// Whether each value of a type, apart from NULL, can be inserted into a column of the other.
fn fits(from: &str, to: &str) -> bool {
    let (Some(from), Some(to)) = (parsed(from), parsed(to)) else { return from == to };
    match (from.strip_nullable(), to.strip_nullable()) {
        (DataType::Float32, DataType::Float64)
        | (
            DataType::FixedString(_) | DataType::Enum8(_) | DataType::Enum16(_) | DataType::Uuid,
            DataType::String,
        ) => true,
        (
            DataType::Decimal { precision: less, scale: from },
            DataType::Decimal { precision, scale },
        ) => scale >= from && precision - scale >= less - from,
        (from, to) => from.is_within(to),
    }
}

/// A text as TOML has it.
fn string(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A key as TOML has it.
fn key(name: &str) -> String {
    let is_bare = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    if !name.is_empty() && name.chars().all(is_bare) { name.to_owned() } else { string(name) }
}

/// A name behind `source.` or `lookup.`.
fn identifier(name: &str) -> String {
    let is_bare = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if name.chars().all(is_bare) {
        name.to_owned()
    } else {
        crate::clickhouse::quote_identifier(name).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, key: &str, columns: &[(&str, &str)]) -> DraftTable {
        let column = |(name, type_name): &(&str, &str)| Column {
            name: (*name).to_owned(),
            type_name: (*type_name).to_owned(),
            default_kind: String::new(),
        };
        let schema = TableSchema {
            name: TableName::parse(name, "default"),
            uuid: String::new(),
            engine: "MergeTree".to_owned(),
            sorting_key: key.to_owned(),
            partition_key: String::new(),
            columns: columns.iter().map(column).collect(),
        };
        DraftTable { schema, version: None, deleted: None }
    }

    fn joined(
        lookup: &DraftTable,
        source: &DraftTable,
    ) -> Result<Vec<(String, String)>, DraftError> {
        let target = table("t", "x", &[]);
        let request = DraftRequest {
            name: "x",
            source: ("s", source),
            lookup: Some(("l", lookup)),
            target: ("t", &target),
            join: &[],
        };
        request.join_columns(&mut Vec::new())
    }

    #[test]
    fn keys_are_joined_by_names_and_types() {
        let source = table(
            "observations",
            "id",
            &[
                ("id", "String"),
                ("project_id", "String"),
                ("trace_id", "Nullable(String)"),
                ("customer", "String"),
            ],
        );
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        let traces = table(
            "traces",
            "project_id, toDate(timestamp), id",
            &[
                ("id", "String"),
                ("project_id", "LowCardinality(String)"),
                ("timestamp", "DateTime64(3)"),
            ],
        );
        let both = vec![pair("project_id", "project_id"), pair("trace_id", "id")];
        assert_eq!(joined(&traces, &source), Ok(both));
        let customers = table("customers", "id", &[("id", "String")]);
        assert_eq!(joined(&customers, &source), Ok(vec![pair("customer", "id")]));
        let numbered = table("customers", "id", &[("id", "UInt64")]);
        assert!(matches!(joined(&numbered, &source), Err(DraftError::Unjoined { .. })));
    }

    #[test]
    fn keys_are_filled_or_named() {
        let source =
            table("observations", "project_id, id", &[("project_id", "String"), ("id", "String")]);
        let columns = [("project_id", "String"), ("span_id", "String"), ("tree_id", "String")];
        let drafted = |key: &str| {
            let target = table("events", key, &columns);
            let request = DraftRequest {
                name: "x",
                source: ("observations", &source),
                lookup: None,
                target: ("events", &target),
                join: &[],
            };
            request.draft().unwrap()
        };
        let one = drafted("project_id, span_id");
        assert!(one.text.contains("\nspan_id = \"source.id\" "), "{}", one.text);
        assert_eq!(one.unfilled_key, [""; 0]);
        assert_eq!(drafted("project_id, span_id, tree_id").unfilled_key, ["span_id", "tree_id"]);
    }

    #[test]
    fn values_fit_where_none_is_lost() {
        for (from, to) in [
            ("Nullable(UInt8)", "Int16"),
            ("LowCardinality(String)", "String"),
            ("Enum8('a' = 1)", "LowCardinality(String)"),
            ("DateTime", "DateTime64(3)"),
            ("Decimal(9, 2)", "Decimal(18, 4)"),
            ("Map(String, String)", "Map(String, String)"),
        ] {
            assert!(fits(from, to), "{from} {to}");
        }
        for (from, to) in [
            ("UInt64", "Int64"),
            ("String", "UUID"),
            ("DateTime64(6)", "DateTime64(3)"),
            ("Decimal(18, 2)", "Decimal(9, 2)"),
            ("Array(String)", "String"),
        ] {
            assert!(!fits(from, to), "{from} {to}");
        }
    }

    #[test]
    fn one_of_many() {
        let singular = ["traces", "entries", "data"].map(singular);
        assert_eq!(singular, ["trace", "entry", "data"]);
    }
}
