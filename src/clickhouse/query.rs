//! Queries whose answers are read as a whole, and rows as structs of Rust.

use std::time::Duration;

use ::clickhouse::{RowOwned, RowRead, RowWrite};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::bounded::ANSWER_BYTES;
use super::client_error::{from_client, not_clickhouse};
use super::connection::Connection;
use super::endpoint::WireCompression;
use super::error::Error;
use super::settings::Settings;
use super::sql::quote_literal;
use super::stream::BlockStream;

/// From this length on, a statement needs more than the default of
/// [max_query_size](https://clickhouse.com/docs/operations/settings/settings#max_query_size), 256 KiB.
const LONG_STATEMENT_BYTES: usize = 200 << 10;
/// The most bytes of rows that are read as a whole.
const ROWS_BYTES: usize = 256 << 20;

impl Connection {
    /// Runs a query and returns its whole result in the given format.
    pub async fn fetch(
        &self,
        label: &str,
        sql: &str,
        format: &'static str,
        settings: &Settings,
    ) -> Result<Vec<u8>, Error> {
        let stream = self.stream_as(format, WireCompression::None, label, sql, settings)?;
        collect(stream, ANSWER_BYTES, label).await
    }

    /// Runs a query and returns its rows in RowBinary, compressed on the way if configured; there may
    /// be many.
    pub async fn fetch_rows(
        &self,
        label: &str,
        sql: &str,
        settings: &Settings,
    ) -> Result<Vec<u8>, Error> {
        collect(self.stream(label, sql, settings)?, ROWS_BYTES, label).await
    }

    /// Runs a statement without a result, such as `CREATE TABLE` or `KILL QUERY`.
    pub async fn execute(&self, label: &str, sql: &str, settings: &Settings) -> Result<(), Error> {
        self.fetch(label, sql, "Null", settings).await.map(drop)
    }

    /// Kills the queries of this label that still run, and waits until they have ended
    /// ([`KILL QUERY`](https://clickhouse.com/docs/sql-reference/statements/kill#kill-query)).
    pub(crate) async fn end_queries(&self, label: &str) -> Result<(), Error> {
        let prefix = format!("{}-{label}-", self.queries().as_str());
        let sql = format!("KILL QUERY WHERE startsWith(query_id, {}) SYNC", quote_literal(&prefix));
        self.execute("kill", &sql, &Settings::common()).await
    }

    /// Runs a query and deserializes each row by column name.
    pub async fn rows<T: DeserializeOwned>(&self, label: &str, sql: &str) -> Result<Vec<T>, Error> {
        self.rows_with(label, sql, &Settings::common()).await
    }

    /// [`rows`](Self::rows) with other settings.
    pub async fn rows_with<T: DeserializeOwned>(
        &self,
        label: &str,
        sql: &str,
        settings: &Settings,
    ) -> Result<Vec<T>, Error> {
        self.json_rows(
            label,
            sql,
            &settings.clone().with("output_format_json_quote_64bit_integers", "0"),
        )
        .await
    }

    /// [`rows`](Self::rows) without any settings, for a user who may not change settings. Fails on
    /// 64-bit numbers that an older server quotes.
    pub async fn rows_without_settings<T: DeserializeOwned>(
        &self,
        label: &str,
        sql: &str,
    ) -> Result<Vec<T>, Error> {
        self.json_rows(label, sql, &Settings::default()).await
    }

    async fn json_rows<T: DeserializeOwned>(
        &self,
        label: &str,
        sql: &str,
        settings: &Settings,
    ) -> Result<Vec<T>, Error> {
        let answer = self.json(label, sql, settings).await?;
        let rows = serde_json::Deserializer::from_slice(&answer).into_iter::<T>();
        rows.collect::<Result<_, _>>().map_err(|error| Error::Unexpected {
            what: label.to_owned(),
            message: error.to_string(),
        })
    }

