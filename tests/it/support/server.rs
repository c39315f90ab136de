//! A ClickHouse server for one test: a database of its own on the server that all tests share, or
//! a server of its own.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rand::Rng;
use tempfile::TempDir;
use url::Url;

use super::own::Own;
use super::process;
use super::query::Endpoint;
use super::shared;

const LISTENER_LIMIT: Duration = Duration::from_secs(30);

/// Options of a server of the test's own.
#[derive(Debug, Default, Clone)]
pub struct ServerOptions {
    /// A whole `<clickhouse>…</clickhouse>` document, merged into the server's configuration.
    pub config_xml: Option<String>,
    /// The same for `users.xml`: users, profiles, quotas, grants. The user `default` without a
    /// password stays, unless the document changes it. A user who does not name the database of tables
    /// needs `<default_database>default</default_database>`.
    pub users_xml: Option<String>,
    /// Listen on a port that stays the same while the listener is closed and opened; see
    /// [`Server::stop_listening`].
    pub fixed_port: bool,
    /// Size in MiB of a disk of the server's own, in memory; see
    /// [`disks_are_allowed`](super::disks_are_allowed).
    pub disk_mib: Option<u64>,
}

/// A server, its database for this test, and queries to it. Dropping it ends the server, or drops
/// the database.
#[derive(Debug)]
pub struct Server {
    endpoint: Endpoint,
    url: String,
    own: Option<Own>,
}

impl Server {
    /// A fresh database on a server that many tests use at once: the one at `CLICKHOUSE_URL` if
    /// that is set, else the one of this run of the tests.
    ///
    /// A test reads only what is its own: its tables, and the rows of `system.processes` and
    /// `system.query_log` with `current_database = currentDatabase()`. A test that reads figures of
    /// the whole server, configures it or kills it starts its own.
    pub fn shared() -> Self {
        match std::env::var("CLICKHOUSE_URL") {
            Ok(url) if !url.is_empty() => Self::external(&url),
            _ => Self::database_of("default", "", shared::url()),
        }
    }

    /// A fresh database on the server of this run of the tests, regardless of `CLICKHOUSE_URL`: for
    /// tests that need a server on this machine, without a Keeper, or in no cluster.
    pub fn shared_here() -> Self {
        Self::database_of("default", "", shared::url())
    }

    /// A server of the test's own, regardless of `CLICKHOUSE_URL`: for tests that kill or configure
    /// it. They are in the module `isolated`, of which the runner starts few tests at once.
    #[track_caller]
    pub fn isolated() -> Self {
        Self::isolated_with(ServerOptions::default())
    }

    /// A server of the test's own with a configuration. Panics with the server's words if it does
    /// not start.
    #[track_caller]
    pub fn isolated_with(options: ServerOptions) -> Self {
        Self::try_isolated_with(options)
            .unwrap_or_else(|words| panic!("no server for the test: {words}"))
    }

    /// As [`Server::isolated_with`]; the error has the launcher's output.
    #[track_caller]
    pub fn try_isolated_with(options: ServerOptions) -> Result<Self, String> {
        // The test's thread has its name, unless all tests run in one thread.
        let current = std::thread::current();
        let test = current.name().filter(|name| name.contains("::")).unwrap_or("isolated::");
        assert!(test.starts_with("isolated::"), "{test} starts a server of its own");
        let folder = TempDir::with_prefix("clickhouse-").unwrap();
        let write = |name: &str, text: Option<String>| {
            let path = folder.path().join(name);
            text.map(|text| fs::write(&path, text).map(|()| path).unwrap())
        };
        let users = options.users_xml.unwrap_or_else(|| shared::PROFILE.to_owned());
        let (config, users) =
            (write("config.xml", options.config_xml), write("users.xml", Some(users)));
        let mut own = Own {
            launcher: None,
            port: 0,
            fixed_port: options.fixed_port,
            config,
            users,
            disk_mib: options.disk_mib,
            folder,
        };
        own.launch()?;
        let url = format!("http://127.0.0.1:{}", own.port);
        let endpoint = Endpoint::new(&url, "default", "", "default");
        Ok(Self { endpoint, url, own: Some(own) })
    }

