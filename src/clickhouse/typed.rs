//! Rows as structs of Rust, through the client crate.

use std::time::Duration;

use ::clickhouse::{RowOwned, RowRead, RowWrite};

use super::client_error::from_client;
use super::connection::Connection;
use super::error::Error;
use super::settings::Settings;

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
