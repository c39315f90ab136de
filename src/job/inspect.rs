//! Analyzing expressions on the server: the columns that they read, their types, and whether they can
//! be evaluated row by row.
//!
//! The server resolves the expressions over `null('<structure>')`, a table without rows whose
//! columns are named `source.x` and `lookup.y`; nothing is executed. Names without a qualifier are
//! unknown there, hence rejected.

use std::collections::BTreeSet;

use serde_json::Value;

use super::bound::BoundKey;
use super::error::{JobError, asking};
use super::keys::Expression;
use super::lexer::check_text;
use crate::clickhouse::{
    Column, Connection, Described, Error, Settings, TableName, functions_not_deterministic,
    structure,
};
use crate::formats::rowbinary::DataType;

/// Columns as `(qualified name, type)`, the structure of the rows that expressions are evaluated
/// over.
pub(super) type Structure = [(String, String)];

/// The analysis of a list of expressions.
#[derive(Debug)]
pub(super) struct Inspection {
    /// The type of each expression.
    pub types: Vec<String>,
    /// Positions in the structure of the columns that are read.
    pub used: BTreeSet<usize>,
    /// The same for each expression, as far as the server's query tree shows it.
    pub inputs: Vec<BTreeSet<usize>>,
    /// The aggregate function that each expression is; `None` for any other expression.
    pub aggregates: Vec<Option<String>>,
}

/// Options of `EXPLAIN QUERY TREE` for a query that is resolved and not optimized.
pub(super) const RESOLVED: &str = "run_passes = 1, passes = 1";

/// What expressions are evaluated over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The current row.
    Row,
    /// All rows of a group.
    Group,
}

/// An inspection: who is asked, and about which rows.
#[derive(Clone, Copy)]
pub(super) struct Inspector<'a> {
    pub connection: &'a Connection,
    pub settings: &'a Settings,
    /// The job's file.
    pub origin: &'a str,
    pub structure: &'a Structure,
    pub over: Over,
    /// Functions that need not be deterministic.
    pub allowed_functions: &'a [String],
}

/// Inspects all expressions in a few queries; after an error one by one, so that the error names the
/// right line.
pub(super) async fn inspect(
    inspector: Inspector<'_>,
    columns: &[(String, Expression)],
) -> Result<Inspection, JobError> {
    let Inspector { origin, .. } = inspector;
    let all: Vec<_> = columns.iter().map(|(_, expression)| expression.sql.as_str()).collect();
    let fault = match inspect_list(inspector, &all).await? {
        Ok(inspection) => return Ok(inspection),
        Err(fault) => fault,
    };
    for (column, expression) in columns {
        if let Err(message) = inspect_list(inspector, &[&expression.sql]).await? {
            return Err(JobError::Expression {
                origin: origin.to_owned(),
                line: expression.line,
                column: column.clone(),
                message,
            });
        }
    }
    let (column, line) = columns.first().map_or_else(
        || (String::new(), 1),
        |(column, expression)| (column.clone(), expression.line),
    );
    Err(JobError::Expression {
        origin: origin.to_owned(),
        line,
        column,
        message: format!("together with the others: {fault}"),
    })
}

/// Whether an expression names a column that does not exist.
pub(super) async fn names_unknown_column(
    connection: &Connection,
    settings: &Settings,
    sql: &str,
    over: &Structure,
) -> Result<Option<String>, JobError> {
    const UNKNOWN_IDENTIFIER: u32 = 47;
    match connection.fetch("inspect", &describe(&[sql], over), "TSV", settings).await {
        Err(error) if error.code() == Some(UNKNOWN_IDENTIFIER) => Ok(Some(error.to_string())),
        _ => Ok(None),
    }
}

fn list(expressions: &[&str]) -> String {
    // One a line, so that a comment at the end of one does not include the next.
    expressions.join("\n, ")
}

fn from_nothing(expressions: &[&str], over: &Structure) -> String {
    let structure =
        structure(over.iter().map(|(name, type_name)| (name.as_str(), type_name.as_str())));
    format!("SELECT {}\nFROM null({structure})", list(expressions))
}

fn describe(expressions: &[&str], over: &Structure) -> String {
    format!("DESCRIBE ({})", from_nothing(expressions, over))
}

