//! Sending one insert.

use bytes::Bytes;

use super::{Connection, Error, Settings};

/// The HTTP client's limit is 65,534 bytes for the whole request line; the difference is for the
/// path and the client's own parameters.
const REQUEST_LINE_BYTES: usize = 65_000;

impl Connection {
    /// Sends one `INSERT` with its body and waits for the acknowledgement.
    ///
    /// The body is handed over without being copied. An empty body makes the server check grants,
    /// types and settings and insert nothing.
    ///
    /// # Errors
    /// The server's refusal, or the loss of the connection, after which it is not known whether the
    /// rows arrived.
    pub async fn insert(
        &self,
        label: &str,
        sql: &str,
        settings: &Settings,
        body: &[Bytes],
    ) -> Result<(), Error> {
        let bytes = request_line_bytes(sql, settings);
        if bytes > REQUEST_LINE_BYTES {
            return Err(Error::StatementTooLong { bytes });
        }
        let query_id = self.queries.next(label);
        // An empty body has no compressed form that the server reads.
        let client = if body.is_empty() { &self.client } else { &self.bulk };
        let mut insert = client
            .insert_formatted_with(sql)
            .with_timeouts(Some(self.timeouts.send), Some(self.timeouts.insert_end))
            .with_setting("query_id", &query_id);
        for (name, value) in settings.iter() {
            insert = insert.with_setting(name, value);
        }
        let late = Error::Timeout { what: "an insert", after: self.timeouts.insert_end };
        let failed = |error, late| match Error::from_client(
            error,
            &self.endpoint,
            self.timeouts.connect,
            &query_id,
            false,
        ) {
            Error::Timeout { .. } => late,
            other => other,
        };
        // The request starts with its first piece.
        let pieces = if body.is_empty() { &[Bytes::new()] } else { body };
        for piece in pieces {
            if let Err(error) = insert.send(piece.clone()).await {
                // Where the server has closed its end, its reason may still be on the way.
                let is_over = matches!(error, ::clickhouse::error::Error::TimedOut);
                let reason = if is_over { None } else { insert.end().await.err() };
                let late_piece = Error::Timeout {
                    what: "sending a part of an insert",
                    after: self.timeouts.send,
                };
                return Err(failed(reason.unwrap_or(error), late_piece));
            }
        }
        insert.end().await.map_err(|error| failed(error, late))
    }
}

fn request_line_bytes(sql: &str, settings: &Settings) -> usize {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("query", sql).extend_pairs(settings.iter());
    query.finish().len()
}
