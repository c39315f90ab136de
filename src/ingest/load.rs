//! One input into one table, a batch after another, each of which the table counts once.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use twox_hash::XxHash3_128;

use super::cutter::{Batch, CutError, Cutter, Limits};
use super::format::Framing;
use crate::clickhouse::{
    Connection, Deduplication, Error as ServerError, Settings, TableName, deduplication,
    deduplication_settings,
};
use crate::retry::{Attempts, OutageHandling, RetryError, RetryPolicy};
use crate::stop::Stop;

/// A target that cannot be exact.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    /// No such table.
    #[error("the table {0} does not exist, or the user has no right to see it")]
    Missing(TableName),
    /// A table, or one that its views fill, that keeps repeated batches.
    #[error("{table} ({engine}) does not recognize repeated inserts: rows that are sent again after a failure would stay twice{}", of_view(view.as_ref()))]
    Repeats {
        /// The table.
        table: TableName,
        /// Its engine.
        engine: String,
        /// The view that fills it; `None` for the target itself.
        view: Option<TableName>,
        /// The setting that makes it recognize them; `None` if its engine cannot.
        setting: Option<&'static str>,
    },
    /// The server cannot be asked.
    #[error("reading how tables recognize repeated inserts failed")]
    Server(#[source] ServerError),
}

fn of_view(view: Option<&TableName>) -> String {
    view.map_or_else(String::new, |view| format!(" (the view {view} fills it)"))
}

/// The number of latest inserts that a table recognizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// That number; the smallest among the target and the tables of its views.
    pub inserts: u64,
    /// The table that has it.
    pub table: TableName,
    /// The table's setting.
    pub setting: &'static str,
}

/// The smallest window among the table and those that its views fill. `None` if all of them collapse
/// repeated rows by their keys.
pub(crate) async fn check_target(
    connection: &Connection,
    table: &TableName,
) -> Result<Option<Window>, TargetError> {
    let tables = deduplication(connection, table).await.map_err(TargetError::Server)?;
    if tables.is_empty() {
        return Err(TargetError::Missing(table.clone()));
    }
    let mut smallest: Option<Window> = None;
    for found in tables {
        let setting = found.window_setting();
        if found.window == 0 && found.is_replacing() {
            continue;
        }
        if found.window == 0 {
            let Deduplication { name: table, engine, view, .. } = found;
            let setting = engine.ends_with("MergeTree").then_some(setting);
            return Err(TargetError::Repeats { table, engine, view, setting });
        }
        if smallest.as_ref().is_none_or(|smallest| found.window < smallest.inserts) {
            smallest = Some(Window { inserts: found.window, table: found.name, setting });
        }
    }
    Ok(smallest)
}

/// What is inserted, and how.
#[derive(Clone, Debug)]
pub(crate) struct IngestOptions {
    /// The table.
    pub table: TableName,
    /// The input format, in ClickHouse's name.
    pub format: String,
    /// The identity of the input.
    pub load_id: String,
    /// The number of inserts that the table recognizes; `None` if it collapses repeated rows.
    pub window: Option<Window>,
    /// Whether the load may be repeated from its begin: it then has as many batches at most.
    pub is_repeatable: bool,
    /// When a batch is full.
    pub limits: Limits,
    /// Settings of the format.
    pub settings: Vec<(String, String)>,
    /// Retries of a batch.
    pub retry: RetryPolicy,
    /// How long a server that is away is waited for.
    pub outage_wait: Duration,
    /// Ends the load after the batch in flight.
    pub stop: Stop,
}

/// What has been inserted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ingested {
    /// Batches that were acknowledged.
    pub batches: u64,
    /// Their rows; `None` if the format is not divided.
    pub rows: Option<u64>,
    /// Their bytes, as they came.
    pub bytes: u64,
    /// Whether the stop signal ended the load before the input did.
    pub is_interrupted: bool,
}

/// Why a load ended early. What was acknowledged before stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IngestError {
    /// The input cannot be read.
    #[error("the input cannot be read: {0}")]
    Input(io::Error),
    /// The input cannot be divided.
    #[error(transparent)]
    Cut(#[from] CutError),
    /// The table would forget the first batches before the last has come.
    #[error(
        "the input has more than {inserts} batches, and {table} recognizes the latest {inserts} inserts ({setting}): a repeated load would count twice"
    )]
    Window {
        /// The table.
        table: TableName,
        /// Its setting.
        setting: &'static str,
        /// The number of inserts.
        inserts: u64,
    },
    /// The server refuses a row.
    #[error("line {line} cannot be inserted into {table}")]
    Row {
        /// The line of the input, from 1.
        line: u64,
        /// The table.
        table: TableName,
        /// The server's words.
        #[source]
        source: Box<ServerError>,
    },
    /// The server refuses a batch.
    #[error("the rows from line {line} on cannot be inserted into {table}")]
    Batch {
        /// The line of the input in which the batch begins, from 1.
        line: u64,
        /// The table.
        table: TableName,
        /// The server's words.
        #[source]
        source: Box<ServerError>,
    },
}