    fn external(url: &str) -> Self {
        let mut address = Url::parse(url).expect("CLICKHOUSE_URL is a URL");
        let from_environment = |name: &str| std::env::var(name).ok();
        let decoded = |text: &str| percent_decoded(text);
        let user = Some(decoded(address.username())).filter(|user| !user.is_empty());
        let user = user
            .or_else(|| from_environment("CLICKHOUSE_USER"))
            .unwrap_or_else(|| "default".into());
        let password = address.password().map(decoded);
        let password =
            password.or_else(|| from_environment("CLICKHOUSE_PASSWORD")).unwrap_or_default();
        let _ = address.set_username("");
        let _ = address.set_password(None);
        Self::database_of(&user, &password, address.as_str().trim_end_matches('/'))
    }

    fn database_of(user: &str, password: &str, url: &str) -> Self {
        let mut endpoint = Endpoint::new(url, user, password, "default");
        endpoint.database = loop {
            let name = random_name();
            match endpoint.try_query_with(format!("CREATE DATABASE {name}").as_bytes(), &[]) {
                Ok(_) => break name,
                Err(words) if words.contains("DATABASE_ALREADY_EXISTS") => {}
                Err(words) => panic!("no database for the test at {url}: {words}"),
            }
        };
        Self { endpoint, url: url.to_owned(), own: None }
    }

    /// Where it listens, without user and password, such as `http://127.0.0.1:8123`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The HTTP port.
    pub fn port(&self) -> u16 {
        let url = Url::parse(&self.url).unwrap();
        url.port_or_known_default().expect("an http URL has a port")
    }

    pub fn user(&self) -> &str {
        &self.endpoint.user
    }

    pub fn password(&self) -> &str {
        &self.endpoint.password
    }

    /// The database of this test, in which queries run: `default` on a server of its own, else a
    /// fresh one.
    pub fn database(&self) -> &str {
        &self.endpoint.database
    }