/// The inner error says what is wrong with the expressions, the outer one that a query failed.
async fn inspect_list(
    inspector: Inspector<'_>,
    expressions: &[&str],
) -> Result<Result<Inspection, String>, JobError> {
    let Inspector { connection, settings, structure: over, .. } = inspector;
    for sql in expressions {
        if let Err(message) = check_text(sql) {
            return Ok(Err(message));
        }
    }
    let refused = |error: Error| match error {
        Error::Server { message, .. } => Ok(Err(format!("is refused by the server: {message}"))),
        other => Err(asking("analyzing the job's expressions")(other)),
    };
    let sql = describe(expressions, over);
    let types = match connection.rows_with::<Described>("inspect", &sql, settings).await {
        Ok(rows) => rows.into_iter().map(|row| row.type_name).collect::<Vec<_>>(),
        Err(error) => return refused(error),
    };
    if types.len() != expressions.len() {
        return Ok(Err(format!("gives {} columns instead of {}", types.len(), expressions.len())));
    }
    let select = from_nothing(expressions, over);
    // Further passes would replace aggregates by others, such as two quantiles of a column by one.
    let passes = match inspector.over {
        Over::Row => "run_passes = 1",
        Over::Group => RESOLVED,
    };
    let explain = format!("EXPLAIN QUERY TREE {passes} {select}");
    let tree = match connection.fetch("inspect", &explain, "TSVRaw", settings).await {
        Ok(tree) => String::from_utf8_lossy(&tree).into_owned(),
        Err(error) => return refused(error),
    };
    if let Some(message) = refused_function(inspector, &tree).await? {
        return Ok(Err(message));
    }
    let inputs = inputs_of(&tree, expressions.len(), over);
    let aggregates = aggregates_of(&tree, expressions.len());
    if inspector.over == Over::Group {
        let used = inputs.iter().flatten().copied().collect();
        return Ok(Ok(Inspection { types, used, inputs, aggregates }));
    }
    let explain = format!("EXPLAIN json = 1, header = 1, description = 0 {select}");
    let plan = match connection.fetch("inspect", &explain, "TSVRaw", settings).await {
        Ok(plan) => plan,
        Err(error) => return refused(error),
    };
    Ok(columns_read(&plan, over).map(|used| Inspection { types, used, inputs, aggregates }))
}

/// Why a function of the query tree is not allowed: it needs several rows, makes several, or is not
/// deterministic.
async fn refused_function(
    inspector: Inspector<'_>,
    tree: &str,
) -> Result<Option<String>, JobError> {
    let Inspector { connection, over, allowed_functions, .. } = inspector;
    let functions = functions_of(tree);
    let is_refused = |kind: &str| match over {
        Over::Row => kind != "ordinary",
        Over::Group => !matches!(kind, "ordinary" | "aggregate"),
    };
    if let Some((name, kind)) = functions.iter().find(|(_, kind)| is_refused(kind)) {
        let article = if kind == "aggregate" { "an" } else { "a" };
        let usable = match over {
            Over::Row => "the current row",
            Over::Group => "the rows of a group",
        };
        return Ok(Some(format!(
            "uses {name}, which is {article} {kind} function; only {usable} can be used"
        )));
    }
    if functions.iter().any(|(name, _)| name == "arrayJoin") {
        return Ok(Some("uses arrayJoin, which makes several rows of one".to_owned()));
    }
    let names: Vec<_> = functions
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !allowed_functions.contains(name))
        .collect();
    let changing = functions_not_deterministic(connection, &names)
        .await
        .map_err(asking("asking the server about functions"))?;
    Ok(changing.first().map(|name| {
        format!(
            "uses {name}, which is not deterministic: it may give another result when a batch is sent again or verified; \
             to allow it, list it in allow_functions under [target]"
        )
    }))
}

/// Names and kinds of the functions in the output of [EXPLAIN QUERY
/// TREE](https://clickhouse.com/docs/sql-reference/statements/explain#explain-query-tree).
fn functions_of(tree: &str) -> BTreeSet<(String, String)> {
    let mut functions = BTreeSet::new();
    for line in tree.lines().map(str::trim_start).filter(|line| line.starts_with("FUNCTION id:")) {
        let field = |name: &str| {
            line.split(", ").find_map(|part| part.strip_prefix(name)).unwrap_or_default().to_owned()
        };
        functions.insert((field("function_name: "), field("function_type: ")));
    }
    functions
}

