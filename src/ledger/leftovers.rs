//! Ending the queries that dead processes left behind.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use super::{LedgerError, ask};
use crate::clickhouse::{Connection, QUERY_ID_PREFIX, Settings, quote_literal};

/// How long the answer to a KILL is waited for. A query that is stuck in writing to its client is
/// cancelled at once, and yet the answer comes only when that write ends: up to 30 s later.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long inserts are waited for. One that waits for the rest of its rows notices that it was
/// killed when the server gives them up, by default after 30 s (`http_receive_timeout`).
const INSERTS_END: Duration = Duration::from_secs(90);
/// Between two looks at them.
const LOOK: Duration = Duration::from_millis(250);

/// Kills the queries of the processes that held these claims, which are found by their ids,
/// `clickhouse-backfill-<run id>-<claim id>-…`, and waits until none of their inserts is left: what
/// they would still write must not come after what this process writes. See [KILL
/// QUERY](https://clickhouse.com/docs/sql-reference/statements/kill#kill-query).
///
/// Their other queries only take the server's time, and are not waited for.
///
/// # Errors
/// [`LedgerError::Leftovers`]; or the server cannot be asked.
pub(crate) async fn end_leftovers(
    connection: &Connection,
    claim_ids: &[String],
    patience: Duration,
) -> Result<(), LedgerError> {
    if claim_ids.is_empty() {
        return Ok(());
    }
    let of_one =
        |id: &String| format!("position(query_id, {}) > 0", quote_literal(&format!("-{id}-")));
    let of_any = claim_ids.iter().map(of_one).collect::<Vec<_>>().join(" OR ");
    // Only this program's queries, and not this one, which quotes the ids but has another of its
    // own.
    let condition =
        format!("startsWith(query_id, {}) AND ({of_any})", quote_literal(QUERY_ID_PREFIX));
    let began = Instant::now();
    loop {
        kill(connection, claim_ids, &condition).await;
        let inserts = match ask(patience, || inserts(connection, &condition)).await {
            Ok(inserts) => inserts,
            Err(error) if error.is_access_denied() => {
                tracing::warn!(%error, cause = error.cause(), "inserts that a dead process may have left cannot be seen");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if inserts.is_empty() {
            return Ok(());
        }
        if began.elapsed() >= INSERTS_END {
            return Err(LedgerError::Leftovers { queries: inserts, after: INSERTS_END });
        }
        tracing::info!(queries = ?inserts, "waiting for the inserts of a dead process to end");
        sleep(LOOK).await;
    }
}

async fn kill(connection: &Connection, claim_ids: &[String], condition: &str) {
    let sql = format!("KILL QUERY WHERE {condition} ASYNC");
    match timeout(KILL_TIMEOUT, connection.execute("kill", &sql, &Settings::common())).await {
        Ok(Ok(())) => {
            tracing::debug!(claims = ?claim_ids, "queries of dead processes were killed, where there were any");
        }
        Err(_) => {
            tracing::debug!(claims = ?claim_ids, "queries of dead processes are being killed");
        }
        Ok(Err(error)) => {
            tracing::info!(%error, "queries that a dead process may have left cannot be killed; they end by themselves");
        }
    }
}

/// The ids of the inserts among the queries of this condition.
async fn inserts(connection: &Connection, condition: &str) -> Result<Vec<String>, LedgerError> {
    #[derive(Deserialize)]
    struct Query {
        query_id: String,
    }
    let sql = format!(
        "SELECT query_id FROM system.processes WHERE {condition} AND match(query_id, '-(insert|replace|chunk[^-]+)-[0-9]+$')"
    );
    let found = connection.rows::<Query>("leftovers", &sql).await;
    let found = found.map_err(|error| LedgerError::Processes(Box::new(error)))?;
    Ok(found.into_iter().map(|query| query.query_id).collect())
}
