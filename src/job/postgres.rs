//! Rows of PostgreSQL as a source: a query that the server sends to it by the table function
//! [`postgresql`](https://clickhouse.com/docs/sql-reference/table-functions/postgresql).
//!
//! The server does not push conditions into a query of the table function, so the range of a chunk is
//! part of the query itself. Each statement is a transaction of its own in PostgreSQL.

use serde::{Deserialize, Serialize};

use super::error::JobError;
use super::keys::{PostgresKeys, Source};
use super::objects::PERIOD;
use crate::clickhouse::{
    Column, Connection, Described, Error as ServerError, Settings, TableSchema, quote_identifier,
    quote_literal,
};

/// Types that the table function reads as other values, or cannot read, and what PostgreSQL should send
/// instead: how the type begins or ends, the reason, and the expression, in which `@` is the column.
const UNFIT: [(&str, &str, &str); 3] = [
    (
        "timestamp with time zone",
        "it would be shifted by the time zone of the session",
        "@ AT TIME ZONE 'UTC' AS @",
    ),
    ("time with time zone", "it would lose its time zone", "@::text AS @"),
    ("[]", "an array whose first value is empty fails", "to_json(@)::text AS @"),
];
/// What the table function makes of a numeric without precision.
const UNBOUNDED: &str = "Decimal(38, 19)";

/// The query of a job file.
#[derive(Clone, Debug)]
pub(crate) struct PostgresSource {
    /// How people call the source.
    pub name: String,
    keys: PostgresKeys,
}

/// The rows of one period.
#[derive(Clone, Debug)]
pub struct BoundPostgres {
    collection: String,
    /// The query of the period.
    query: String,
    /// The column whose ranges are chunks.
    range: String,
    /// Whether the query has the period, so that other periods have rows of their own.
    pub(crate) is_of_period: bool,
}

/// The rows of a query.
#[derive(Debug, Deserialize)]
pub(crate) struct RowCount {
    pub rows: u64,
    /// Those without a value in the column of the ranges.
    nulls: u64,
}

/// The bounds between the chunks of a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostgresRanges {
    /// The column of the query.
    pub(crate) column: String,
    /// Its values in ascending order, as the text that PostgreSQL writes. A chunk lies between two of them, the first
    /// excluded, the second included.
    bounds: Vec<String>,
    /// Whether rows without a value are one more chunk.
    has_nulls: bool,
}

impl PostgresSource {
    /// The query of a source; `None` for another source.
    ///
    /// # Errors
    /// What is wrong with its keys.
    pub(super) fn of(source: &Source) -> Result<Option<Self>, String> {
        let Some(keys) = &source.postgres else { return Ok(None) };
        for (key, value) in
            [("collection", &keys.collection), ("query", &keys.query), ("range", &keys.range)]
        {
            if value.trim().is_empty() {
                return Err(format!("{key} of [source.postgres] is empty"));
            }
        }
        if keys.query.trim_end().ends_with(';') {
            let message = "the query of [source.postgres] ends with a semicolon, and is a part of other statements";
            return Err(message.to_owned());
        }
        Ok(Some(Self { name: format!("postgresql({})", keys.collection), keys: keys.clone() }))
    }

    fn bound(&self, period: &str) -> BoundPostgres {
        BoundPostgres {
            collection: self.keys.collection.clone(),
            query: self.keys.query.replace(PERIOD, period),
            range: self.keys.range.clone(),
            is_of_period: self.keys.query.contains(PERIOD),
        }
    }

