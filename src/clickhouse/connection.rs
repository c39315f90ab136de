//! One server, one user: sending statements and reading small answers.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{BlockStream, Endpoint, Error, QueryPrefix, Settings, WireCompression};

/// How long to wait for the server before a statement counts as lost.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For the TCP connection.
    pub connect: Duration,
    /// From the request to the first bytes of the answer; FINAL over large parts and full queues
    /// take their time.
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// For the server to take one piece of an insert.
    pub send: Duration,
    /// From the last byte of an insert to its acknowledgement, materialized views included.
    pub insert_end: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(600),
            idle: Duration::from_secs(300),
            send: Duration::from_secs(300),
            insert_end: Duration::from_secs(900),
        }
    }
}

/// ClickHouse closes idle connections after 3 s
/// ([keep_alive_timeout](https://clickhouse.com/docs/operations/server-configuration-parameters/settings#keep_alive_timeout));
/// ours go before that.
const POOL_IDLE: Duration = Duration::from_secs(2);

/// A server reached as one user. Cheap to clone; clones share the HTTP connections.
#[derive(Clone)]
pub struct Connection {
    pub(super) client: ::clickhouse::Client,
    /// The same for rows in bulk, with compression where it was asked for.
    pub(super) bulk: ::clickhouse::Client,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) queries: QueryPrefix,
    pub(super) timeouts: Timeouts,
}