    /// The environment with which the tool finds this server and this database.
    pub fn environment(&self) -> [(&'static str, &str); 4] {
        [
            ("CLICKHOUSE_URL", self.url()),
            ("CLICKHOUSE_USER", self.user()),
            ("CLICKHOUSE_PASSWORD", self.password()),
            ("CLICKHOUSE_DB", self.database()),
        ]
    }

    /// Queries to the same server and database as another user.
    pub fn as_user(&self, user: &str, password: &str) -> Endpoint {
        self.endpoint.with_user(user, password)
    }

    /// The answer's bytes. Panics with the server's words and the query if it fails.
    pub fn query(&self, sql: &str) -> Vec<u8> {
        self.query_with(sql, &[])
    }

    /// Makes the server hold this much memory, as rows, until it ends. The memory that an idle server
    /// reports differs between machines, because it corrects its count by that of the machine's
    /// control groups: 7 MB and 200 MB were seen.
    pub fn hold_memory(&self, mebibytes: u64) {
        self.query("CREATE TABLE held (bytes String) ENGINE = Memory");
        self.query(&format!("INSERT INTO held SELECT randomString(1048576) FROM numbers({mebibytes}) SETTINGS max_block_size = 16"));
    }

    /// As [`Server::query`], with parameters of the URL: settings, `param_x`, `query_id`.
    pub fn query_with(&self, sql: &str, parameters: &[(&str, &str)]) -> Vec<u8> {
        let answer = self.endpoint.try_query_with(sql.as_bytes(), parameters);
        answer.unwrap_or_else(|words| panic!("{words}\nin the query:\n{sql}"))
    }

    /// The answer's bytes, or the server's words.
    pub fn try_query(&self, sql: &str) -> Result<Vec<u8>, String> {
        self.endpoint.try_query_with(sql.as_bytes(), &[])
    }

    /// The answer as text, without white space at its ends.
    pub fn text(&self, sql: &str) -> String {
        let answer =
            String::from_utf8(self.query(sql)).expect("the answer is text: use query() for bytes");
        answer.trim().to_owned()
    }

    /// Inserts data in a format: `insert` is the statement up to and including its FORMAT clause.
    pub fn insert(&self, insert: &str, data: &[u8]) {
        let answer = self.endpoint.try_query_with(data, &[("query", insert)]);
        answer.unwrap_or_else(|words| panic!("{words}\nin the insert:\n{insert}"));
    }

    /// Runs statements that are separated by lines of `--;;`.
    ///
    /// Splitting at `;` would need a parser of ClickHouse's quotes and comments. For `clickhouse
    /// client` the separator is a comment: it runs the same file if each statement also ends in `;`.
    pub fn script(&self, statements: &str) {
        let mut statement = String::new();
        for line in statements.lines().chain(["--;;"]) {
            if line.trim() == "--;;" {
                if !statement.trim().is_empty() {
                    self.query(&statement);
                }
                statement.clear();
            } else {
                statement.push_str(line);
                statement.push('\n');
            }
        }
    }

    /// Whether it answers `/ping` on a new connection.
    pub fn answers(&self) -> bool {
        self.endpoint.answers()
    }

    /// The server's process id.
    pub fn process(&self) -> u32 {
        self.own().launcher().server_process
    }

    /// The port of the native protocol.
    pub fn native_port(&self) -> u16 {
        self.own().launcher().tcp_port
    }

    /// The launcher's process id, which is the server's parent.
    pub fn launcher_process(&self) -> u32 {
        self.own().launcher().process()
    }

    /// The folder of the server's data, configuration and logs.
    pub fn directory(&self) -> PathBuf {
        self.own().directory()
    }

    /// The same folder, as seen by processes that do not see the disk of the server's own.
    pub fn directory_on_its_disk(&self) -> PathBuf {
        let directory = self.directory();
        PathBuf::from(format!("/proc/{}/root", self.process()))
            .join(directory.strip_prefix("/").expect("the folder is absolute"))
    }

    /// Kills the server with `kill -9` and waits until it is gone.
    pub fn kill9(&mut self) {
        let mut launcher = self.own_mut().launcher.take().expect("the server runs");
        process::signal(launcher.server_process, "KILL");
        assert!(launcher.wait(), "the launcher did not end after its server was killed");
    }

    /// Starts the server again on the same folder and the same port, whether it was killed by
    /// [`Server::kill9`] or still runs.
    pub fn restart(&mut self) {
        let own = self.own_mut();
        own.launcher = None;
        own.launch().unwrap_or_else(|words| panic!("the server did not start again: {words}"));
        self.endpoint = self.endpoint.anew();
    }

    /// Pauses the process: the kernel accepts connections, and nothing answers them.
    pub fn pause(&self) {
        process::signal(self.process(), "STOP");
    }

    /// Continues the process after [`Server::pause`].
    pub fn resume(&self) {
        process::signal(self.process(), "CONT");
    }

    /// Closes the HTTP listener: live connections are reset, new ones refused. Needs `fixed_port`,
    /// because a listener on any free port would return on another one. Only where the library
    /// serves.
    pub fn stop_listening(&mut self) {
        self.set_listening("SYSTEM STOP LISTEN HTTP", false);
    }

    /// Opens the HTTP listener again.
    pub fn start_listening(&mut self) {
        self.set_listening("SYSTEM START LISTEN HTTP", true);
    }

    fn set_listening(&mut self, sql: &str, listening: bool) {
        let own = self.own_mut();
        assert!(
            own.fixed_port,
            "a listener can be stopped and started with ServerOptions::fixed_port only"
        );
        own.launcher.as_mut().expect("the server runs").type_line(sql);
        let endpoint = &self.endpoint;
        assert!(
            process::wait_until(LISTENER_LIMIT, || endpoint.answers() == listening),
            "{sql} has no effect (a `clickhouse` binary on PATH takes no typed commands)"
        );
        self.endpoint = self.endpoint.anew();
    }

    fn own(&self) -> &Own {
        self.own.as_ref().expect("only a server of the test's own can be handled: Server::isolated")
    }

    fn own_mut(&mut self) -> &mut Own {
        self.own.as_mut().expect("only a server of the test's own can be handled: Server::isolated")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(own) = &self.own {
            // A paused process cannot end by itself.
            if let Some(launcher) = &own.launcher {
                process::signal(launcher.server_process, "CONT");
            }
            return;
        }
        let sql = format!("DROP DATABASE IF EXISTS {}", self.endpoint.database);
        if let Err(words) = self.endpoint.try_query_with(sql.as_bytes(), &[]) {
            eprintln!("{sql}: {words}");
        }
    }
}

/// A name for a database, as wide as `default`, so that lines with it are wrapped in the same
/// places.
fn random_name() -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = rand::rng();
    let letter = || char::from(LETTERS[random.random_range(0..LETTERS.len())]);
    format!("db_{}", std::iter::repeat_with(letter).take(4).collect::<String>())
}

fn percent_decoded(text: &str) -> String {
    // A form value decodes `+` as a space, which user information does not.
    let form = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(form.as_bytes()).map(|(_, value)| value.into_owned()).collect()
}
