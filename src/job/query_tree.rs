//! A query as the server resolves it, in a form in which two queries can be compared.

use serde::Deserialize;

use super::inspect::{RESOLVED, projection_of};
use crate::clickhouse::{Connection, Error, Settings};

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
    #[derive(Deserialize)]
    struct Described {
        name: String,
    }
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
    fn numbers_and_names_make_no_difference() {
        let tree = |id: u32, alias: &str| {
            format!(
                "QUERY id: 0\n  PROJECTION COLUMNS\n    hour DateTime\n  PROJECTION\n    LIST id: 1, nodes: 1\n      \
                FUNCTION id: {id}, function_name: f, function_type: ordinary, result_type: DateTime{alias}\n        ARGUMENTS\n          \
                LIST id: 3, nodes: 1\n            COLUMN id: {id}, column_name: t, result_type: DateTime, source_id: {id}\n  JOIN TREE\n    \
                TABLE id: 5, alias: __table1, table_name: d.t\n  WHERE\n    CONSTANT id: 1\n  GROUP BY\n    LIST id: 12, nodes: 2\n      \
                FUNCTION id: 13, function_name: f\n        ARGUMENTS\n      COLUMN id: 6, column_name: c, source_id: 5\n"
            )
        };
        let parsed = parse(&tree(2, ""));
        assert_eq!(parsed, parse(&tree(9, ", alias: x")));
        assert_eq!(parsed.tables, ["d.t"]);
        assert_eq!(
            parsed.keys,
            ["FUNCTION, function_name: f\n  ARGUMENTS", "COLUMN, column_name: c"]
        );
        assert_eq!((parsed.expressions.len(), parsed.has_filter), (1, true));
    }
}
