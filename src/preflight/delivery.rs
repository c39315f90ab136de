//! Targets that pass rows on: a Distributed table to the shards of its cluster, a Buffer to another
//! table. An insert is complete only when the rows are where they stay, and rows that are sent twice
//! collapse only on one shard.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::check::{Check, ask, ask_one, ask_one_with};
use crate::clickhouse::{
    Connection, TableName, functions_not_deterministic, quote_identifier, quote_literal, unquoted,
};
use crate::engine::stream::PipelineOptions;
use crate::job::{BoundJob, Token, tokens};
use crate::units::counted;

pub(super) const DELIVERY: &str = "delivery";

/// Waits for the shards instead of leaving the rows [in files of the
/// server](https://clickhouse.com/docs/engines/table-engines/special/distributed#distributed-writing-data).
const FOREGROUND: &str = "distributed_foreground_insert";

/// Checks a target that passes rows on; `None` for one that stores them.
pub(super) async fn check_delivery(
    target: &Connection,
    job: &BoundJob,
    options: &PipelineOptions,
) -> Option<Check> {
    match job.target.engine.as_str() {
        "Buffer" => Some(buffer(&job.target.name)),
        "Distributed" => Some(match distributed(target, job, options).await {
            Ok(check) => check,
            Err(reason) => Check::unknown(DELIVERY, reason),
        }),
        _ => None,
    }
}

fn buffer(name: &TableName) -> Check {
    let words = format!(
        "{name} (Buffer) acknowledges rows that are only in memory: they are lost if the server ends, and the ledger would call them inserted"
    );
    Check::blocked(DELIVERY, words)
        .lifted_by("--target-table names the table that the buffer writes to")
}

async fn distributed(
    target: &Connection,
    job: &BoundJob,
    options: &PipelineOptions,
) -> Result<Check, String> {
    let name = &job.target.name;
    if !is_foreground(target, job, options).await? {
        let words = format!(
            "the job sets {FOREGROUND} = 0: {name} (Distributed) would acknowledge rows before its shards have them"
        );
        let means = format!("remove {FOREGROUND} from [settings.insert] of the job");
        return Ok(Check::blocked(DELIVERY, words).lifted_by(means));
    }
    let shown = definition(target, name).await?;
    let Some(passed_on) = PassedOn::parse(&shown, &name.database) else {
        return Err(format!("the engine of {name} is not understood: {shown}"));
    };
    let shards = shards(target, &passed_on).await?;
    let local = &passed_on.table;
    let found = format!(
        "{name} (Distributed) passes rows to {local} on {} of the cluster {}",
        counted(shards.len() as u64, "shard"),
        passed_on.cluster
    );
    if let Some(shard) = shards.iter().find(|shard| !shard.engine.ends_with("ReplacingMergeTree")) {
        let words = format!(
            "{found}, where its engine is {}: rows of an insert that fails on one shard are sent again to all, and stay twice",
            shard.engine
        );
        return Ok(per_shard(words, local));
    }
    if shards.len() < 2 {
        return Ok(Check::ok(DELIVERY, format!("{found}; an insert waits for it")));
    }
    if let Some(why) = passed_on.scatters(target).await? {
        let words = format!(
            "{found}, but {why}: two versions of a row may go to different shards, where they do not collapse"
        );
        return Ok(per_shard(words, local));
    }
    let key = passed_on.key_text;
    Ok(Check::ok(DELIVERY, format!("{found} by {key}; an insert waits for all of them")))
}

fn per_shard(words: String, local: &TableName) -> Check {
    Check::blocked(DELIVERY, words)
        .lifted_by(format!(
            "run once for each shard with --target-table {local} and the shard's own ledger"
        ))
        .lifted_by("a Distributed table over ReplacingMergeTree tables whose sharding key is a function of their sorting key, such as cityHash64(id)")
}

async fn is_foreground(
    target: &Connection,
    job: &BoundJob,
    options: &PipelineOptions,
) -> Result<bool, String> {
    #[derive(Deserialize)]
    struct Waits {
        waits: u64,
    }
    let sql = format!("SELECT toUInt64(getSetting('{FOREGROUND}')) AS waits");
    let settings = options.insert_settings(job);
    let asked = ask_one_with::<Waits>(target, "the user's settings", &sql, &settings).await?;
    Ok(asked.waits > 0)
}

async fn definition(target: &Connection, name: &TableName) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Engine {
        engine_full: String,
    }
    let sql = format!(
        "SELECT engine_full FROM system.tables WHERE database = {} AND name = {}",
        quote_literal(&name.database),
        quote_literal(&name.table)
    );
    ask_one::<Engine>(target, "system.tables", &sql).await.map(|engine| engine.engine_full)
}

/// The table of one shard.
#[derive(Deserialize)]
struct Shard {
    engine: String,
}

async fn shards(target: &Connection, passed_on: &PassedOn) -> Result<Vec<Shard>, String> {
    let PassedOn { cluster, table, .. } = passed_on;
    let sql = format!(
        "SELECT engine FROM cluster({}, system.tables) WHERE database = {} AND name = {}",
        quote_literal(cluster),
        quote_literal(&table.database),
        quote_literal(&table.table)
    );
    let shards =
        ask::<Shard>(target, &format!("the shards of the cluster {cluster}"), &sql).await?;
    if shards.is_empty() {
        return Err(format!("no shard of the cluster {cluster} shows {table}"));
    }
    Ok(shards)
}