/// Inserts the input to its end. `inserted` has what was acknowledged, whether it succeeds or not.
pub(crate) async fn ingest(
    connection: &Connection,
    options: &IngestOptions,
    input: &mut mpsc::Receiver<io::Result<Bytes>>,
    inserted: &mut Ingested,
    progress: &dyn Fn(&Ingested),
) -> Result<(), IngestError> {
    let framing = Framing::of(&options.format);
    inserted.rows = (framing != Framing::Whole).then_some(0);
    let mut cutter = Cutter::new(framing, options.limits);
    let recognition = deduplication_settings(connection).await;
    let recognition = recognition.map_err(|source| IngestError::Batch {
        line: 1,
        table: options.table.clone(),
        source: Box::new(source),
    })?;
    let load = Load { connection, options, recognition };
    while let Some(piece) = input.recv().await {
        for batch in cutter.push(&piece.map_err(IngestError::Input)?)? {
            if options.stop.is_requested() {
                inserted.is_interrupted = true;
                return Ok(());
            }
            load.insert(&batch, inserted).await?;
            progress(inserted);
        }
    }
    if let Some(batch) = cutter.finish() {
        load.insert(&batch, inserted).await?;
    }
    Ok(())
}

struct Load<'a> {
    connection: &'a Connection,
    options: &'a IngestOptions,
    /// The settings that make the server recognize tokens.
    recognition: Settings,
}

impl Load<'_> {
    async fn insert(&self, batch: &Batch, inserted: &mut Ingested) -> Result<(), IngestError> {
        let IngestOptions { table, format, window, retry, outage_wait, stop, .. } = self.options;
        if let Some(Window { inserts, table, setting }) = window
            && self.options.is_repeatable
            && batch.number > *inserts
        {
            let (table, inserts) = (table.clone(), *inserts);
            return Err(IngestError::Window { table, setting, inserts });
        }
        let sql = format!("INSERT INTO {} FORMAT {format}", table.quoted());
        let settings = self.settings(batch);
        let body = [batch.header.clone(), batch.data.clone()];
        let body = body.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        let sent = Attempts::new(*retry, OutageHandling::WaitFor(*outage_wait))
            .until(stop.requested())
            .ask("insert", async || self.connection.insert("rows", &sql, &settings, &body).await)
            .await;
        sent.map_err(RetryError::into_error).map_err(|source| self.refused(batch, source))?;
        inserted.batches += 1;
        inserted.rows = inserted.rows.zip(batch.rows).map(|(rows, more)| rows + more);
        inserted.bytes += batch.data.len() as u64;
        Ok(())
    }

    /// The settings of a batch: one block, whose rows are read as the batches were cut.
    fn settings(&self, batch: &Batch) -> Settings {
        const UNDIVIDED_ROWS: u64 = 1 << 40;
        Settings::insert(batch.rows.unwrap_or(UNDIVIDED_ROWS))
            .with_all(self.options.settings.iter().cloned())
            .with_all(self.recognition.iter())
            .with_all(PINNED)
            .with("insert_deduplication_token", &token(&self.options.load_id, batch))
    }

    fn refused(&self, batch: &Batch, source: ServerError) -> IngestError {
        let table = self.options.table.clone();
        let row = row_of(&source).and_then(|row| batch.line_of_row(row));
        let source = Box::new(source);
        match row {
            Some(line) => IngestError::Row { line, table, source },
            None => IngestError::Batch { line: batch.first_line, table, source },
        }
    }
}

/// Settings under which the server finds the same rows as the cutter, and all of them.
pub(crate) const PINNED: [(&str, &str); 14] = [
    ("input_format_parallel_parsing", "0"),
    ("input_format_allow_errors_num", "0"),
    ("input_format_allow_errors_ratio", "0"),
    ("format_csv_delimiter", ","),
    ("format_csv_allow_double_quotes", "1"),
    ("format_csv_allow_single_quotes", "0"),
    ("input_format_csv_allow_whitespace_or_tab_as_delimiter", "0"),
    ("input_format_csv_trim_whitespaces", "1"),
    // Else a row that resembles the names of the columns is taken for a header, in any batch.
    ("input_format_csv_detect_header", "0"),
    ("input_format_tsv_detect_header", "0"),
    ("input_format_csv_skip_first_lines", "0"),
    ("input_format_tsv_skip_first_lines", "0"),
    ("input_format_csv_skip_trailing_empty_lines", "0"),
    ("input_format_tsv_skip_trailing_empty_lines", "0"),
];

/// The token of a batch: the same for the same bytes at the same place of the same load.
fn token(load_id: &str, batch: &Batch) -> String {
    let mut hash = XxHash3_128::new();
    hash.write(&batch.header);
    hash.write(&batch.data);
    format!("{load_id}-{}-{:032x}", batch.number, hash.finish_128())
}

/// The row, from 1, that the server could not read: `(at row 7)`.
fn row_of(error: &ServerError) -> Option<u64> {
    let ServerError::Server { message, .. } = error else { return None };
    let (_, rest) = message.split_once("(at row ")?;
    rest.split_once(')')?.0.parse().ok()
}