    /// Binds the query of a period, and finds its columns.
    ///
    /// # Errors
    /// PostgreSQL refuses the query, a column would arrive as another value, or the server cannot be asked.
    pub(super) async fn bind(
        &self,
        connection: &Connection,
        period: &str,
    ) -> Result<(TableSchema, BoundPostgres), JobError> {
        let bound = self.bound(period);
        let unreadable = |what: &str| {
            let (name, what) = (self.name.clone(), what.to_owned());
            move |source| JobError::UnreadablePostgres { name, what, source }
        };
        let sql = format!("DESCRIBE TABLE {}", bound.function(None));
        let settings = Settings::read();
        let described = connection.rows_with::<Described>("postgres", &sql, &settings).await;
        let described = described.map_err(unreadable("finding the columns of its query"))?;
        let names: Vec<_> = described.iter().map(|column| column.name.as_str()).collect();
        let types = bound.types(connection, &names).await;
        let types = types.map_err(unreadable("asking for the types of its query"))?;
        let unfit = described.iter().zip(&types).filter_map(|(column, of)| unfit(column, of));
        let mut unfit: Vec<_> = unfit.collect();
        if !names.contains(&bound.range.as_str()) {
            unfit.push(format!("range names {}, which is no column of the query", bound.range));
        }
        if !unfit.is_empty() {
            let (name, message) = (self.name.clone(), unfit.join("; "));
            return Err(JobError::Postgres { name, message });
        }
        let columns = described.into_iter().map(Column::from).collect();
        Ok((TableSchema::outside(&self.name, "postgresql".to_owned(), columns), bound))
    }
}

/// Why a column cannot be read as it is, and how it can.
fn unfit(column: &Described, type_of_postgres: &str) -> Option<String> {
    let quoted = quoted(&column.name);
    let unbounded = type_of_postgres == "numeric" && column.type_name.contains(UNBOUNDED);
    let found = UNFIT
        .iter()
        .find(|(of, ..)| type_of_postgres == *of || (*of == "[]" && type_of_postgres.ends_with(of)))
        .map(|(_, reason, cast)| (*reason, *cast));
    let of_unbounded = (
        "without a precision it fails on NaN and on large values",
        "@::text AS @ or @::numeric(38, 10) AS @",
    );
    let (reason, cast) = found.or_else(|| unbounded.then_some(of_unbounded))?;
    Some(format!(
        "{} is {type_of_postgres}, and {reason}: select {}",
        column.name,
        cast.replace('@', &quoted)
    ))
}

