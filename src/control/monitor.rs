//! The monitor: asks the target's server every few seconds for parts, merges, memory, the delay of
//! the replica and mutations.
//!
//! All figures come from one small query. A figure that the user may not read, or that does not come
//! in time, is `None`. No failure here disturbs a run.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize, Serializer};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::clickhouse::{
    Connection, Error, Settings, TableName, merge_tree_setting, quote_literal,
};
use crate::units::counted;

/// The figures of a server at one moment. A figure is `None` where the user may not read it, or the
/// server does not have it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ServerStats {
    /// The time by this machine's clock; in JSON, seconds since 1970.
    #[serde(serialize_with = "seconds")]
    pub at: SystemTime,
    /// The partition with the most active parts, of those of the target that are written to.
    pub parts: Option<FullestPartition>,
    /// The number of parts of one partition from which the server slows inserts down
    /// ([`parts_to_delay_insert`](https://clickhouse.com/docs/operations/settings/merge-tree-settings#parts_to_delay_insert));
    /// 0 means never.
    pub parts_to_delay_insert: Option<u64>,
    /// The number from which it refuses inserts
    /// ([`parts_to_throw_insert`](https://clickhouse.com/docs/operations/settings/merge-tree-settings#parts_to_throw_insert));
    /// 0 means never.
    pub parts_to_throw_insert: Option<u64>,
    /// Inserts of all users that the server slows down now because of too many parts.
    pub delayed_inserts: Option<u64>,
    /// Merges in progress, of all tables.
    pub merges: Option<u64>,
    /// Memory of the server, in bytes.
    pub memory_used: Option<u64>,
    /// The limit of the server's memory, in bytes.
    pub memory_total: Option<u64>,
    /// The delay of the target's replica on this server, in seconds.
    pub replica_delay_seconds: Option<u64>,
    /// Unfinished mutations of the target.
    pub mutations: Option<u64>,
}

/// A partition and the number of its active parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FullestPartition {
    /// The partition, such as `202511`; `tuple()` in a table without partitions, or nothing while it has no
    /// parts.
    pub partition: String,
    /// Its active parts.
    pub parts: u64,
}

/// `262 parts in 202511`
impl fmt::Display for FullestPartition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &*self.partition {
            "tuple()" | "" => "the table",
            partition => partition,
        };
        write!(formatter, "{} in {place}", counted(self.parts, "part"))
    }
}

impl ServerStats {
    /// No figure is known.
    pub(crate) fn unknown() -> Self {
        Self {
            at: SystemTime::now(),
            parts: None,
            parts_to_delay_insert: None,
            parts_to_throw_insert: None,
            delayed_inserts: None,
            merges: None,
            memory_used: None,
            memory_total: None,
            replica_delay_seconds: None,
            mutations: None,
        }
    }

    /// Memory of the server, in percent of its limit.
    pub(crate) fn memory_percent(&self) -> Option<f64> {
        match (self.memory_used, self.memory_total) {
            (Some(used), Some(total)) if total > 0 => Some(used as f64 * 100.0 / total as f64),
            _ => None,
        }
    }
}

fn seconds<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(at.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()))
}

/// The interval between two queries.
pub(crate) const INTERVAL: Duration = Duration::from_secs(2);
/// How long a query may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The table that is monitored.
#[derive(Clone, Debug)]
pub(crate) struct MonitoredTable {
    /// Its name.
    pub table: TableName,
    /// Its engine.
    pub engine: String,
    /// The id of the partition that is filled. `None` monitors all that are written to.
    pub partition_id: Option<String>,
}

/// Monitors the target's server until it is dropped.
#[derive(Debug)]
pub(crate) struct Monitor {
    stats: watch::Receiver<ServerStats>,
    task: JoinHandle<()>,
}

impl Monitor {
    /// Begins to monitor, with a query at each interval.
    pub(crate) fn start(connection: Connection, table: MonitoredTable, every: Duration) -> Self {
        let (sender, stats) = watch::channel(ServerStats::unknown());
        let asker = StatsAsker { connection, table, began: Instant::now(), refused: Vec::new() };
        Self { stats, task: tokio::spawn(sample_loop(asker, every, sender)) }
    }

    /// The newest figures.
    pub(crate) fn stats(&self) -> ServerStats {
        self.stats.borrow().clone()
    }

    /// Receives further figures.
    pub(crate) fn subscribe(&self) -> watch::Receiver<ServerStats> {
        self.stats.clone()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Publishes the figures at each interval until no receiver is left.
async fn sample_loop(mut asker: StatsAsker, every: Duration, sender: watch::Sender<ServerStats>) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if sender.send(asker.stats().await).is_err() {
            return;
        }
    }
}

struct StatsAsker {
    connection: Connection,
    table: MonitoredTable,
    began: Instant,
    /// The positions of the queries that the server refuses.
    refused: Vec<usize>,
}

impl StatsAsker {
    async fn stats(&mut self) -> ServerStats {
        // The times of parts are whole seconds.
        let queries = queries(&self.table, self.began.elapsed().as_secs() + 1);
        let allowed = queries
            .iter()
            .enumerate()
            .filter(|(place, _)| !self.refused.contains(place))
            .map(|(_, query)| query);
        match self.ask(&together(allowed)).await {
            Ok(rows) => stats_of(rows),
            Err(Some(error)) if !error.is_no_response() => self.ask_one_by_one(&queries).await,
            Err(_) => ServerStats::unknown(),
        }
    }

