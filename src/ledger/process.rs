//! Which process holds a claim, whether it is gone, and ending the queries that it left behind.
//!
//! From [proc(5)](https://man7.org/linux/man-pages/man5/proc.5.html). Where the system does not
//! tell, nothing is ever taken for gone, and claims end by their age alone.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

use super::columns::{Sql, record};
use super::{LedgerError, ask};
use crate::clickhouse::{Connection, QUERY_ID_PREFIX, Settings, quote_literal};

record! {
    /// The identity of a process: no other one, before or after, on this machine or another, has the
    /// same.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct ProcessIdentity {
        host: String => Sql::of("String"), "The name of its machine";
        machine: String => Sql::of("String"), "The boot of the machine and the namespace of its process ids; empty if the system does not report them";
        pid: u32 => Sql::of("UInt32"), "The process id";
        process_started: u64 => Sql::of("UInt64"), "Start of the process in clock ticks since the boot";
    }
}

impl ProcessIdentity {
    /// This process.
    pub fn current() -> Self {
        let pid = std::process::id();
        let host = read("/proc/sys/kernel/hostname")
            .or_else(|| std::env::var("HOSTNAME").ok())
            .unwrap_or_else(|| "unknown".to_owned());
        let boot = read("/proc/sys/kernel/random/boot_id");
        // Containers may share the machine's name and yet number their processes each for itself.
        let namespace =
            fs::read_link("/proc/self/ns/pid").ok().map(|link| link.display().to_string());
        let machine = boot
            .zip(namespace)
            .map(|(boot, namespace)| format!("{boot} {namespace}"))
            .unwrap_or_default();
        let started = match start_of(pid) {
            Found::Started(ticks) => ticks,
            Found::Gone | Found::Unknown => 0,
        };
        Self { host, machine, pid, process_started: started }
    }

    /// Whether this process has certainly ended, seen from the machine of `here`. Of a process
    /// elsewhere nothing is certain.
    pub fn is_gone(&self, here: &Self) -> bool {
        if self.machine.is_empty()
            || self.process_started == 0
            || self.machine != here.machine
            || self.host != here.host
        {
            return false;
        }
        match start_of(self.pid) {
            Found::Gone => true,
            Found::Started(ticks) => ticks != self.process_started,
            Found::Unknown => false,
        }
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

enum Found {
    Started(u64),
    Gone,
    Unknown,
}

/// The start of a process: field 22 of its `stat`, behind the program's name in parentheses, which
/// may contain anything.
fn start_of(pid: u32) -> Found {
    let text = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        // Processes of others may be hidden (hidepid); then the first one is hidden as well.
        Err(error) if error.kind() == ErrorKind::NotFound && Path::new("/proc/1/stat").exists() => {
            return Found::Gone;
        }
        Err(_) => return Found::Unknown,
    };
    let mut fields =
        text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).into_iter().flatten();
    // A zombie has ended; it only waits for its parent to look.
    if matches!(fields.next(), Some("Z" | "X")) {
        return Found::Gone;
    }
    fields.nth(18).and_then(|ticks| ticks.parse().ok()).map_or(Found::Unknown, Found::Started)
}

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
        "SELECT query_id FROM system.processes WHERE {condition} AND position(query_id, '-insert-') > 0"
    );
    let found = connection.rows::<Query>("leftovers", &sql).await;
    let found = found.map_err(|error| LedgerError::Processes(Box::new(error)))?;
    Ok(found.into_iter().map(|query| query.query_id).collect())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_not_gone_and_an_ended_one_is() {
        let here = ProcessIdentity::current();
        assert!(
            here.process_started > 0 && !here.host.is_empty() && !here.machine.is_empty(),
            "{here:?}"
        );
        assert!(!here.is_gone(&here));
        let given_out_again =
            ProcessIdentity { process_started: here.process_started - 1, ..here.clone() };
        assert!(given_out_again.is_gone(&here));

        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let Found::Started(started) = start_of(child.id()) else { panic!("the child runs") };
        let other = ProcessIdentity { pid: child.id(), process_started: started, ..here.clone() };
        assert!(!other.is_gone(&here));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(other.is_gone(&here));
        let elsewhere = ProcessIdentity { machine: "another".to_owned(), ..other.clone() };
        assert!(!elsewhere.is_gone(&here));
        assert!(!ProcessIdentity { host: "another".to_owned(), ..other }.is_gone(&here));
    }
}
