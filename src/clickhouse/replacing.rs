//! By which columns a ReplacingMergeTree collapses.

use serde::Deserialize;

use super::{Connection, Error, TableName, quote_literal};

/// The version column and the deleted flag of a
/// [ReplacingMergeTree](https://clickhouse.com/docs/engines/table-engines/mergetree-family/replacingmergetree),
/// where it has both.
///
/// # Errors
/// Those of the query.
pub async fn replacing_columns(
    connection: &Connection,
    name: &TableName,
) -> Result<Option<(String, String)>, Error> {
    #[derive(Deserialize)]
    struct Engine {
        engine_full: String,
    }
    let (database, table) = (quote_literal(&name.database), quote_literal(&name.table));
    let sql = format!(
        "SELECT engine_full FROM system.tables WHERE database = {database} AND name = {table}"
    );
    let engine: Engine = connection.row("schema", &sql).await?;
    Ok(version_and_deleted(&engine.engine_full))
}

/// The last two of the engine's arguments, where both are plain names. A replicated one has texts
/// before them, which may hold anything.
fn version_and_deleted(engine: &str) -> Option<(String, String)> {
    let (_, rest) = engine.split_once("ReplacingMergeTree(")?;
    let mut arguments = vec![String::new()];
    let mut quoted = false;
    for character in rest.chars() {
        match character {
            '\'' => quoted = !quoted,
            ')' if !quoted => break,
            ',' if !quoted => arguments.push(String::new()),
            _ if quoted => {}
            ' ' => {}
            other => arguments.last_mut()?.push(other),
        }
    }
    arguments.retain(|argument| !argument.is_empty());
    let plain = |name: &String| {
        name.chars().all(|character| character.is_alphanumeric() || character == '_')
    };
    match arguments.as_slice() {
        [version, deleted] if plain(version) && plain(deleted) => {
            Some((version.clone(), deleted.clone()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_name_their_version_and_their_deleted_flag() {
        let both = Some(("event_ts".to_owned(), "is_deleted".to_owned()));
        assert_eq!(
            version_and_deleted(
                "ReplacingMergeTree(event_ts, is_deleted) PARTITION BY toYYYYMM(t) ORDER BY (a, b)"
            ),
            both
        );
        assert_eq!(
            version_and_deleted(
                "ReplicatedReplacingMergeTree('/a, (b)/{shard}', '{replica}', event_ts, is_deleted) ORDER BY a"
            ),
            both
        );
        for engine in [
            "ReplacingMergeTree(v) ORDER BY (a, b)",
            "ReplacingMergeTree ORDER BY (a, b)",
            "MergeTree ORDER BY a",
            "ReplacingMergeTree(`v x`, d)",
        ] {
            assert_eq!(version_and_deleted(engine), None, "{engine}");
        }
    }
}