/// An identifier of PostgreSQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A literal of PostgreSQL, which takes the type of what it is compared with.
fn literal(text: &str) -> String {
    let escape = if text.contains('\\') { " E" } else { "" };
    format!("{escape}'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

impl BoundPostgres {
    /// The table function that reads the rows of a range; all rows without it.
    pub(crate) fn function(&self, range: Option<&str>) -> String {
        let rows = match range {
            None => self.query.clone(),
            Some(range) => format!("SELECT * FROM (\n{}\n) AS rows WHERE {range}", self.query),
        };
        self.asks(&rows)
    }

    /// The query, for the definition of a load.
    pub(crate) fn query(&self) -> &str {
        &self.query
    }

    /// The table function that sends this query.
    fn asks(&self, query: &str) -> String {
        let (collection, query) = (quote_identifier(&self.collection), quote_literal(query));
        format!("postgresql({collection}, query = {query})")
    }

    /// The types of columns, as PostgreSQL names them.
    async fn types(
        &self,
        connection: &Connection,
        names: &[&str],
    ) -> Result<Vec<String>, ServerError> {
        #[derive(Deserialize)]
        struct Types {
            types: Vec<String>,
        }
        let of = |(number, name): (usize, &&str)| {
            format!("pg_typeof(rows.{})::text AS type_{number}", quoted(name))
        };
        let asked: Vec<_> = names.iter().enumerate().map(of).collect();
        // A row also where the query has none.
        let query = format!(
            "SELECT {} FROM (SELECT 1) AS one LEFT JOIN (\n{}\n) AS rows ON true LIMIT 1",
            asked.join(", "),
            self.query
        );
        let types: Vec<_> =
            (0..names.len()).map(|number| format!("ifNull(type_{number}, '')")).collect();
        let sql = format!("SELECT [{}] AS types FROM {}", types.join(", "), self.asks(&query));
        let found = connection.row_with::<Types>("postgres", &sql, &Settings::read()).await?;
        Ok(found.types)
    }

    /// Counts the rows, and those without a value in the column of the ranges.
    ///
    /// # Errors
    /// The server cannot be asked, or PostgreSQL refuses the query.
    pub(crate) async fn count(&self, connection: &Connection) -> Result<RowCount, ServerError> {
        let column = quoted(&self.range);
        let query = format!(
            "SELECT count(*) AS rows, count(*) FILTER (WHERE {column} IS NULL) AS nulls FROM (\n{}\n) AS rows",
            self.query
        );
        let sql = format!(
            "SELECT toUInt64(ifNull(rows, 0)) AS rows, toUInt64(ifNull(nulls, 0)) AS nulls FROM {}",
            self.asks(&query)
        );
        connection.row_with("postgres", &sql, &Settings::read()).await
    }

    /// Divides the rows that were counted into ranges of about this many.
    ///
    /// # Errors
    /// The server cannot be asked, or PostgreSQL refuses the query.
    pub(crate) async fn ranges(
        &self,
        connection: &Connection,
        count: &RowCount,
        chunk_rows: u64,
    ) -> Result<PostgresRanges, ServerError> {
        #[derive(Deserialize)]
        struct Bound {
            bound: String,
        }
        let column = quoted(&self.range);
        let query = format!(
            "SELECT {column}::text AS bound, min(number) AS place FROM (\
             SELECT {column}, row_number() OVER (ORDER BY {column}) AS number FROM (\n{}\n) AS rows\
             ) AS numbered WHERE {column} IS NOT NULL AND number % {chunk_rows} = 0 GROUP BY {column}",
            self.query
        );
        let sql =
            format!("SELECT ifNull(bound, '') AS bound FROM {} ORDER BY place", self.asks(&query));
        let bounds: Vec<Bound> = connection.rows_with("postgres", &sql, &Settings::read()).await?;
        let bounds = bounds.into_iter().map(|found| found.bound).collect();
        Ok(PostgresRanges { column: self.range.clone(), bounds, has_nulls: count.nulls > 0 })
    }

    /// The column whose ranges are chunks.
    pub(crate) fn range(&self) -> &str {
        &self.range
    }
}

impl PostgresRanges {
    /// The ranges as conditions in the SQL of PostgreSQL: the first has all that is less, the last of values all
    /// that is greater.
    pub(crate) fn conditions(&self) -> Vec<String> {
        let column = quoted(&self.column);
        let bounds: Vec<_> = self.bounds.iter().map(|bound| literal(bound)).collect();
        let of_first = bounds.first().map(|first| format!("{column} <= {first}"));
        let between = bounds.windows(2).filter_map(|pair| match pair {
            [from, to] => Some(format!("{column} > {from} AND {column} <= {to}")),
            _ => None,
        });
        let last = bounds
            .last()
            .map_or_else(|| format!("{column} IS NOT NULL"), |last| format!("{column} > {last}"));
        let nulls = self.has_nulls.then(|| format!("{column} IS NULL"));
        of_first.into_iter().chain(between).chain([last]).chain(nulls).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_leave_no_row_out() {
        let ranges = |bounds: &[&str], has_nulls| PostgresRanges {
            column: "id".to_owned(),
            bounds: bounds.iter().map(|&bound| bound.to_owned()).collect(),
            has_nulls,
        };
        let expected = [r#""id" <= '10'"#, r#""id" > '10' AND "id" <= '2''0'"#, r#""id" > '2''0'"#];
        assert_eq!(ranges(&["10", "2'0"], false).conditions(), expected);
        let expected = [r#""id" IS NOT NULL"#, r#""id" IS NULL"#];
        assert_eq!(ranges(&[], true).conditions(), expected);
        assert_eq!(ranges(&[], false).conditions(), expected[..1]);
    }

    #[test]
    fn values_and_names_are_quoted_for_postgres() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\b"), r" E'a\\b'");
        assert_eq!(quoted(r#"a"b"#), r#""a""b""#);
    }

    #[test]
    fn types_that_would_change_name_the_cast() {
        let column =
            |type_name: &str| Described { name: "c".to_owned(), type_name: type_name.to_owned() };
        for (of, type_name, expected) in [
            (
                "timestamp with time zone",
                "Nullable(DateTime64(6))",
                Some(r#""c" AT TIME ZONE 'UTC' AS "c""#),
            ),
            ("numeric", "Nullable(Decimal(38, 19))", Some(r#""c"::text AS "c""#)),
            ("integer[]", "Array(Nullable(Int32))", Some(r#"to_json("c")::text AS "c""#)),
            ("numeric", "Nullable(Decimal(10, 2))", None),
            ("timestamp without time zone", "Nullable(DateTime64(6))", None),
            ("text", "Nullable(String)", None),
        ] {
            let found = unfit(&column(type_name), of);
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()), "{of}");
        }
    }
}
