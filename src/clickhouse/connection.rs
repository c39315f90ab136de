//! Sending statements to a server as one user, and reading small answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::client_error::from_client;
use super::endpoint::{Endpoint, Timeouts, WireCompression};
use super::error::Error;
use super::insert_client::InsertClient;
use super::profile::{self, Profile};
use super::settings::Settings;
use super::stream::BlockStream;
use super::url::UrlError;

/// ClickHouse closes idle connections after 3 s
/// ([keep_alive_timeout](https://clickhouse.com/docs/operations/server-configuration-parameters/settings#keep_alive_timeout));
/// ours go before that.
const POOL_IDLE: Duration = Duration::from_secs(2);

/// An answer that is read as a whole is not longer than this.
const ANSWER_BYTES: usize = 256 << 20;

/// A server reached as one user. Cheap to clone; clones share the HTTP connections.
#[derive(Clone)]
pub struct Connection {
    pub(super) client: ::clickhouse::Client,
    /// The same for rows in bulk, with compression where it was asked for.
    pub(super) bulk: ::clickhouse::Client,
    pub(super) inserts: InsertClient,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) queries: QueryPrefix,
    pub(super) timeouts: Timeouts,
    /// Known once the server was greeted; clones share it.
    profile: Arc<OnceLock<Profile>>,
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
        let (http, inserts) = http_clients(&endpoint, compression, timeouts)?;
        let client = http
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
        let profile = Arc::default();
        Ok(Self { client, bulk, inserts, endpoint: Arc::new(endpoint), queries, timeouts, profile })
    }

    /// Where this connection leads.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What the user's profile would change in results; empty until [`Connection::hello`].
    pub fn profile(&self) -> &Profile {
        static UNKNOWN: Profile = Profile::unknown();
        self.profile.get().unwrap_or(&UNKNOWN)
    }

    /// Defaults for what the profile changes. A statement without settings of its own is for users
    /// who may not choose any.
    pub(super) fn resets(&self, settings: &Settings) -> impl Iterator<Item = (&str, &str)> {
        let wanted = settings.iter().next().is_some();
        self.profile().resets().filter(move |_| wanted)
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
        for (name, value) in self.resets(settings).chain(settings.iter()) {
            query = query.with_setting(name, value);
        }
        let cursor = query.fetch_bytes(format).map_err(|error| {
            from_client(error, &self.endpoint, self.timeouts.connect, &query_id, false)
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
            if answer.len() + piece.len() > ANSWER_BYTES {
                return Err(Error::Unexpected {
                    what: label.to_owned(),
                    message: format!("it is longer than {} MiB", ANSWER_BYTES >> 20),
                });
            }
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
            Ok(Err(error)) if error.is_no_response() => Err(error),
            Ok(_) => Ok(()),
        }
    }

    /// Checks that the server answers, lets the user in and has the database; gives the server's
    /// version, and learns what the user's profile changes.
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
        let version = match answer {
            Ok(answer) => answer.version,
            Err(error) => {
                return Err(self.wrong_url(&error).await.map_or(error, Error::from));
            }
        };
        if self.profile.get().is_none() {
            let asked = self.rows("profile", profile::QUESTION);
            let settings = timeout(limit, asked).await.map_err(|_| Error::Timeout {
                what: "the settings of the user's profile",
                after: limit,
            })??;
            // Another clone may have been faster, with the same answer.
            let _ = self.profile.set(Profile::of(settings));
        }
        Ok(version)
    }

    /// What an answer that is not ClickHouse's to a query says about the URL.
    async fn wrong_url(&self, error: &Error) -> Option<UrlError> {
        let Error::Server { code: None, message, .. } = error else { return None };
        let url = self.endpoint.url();
        if let Some(error) = super::url::of_response(url, message) {
            return Some(error);
        }
        let location = timeout(self.timeouts.connect, redirect(&self.endpoint, self.timeouts));
        Some(super::url::redirect(url, &location.await.ok()??))
    }
}

/// Where the server sends its clients, if it does. The request has no user and no password.
async fn redirect(endpoint: &Endpoint, timeouts: Timeouts) -> Option<String> {
    let uri = endpoint.url().as_str().parse().ok()?;
    let builder = HttpClient::builder(TokioExecutor::new());
    let (plain, encrypted) = connectors(endpoint, timeouts).ok()?;
    let response = match encrypted {
        Some(connector) => builder.build::<_, String>(connector).get(uri).await,
        None => builder.build::<_, String>(plain).get(uri).await,
    };
    let response = response.ok().filter(|response| response.status().is_redirection())?;
    Some(response.headers().get("location")?.to_str().ok()?.to_owned())
}

