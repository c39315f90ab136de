//! Queries over HTTP, synchronous, one connection kept per endpoint.
//!
//! See <https://clickhouse.com/docs/interfaces/http>.

use std::time::Duration;

use ureq::Agent;

const TIMEOUT: Duration = Duration::from_secs(300);

/// The server and the user of queries.
#[derive(Debug, Clone)]
pub struct Endpoint {
    agent: Agent,
    url: String,
    pub user: String,
    pub password: String,
    pub database: String,
}

impl Endpoint {
    pub fn new(url: &str, user: &str, password: &str, database: &str) -> Self {
        // No proxy of the environment, and an error status is an answer to read.
        let agent = Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .build()
            .new_agent();
        Self {
            agent,
            url: url.to_owned(),
            user: user.into(),
            password: password.into(),
            database: database.into(),
        }
    }

    /// The same server as another user.
    pub fn with_user(&self, user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: password.to_owned(), ..self.clone() }
    }

    /// The same without kept connections, for a server that has reset them.
    pub fn anew(&self) -> Self {
        Self::new(&self.url, &self.user, &self.password, &self.database)
    }

    /// The answer's bytes, or the server's words. `parameters` go into the URL: settings,
    /// `param_x`, `query_id`.
    pub fn try_query_with(
        &self,
        sql: &[u8],
        parameters: &[(&str, &str)],
    ) -> Result<Vec<u8>, String> {
        let mut request = self
            .agent
            .post(&self.url)
            .query("database", &self.database)
            // The server holds the answer back until the query has ended, so a late failure has an
            // error status.
            .query("wait_end_of_query", "1")
            .header("X-ClickHouse-User", &self.user)
            .header("X-ClickHouse-Key", &self.password);
        for (name, value) in parameters {
            request = request.query(*name, *value);
        }
        let mut response = request.send(sql).map_err(|error| error.to_string())?;
        let status = response.status();
        let body = response
            .body_mut()
            .with_config()
            .limit(u64::MAX)
            .read_to_vec()
            .map_err(|error| error.to_string())?;
        if status.is_success() {
            Ok(body)
        } else {
            Err(String::from_utf8_lossy(&body).trim_end().to_owned())
        }
    }

    /// Whether the server answers `/ping`.
    pub fn answers(&self) -> bool {
        // An agent of its own: a kept connection may be one that the server has since closed.
        let fresh = Self::new(&self.url, "", "", "");
        let url = format!("{}/ping", self.url.trim_end_matches('/'));
        let request =
            fresh.agent.get(url).config().timeout_global(Some(Duration::from_secs(5))).build();
        request.call().is_ok_and(|response| response.status().is_success())
    }
}
