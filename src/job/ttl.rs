//! The [TTL](https://clickhouse.com/docs/engines/table-engines/mergetree-family/mergetree#table_engine-mergetree-ttl)
//! of a table: which rows merges remove because of it, and of which columns merges reset the values.

use serde::Deserialize;

use super::lexer::{Token, tokens};
use crate::clickhouse::{Connection, Error, TableSchema, find_outside, quote_literal, split_list};

/// What the TTL of a table does to its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TableTtl {
    /// The elements of the TTL that remove rows.
    removals: Vec<Removal>,
    /// The columns that these read.
    pub(crate) columns: Vec<String>,
    /// Columns with a TTL of their own.
    pub(crate) columns_with_ttl: Vec<String>,
    /// The server's time when the TTL was read, in seconds since 1970.
    pub(crate) now: i64,
}

/// An element of a TTL that removes rows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Removal {
    /// SQL for the time from which a merge removes the row.
    time: String,
    /// SQL that is true for the rows that are removed; all rows without it.
    filter: Option<String>,
}

impl TableTtl {
    /// SQL over the table's columns that is true for rows that a merge may remove by this moment, in
    /// seconds since 1970; none if the TTL removes no rows.
    pub(crate) fn expired_by(&self, moment: i64) -> Option<String> {
        let conditions: Vec<_> =
            self.removals.iter().map(|removal| removal.expired_by(moment)).collect();
        (!conditions.is_empty()).then(|| format!("ifNull({}, 0)", conditions.join(" OR ")))
    }

    /// Whether the time alone decides which rows are removed.
    pub(super) fn is_by_time_alone(&self) -> bool {
        self.removals.iter().all(|removal| removal.filter.is_none())
    }
}

impl Removal {
    fn expired_by(&self, moment: i64) -> String {
        let time = format!("toInt64(toDateTime64({}, 0))", self.time);
        // The server takes a time of 0 for none.
        let passed = format!("{time} != 0 AND {time} <= {moment}");
        match &self.filter {
            Some(filter) => format!("({passed} AND ({filter}))"),
            None => format!("({passed})"),
        }
    }

    /// An element as the server writes it; none if it removes no rows.
    fn parse(element: &str) -> Option<Self> {
        let keeps = [" TO DISK ", " TO VOLUME ", " RECOMPRESS "];
        if keeps.iter().any(|word| find_outside(element, word).is_some()) {
            return None;
        }
        let (time, filter) = match find_outside(element, " WHERE ") {
            Some(at) => (element.get(..at)?, element.get(at + " WHERE ".len()..)),
            None => (element, None),
        };
        let time = time.strip_suffix(" DELETE").unwrap_or(time);
        Some(Self { time: time.to_owned(), filter: filter.map(str::to_owned) })
    }
}

/// Reads the TTL of a table.
///
/// # Errors
/// Those of the query.
pub(crate) async fn table_ttl(
    connection: &Connection,
    table: &TableSchema,
) -> Result<TableTtl, Error> {
    #[derive(Deserialize)]
    struct Definition {
        engine_full: String,
        create_table_query: String,
        now: i64,
    }
    if !table.is_merge_tree() {
        return Ok(TableTtl::default());
    }
    let (database, name) = (quote_literal(&table.name.database), quote_literal(&table.name.table));
    let sql = format!(
        "SELECT engine_full, create_table_query, toInt64(toUnixTimestamp(now())) AS now FROM system.tables WHERE database = {database} AND name = {name}"
    );
    let definition: Definition = connection.row("schema", &sql).await?;
    let removals = removals(&definition.engine_full);
    let names = removals.iter().flat_map(|removal| {
        std::iter::once(&removal.time).chain(&removal.filter).flat_map(|sql| names_in(sql))
    });
    let names: Vec<_> = names.collect();
    let columns = || table.columns.iter().map(|column| column.name.clone());
    Ok(TableTtl {
        columns: columns().filter(|name| names.contains(name)).collect(),
        columns_with_ttl: columns()
            .filter(|name| has_own_ttl(&definition.create_table_query, name))
            .collect(),
        removals,
        now: definition.now,
    })
}

/// The elements that remove rows of the TTL of an engine's definition, as the server writes it.
fn removals(engine: &str) -> Vec<Removal> {
    let clause = find_outside(engine, " TTL ")
        .and_then(|start| engine.get(start + " TTL ".len()..))
        .unwrap_or_default();
    let clause =
        find_outside(clause, " SETTINGS ").and_then(|end| clause.get(..end)).unwrap_or(clause);
    let mut removals = Vec::new();
    for element in split_list(clause) {
        let grouped = find_outside(&element, " GROUP BY ");
        let element = grouped.and_then(|end| element.get(..end)).unwrap_or(&element);
        removals.extend(Removal::parse(element));
        if grouped.is_some() {
            // What follows belongs to the grouping.
            break;
        }
    }
    removals
}

/// The names that an expression of the server contains. A name with dots, as columns of a Nested have
/// it, is given as a whole too.
pub(crate) fn names_in(sql: &str) -> Vec<String> {
    let (mut names, mut joined) = (Vec::new(), String::new());
    for token in tokens(sql).unwrap_or_default() {
        let name = match token {
            Token::Word(word) => word,
            Token::QuotedName(name) => name.trim_matches(['`', '"']),
            Token::Sign('.') => {
                joined.push('.');
                continue;
            }
            Token::Text(_) | Token::Sign(_) => {
                joined.clear();
                continue;
            }
        };
        if joined.ends_with('.') {
            joined.push_str(name);
            names.push(joined.clone());
        } else {
            name.clone_into(&mut joined);
        }
        names.push(name.to_owned());
    }
    names
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
        let of = |engine: &str| {
            TableTtl { removals: removals(engine), ..TableTtl::default() }.expired_by(7)
        };
        assert_eq!(of("ReplacingMergeTree(v) ORDER BY ` TTL ` SETTINGS x = ' TTL '"), None);
        assert_eq!(of("MergeTree ORDER BY a TTL t + toIntervalDay(2) TO DISK 'cold'"), None);
        let passed = |time: &str| {
            format!(
                "toInt64(toDateTime64({time}, 0)) != 0 AND toInt64(toDateTime64({time}, 0)) <= 7"
            )
        };
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
        assert_eq!(names_in("f(n.`a`, b)"), ["f", "n", "n.a", "a", "b"]);
    }
}