/// The HTTP clients for queries and for inserts. The client crate's own default loads TLS roots even
/// for `http` and panics where a machine has none, so both are made here.
fn http_clients(
    endpoint: &Endpoint,
    compression: WireCompression,
    timeouts: Timeouts,
) -> Result<(::clickhouse::Client, InsertClient), Error> {
    let mut builder = HttpClient::builder(TokioExecutor::new());
    builder.pool_idle_timeout(POOL_IDLE).pool_timer(hyper_util::rt::TokioTimer::new());
    let (plain, encrypted) = connectors(endpoint, timeouts)?;
    Ok(match encrypted {
        Some(connector) => (
            ::clickhouse::Client::with_http_client(builder.build(connector.clone())),
            InsertClient::encrypted(builder.build(connector), compression),
        ),
        None => (
            ::clickhouse::Client::with_http_client(builder.build(plain.clone())),
            InsertClient::plain(builder.build(plain), compression),
        ),
    })
}

/// The connector for `http`, and the one for `https` if the URL needs it.
fn connectors(
    endpoint: &Endpoint,
    timeouts: Timeouts,
) -> Result<(HttpConnector, Option<HttpsConnector<HttpConnector>>), Error> {
    let mut connector = HttpConnector::new();
    connector.set_keepalive(Some(Duration::from_secs(60)));
    connector.set_connect_timeout(Some(timeouts.connect));
    // Inserts end with a small write; without this it may wait for the acknowledgement of the one
    // before.
    connector.set_nodelay(true);
    if !endpoint.is_encrypted() {
        return Ok((connector, None));
    }
    connector.enforce_http(false);
    let encrypted = HttpsConnectorBuilder::new()
        .with_tls_config(endpoint.tls().configuration()?)
        .https_only()
        .enable_http1()
        .wrap_connector(connector.clone());
    Ok((connector, Some(encrypted)))
}

/// What every query id of the program begins with.
pub const QUERY_ID_PREFIX: &str = "clickhouse-backfill-";

/// Makes query ids of the form `clickhouse-backfill-<run id>-<process id>-<label>-<number>`; clones
/// share the number.
///
/// A run may be the work of several processes, one after the other or at once, so that each has an
/// id of its own in between: what a dead one left can then be killed without touching the others.
#[derive(Clone, Debug)]
pub struct QueryPrefix {
    run_id: Arc<str>,
    prefix: Arc<str>,
    next: Arc<AtomicU64>,
}

impl QueryPrefix {
    /// Ids for the run of this id, of which no other process is a part.
    pub fn new(run_id: &str) -> Self {
        Self {
            run_id: run_id.into(),
            prefix: format!("{QUERY_ID_PREFIX}{run_id}").into(),
            next: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Ids for one process's part of the run of this id.
    pub fn of_process(run_id: &str, process_id: &str) -> Self {
        let prefix = format!("{QUERY_ID_PREFIX}{run_id}-{process_id}");
        Self { run_id: run_id.into(), prefix: prefix.into(), next: Arc::new(AtomicU64::new(0)) }
    }

    /// The run's id, which is the same in all processes that work on it.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// What all the ids begin with.
    pub fn as_str(&self) -> &str {
        &self.prefix
    }

    /// A new id. Every attempt of a statement needs its own: the server refuses a second query
    /// under a running id (code 216).
    pub(super) fn next(&self, label: &str) -> String {
        format!("{}-{label}-{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// Where the source and the lookup are read, and where the target is written. Often one and the
/// same connection.
#[derive(Clone)]
pub struct Servers {
    /// For everything that reads tables of the source or the lookup: plan, source and lookup
    /// queries, counts, what a join gives.
    pub source: Connection,
    /// For everything about the target: its schema, evaluating expressions, inserts, and what is
    /// recorded beside it.
    pub target: Connection,
}

impl Servers {
    /// One server at both ends.
    pub fn one(connection: Connection) -> Self {
        Self { source: connection.clone(), target: connection }
    }

    /// The same servers with other query ids, which both ends number together.
    #[must_use]
    pub fn with_queries(self, queries: &QueryPrefix) -> Self {
        Self {
            source: self.source.with_queries(queries.clone()),
            target: self.target.with_queries(queries.clone()),
        }
    }

    /// Whether both ends are the same in everything: URL, user, password and database.
    pub fn is_one_server(&self) -> bool {
        self.source.endpoint() == self.target.endpoint()
    }

    /// Each connection once: what is asked of every server is asked of these.
    pub fn each(&self) -> impl Iterator<Item = &Connection> {
        std::iter::once(&self.target).chain(
            (!self.source.endpoint().is_same_account(self.target.endpoint()))
                .then_some(&self.source),
        )
    }
}
