//! Orders in several chunks, runs of them, and what is said to these.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::orders::Orders;
use crate::support::{Binary, Output, Running, Server, binary, process};

/// How long a condition that must come may take on a machine that does much else.
pub const SOON: Duration = Duration::from_secs(60);
pub const ROWS: u64 = 60_000;

/// Chunks as small as they can be, a few batches each.
const CHUNKS: [(&str, &str); 2] = [("CHUNK_ROWS", "8192"), ("BATCH_SIZE", "4000")];

/// So many rows a second leave time to do something to a run.
pub const SLOWLY: (&str, &str) = ("MAX_ROWS_PER_SECOND", "4000");

/// Orders in a database of their own.
pub fn orders() -> Orders {
    orders_on(Server::shared())
}

pub fn orders_on(server: Server) -> Orders {
    Orders::on(server, ROWS)
}

/// A run of all orders.
pub fn tool(orders: &Orders) -> Binary {
    orders.tool().envs(&CHUNKS)
}

/// The same, but it goes on with what others have left.
pub fn resuming_tool(orders: &Orders) -> Binary {
    orders.resuming_tool_at(orders.server.url()).envs(&CHUNKS)
}

/// Where a run listens that was told nothing about it.
pub fn socket(running: &Running) -> PathBuf {
    running.folder().join(format!("clickhouse-backfill-{}.sock", running.process()))
}

/// Sends bytes to a socket, and gives the first line of what comes back; `None` where nobody
/// listens.
pub fn try_say(socket: &Path, words: &[u8]) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(SOON)).unwrap();
    // What is too much is not all taken.
    let _ = stream.write_all(words);
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    Some(line)
}

/// What the run says of itself; `None` where it does not listen yet, or not any more.
pub fn try_status(socket: &Path) -> Option<Value> {
    let line = try_say(socket, b"{\"command\":\"status\"}\n")?;
    let answer: Value = serde_json::from_str(&line).ok()?;
    Some(answer["status"].clone())
}

/// Waits until the run says something of itself that fulfils this.
#[track_caller]
pub fn wait_for(socket: &Path, what: &str, fulfils: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let came = process::wait_until(SOON, || {
        last = try_status(socket).unwrap_or_default();
        !last.is_null() && fulfils(&last)
    });
    assert!(came, "{what}: {last:#}");
    last
}

/// Waits until the run waits for exactly this.
#[track_caller]
pub fn wait_for_reason(socket: &Path, reason: &str) -> Value {
    wait_for(socket, reason, |status| status["waiting"] == serde_json::json!([reason]))
}

/// How long a run takes here that waits for nothing.
pub fn time_of_a_run(orders: &Orders) -> Duration {
    let began = Instant::now();
    tool(orders).arg("--dry-run").run().expect(0);
    began.elapsed()
}

/// A run that waits moves no row in a time in which another one has come to its end.
#[track_caller]
pub fn assert_nothing_moves(socket: &Path, time_of_a_run: Duration) {
    wait_for(socket, "it has begun", |status| status["phase"] != "plan");
    std::thread::sleep(time_of_a_run);
    let status = try_status(socket).expect("the run goes on");
    let progress = &status["progress"];
    for moved in
        ["lookup_rows", "rows_read", "rows", "inserts_in_flight", "chunks_done", "chunks_failed"]
    {
        assert_eq!(progress[moved], 0, "{moved} of a run that waits: {status:#}");
    }
}

/// `ctl` to this socket.
pub fn ctl(socket: &Path, arguments: &[&str]) -> Output {
    binary().arg("ctl").args(arguments).arg("--socket").arg(socket).run()
}
