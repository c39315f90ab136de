//! A check and its verdict, and the bounded questions to a server that checks are made of.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::clickhouse::{Connection, Error as ServerError, Settings, TableName, quote_literal};
use crate::retry::in_crowd;

/// What a check means for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The run can begin.
    Ok,
    /// The run can begin; a person should know the finding.
    Warning,
    /// The run would fail or do harm, so it does not begin.
    Blocked,
    /// The check could not be made.
    Unknown,
}

impl Verdict {
    /// The word in JSON and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Blocked => "blocked",
            Self::Unknown => "unknown",
        }
    }
}

/// One check before a run and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, one of [`NAMES`](super::NAMES).
    pub name: &'static str,
    /// What the finding means for the run.
    pub verdict: Verdict,
    /// The finding, in lower case and without a final period.
    pub detail: String,
    /// What would make the check pass; each entry is enough by itself. Commands where there are any.
    pub lifted_by: Vec<String>,
}

impl Check {
    /// The run can begin.
    pub(super) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, detail: detail.into(), lifted_by: Vec::new() }
    }

    /// The run can begin; a person should know the finding.
    pub(super) fn warning(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warning, detail: detail.into(), lifted_by: Vec::new() }
    }

    /// The run does not begin.
    pub(super) fn blocked(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Blocked, detail: detail.into(), lifted_by: Vec::new() }
    }

    /// The check could not be made, for this reason.
    pub fn unknown(name: &'static str, reason: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Unknown, detail: reason.into(), lifted_by: Vec::new() }
    }

    /// The result of a check made in another room: a warning or ok.
    pub fn passed(name: &'static str, detail: impl Into<String>, warning: bool) -> Self {
        if warning { Self::warning(name, detail) } else { Self::ok(name, detail) }
    }

    /// The result of a check made in another room: a warning, and what would lift it.
    pub fn warned(name: &'static str, detail: impl Into<String>, lifted_by: Vec<String>) -> Self {
        Self { lifted_by, ..Self::warning(name, detail) }
    }

    /// The result of a check made in another room: blocked.
    pub fn refused(name: &'static str, detail: impl Into<String>, lifted_by: Vec<String>) -> Self {
        Self { lifted_by, ..Self::blocked(name, detail) }
    }

    /// The result of several findings, each with what would lift it: any of them blocks. Without one,
    /// a question without an answer makes the check unknown.
    pub(super) fn of_findings(
        name: &'static str,
        findings: impl IntoIterator<Item = Result<Option<Finding>, String>>,
        passed: &str,
    ) -> Self {
        let (mut words, mut lifted_by, mut unknown) = (Vec::new(), Vec::new(), None);
        for finding in findings {
            match finding {
                Ok(None) => {}
                Ok(Some(Finding { detail, lifted_by: means })) => {
                    words.push(detail);
                    for means in means {
                        if !lifted_by.contains(&means) {
                            lifted_by.push(means);
                        }
                    }
                }
                Err(reason) => unknown = unknown.or(Some(reason)),
            }
        }
        match unknown {
            _ if !words.is_empty() => Self::refused(name, words.join("; "), lifted_by),
            Some(reason) => Self::unknown(name, reason),
            None => Self::ok(name, passed),
        }
    }

    /// Adds something that would make the check pass.
    #[must_use]
    pub(super) fn lifted_by(mut self, means: impl Into<String>) -> Self {
        self.lifted_by.push(means.into());
        self
    }

    /// Downgrades `blocked` to a warning, for a check that the user skips.
    #[must_use]
    pub(super) fn skipped(mut self) -> Self {
        if self.verdict == Verdict::Blocked {
            self.verdict = Verdict::Warning;
            self.detail.push_str("; skipped by --skip-checks");
            self.lifted_by.clear();
        }
        self
    }
}

/// What one of several questions of a check found to block the run.
pub(super) struct Finding {
    pub detail: String,
    pub lifted_by: Vec<String>,
}

/// How long a question may take.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// At most this many letters of a server's message are shown.
const LONGEST: usize = 200;

/// Codes of failed questions to tables of `system`; see [ClickHouse's
/// list](https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp).
const UNKNOWN_TABLE: u32 = 60;
const TIMEOUT_EXCEEDED: u32 = 159;

/// The rows of a query by column name, or the reason why there are none. `table` is what the query
/// reads.
pub(super) async fn ask<T: DeserializeOwned>(
    connection: &Connection,
    table: &str,
    sql: &str,
) -> Result<Vec<T>, String> {
    ask_with(connection, table, sql, &Settings::common()).await
}

/// [`ask`] with these settings.
pub(super) async fn ask_with<T: DeserializeOwned>(
    connection: &Connection,
    table: &str,
    sql: &str,
    settings: &Settings,
) -> Result<Vec<T>, String> {
    let settings = settings.clone().with("cancel_http_readonly_queries_on_client_close", "1");
    match timeout(LIMIT, in_crowd(|| connection.rows_with("preflight", sql, &settings))).await {
        Ok(Ok(rows)) => Ok(rows),
        Ok(Err(error)) => Err(words(&error, table, connection.endpoint().user())),
        Err(_) => Err(late(table)),
    }
}

/// The only row of a query.
pub(super) async fn ask_one<T: DeserializeOwned>(
    connection: &Connection,
    table: &str,
    sql: &str,
) -> Result<T, String> {
    ask_one_with(connection, table, sql, &Settings::common()).await
}

/// Whether the user has a right, by
/// [CHECK GRANT](https://clickhouse.com/docs/sql-reference/statements/check-grant). A server that does
/// not know the question is an error.
pub(super) async fn ask_right(connection: &Connection, right: &str) -> Result<bool, String> {
    #[derive(Deserialize)]
    struct Granted {
        result: u8,
    }
    let sql = format!("CHECK GRANT {right}");
    Ok(ask_one::<Granted>(connection, "the user's grants", &sql).await?.result != 0)
}

/// [`ask_one`] with these settings.
pub(super) async fn ask_one_with<T: DeserializeOwned>(
    connection: &Connection,
    table: &str,
    sql: &str,
    settings: &Settings,
) -> Result<T, String> {
    let rows = ask_with(connection, table, sql, settings).await?;
    rows.into_iter().next().ok_or_else(|| format!("{table} returned no row"))
}

/// Why a question was not answered.
pub(super) fn words(error: &ServerError, table: &str, user: &str) -> String {
    if error.is_access_denied() {
        let message = error.to_string();
        // The server's message: `… it's necessary to have the grant SELECT(name) ON system.parts.
        // (ACCESS_DENIED) …`.
        let grant = message
            .split_once(" the grant ")
            .and_then(|(_, rest)| rest.split_once(". ("))
            .map(|(grant, _)| grant);
        let grant = grant.map_or_else(|| format!("SELECT ON {table}"), str::to_owned);
        return format!("the user {user} lacks a grant: GRANT {grant} TO {user}");
    }
    match error.code() {
        Some(UNKNOWN_TABLE) => format!("this server has no {table}"),
        Some(TIMEOUT_EXCEEDED) => late(table),
        _ => format!(
            "{table} cannot be read: {}",
            error.to_string().chars().take(LONGEST).collect::<String>()
        ),
    }
}

fn late(table: &str) -> String {
    format!("{table} did not answer within {} s", LIMIT.as_secs())
}

/// `database = '…' AND table = '…'`, as most tables of `system` name a table.
pub(super) fn of_table(name: &TableName) -> String {
    format!(
        "database = {} AND table = {}",
        quote_literal(&name.database),
        quote_literal(&name.table)
    )
}