/// The trees of the expressions in the same output, each as its lines without the common indentation:
/// the projection is a list of indented trees.
pub(super) fn projection_of(tree: &str) -> Vec<Vec<&str>> {
    const PROJECTION: &str = "  PROJECTION";
    const EXPRESSION: usize = 6;
    let lines = tree.lines().skip_while(|line| line.trim_end() != PROJECTION).skip(2);
    let mut trees: Vec<Vec<&str>> = Vec::new();
    for line in lines {
        let indentation = line.len() - line.trim_start().len();
        if indentation < EXPRESSION {
            break;
        }
        let line = line.get(EXPRESSION..).unwrap_or_default();
        match trees.last_mut() {
            Some(last) if indentation > EXPRESSION => last.push(line),
            _ => trees.push(vec![line]),
        }
    }
    trees
}

/// The columns that each expression names.
fn inputs_of(tree: &str, expressions: usize, over: &Structure) -> Vec<BTreeSet<usize>> {
    let column_of = |line: &&str| {
        let rest = line.trim_start().strip_prefix("COLUMN id: ")?;
        let (_, rest) = rest.split_once("column_name: ")?;
        let (name, _) = rest.split_once(", result_type: ")?;
        position_of(name, over)
    };
    let trees = projection_of(tree);
    let mut inputs: Vec<_> =
        trees.iter().map(|lines| lines.iter().filter_map(column_of).collect()).collect();
    inputs.resize(expressions, BTreeSet::new());
    inputs
}

/// The aggregate function that each expression is.
fn aggregates_of(tree: &str, expressions: usize) -> Vec<Option<String>> {
    let aggregate = |lines: &Vec<&str>| {
        let root = lines.first()?;
        let (_, rest) = root.split_once("function_name: ")?;
        let (name, rest) = rest.split_once(", ")?;
        rest.starts_with("function_type: aggregate").then(|| name.to_owned())
    };
    let mut aggregates: Vec<_> = projection_of(tree).iter().map(aggregate).collect();
    aggregates.resize(expressions, None);
    aggregates
}

/// The columns that the plan reads; an error for a plan with more than expressions over one read.
fn columns_read(plan: &[u8], over: &Structure) -> Result<BTreeSet<usize>, String> {
    let plan: Value = serde_json::from_slice(plan)
        .map_err(|error| format!("cannot be inspected: the server's plan is not JSON: {error}"))?;
    let mut node = plan.pointer("/0/Plan");
    while let Some(step) = node {
        let kind = step.get("Node Type").and_then(Value::as_str).unwrap_or_default();
        match kind {
            "Expression" => node = step.pointer("/Plans/0"),
            "ReadFromStorage" | "ReadFromPreparedSource" => {
                let header = step
                    .get("Header")
                    .and_then(Value::as_array)
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                let names =
                    header.iter().filter_map(|column| column.get("Name").and_then(Value::as_str));
                return names
                    .map(|name| {
                        position_of(name, over).ok_or_else(|| {
                            format!("reads {name}, which is not a column of the tables")
                        })
                    })
                    .collect();
            }
            other => {
                return Err(format!(
                    "needs more than the current row: the server would run a step {other:?} for it"
                ));
            }
        }
    }
    Err("cannot be inspected: the server's plan reads nothing".to_owned())
}

/// The column of this name, or the one whose subcolumn it names, such as
/// `source.metadata.keys`.
fn position_of(name: &str, over: &Structure) -> Option<usize> {
    let whole = over.iter().position(|(column, _)| column == name);
    whole.or_else(|| {
        let parents = over.iter().enumerate().filter(|(_, (column, _))| {
            name.strip_prefix(column.as_str()).is_some_and(|rest| rest.starts_with('.'))
        });
        parents.max_by_key(|(_, (column, _))| column.len()).map(|(position, _)| position)
    })
}

