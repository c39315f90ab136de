//! Finding the bounds of chunks in the server's own statistics of the primary key.

use serde::Deserialize;

use super::PlanError;
use super::key::{KeyColumn, bounding_prefix};
use super::ranges::Bound;
use crate::clickhouse::{Connection, Error as ServerError, ErrorClass, Settings, TableSchema, quote_identifier, quote_literal};

/// The primary key's leading columns and the bounds that cut a partition into chunks.
#[derive(Debug)]
pub(super) struct Boundaries {
    pub key: Vec<KeyColumn>,
    pub bounds: Vec<Bound>,
}

/// Finds bounds such that there are about `chunk_rows` rows, versions not collapsed, between each two.
///
/// From [mergeTreeIndex](https://clickhouse.com/docs/sql-reference/table-functions/mergeTreeIndex), which reads no rows; without the
/// right to use it there is one chunk, which is right but slower.
pub(super) async fn boundaries(
    connection: &Connection,
    table: &TableSchema,
    partition_id: &str,
    chunk_rows: u64,
) -> Result<Boundaries, PlanError> {
    match from_index(connection, table, partition_id, chunk_rows).await {
        Ok(boundaries) => Ok(boundaries),
        Err(error) if matches!(error, ServerError::Server { .. }) && error.class() == ErrorClass::Fatal => {
            tracing::warn!(%error, "the primary index cannot be read, so the partition is read as one chunk");
            Ok(Boundaries { key: Vec::new(), bounds: Vec::new() })
        }
        Err(source) => Err(PlanError::Server { what: "reading the primary index", table: table.name.clone(), source }),
    }
}

#[derive(Deserialize)]
struct Described {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
}

#[derive(Deserialize)]
struct Row {
    bound: Vec<String>,
}

/// In a predicate, a key column that is a column of the table must be quoted; any other is an expression, as the server writes it.
fn key_column(table: &TableSchema, described: Described) -> KeyColumn {
    let Described { name, type_name } = described;
    let expression = if table.column(&name).is_some() { quote_identifier(&name).to_string() } else { name.clone() };
    KeyColumn { name, expression, type_name }
}

async fn from_index(connection: &Connection, table: &TableSchema, partition_id: &str, chunk_rows: u64) -> Result<Boundaries, ServerError> {
    let (database, name) = (quote_literal(&table.name.database), quote_literal(&table.name.table));
    let index = format!("mergeTreeIndex({database}, {name})");
    let described = connection.rows::<Described>("plan", &format!("DESCRIBE {index}")).await?;
    let columns = described.into_iter().skip_while(|column| column.name != "rows_in_granule").skip(1);
    let key: Vec<_> = columns.map(|column| key_column(table, column)).collect();
    let key = bounding_prefix(key);
    if key.is_empty() {
        return Ok(Boundaries { key, bounds: Vec::new() });
    }
    let names: Vec<_> = key.iter().map(|column| quote_identifier(&column.name).to_string()).collect();
    let list = names.join(", ");
    let text =
        |(position, column): (usize, &KeyColumn)| format!("hex({})", column.text_of(&format!("tupleElement(first, {})", position + 1)));
    let texts: Vec<_> = key.iter().enumerate().map(text).collect();
    // The granules of all parts in the key's order; each chunk begins behind the first granule that reaches its share of the rows.
    let sql = format!(
        "SELECT [{}] AS bound FROM (
            SELECT intDiv(rows_before, {chunk_rows}) AS chunk, min(tuple({list})) AS first FROM (
                SELECT {list}, sum(rows_in_granule) OVER (ORDER BY {list} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - rows_in_granule AS rows_before
                FROM {index}
                WHERE part_name IN (SELECT name FROM system.parts WHERE active AND database = {database} AND table = {name} AND partition_id = {})
                    AND rows_in_granule > 0
            ) GROUP BY chunk HAVING chunk > 0
        ) GROUP BY first ORDER BY first",
        texts.join(", "),
        quote_literal(partition_id)
    );
    let rows = connection.rows_with::<Row>("plan", &sql, &Settings::common()).await?;
    let bounds = rows.into_iter().filter_map(|row| row.bound.iter().map(|text| unhex(text)).collect::<Option<Bound>>()).collect();
    Ok(Boundaries { key, bounds })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    Some(digits?.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_text() {
        assert_eq!(unhex("00FF27"), Some(vec![0, 255, 39]));
        assert_eq!(unhex(""), Some(vec![]));
        assert_eq!(unhex("0g"), None);
    }
}
