//! The tests' orders behind a proxy, and what a server's exception looks like on the wire.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use crate::orders::Orders;
use crate::support::{Binary, Direction, Output, Proxy, Running, Server, process};

/// How long a condition that must come may take on a machine that does much else.
pub const SOON: Duration = Duration::from_secs(60);
pub const ROWS: u64 = 20_000;

/// Parts of the query ids of the statements.
pub const LOOKUP: &[u8] = b"-lookup-";
pub const SOURCE: &[u8] = b"-source-";
pub const INSERT: &[u8] = b"-insert-";

/// Orders behind a proxy.
pub struct Behind {
    pub orders: Orders,
    pub proxy: Proxy,
}

impl Behind {
    pub fn start() -> Self {
        Self::on(Server::shared())
    }

    /// On a server of the test's own, which may be killed.
    pub fn isolated() -> Self {
        Self::on(Server::isolated())
    }

    pub fn on(server: Server) -> Self {
        let orders = Orders::on(server, ROWS);
        let proxy = Proxy::start(orders.server.port());
        Self { orders, proxy }
    }

    /// A run through the proxy in batches that make several inserts.
    pub fn tool(&self) -> Binary {
        self.orders.tool_at(&self.proxy.url()).args(&["--batch-size", "2000"])
    }

    /// Empties the target.
    pub fn begin_again(&self) {
        self.orders.server.query("TRUNCATE TABLE shipments");
    }

    /// Runs, expects success in spite of the one fault that is armed, and holds the target against
    /// the join.
    #[track_caller]
    pub fn survives(&self, arm: impl FnOnce(&Proxy)) -> Output {
        self.survives_with(&[], arm)
    }

    /// The same for a run with further arguments.
    #[track_caller]
    pub fn survives_with(&self, arguments: &[&str], arm: impl FnOnce(&Proxy)) -> Output {
        self.begin_again();
        let before = self.proxy.fired();
        arm(&self.proxy);
        // No later run asks for the ledger, and tables cost a third of the server's work.
        let tool = self.tool().env("LEDGER", "file:ledger");
        let output = tool.args(arguments).run().expect(0);
        assert_eq!(self.proxy.fired(), before + 1, "the fault happened once\n{output}");
        assert!(self.orders.figure("retries") >= 1, "{output}");
        assert_eq!(self.orders.figure("errors"), 0, "{output}");
        self.orders.assert_complete();
        output
    }

    /// The bytes that the last run's statement of this label gives, with something behind it, such
    /// as a limit.
    pub fn rows_of(&self, marker: &[u8], behind: &str) -> Vec<u8> {
        self.answer_of(marker, behind, "RowBinary")
    }

    /// The same in a format.
    pub fn answer_of(&self, marker: &[u8], behind: &str, format: &str) -> Vec<u8> {
        let server = &self.orders.server;
        server.query("SYSTEM FLUSH LOGS");
        let label = std::str::from_utf8(marker).unwrap();
        let query = server.text(&format!(
            "SELECT query FROM system.query_log WHERE type = 'QueryFinish' AND query_id LIKE 'clickhouse-backfill-%{label}%'
            AND current_database = currentDatabase() ORDER BY event_time_microseconds DESC LIMIT 1 FORMAT TSVRaw"
        ));
        let query = query.trim_end().trim_end_matches("FORMAT RowBinary");
        server.query(&format!("SELECT * FROM ({query}) {behind} FORMAT {format}"))
    }

    /// Starts a run and lets it insert some rows; then the source stops sending.
    pub fn half_way(&self) -> Running {
        self.half_way_with(self.tool())
    }

    /// The same for a run with further arguments.
    pub fn half_way_with(&self, tool: Binary) -> Running {
        let before = self.proxy.fired();
        self.proxy.after_request_with(SOURCE).stall_at(Direction::ToClient, 5_000_000, 1);
        let running = tool.spawn();
        wait_for_fault(&self.proxy, before);
        self.orders.wait_for_rows();
        running
    }
}

/// Waits until one more fault has happened than before.
#[track_caller]
pub fn wait_for_fault(proxy: &Proxy, before: usize) {
    assert!(process::wait_until(SOON, || proxy.fired() > before), "the fault did not happen");
}

/// Starts a tool behind the proxy, and waits until its statement of this label is held back: before it
/// arrives, or before it is answered.
#[track_caller]
pub fn held_at(proxy: &Proxy, label: &str, direction: Direction, tool: Binary) -> Running {
    let before = proxy.fired();
    proxy.after_request_with(label.as_bytes()).stall_at(direction, 0, 1);
    let running = tool.env("CLICKHOUSE_URL", proxy.url()).spawn();
    wait_for_fault(proxy, before);
    running
}

/// An error of the server as it answers with one before the first row.
pub fn exception(code: u32, name: &str) -> Vec<u8> {
    let words = format!(
        "Code: {code}. DB::Exception: this is error {code} of a test. ({name}) (version 26.7.3.1 (official build))\n"
    );
    format!(
        "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=UTF-8\r\nX-ClickHouse-Exception-Code: {code}\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{words}",
        words.len()
    )
    .into_bytes()
}