/// Finds the common type of one pair of key columns.
///
/// # Errors
/// [`JobError::Unfit`] if there is none, or if equal values can differ in their bytes.
pub(super) async fn common_key(
    connection: &Connection,
    lookup: &TableName,
    ours: &Column,
    theirs: &Column,
) -> Result<BoundKey, JobError> {
    let unfit = |why: String| {
        let pair = format!(
            "source.{} ({}) and lookup.{} ({})",
            ours.name, ours.type_name, theirs.name, theirs.type_name
        );
        JobError::Unfit {
            role: "lookup",
            table: lookup.clone(),
            message: format!("{pair} cannot be joined: {why}"),
        }
    };
    let refused = |error: Error| match error {
        Error::Server { message, .. } => unfit(message),
        other => asking("asking the server for the type of the join key")(other),
    };
    let columns = structure([("a", ours.type_name.as_str()), ("b", theirs.type_name.as_str())]);
    // The join itself is analyzed as well: it rejects some pairs that have a common type.
    let join = format!(
        "EXPLAIN SELECT count() FROM (SELECT a FROM null({columns})) AS source LEFT ANY JOIN (SELECT b FROM null({columns})) AS lookup ON source.a = lookup.b"
    );
    connection.fetch("key-type", &join, "TSV", &Settings::common()).await.map_err(refused)?;
    let common = format!("DESCRIBE (SELECT arrayElement(array(a, b), 1) FROM null({columns}))");
    let rows = connection
        .rows_with::<Described>("key-type", &common, &Settings::common())
        .await
        .map_err(refused)?;
    let type_name = rows.into_iter().next().map(|row| row.type_name).unwrap_or_default();
    let parsed = DataType::parse(&type_name).map_err(|error| unfit(error.to_string()))?;
    if parsed.contains_float() {
        return Err(unfit("floating-point keys are not supported, because equal numbers can differ in their bytes".to_owned()));
    }
    if parsed.contains_json() || type_name.contains("Variant(") {
        return Err(unfit(format!("keys of type {type_name} are not supported")));
    }
    let is_bool = |name: &str| name.contains("Bool");
    if is_bool(&ours.type_name) != is_bool(&theirs.type_name) {
        return Err(unfit("Bool can only be joined with Bool".to_owned()));
    }
    // A NULL inside an array or a tuple is an ordinary value; only the key column itself can be a
    // NULL key.
    Ok(BoundKey {
        source: ours.name.clone(),
        lookup: theirs.name.clone(),
        nullable: parsed.is_nullable(),
        type_name,
    })
}

/// The parts of a query that decide its result. Equal texts are equal expressions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueryTree {
    /// The names of its columns.
    pub names: Vec<String>,
    /// The expressions of its columns.
    pub expressions: Vec<String>,
    /// The expressions that it groups by.
    pub keys: Vec<String>,
    /// What it reads.
    pub tables: Vec<String>,
    /// Whether it leaves out rows.
    pub has_filter: bool,
}

/// Lets the server resolve a SELECT.
///
/// # Errors
/// Those of the queries.
pub(crate) async fn query_tree(
    connection: &Connection,
    sql: &str,
    settings: &Settings,
) -> Result<QueryTree, Error> {
    let names = connection
        .rows_with::<Described>("query-tree", &format!("DESCRIBE (\n{sql}\n)"), settings)
        .await?;
    let explain = format!("EXPLAIN QUERY TREE {RESOLVED} {sql}");
    let tree = connection.fetch("query-tree", &explain, "TSVRaw", settings).await?;
    let parsed = parse(&String::from_utf8_lossy(&tree));
    Ok(QueryTree { names: names.into_iter().map(|column| column.name).collect(), ..parsed })
}

