//! The type to which a join casts both sides of its key.
//!
//! The server is asked for it, since its rules are many: `Int32` and `UInt32` meet in `Int64`,
//! `String` and `LowCardinality(Nullable(String))` in `Nullable(String)`, `String` and `UUID`
//! nowhere.

use serde::Deserialize;

use super::JobError;
use super::bound::BoundKey;
use super::error::asking;
use crate::clickhouse::{Column, Connection, Error as ServerError, Settings, TableName, structure};
use crate::formats::rowbinary::DataType;

#[derive(Deserialize)]
struct Described {
    #[serde(rename = "type")]
    type_name: String,
}

/// Finds the common type of one pair of key columns.
///
/// # Errors
/// [`JobError::Unfit`] where there is none, or where the join's equality is not the equality of
/// bytes.
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
    let refused = |error: ServerError| match error {
        ServerError::Server { message, .. } => unfit(message),
        other => asking("asking the server for the type of the join key")(other),
    };
    let columns = structure([("a", ours.type_name.as_str()), ("b", theirs.type_name.as_str())]);
    // The join itself is analyzed as well: it refuses some pairs for which a common type exists.
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
        return Err(unfit("keys of floating point are not supported, since equal numbers can differ in their bytes".to_owned()));
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