    /// Sends each query by itself, and remembers which were refused.
    async fn ask_one_by_one(&mut self, queries: &[String]) -> ServerStats {
        let (mut rows, mut refused) = (Vec::new(), Vec::new());
        for (place, query) in queries.iter().enumerate() {
            match self.ask(query).await {
                Ok(more) => rows.extend(more),
                Err(_) => refused.push(place),
            }
        }
        // If all failed, the reason is not a missing right.
        self.refused = if refused.len() == queries.len() { Vec::new() } else { refused };
        stats_of(rows)
    }

    /// The rows of a query. The error is `None` where they do not come in time.
    async fn ask(&self, sql: &str) -> Result<Vec<FigureRow>, Option<Error>> {
        let settings = Settings::read();
        let answers =
            match timeout(ANSWER_LIMIT, self.connection.rows_with("monitor", sql, &settings)).await
            {
                Ok(answers) => answers.map_err(Some),
                Err(_) => Err(None),
            };
        answers.inspect_err(|error| {
            let error =
                error.as_ref().map_or_else(|| "no answer in time".to_owned(), ToString::to_string);
            tracing::debug!(error, "the server's figures cannot be read");
        })
    }
}

/// A row of an answer: one figure.
#[derive(Debug, Deserialize)]
struct FigureRow {
    figure: String,
    value: Option<u64>,
    note: String,
}

/// The queries for the figures of a table, one for each system table. All have the columns `figure`,
/// `value` and `note`, so that they can be sent together, or one by one where the user may not read
/// all of the tables. `seconds` is the time since monitoring began.
fn queries(monitored: &MonitoredTable, seconds: u64) -> Vec<String> {
    let (database, table) =
        (quote_literal(&monitored.table.database), quote_literal(&monitored.table.table));
    // Parts of other partitions are not caused by this run. Where it is unknown which ones it fills,
    // the age of their parts tells.
    let filled = match &monitored.partition_id {
        Some(id) => format!("partition_id = {}", quote_literal(id)),
        None => format!("max(modification_time) >= now() - {seconds}"),
    };
    let is_replicated = monitored.engine.starts_with("Replicated");
    let mut queries = vec![
        "SELECT metric AS figure, toNullable(toUInt64(greatest(value, 0))) AS value, '' AS note FROM system.metrics \
            WHERE metric IN ('Merge', 'MemoryTracking', 'DelayedInserts')"
            .to_owned(),
        "SELECT name AS figure, toUInt64OrNull(value) AS value, '' AS note FROM system.server_settings WHERE name = 'max_server_memory_usage'"
            .to_owned(),
        "SELECT metric AS figure, toNullable(toUInt64(value)) AS value, '' AS note FROM system.asynchronous_metrics WHERE metric = 'OSMemoryTotal'"
            .to_owned(),
    ];
    if !monitored.engine.ends_with("MergeTree") {
        return queries;
    }
    let unknown = quote_literal(monitored.partition_id.as_deref().unwrap_or_default());
    queries.push(format!(
        "SELECT 'parts' AS figure, toNullable(toUInt64(max(parts))) AS value, if(count() = 0, {unknown}, argMax(name, parts)) AS note \
            FROM (SELECT count() AS parts, any(partition) AS name FROM system.parts \
            WHERE database = {database} AND table = {table} AND active GROUP BY partition_id HAVING {filled})"
    ));
    for limit in ["parts_to_delay_insert", "parts_to_throw_insert"] {
        queries.push(format!(
            "SELECT '{limit}' AS figure, toNullable(toUInt64({})) AS value, '' AS note FROM system.tables \
                WHERE database = {database} AND name = {table}",
            merge_tree_setting(&monitored.engine, limit)
        ));
    }
    queries.push(format!(
        "SELECT 'mutations' AS figure, toNullable(toUInt64(count())) AS value, '' AS note FROM system.mutations \
            WHERE database = {database} AND table = {table} AND NOT is_done"
    ));
    if is_replicated {
        queries.push(format!(
            "SELECT 'replica_delay' AS figure, toNullable(toUInt64(absolute_delay)) AS value, '' AS note FROM system.replicas \
                WHERE database = {database} AND table = {table}"
        ));
    }
    queries
}

/// All queries as one.
fn together<'a>(queries: impl Iterator<Item = &'a String>) -> String {
    let each: Vec<_> =
        queries.map(|query| format!("SELECT figure, value, note FROM ({query})")).collect();
    each.join(" UNION ALL ")
}

/// The figures of the rows.
fn stats_of(rows: Vec<FigureRow>) -> ServerStats {
    let mut stats = ServerStats::unknown();
    let mut machine = None;
    for FigureRow { figure, value, note } in rows {
        match figure.as_str() {
            "Merge" => stats.merges = value,
            "MemoryTracking" => stats.memory_used = value,
            "DelayedInserts" => stats.delayed_inserts = value,
            // 0 means the memory of the machine.
            "max_server_memory_usage" => stats.memory_total = value.filter(|&bytes| bytes > 0),
            "OSMemoryTotal" => machine = value,
            "parts" => stats.parts = value.map(|parts| FullestPartition { partition: note, parts }),
            "parts_to_delay_insert" => stats.parts_to_delay_insert = value,
            "parts_to_throw_insert" => stats.parts_to_throw_insert = value,
            "mutations" => stats.mutations = value,
            "replica_delay" => stats.replica_delay_seconds = value,
            _ => {}
        }
    }
    stats.memory_total = stats.memory_total.or(machine);
    stats
}
