//! A check and its verdict, and the bounded questions to a server that checks are made of.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::clickhouse::{Connection, Error as ServerError, Settings, TableName, quote_literal};
use crate::retry::in_crowd;

/// What a check means for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing stands in its way.
    Ok,
    /// It can run, and a person should know this.
    Warning,
    /// It would fail, or do harm.
    Forbids,
    /// It could not be found out.
    Unknown,
}

impl Verdict {
    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Forbids => "forbids",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing that was looked at before a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, one of [`NAMES`](super::NAMES).
    pub name: &'static str,
    /// What it means.
    pub verdict: Verdict,
    /// What was found, in lower case and without a final period.
    pub detail: String,
    /// What would make it pass, each by itself; commands where there are some.
    pub lifted_by: Vec<String>,
}

impl Check {
    /// Nothing stands in the way.
    pub(super) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, detail: detail.into(), lifted_by: Vec::new() }
    }

    /// A person should know this.
    pub(super) fn warning(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warning, detail: detail.into(), lifted_by: Vec::new() }
    }

    /// The run would fail, or do harm.
    pub(super) fn forbids(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Forbids, detail: detail.into(), lifted_by: Vec::new() }
    }

    /// It could not be found out, for this reason.
    pub fn unknown(name: &'static str, reason: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Unknown, detail: reason.into(), lifted_by: Vec::new() }
    }

    /// For a check that is made elsewhere: it found this, and a person should know it where
    /// `warning` says so.
    pub fn passed(name: &'static str, detail: impl Into<String>, warning: bool) -> Self {
        if warning { Self::warning(name, detail) } else { Self::ok(name, detail) }
    }

    /// For a check that is made elsewhere: it forbids the run.
    pub fn refused(name: &'static str, detail: impl Into<String>, lifted_by: Vec<String>) -> Self {
        Self { lifted_by, ..Self::forbids(name, detail) }
    }

    /// The same with one more thing that would make it pass.
    #[must_use]
    pub(super) fn lifted_by(mut self, means: impl Into<String>) -> Self {
        self.lifted_by.push(means.into());
        self
    }

    /// The same, but for a person who knows and wants the run all the same.
    #[must_use]
    pub(super) fn skipped(mut self) -> Self {
        if self.verdict == Verdict::Forbids {
            self.verdict = Verdict::Warning;
            self.detail.push_str("; that is allowed");
            self.lifted_by.clear();
        }
        self
    }
}

/// A question may take so long.
const LIMIT: Duration = Duration::from_secs(5);

/// So many letters of the server's words are shown.
const LONGEST: usize = 200;

/// What goes wrong when a table of `system` is asked for something, by [ClickHouse's
/// codes](https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp).
const UNKNOWN_TABLE: u32 = 60;
const TIMEOUT_EXCEEDED: u32 = 159;

/// The rows of a query, each by column name; else why there are none, in words for a person.
/// `table` is what the query reads.
pub(super) async fn ask<T: DeserializeOwned>(
    connection: &Connection,
    table: &str,
    sql: &str,
) -> Result<Vec<T>, String> {
    ask_with(connection, table, sql, &Settings::common()).await
}

/// The same under these settings.
pub(super) async fn ask_with<T: DeserializeOwned>(
    connection: &Connection,
    table: &str,
    sql: &str,
    settings: &Settings,
) -> Result<Vec<T>, String> {
    match timeout(LIMIT, in_crowd(|| connection.rows_with("preflight", sql, settings))).await {
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
    ask(connection, table, sql)
        .await?
        .into_iter()
        .next()
        .ok_or_else(|| format!("{table} says nothing about it"))
}

/// Why a question has no answer.
pub(super) fn words(error: &ServerError, table: &str, user: &str) -> String {
    if error.is_access_denied() {
        let message = error.to_string();
        // The server's words: `… it's necessary to have the grant SELECT(name) ON system.parts.
        // (ACCESS_DENIED) …`.
        let grant = message
            .split_once(" the grant ")
            .and_then(|(_, rest)| rest.split_once(". ("))
            .map(|(grant, _)| grant);
        let grant = grant.map_or_else(|| format!("SELECT ON {table}"), str::to_owned);
        return format!("{user} lacks a right for it: GRANT {grant} TO {user}");
    }
    match error.code() {
        Some(UNKNOWN_TABLE) => format!("this server has no {table}"),
        Some(TIMEOUT_EXCEEDED) => late(table),
        _ => format!(
            "{table} cannot be asked: {}",
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