/// What the engine of a Distributed table says.
#[derive(Debug, PartialEq, Eq)]
struct PassedOn {
    cluster: String,
    table: TableName,
    /// The sharding key's functions and columns; empty where there is none.
    functions: Vec<String>,
    columns: BTreeSet<String>,
    key_text: String,
}

impl PassedOn {
    /// Reads `Distributed('cluster', 'database', 'table', key, 'policy')`.
    fn parse(engine: &str, database: &str) -> Option<Self> {
        let inner = engine.strip_prefix("Distributed(")?;
        let all = tokens(inner).ok()?;
        let (mut arguments, mut depth) = (vec![Vec::new()], 0_u32);
        for token in all {
            match token {
                Token::Sign(')' | ']') if depth == 0 => break,
                Token::Sign(',') if depth == 0 => {
                    arguments.push(Vec::new());
                    continue;
                }
                Token::Sign('(' | '[') => depth += 1,
                Token::Sign(')' | ']') => depth -= 1,
                _ => {}
            }
            arguments.last_mut()?.push(token);
        }
        let mut arguments = arguments.into_iter();
        let mut name = || match arguments.next()?.first()? {
            Token::Text(text) | Token::QuotedName(text) => Some(unquoted(text)),
            Token::Word(word) => Some((*word).to_owned()),
            Token::Sign(_) => None,
        };
        let (cluster, of, table) = (name()?, name()?, name()?);
        let of = if of.is_empty() { database.to_owned() } else { of };
        let key = arguments.next().unwrap_or_default();
        let (mut functions, mut columns) = (Vec::new(), BTreeSet::new());
        for (position, token) in key.iter().enumerate() {
            match token {
                Token::Word(word) if key.get(position + 1) == Some(&Token::Sign('(')) => {
                    functions.push((*word).to_owned());
                }
                Token::Word(word) if !word.starts_with(|first: char| first.is_ascii_digit()) => {
                    columns.insert((*word).to_owned());
                }
                Token::QuotedName(name) => {
                    columns.insert(unquoted(name));
                }
                _ => {}
            }
        }
        let key_text = key.iter().map(text_of).collect();
        let table = TableName { database: of, table };
        Some(Self { cluster, table, functions, columns, key_text })
    }

    /// Why rows of one sorting key may go to different shards.
    async fn scatters(&self, target: &Connection) -> Result<Option<String>, String> {
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        let Self { cluster, table, functions, columns, key_text } = self;
        if key_text.is_empty() {
            return Ok(Some("it has no sharding key".to_owned()));
        }
        let changing = functions_not_deterministic(target, functions)
            .await
            .map_err(|error| format!("system.functions cannot be read: {error}"))?;
        if let Some(function) = changing.first() {
            return Ok(Some(format!(
                "its sharding key {key_text} uses {function}, which gives another value every time"
            )));
        }
        let sql = format!(
            "SELECT DISTINCT name FROM cluster({}, system.columns) WHERE is_in_sorting_key AND database = {} AND table = {}",
            quote_literal(cluster),
            quote_literal(&table.database),
            quote_literal(&table.table)
        );
        let sorting = ask::<Named>(target, "system.columns of the shards", &sql).await?;
        let outside =
            columns.iter().find(|column| sorting.iter().all(|named| named.name != **column));
        Ok(outside.map(|column| {
            format!(
                "its sharding key {key_text} reads {}, which is not in the sorting key of {table}",
                quote_identifier(column)
            )
        }))
    }
}

fn text_of(token: &Token<'_>) -> String {
    match token {
        Token::Word(text) | Token::QuotedName(text) | Token::Text(text) => (*text).to_owned(),
        Token::Sign(',') => ", ".to_owned(),
        Token::Sign(sign) => sign.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(engine: &str) -> Option<(String, String, Vec<String>, Vec<String>)> {
        let found = PassedOn::parse(engine, "here")?;
        let columns = found.columns.into_iter().collect();
        Some((found.cluster, found.table.to_string(), found.functions, columns))
    }

    #[test]
    fn engines_of_distributed_tables() {
        let words =
            |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        for (engine, cluster, table, functions, columns) in [
            ("Distributed('two', 'shop', 'orders')", "two", "shop.orders", &[][..], &[][..]),
            ("Distributed('two', '', 'orders', rand())", "two", "here.orders", &["rand"], &[]),
            (
                r"Distributed('o\'clock', 'a', 'b', cityHash64(id, `the day`) % 7, 'policy') SETTINGS fsync_after_insert = 1",
                "o'clock",
                "a.b",
                &["cityHash64"],
                &["id", "the day"],
            ),
            ("Distributed('two', 'a', 'b', customer)", "two", "a.b", &[], &["customer"]),
        ] {
            let expected = (cluster.to_owned(), table.to_owned(), words(functions), words(columns));
            assert_eq!(parsed(engine), Some(expected), "{engine}");
        }
        assert_eq!(parsed("Merge('a', 'b')"), None);
    }
}