    /// The answer as JSON, through the client crate. It recognizes an exception by its text, which no
    /// row of JSON contains, since there a line break within a value is escaped.
    async fn json(&self, label: &str, sql: &str, settings: &Settings) -> Result<Vec<u8>, Error> {
        let query_id = self.queries.next(label);
        let mut query = self.client.query_raw(sql).with_setting("query_id", &query_id);
        if sql.len() >= LONG_STATEMENT_BYTES {
            query = query.with_setting("max_query_size", (sql.len() + 4096).to_string());
        }
        for (name, value) in self.effective(settings).iter() {
            query = query.with_setting(name, value);
        }
        let failed = |error, received| {
            from_client(error, &self.endpoint, self.timeouts.connect, &query_id, received)
        };
        let mut cursor = query.fetch_bytes("JSONEachRow").map_err(|error| failed(error, false))?;
        let mut answer = Vec::new();
        loop {
            let received = !answer.is_empty();
            let (what, after) = self.timeouts.of_part(received);
            let piece = timeout(after, cursor.next())
                .await
                .map_err(|_| Error::Timeout { what, after })?
                .map_err(|error| failed(error, received))?;
            // ClickHouse's answers have this header; a page of a proxy has not.
            if !received && cursor.summary().is_none() {
                return Err(not_clickhouse(&self.endpoint));
            }
            let Some(piece) = piece else { return Ok(answer) };
            append(&mut answer, &piece, ANSWER_BYTES, label)?;
        }
    }

    /// Runs a query whose result has exactly one row.
    pub async fn row<T: DeserializeOwned>(&self, label: &str, sql: &str) -> Result<T, Error> {
        self.row_with(label, sql, &Settings::common()).await
    }

    /// [`row`](Self::row) with other settings.
    pub async fn row_with<T: DeserializeOwned>(
        &self,
        label: &str,
        sql: &str,
        settings: &Settings,
    ) -> Result<T, Error> {
        let rows = self.rows_with(label, sql, settings).await?;
        let count = rows.len();
        let mut rows = rows.into_iter();
        match (rows.next(), count) {
            (Some(row), 1) => Ok(row),
            _ => Err(Error::Unexpected {
                what: label.to_owned(),
                message: format!("one row was expected, {count} came"),
            }),
        }
    }
}

async fn collect(mut stream: BlockStream, limit: usize, label: &str) -> Result<Vec<u8>, Error> {
    let mut answer = Vec::new();
    while let Some(piece) = stream.next().await? {
        append(&mut answer, &piece, limit, label)?;
    }
    Ok(answer)
}

/// Appends a piece to an answer, unless it grows too long.
fn append(answer: &mut Vec<u8>, piece: &[u8], limit: usize, label: &str) -> Result<(), Error> {
    if answer.len() + piece.len() > limit {
        return Err(Error::Unexpected {
            what: label.to_owned(),
            message: format!("it is longer than {} MiB", limit >> 20),
        });
    }
    answer.extend_from_slice(piece);
    Ok(())
}

/// Rows as structs, through the client crate.
impl Connection {
    /// Inserts rows at once. `token` makes a table with a deduplication window count them once, however often
    /// they are sent.
    pub(crate) async fn insert_rows<T: RowOwned + RowWrite>(
        &self,
        table: &str,
        rows: &[T],
        token: &str,
    ) -> Result<(), Error> {
        let failed = |error| from_client(error, &self.endpoint, self.timeouts.connect, "", false);
        let settings =
            Settings::insert(rows.len() as u64).with("insert_deduplication_token", token);
        let client = self.with_settings(&settings);
        let mut insert = client
            .insert::<T>(table)
            .await
            .map_err(failed)?
            .with_timeouts(Some(self.timeouts.send), Some(self.timeouts.insert_end));
        for row in rows {
            insert.write(row).await.map_err(failed)?;
        }
        insert.end().await.map_err(failed)
    }

    /// Runs a query and returns its rows, whose columns have the names and types of the struct's fields.
    pub(crate) async fn typed_rows<T: RowOwned + RowRead>(
        &self,
        sql: &str,
        settings: &Settings,
    ) -> Result<Vec<T>, Error> {
        let failed = |error| from_client(error, &self.endpoint, self.timeouts.connect, "", false);
        let limit: Duration = self.timeouts.first_byte;
        let rows = self.with_settings(settings).query_raw(sql).fetch_all::<T>();
        let rows = tokio::time::timeout(limit, rows).await;
        let late = Error::Timeout { what: "the rows of a query", after: limit };
        rows.map_err(|_| late)?.map_err(failed)
    }

    fn with_settings(&self, settings: &Settings) -> ::clickhouse::Client {
        let effective = self.effective(settings);
        effective
            .iter()
            .fold(self.client.clone(), |client, (name, value)| client.with_setting(name, value))
    }
}