impl Connection {
    /// Prepares a connection; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Tls`] where an `https` URL is given and its certificates cannot be loaded.
    pub fn new(
        endpoint: Endpoint,
        compression: WireCompression,
        queries: QueryPrefix,
        timeouts: Timeouts,
    ) -> Result<Self, Error> {
        let client = http_client(&endpoint, timeouts)?
            .with_url(endpoint.url().as_str())
            .with_user(endpoint.user())
            .with_database(endpoint.database())
            .with_compression(::clickhouse::Compression::None)
            .with_product_info(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let password = endpoint.password();
        let client =
            if password.is_empty() { client } else { client.with_password(password.reveal()) };
        let bulk = client.clone().with_compression(compression.of_client());
        let bulk = if compression == WireCompression::None {
            bulk
        } else {
            bulk.with_setting("enable_http_compression", "1")
        };
        Ok(Self { client, bulk, endpoint: Arc::new(endpoint), queries, timeouts })
    }

    /// Where this connection leads.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The same connection with other query ids.
    #[must_use]
    pub fn with_queries(mut self, queries: QueryPrefix) -> Self {
        self.queries = queries;
        self
    }

    /// What the ids of its queries begin with.
    pub fn queries(&self) -> &QueryPrefix {
        &self.queries
    }

    /// Starts a query whose rows are read as a stream of RowBinary blocks.
    /// `label` becomes part of the query id.
    pub fn stream(
        &self,
        label: &str,
        sql: &str,
        settings: &Settings,
    ) -> Result<BlockStream, Error> {
        self.stream_as(&self.bulk, "RowBinary", label, sql, settings)
    }

    fn stream_as(
        &self,
        client: &::clickhouse::Client,
        format: &str,
        label: &str,
        sql: &str,
        settings: &Settings,
    ) -> Result<BlockStream, Error> {
        let query_id = self.queries.next(label);
        let mut query = client.query_raw(sql).with_setting("query_id", &query_id);
        for (name, value) in settings.iter() {
            query = query.with_setting(name, value);
        }
        let cursor = query.fetch_bytes(format).map_err(|error| {
            Error::from_client(error, &self.endpoint, self.timeouts.connect, &query_id, false)
        })?;
        Ok(BlockStream::new(cursor, self.endpoint.clone(), query_id, self.timeouts))
    }

    /// Runs a query and gives its whole answer in the format that is named.
    pub async fn fetch(
        &self,
        label: &str,
        sql: &str,
        format: &str,
        settings: &Settings,
    ) -> Result<Vec<u8>, Error> {
        let mut stream = self.stream_as(&self.client, format, label, sql, settings)?;
        let mut answer = Vec::new();
        while let Some(piece) = stream.next().await? {
            answer.extend_from_slice(&piece);
        }
        Ok(answer)
    }

    /// Runs a statement that answers nothing of interest, such as `CREATE TABLE` or `KILL QUERY`.
    pub async fn execute(&self, label: &str, sql: &str, settings: &Settings) -> Result<(), Error> {
        self.fetch(label, sql, "Null", settings).await.map(drop)
    }

    /// Runs a query and reads each row of its answer, by column name.
    pub async fn rows<T: DeserializeOwned>(&self, label: &str, sql: &str) -> Result<Vec<T>, Error> {
        self.rows_with(label, sql, &Settings::common()).await
    }

    /// The same with settings of its own.
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

    /// The same with no settings at all, for a user who may not choose any. Numbers of 64 bits that
    /// an older server quotes are not understood.
    pub async fn rows_as_it_is<T: DeserializeOwned>(
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
        let answer = self.fetch(label, sql, "JSONEachRow", settings).await?;
        let rows = serde_json::Deserializer::from_slice(&answer).into_iter::<T>();
        rows.collect::<Result<_, _>>().map_err(|error| Error::Unexpected {
            what: label.to_owned(),
            message: error.to_string(),
        })
    }

    /// Runs a query that answers exactly one row.
    pub async fn row<T: DeserializeOwned>(&self, label: &str, sql: &str) -> Result<T, Error> {
        let rows = self.rows(label, sql).await?;
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

    /// Asks whether the server is there: an error of its own is an answer as well.
    ///
    /// # Errors
    /// The silence, or what a proxy said in the server's place.
    pub async fn ping(&self) -> Result<(), Error> {
        let after = self.timeouts.connect.max(Duration::from_secs(1));
        let settings = Settings::default();
        match timeout(after, self.fetch("ping", "SELECT 1", "TabSeparated", &settings)).await {
            Err(_) => Err(Error::Timeout { what: "an answer to a ping", after }),
            Ok(Err(error)) if error.is_silence() => Err(error),
            Ok(_) => Ok(()),
        }
    }

    /// Checks that the server answers, lets the user in and has the database; gives the server's
    /// version.
    pub async fn hello(&self) -> Result<String, Error> {
        #[derive(serde::Deserialize)]
        struct Version {
            version: String,
        }
        let limit = self.timeouts.connect + Duration::from_secs(20);
        let asked = self.row::<Version>("hello", "SELECT version() AS version");
        let answer = timeout(limit, asked)
            .await
            .map_err(|_| Error::Timeout { what: "the first answer of the server", after: limit })?;
        Ok(answer?.version)
    }
}

/// The client crate's own default loads TLS roots even for `http` and panics where a machine has
/// none, so the HTTP client is made here.
fn http_client(endpoint: &Endpoint, timeouts: Timeouts) -> Result<::clickhouse::Client, Error> {
    let mut connector = HttpConnector::new();
    connector.set_keepalive(Some(Duration::from_secs(60)));
    connector.set_connect_timeout(Some(timeouts.connect));
    // Inserts end with a small write; without this it may wait for the acknowledgement of the one
    // before.
    connector.set_nodelay(true);
    let mut builder = HttpClient::builder(TokioExecutor::new());
    builder.pool_idle_timeout(POOL_IDLE).pool_timer(hyper_util::rt::TokioTimer::new());
    if !endpoint.is_encrypted() {
        return Ok(::clickhouse::Client::with_http_client(builder.build(connector)));
    }
    connector.enforce_http(false);
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(endpoint.tls().configuration()?)
        .https_only()
        .enable_http1()
        .wrap_connector(connector);
    Ok(::clickhouse::Client::with_http_client(builder.build(connector)))
}