/// Reads the output of [EXPLAIN QUERY
/// TREE](https://clickhouse.com/docs/sql-reference/statements/explain#explain-query-tree).
fn parse(tree: &str) -> QueryTree {
    let text = |lines: Vec<&str>| lines.into_iter().map(without_ids).collect::<Vec<_>>().join("\n");
    let section = |title: &str| {
        let lines = tree.lines().skip_while(|line| line.trim_end() != title).skip(1);
        lines.take_while(|line| line.starts_with("    ")).collect::<Vec<_>>()
    };
    let tables = section("  JOIN TREE").into_iter().filter_map(|line| {
        let (_, name) = line.split_once("table_name: ")?;
        Some(name.split(", ").next()?.to_owned())
    });
    let mut keys: Vec<Vec<&str>> = Vec::new();
    for line in section("  GROUP BY").into_iter().skip(1) {
        let line = line.get(6..).unwrap_or_default();
        match keys.last_mut() {
            Some(last) if line.starts_with(' ') => last.push(line),
            _ => keys.push(vec![line]),
        }
    }
    QueryTree {
        names: Vec::new(),
        expressions: projection_of(tree).into_iter().map(text).collect(),
        keys: keys.into_iter().map(text).collect(),
        tables: tables.collect(),
        has_filter: tree.lines().any(|line| line.trim_end() == "  WHERE"),
    }
}

/// A line without the numbers of nodes and the names that a query gives to expressions.
fn without_ids(line: &str) -> String {
    let is_own = |field: &&str| {
        let field = field.trim_start();
        !(field.starts_with("source_id: ") || field.starts_with("alias: "))
    };
    let mut fields: Vec<_> = line.split(", ").filter(is_own).map(str::to_owned).collect();
    if let Some(first) = fields.first_mut()
        && let Some(at) = first.find(" id: ")
    {
        first.truncate(at);
    }
    fields.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_expression_has_its_inputs() {
        let tree = "QUERY id: 0\n  PROJECTION COLUMNS\n    concat(source.a) String\n    5 UInt8\n    source.b String\n  PROJECTION\n    LIST id: 1, nodes: 3\n      \
            FUNCTION id: 2, function_name: concat, function_type: ordinary, result_type: String\n        ARGUMENTS\n          LIST id: 3, nodes: 2\n            \
            COLUMN id: 4, column_name: source.a, result_type: String, source_id: 5\n            \
            COLUMN id: 7, column_name: x, result_type: UInt8, source_id: 13\n      CONSTANT id: 6, constant_value: UInt64_5\n      \
            COLUMN id: 8, column_name: source.b, result_type: String, source_id: 5\n  JOIN TREE\n    TABLE_FUNCTION id: 5\n";
        let over = ["source.a", "source.b"].map(|name| (name.to_owned(), "String".to_owned()));
        assert_eq!(
            inputs_of(tree, 3, &over),
            [BTreeSet::from([0]), BTreeSet::new(), BTreeSet::from([1])]
        );
    }

    #[test]
    fn subcolumns_count_as_their_longest_parent() {
        let over =
            [("source.a".to_owned(), "T".to_owned()), ("source.a.b".to_owned(), "T".to_owned())];
        assert_eq!(position_of("source.a.b", &over), Some(1));
        assert_eq!(position_of("source.a.b.size0", &over), Some(1));
        assert_eq!(position_of("source.a.keys", &over), Some(0));
        assert_eq!(position_of("source.ab", &over), None);
    }

    #[test]
    fn numbers_and_names_make_no_difference() {
        let tree = |id: u32, alias: &str| {
            format!(
                "QUERY id: 0
  PROJECTION COLUMNS
    hour DateTime
  PROJECTION
    LIST id: 1, nodes: 1
      \
                FUNCTION id: {id}, function_name: f, function_type: ordinary, result_type: DateTime{alias}
        ARGUMENTS
          \
                LIST id: 3, nodes: 1
            COLUMN id: {id}, column_name: t, result_type: DateTime, source_id: {id}
  JOIN TREE
    \
                TABLE id: 5, alias: __table1, table_name: d.t
  WHERE
    CONSTANT id: 1
  GROUP BY
    LIST id: 12, nodes: 2
      \
                FUNCTION id: 13, function_name: f
        ARGUMENTS
      COLUMN id: 6, column_name: c, source_id: 5
"
            )
        };
        let parsed = parse(&tree(2, ""));
        assert_eq!(parsed, parse(&tree(9, ", alias: x")));
        assert_eq!(parsed.tables, ["d.t"]);
        assert_eq!(
            parsed.keys,
            [
                "FUNCTION, function_name: f
  ARGUMENTS",
                "COLUMN, column_name: c"
            ]
        );
        assert_eq!((parsed.expressions.len(), parsed.has_filter), (1, true));
    }
}
