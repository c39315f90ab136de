//! A server reached as one user: its HTTP clients, its settings and the ids of its queries.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use super::bounded::BoundedConnector;
use super::bulk::BulkClient;
use super::endpoint::{Endpoint, Timeouts, WireCompression};
use super::error::Error;
use super::profile::{self, Profile};
use super::remote::{NativeAddress, RemoteSource};
use super::settings::Settings;
use super::url::UrlError;

/// ClickHouse closes idle connections after 3 s
/// ([keep_alive_timeout](https://clickhouse.com/docs/operations/server-configuration-parameters/settings#keep_alive_timeout));
/// ours are closed before that.
const POOL_IDLE: Duration = Duration::from_secs(2);

/// A server reached as one user. Cheap to clone; clones share the HTTP connections.
#[derive(Clone)]
pub struct Connection {
    /// For small queries.
    pub(super) client: ::clickhouse::Client,
    /// For rows in bulk.
    pub(super) bulk: BulkClient,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) queries: QueryPrefix,
    pub(super) timeouts: Timeouts,
    /// Known once the server was greeted; clones share it.
    profile: Arc<OnceLock<Profile>>,
}

impl Connection {
    /// Prepares a connection without sending anything.
    ///
    /// # Errors
    /// [`Error::Tls`] if the URL is `https` and certificates cannot be loaded.
    pub fn new(
        endpoint: Endpoint,
        compression: WireCompression,
        queries: QueryPrefix,
        timeouts: Timeouts,
    ) -> Result<Self, Error> {
        let (http, bulk) = http_clients(&endpoint, compression, timeouts)?;
        let client = http
            .with_url(endpoint.url().as_str())
            .with_user(endpoint.user())
            .with_database(endpoint.database())
            .with_compression(::clickhouse::Compression::None)
            .with_product_info(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let password = endpoint.password();
        let client =
            if password.is_empty() { client } else { client.with_password(password.reveal()) };
        let profile = Arc::default();
        Ok(Self { client, bulk, endpoint: Arc::new(endpoint), queries, timeouts, profile })
    }

    /// The server and the account.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What the user's profile would change in results; empty until [`Connection::hello`].
    pub fn profile(&self) -> &Profile {
        static UNKNOWN: Profile = Profile::unknown();
        self.profile.get().unwrap_or(&UNKNOWN)
    }

    /// All settings of a statement: its own, and the defaults for what the profile changes besides. A
    /// statement without settings of its own is for users who may not choose any.
    pub(super) fn effective(&self, own: &Settings) -> Settings {
        if own.is_empty() {
            return Settings::default();
        }
        Settings::default().with_all(self.profile().resets()).with_all(own.iter())
    }

    /// The same connection with other query ids.
    #[must_use]
    pub fn with_queries(mut self, queries: QueryPrefix) -> Self {
        self.queries = queries;
        self
    }

    /// The same connection with another database for names of tables without one.
    #[must_use]
    pub(crate) fn in_database(&self, database: &str) -> Self {
        let client = self.client.clone().with_database(database);
        let endpoint = Arc::new(self.endpoint().clone().with_database(database));
        Self { client, endpoint, ..self.clone() }
    }

    /// The prefix of its query ids.
    pub fn queries(&self) -> &QueryPrefix {
        &self.queries
    }

    /// Tests whether the server responds; an error of the server counts as a response.
    ///
    /// # Errors
    /// No response, or the response of a proxy in place of the server.
    pub async fn ping(&self) -> Result<(), Error> {
        let after = self.timeouts.connect.max(Duration::from_secs(1));
        let settings = Settings::default();
        match timeout(after, self.fetch("ping", "SELECT 1", "TabSeparated", &settings)).await {
            Err(_) => Err(Error::Timeout { what: "the response to a ping", after }),
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
        let Error::Proxy { message, .. } = error else { return None };
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

/// The HTTP clients for small queries and for rows in bulk. The client crate's own default loads TLS roots even
/// for `http` and panics where a machine has none, so both are made here.
fn http_clients(
    endpoint: &Endpoint,
    compression: WireCompression,
    timeouts: Timeouts,
) -> Result<(::clickhouse::Client, BulkClient), Error> {
    let mut builder = HttpClient::builder(TokioExecutor::new());
    builder.pool_idle_timeout(POOL_IDLE).pool_timer(hyper_util::rt::TokioTimer::new());
    let (plain, encrypted) = connectors(endpoint, timeouts)?;
    Ok(match encrypted {
        Some(connector) => (
            ::clickhouse::Client::with_http_client(
                builder.build(BoundedConnector(connector.clone())),
            ),
            BulkClient::encrypted(builder.build(connector), compression),
        ),
        None => (
            ::clickhouse::Client::with_http_client(builder.build(BoundedConnector(plain.clone()))),
            BulkClient::plain(builder.build(plain), compression),
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
    // Inserts end with a small write, which Nagle's algorithm would delay until the previous one is
    // acknowledged.
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

/// The prefix of all query ids of the program.
pub(crate) const QUERY_ID_PREFIX: &str = "clickhouse-backfill-";

/// Makes query ids of the form `clickhouse-backfill-<run id>-<process id>-<label>-<number>`; clones
/// share the number. The ids allow to find and kill the queries that a dead process left behind.
///
/// Several processes may work on a run, so each has an id of its own: the queries of a dead one can
/// be killed without affecting the others.
#[derive(Clone, Debug)]
pub struct QueryPrefix {
    run_id: Arc<str>,
    prefix: Arc<str>,
    next: Arc<AtomicU64>,
}

impl QueryPrefix {
    /// Ids for a run of a single process.
    pub fn new(run_id: &str) -> Self {
        Self {
            run_id: run_id.into(),
            prefix: format!("{QUERY_ID_PREFIX}{run_id}").into(),
            next: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Ids for one of the processes of a run.
    pub fn of_process(run_id: &str, process_id: &str) -> Self {
        let prefix = format!("{QUERY_ID_PREFIX}{run_id}-{process_id}");
        Self { run_id: run_id.into(), prefix: prefix.into(), next: Arc::new(AtomicU64::new(0)) }
    }

    /// The run's id, the same in all of its processes.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// The common prefix of the ids.
    pub fn as_str(&self) -> &str {
        &self.prefix
    }

    /// A new id. Every attempt of a statement needs its own: the server rejects a second query with
    /// the id of a running one (code 216).
    pub(super) fn next(&self, label: &str) -> String {
        format!("{}-{label}-{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// The servers of a job. Both may be the same connection.
#[derive(Clone)]
pub struct Servers {
    /// The server of the source and the lookup: planning, source and lookup queries, counts, the
    /// equivalent join.
    pub source: Connection,
    /// The server of the target: its schema, evaluating expressions, inserts, the ledger.
    pub target: Connection,
    /// Where the target's server reads from the source's server itself, if it may.
    native: Option<Arc<NativeAddress>>,
}

impl Servers {
    /// The same server for both.
    pub fn one(connection: Connection) -> Self {
        Self { source: connection.clone(), target: connection, native: None }
    }

    /// A server for the source and one for the target. If there is an address, the target's server
    /// reaches the source's server at it.
    pub(crate) fn two(
        source: Connection,
        target: Connection,
        native: Option<NativeAddress>,
    ) -> Self {
        let is_one = source.endpoint() == target.endpoint();
        let native = native.filter(|_| !is_one).map(Arc::new);
        let mut target = target;
        if native.is_some() {
            let password = source.endpoint().password().clone();
            let endpoint = target.endpoint().clone().sends_password(password);
            target.endpoint = Arc::new(endpoint);
        }
        Self { source, target, native }
    }

    /// Replaces the query ids; both connections share the numbering.
    #[must_use]
    pub fn with_queries(self, queries: &QueryPrefix) -> Self {
        Self {
            source: self.source.with_queries(queries.clone()),
            target: self.target.with_queries(queries.clone()),
            native: self.native,
        }
    }

    /// Whether both have the same URL, user, password and database.
    pub fn is_one_server(&self) -> bool {
        self.source.endpoint() == self.target.endpoint()
    }

    /// Whether the target's server can read the source: it is its own, or it reaches that server.
    pub(crate) fn reads_at_target(&self) -> bool {
        self.is_one_server() || self.native.is_some()
    }

    /// The source's server, if the target's server reads from it.
    pub(crate) fn remote_source(&self) -> Option<RemoteSource<'_>> {
        let address = self.native.as_deref()?;
        Some(RemoteSource { address, endpoint: self.source.endpoint() })
    }

    /// Why the rows that the target's server reads from the source's server could be wrong: it sends
    /// on only settings whose value it changes itself, so that it cannot reset what only the profile of
    /// the source's user sets.
    pub(crate) fn remote_obstacle(&self) -> Option<String> {
        let remote = self.remote_source()?;
        let names = |connection: &Connection| -> Vec<_> {
            let settings = connection.profile().overridden().iter();
            settings.map(|setting| setting.name.clone()).collect()
        };
        let sent_on = names(&self.target);
        let set: Vec<_> =
            names(&self.source).into_iter().filter(|name| !sent_on.contains(name)).collect();
        (!set.is_empty()).then(|| {
            format!(
                "the profile of the source's user {} sets {}, which the target's server cannot reset there",
                remote.endpoint.user(),
                set.join(", ")
            )
        })
    }

    /// Each distinct account once.
    pub fn each(&self) -> impl Iterator<Item = &Connection> {
        std::iter::once(&self.target).chain(
            (!self.source.endpoint().is_same_account(self.target.endpoint()))
                .then_some(&self.source),
        )
    }
}
