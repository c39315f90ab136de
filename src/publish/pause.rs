//! Pausing inserts into a target for a moment, and waiting for those under way.
//!
//! Every insert into the target passes two empty tables, by views: the gate, then the drain. An insert
//! locks the tables that it writes into before it writes anything, and holds the locks until its end.
//!
//! ```text
//! insert into the target ─► gate ─► drain
//! ```
//!
//! A query that reads the gate slowly, and a `TRUNCATE` of the gate that waits for it, keep new inserts
//! waiting: the gate is closed. A `TRUNCATE` of the drain then succeeds when the inserts that had passed
//! the gate have ended. The server opens the gate by itself when the slow query ends, whatever becomes of
//! this process.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::PublishError;
use crate::clickhouse::{Connection, Error as ServerError, Settings, TableName, quote_literal};

/// The longest pause, in seconds. The server ends it by itself.
pub(crate) const LONGEST_PAUSE: u64 = 10;
/// How long inserts under way may take to end, in seconds, before the gate is opened again.
pub(crate) const DRAIN_SECONDS: u64 = 3;
/// How long inserts that began before the gate was there may take.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the server may take to begin or end a query of the pause.
const BRIEF: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);
/// The code of a lock that was not acquired in time.
const LOCK_TIMEOUT: u32 = 473;
/// The labels of the queries.
const HOLD: &str = "pause-hold";
const CLOSE: &str = "pause-close";

/// A closed gate.
pub(super) struct Pause<'a> {
    connection: &'a Connection,
    drain: &'a TableName,
    began: Instant,
    holding: JoinHandle<Result<(), ServerError>>,
    closing: JoinHandle<Result<(), ServerError>>,
}

/// Closes the gate and waits for the inserts that had passed it. `None` if these did not end in time, or
/// the gate did not close; then it is open again.
pub(super) async fn pause<'a>(
    connection: &'a Connection,
    gate: &TableName,
    drain: &'a TableName,
) -> Result<Option<Pause<'a>>, PublishError> {
    let began = Instant::now();
    let steps = LONGEST_PAUSE * 50;
    let hold = format!(
        "SELECT sleepEachRow(0.02) AS x FROM numbers({steps}) UNION ALL SELECT x FROM {}",
        gate.quoted()
    );
    let settings = Settings::read().with("max_block_size", "1").with("max_execution_time", "0");
    let holding = spawned(connection, HOLD, hold, settings);
    let is_held = is_seen(connection, HOLD, " AND read_rows > 0").await;
    let close = format!("TRUNCATE TABLE {}", gate.quoted());
    let settings = locking(LONGEST_PAUSE).with("max_execution_time", "0");
    let closing = spawned(connection, CLOSE, close, settings);
    let pause = Pause { connection, drain, began, holding, closing };
    let closed =
        async { Ok(is_held? && is_closed(connection, gate).await? && pause.drained().await?) };
    match closed.await {
        Ok(true) => Ok(Some(pause)),
        Ok(false) => {
            pause.open().await;
            Ok(None)
        }
        Err(error) => {
            pause.open().await;
            Err(PublishError::of("pausing inserts by", gate)(error))
        }
    }
}

