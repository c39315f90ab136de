//! The [TTL](https://clickhouse.com/docs/engines/table-engines/mergetree-family/mergetree#table_engine-mergetree-ttl)
//! of a table: which rows merges remove because of it, and of which columns merges reset the values.

use serde::Deserialize;

use super::lexer::{Token, tokens};
use crate::clickhouse::{Connection, Error, TableSchema, find_outside, quote_literal, split_list};

/// What the TTL of a table does to its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TableTtl {
    /// SQL over the table's columns that is true for rows that a merge may remove; none if there is
    /// no TTL that removes rows.
    pub(crate) expired: Option<String>,
    /// The columns that this condition reads.
    pub(crate) columns: Vec<String>,
    /// Columns with a TTL of their own.
    pub(crate) columns_with_ttl: Vec<String>,
}

/// Reads the TTL of a table.
///
/// # Errors
/// Those of the query.
pub(crate) async fn table_ttl(connection: &Connection, table: &TableSchema) -> Result<TableTtl, Error> {
    #[derive(Deserialize)]
    struct Definition {
        engine_full: String,
        create_table_query: String,
    }
    if !table.is_merge_tree() {
        return Ok(TableTtl::default());
    }
    let (database, name) = (quote_literal(&table.name.database), quote_literal(&table.name.table));
    let sql = format!(
        "SELECT engine_full, create_table_query FROM system.tables WHERE database = {database} AND name = {name}"
    );
    let definition: Definition = connection.row("schema", &sql).await?;
    let expired = expired(&definition.engine_full);
    let names = expired.as_deref().map(names_in).unwrap_or_default();
    let columns = table.columns.iter().map(|column| column.name.clone());
    Ok(TableTtl {
        columns: columns.filter(|name| names.contains(name)).collect(),
        columns_with_ttl: table
            .columns
            .iter()
            .map(|column| column.name.clone())
            .filter(|name| has_own_ttl(&definition.create_table_query, name))
            .collect(),
        expired,
    })
}

/// The condition of the TTL of an engine's definition, as the server writes it.
fn expired(engine: &str) -> Option<String> {
    let start = find_outside(engine, " TTL ")?;
    let clause = engine.get(start + " TTL ".len()..)?;
    let clause =
        find_outside(clause, " SETTINGS ").and_then(|end| clause.get(..end)).unwrap_or(clause);
    let mut conditions = Vec::new();
    for element in split_list(clause) {
        let grouped = find_outside(&element, " GROUP BY ");
        let keeps = [" TO DISK ", " TO VOLUME ", " RECOMPRESS "];
        if keeps.iter().any(|word| find_outside(&element, word).is_some()) {
            continue;
        }
        let element = grouped.and_then(|end| element.get(..end)).unwrap_or(&element);
        let (time, filter) = match find_outside(element, " WHERE ") {
            Some(at) => (element.get(..at)?, element.get(at + " WHERE ".len()..)),
            None => (element, None),
        };
        let time = time.strip_suffix(" DELETE").unwrap_or(time);
        // A time of 0 stands for none.
        let passed = format!("toUnixTimestamp({time}) BETWEEN 1 AND toUnixTimestamp(now())");
        conditions.push(match filter {
            Some(filter) => format!("({passed} AND ({filter}))"),
            None => format!("({passed})"),
        });
        if grouped.is_some() {
            // What follows belongs to the grouping.
            break;
        }
    }
    (!conditions.is_empty()).then(|| format!("ifNull({}, 0)", conditions.join(" OR ")))
}

/// The names that an expression of the server contains.
fn names_in(sql: &str) -> Vec<String> {
    let names = tokens(sql).unwrap_or_default().into_iter().filter_map(|token| match token {
        Token::Word(word) => Some(word.to_owned()),
        Token::QuotedName(name) => Some(name.trim_matches(['`', '"']).to_owned()),
        Token::Text(_) | Token::Sign(_) => None,
    });
    names.collect()
}

/// Whether the statement that creates a table gives this column a TTL.
fn has_own_ttl(statement: &str, column: &str) -> bool {
    let Some(open) = find_outside(statement, " (") else { return false };
    let Some(list) = statement.get(open + 2..) else { return false };
    let end = find_outside(list, ")").unwrap_or(list.len());
    let declarations = split_list(list.get(..end).unwrap_or_default());
    let name = crate::clickhouse::quote_identifier(column).to_string();
    declarations.iter().any(|declaration| {
        declaration.strip_prefix(&name).is_some_and(|rest| find_outside(rest, " TTL ").is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_covers_what_removes_rows() {
        let of = |engine: &str| expired(engine);
        assert_eq!(of("ReplacingMergeTree(v) ORDER BY ` TTL ` SETTINGS x = ' TTL '"), None);
        assert_eq!(of("MergeTree ORDER BY a TTL t + toIntervalDay(2) TO DISK 'cold'"), None);
        let passed =
            |time: &str| format!("toUnixTimestamp({time}) BETWEEN 1 AND toUnixTimestamp(now())");
        assert_eq!(
            of(
                "MergeTree ORDER BY a TTL t + toIntervalDay(30), t + f(if(u, 5, 7)) WHERE a IN (1, 2), t RECOMPRESS CODEC(ZSTD(3)) SETTINGS index_granularity = 8192"
            ),
            Some(format!(
                "ifNull(({}) OR ({} AND (a IN (1, 2))), 0)",
                passed("t + toIntervalDay(30)"),
                passed("t + f(if(u, 5, 7))")
            ))
        );
        assert_eq!(
            of("MergeTree ORDER BY (a, b) TTL t GROUP BY a, b SET v = sum(v), t = max(t)"),
            Some(format!("ifNull(({}), 0)", passed("t")))
        );
    }

    #[test]
    fn columns_with_a_ttl_are_found() {
        let statement = "CREATE TABLE d.t (`a` Int32 DEFAULT f(' TTL '), `s` String CODEC(ZSTD(1)) TTL t + toIntervalDay(1), `t` DateTime) ENGINE = MergeTree ORDER BY a TTL t";
        let found: Vec<_> =
            ["a", "s", "t"].into_iter().filter(|name| has_own_ttl(statement, name)).collect();
        assert_eq!(found, ["s"]);
        assert_eq!(names_in("toDate(`x`) + '30 t' + t"), ["toDate", "x", "t"]);
    }
}
