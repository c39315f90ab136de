//! Ending the queries that dead processes left behind.

use std::time::Duration;

use tokio::time::timeout;

use crate::clickhouse::{Connection, QUERY_ID_PREFIX, Settings, quote_literal};

/// How long the server's answer is waited for. A query that is stuck in writing to its client is
/// cancelled at once, and yet the answer comes only when that write ends: up to 30 s later.
const PATIENCE: Duration = Duration::from_secs(2);

/// Kills the queries of the processes that held these claims, which are found by their ids:
/// `clickhouse-backfill-<run id>-<claim id>-…`.
///
/// They do no harm but take the server's time, so that a refusal is no more than said. See [KILL
/// QUERY](https://clickhouse.com/docs/sql-reference/statements/kill#kill-query).
pub async fn kill_leftovers(connection: &Connection, claim_ids: &[String]) {
    if claim_ids.is_empty() {
        return;
    }
    let of_one =
        |id: &String| format!("position(query_id, {}) > 0", quote_literal(&format!("-{id}-")));
    let of_any = claim_ids.iter().map(of_one).collect::<Vec<_>>().join(" OR ");
    // Only this program's queries, and not this one, which quotes the ids but has another of its
    // own.
    let sql = format!(
        "KILL QUERY WHERE startsWith(query_id, {}) AND ({of_any}) ASYNC",
        quote_literal(QUERY_ID_PREFIX)
    );
    match timeout(PATIENCE, connection.execute("kill", &sql, &Settings::common())).await {
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