impl Pause<'_> {
    /// Whether the gate has been closed until now.
    pub(super) async fn is_closed(&self) -> Result<bool, PublishError> {
        let pending = is_running(self.connection, CLOSE, "").await;
        pending.map_err(PublishError::of("asking for the pause of", self.drain))
    }

    /// Whether no insert that passed the gate is under way.
    pub(super) async fn is_drained(&self) -> Result<bool, PublishError> {
        self.drained().await.map_err(PublishError::of("locking", self.drain))
    }

    async fn drained(&self) -> Result<bool, ServerError> {
        let sql = format!("TRUNCATE TABLE {}", self.drain.quoted());
        match self.connection.execute("pause-drain", &sql, &locking(DRAIN_SECONDS)).await {
            Ok(()) => Ok(true),
            Err(error) if error.code() == Some(LOCK_TIMEOUT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens the gate. Returns how long it was closed at most.
    pub(super) async fn open(self) -> Duration {
        // Without an answer the server opens it after LONGEST_PAUSE.
        let opened = self.connection.end_queries(HOLD);
        if !matches!(timeout(BRIEF, opened).await, Ok(Ok(()))) {
            tracing::warn!(
                seconds = LONGEST_PAUSE,
                "the pause of inserts was not ended; the server ends it"
            );
        }
        let paused = self.began.elapsed();
        for query in [self.holding, self.closing] {
            // One that was killed fails.
            let _ = timeout(BRIEF, query).await;
        }
        paused
    }
}

fn spawned(
    connection: &Connection,
    label: &'static str,
    sql: String,
    settings: Settings,
) -> JoinHandle<Result<(), ServerError>> {
    let connection = connection.clone();
    tokio::spawn(async move { connection.execute(label, &sql, &settings).await })
}

fn locking(seconds: u64) -> Settings {
    Settings::common().with("lock_acquire_timeout", &seconds.to_string())
}

/// Whether a reader of the gate has to wait.
async fn is_closed(connection: &Connection, gate: &TableName) -> Result<bool, ServerError> {
    let sql = format!("SELECT x FROM {}", gate.quoted());
    let settings = Settings::read().with("lock_acquire_timeout", "0.1");
    let began = Instant::now();
    while began.elapsed() < BRIEF {
        match connection.execute("pause-probe", &sql, &settings).await {
            Ok(()) => sleep(POLL).await,
            Err(error) if error.code() == Some(LOCK_TIMEOUT) => return Ok(true),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Waits until a query of this label runs.
async fn is_seen(connection: &Connection, label: &str, state: &str) -> Result<bool, ServerError> {
    let began = Instant::now();
    while began.elapsed() < BRIEF {
        if is_running(connection, label, state).await? {
            return Ok(true);
        }
        sleep(POLL).await;
    }
    Ok(false)
}

async fn is_running(
    connection: &Connection,
    label: &str,
    state: &str,
) -> Result<bool, ServerError> {
    #[derive(Deserialize)]
    struct Running {
        queries: u64,
    }
    let prefix = format!("{}-{label}-", connection.queries().as_str());
    let sql = format!(
        "SELECT count() AS queries FROM system.processes WHERE startsWith(query_id, {}){state}",
        quote_literal(&prefix)
    );
    Ok(connection.row::<Running>("pause-state", &sql).await?.queries > 0)
}

/// An insert under way.
#[derive(Debug, Deserialize)]
struct Insert {
    query_id: String,
    query: String,
    database: String,
    elapsed: f64,
}

/// A table that nothing depends on: an insert into it reaches no other table.
#[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Leaf {
    database: String,
    name: String,
}

/// Waits until the inserts that are under way now have ended, but for those into tables that cannot reach
/// one of `tables`.
///
/// # Errors
/// [`PublishError::Inserting`] if one of them takes too long.
pub(super) async fn settle(
    connection: &Connection,
    tables: &[&TableName],
) -> Result<(), PublishError> {
    let asked = |error| PublishError::Server {
        what: "asking for inserts under way beside",
        table: tables.first().map_or_else(|| TableName::parse("?", ""), |&table| table.clone()),
        source: Box::new(error),
    };
    let began = Instant::now();
    let inserts = inserts_under_way(connection).await.map_err(asked)?;
    let leaves = leaves(connection, &inserts).await.map_err(asked)?;
    let mut left: Vec<_> =
        inserts.into_iter().filter(|insert| insert.may_reach(tables, &leaves)).collect();
    while !left.is_empty() {
        sleep(POLL).await;
        let now = inserts_under_way(connection).await.map_err(asked)?;
        left.retain(|insert| now.iter().any(|now| now.query_id == insert.query_id));
        if let Some(insert) = left.first().filter(|_| began.elapsed() > SETTLE_TIMEOUT) {
            let seconds = insert.elapsed + began.elapsed().as_secs_f64();
            let (query_id, table) =
                (insert.query_id.clone(), insert.table().map(|table| table.to_string()));
            return Err(PublishError::Inserting { query_id, table, seconds });
        }
    }
    Ok(())
}

async fn inserts_under_way(connection: &Connection) -> Result<Vec<Insert>, ServerError> {
    let sql = "SELECT query_id, left(query, 400) AS query, current_database AS database, elapsed FROM system.processes WHERE query_kind IN ('Insert', 'AsyncInsertFlush')";
    connection.rows("inserts", sql).await
}

/// Those of the tables of these inserts that nothing depends on.
async fn leaves(
    connection: &Connection,
    inserts: &[Insert],
) -> Result<BTreeSet<Leaf>, ServerError> {
    let tables: BTreeSet<_> = inserts
        .iter()
        .filter_map(Insert::table)
        .map(|table| {
            format!("({}, {})", quote_literal(&table.database), quote_literal(&table.table))
        })
        .collect();
    if tables.is_empty() {
        return Ok(BTreeSet::new());
    }
    let sql = format!(
        "SELECT database, name FROM system.tables WHERE endsWith(engine, 'MergeTree') AND empty(dependencies_table) AND (database, name) IN ({})",
        tables.into_iter().collect::<Vec<_>>().join(", ")
    );
    Ok(connection.rows::<Leaf>("inserts", &sql).await?.into_iter().collect())
}

impl Insert {
    /// The table that it names, if that is beyond doubt.
    fn table(&self) -> Option<TableName> {
        let rest = strip_word(&self.query, "INSERT")?;
        let rest = strip_word(rest, "INTO")?;
        let rest = strip_word(rest, "TABLE").unwrap_or(rest);
        let is_plain =
            |character: char| character.is_ascii_alphanumeric() || "_.`".contains(character);
        let (name, rest) = rest.split_at_checked(rest.find(|character| !is_plain(character))?)?;
        let ends =
            rest.starts_with(|character: char| character.is_whitespace() || character == '(');
        let is_table = ends && !name.is_empty() && !name.eq_ignore_ascii_case("FUNCTION");
        is_table.then(|| TableName::parse(name, &self.database))
    }

    fn may_reach(&self, tables: &[&TableName], leaves: &BTreeSet<Leaf>) -> bool {
        let Some(TableName { database, table }) = self.table() else { return true };
        tables.iter().any(|one| one.database == database && one.table == table)
            || !leaves.contains(&Leaf { database, name: table })
    }
}

/// The text after a word and the blanks behind it.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let text = text.trim_start();
    let (first, rest) = text.split_at_checked(word.len())?;
    let is_word = first.eq_ignore_ascii_case(word) && rest.starts_with(char::is_whitespace);
    is_word.then(|| rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(query: &str) -> Insert {
        Insert {
            query_id: String::new(),
            query: query.to_owned(),
            database: "d".to_owned(),
            elapsed: 0.0,
        }
    }

    #[test]
    fn the_table_of_an_insert_is_known_only_beyond_doubt() {
        for (query, table) in [
            ("INSERT INTO t VALUES (1)", Some("d.t")),
            (" insert\ninto  table e.t (a, b) SELECT 1, 2", Some("e.t")),
            ("INSERT INTO `e`.`t`\nSELECT 1", Some("e.t")),
            ("INSERT INTO t", None),
            ("INSERT INTO FUNCTION remote('h', t) SELECT 1", None),
            ("INSERT INTO {table:Identifier} SELECT 1", None),
            ("/* a */ INSERT INTO t SELECT 1", None),
            ("INSERT INTO \"t\" SELECT 1", None),
            ("WITH 1 AS a INSERT INTO t SELECT a", None),
            ("INSERT INTO t/**/SELECT 1", None),
        ] {
            let found = insert(query).table().map(|table| table.to_string());
            assert_eq!(found.as_deref(), table, "{query}");
        }
    }

    #[test]
    fn an_insert_into_a_table_on_which_nothing_depends_reaches_no_other() {
        let table = |name: &str| TableName { database: "d".to_owned(), table: name.to_owned() };
        let (source, target) = (table("s"), table("t"));
        let leaf = |name: &str| Leaf { database: "d".to_owned(), name: name.to_owned() };
        let leaves = BTreeSet::from([leaf("alone"), leaf("t")]);
        let reaches = |query: &str| insert(query).may_reach(&[&source, &target], &leaves);
        assert!(!reaches("INSERT INTO alone SELECT 1"));
        assert!(reaches("INSERT INTO t SELECT 1"));
        assert!(reaches("INSERT INTO s SELECT 1"));
        assert!(reaches("INSERT INTO other SELECT 1"));
        assert!(reaches("INSERT INTO FUNCTION remote('h', alone) SELECT 1"));
    }
}
