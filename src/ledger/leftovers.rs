//! Ending the queries that dead processes left behind.

use crate::clickhouse::{Connection, QUERY_ID_PREFIX, Settings, quote_literal};

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
    match connection.execute("kill", &sql, &Settings::common()).await {
        Ok(()) => {
            tracing::debug!(claims = ?claim_ids, "queries of dead processes were killed, where there were any");
        }
        Err(error) => {
            tracing::info!(%error, "queries that a dead process may have left cannot be killed; they end by themselves");
        }
    }
}
