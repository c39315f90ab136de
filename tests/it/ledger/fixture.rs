//! Orders in several chunks, and runs that stop in the middle of one of them.

use std::time::Duration;

use crate::orders::{JOB, Orders, PARTITION};
use crate::support::{Binary, Direction, Proxy, Running, Server, binary, process};

/// How long a condition that must come may take on a machine that does much else.
pub const SOON: Duration = Duration::from_secs(60);
pub const ROWS: u64 = 60_000;

/// What runs here have in common: chunks as small as they can be, one after the other.
const CHUNKS: [(&str, &str); 4] =
    [("CHUNK_ROWS", "8192"), ("READERS", "1"), ("INSERTERS", "1"), ("BATCH_SIZE", "3000")];

/// Orders behind a proxy.
pub struct Chunked {
    pub orders: Orders,
    pub proxy: Proxy,
}

impl Chunked {
    pub fn start() -> Self {
        Self::on(Server::shared())
    }

    pub fn on(server: Server) -> Self {
        let orders = Orders::on(server, ROWS);
        let proxy = Proxy::start(orders.server.port());
        Self { orders, proxy }
    }

    pub fn server(&self) -> &Server {
        &self.orders.server
    }

    /// A run to the server itself.
    pub fn tool(&self) -> Binary {
        self.orders.resuming_tool_at(self.server().url()).envs(&CHUNKS)
    }

    /// `plan`, without a measurement.
    pub fn plan(&self) -> Binary {
        let plan = binary().file("job.toml", JOB).envs(&self.server().environment()).envs(&CHUNKS);
        plan.args(&["plan", "--job", "job.toml", "--partition", PARTITION, "--measure", "0s"])
    }

    /// A repair through the server at this URL.
    pub fn repair_at(&self, url: &str) -> Binary {
        let repair = binary().file("job.toml", JOB).envs(&self.server().environment());
        let repair = repair.env("CLICKHOUSE_URL", url).envs(&CHUNKS);
        repair.args(&["repair", "--job", "job.toml", "--partition", PARTITION])
    }

    /// A run through the proxy.
    pub fn stalling_tool(&self) -> Binary {
        self.orders.resuming_tool_at(&self.proxy.url()).envs(&CHUNKS)
    }

    /// The ranges of the chunks that a run will have.
    pub fn ranges(&self) -> Vec<String> {
        let printed = self.plan().arg("--json").run().expect(0).stdout;
        let plan: serde_json::Value = serde_json::from_str(&printed).unwrap();
        let ranges: Vec<_> = plan["chunks"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|chunk| Some(chunk["range"].as_str()?.to_owned()))
            .collect();
        assert!(ranges.len() >= 6, "{printed}");
        ranges
    }

    /// A run through the proxy, which stops hearing of the source in the middle of this chunk.
    pub fn stalled_at(&self, range: &str, tool: impl FnOnce(Binary) -> Binary) -> Running {
        let before = self.proxy.fired();
        // As the query of the source has it; the ledger's rows have the range as well, behind
        // another character.
        let marker = format!("AND ({range}");
        self.proxy.after_request_with(marker.as_bytes()).stall_at(Direction::ToClient, 100_000, 1);
        let running = tool(self.stalling_tool()).spawn();
        assert!(
            process::wait_until(SOON, || self.proxy.fired() > before),
            "the source was not stopped"
        );
        running
    }

    /// A run in tables that stopped when so many chunks were completed, with nothing under way but
    /// the next one.
    pub fn stalled_behind(&self, ranges: &[String], chunks: usize) -> Running {
        let running = self.stalled_at(&ranges[chunks], |tool| tool);
        assert!(
            process::wait_until(SOON, || self.completed() == chunks as u64),
            "{} of {chunks} chunks are completed",
            self.completed()
        );
        running
    }

    /// The same half way; gives how many are completed.
    pub fn stalled_half_way(&self) -> (Running, u64) {
        let ranges = self.ranges();
        let half = ranges.len() / 2;
        (self.stalled_behind(&ranges, half), half as u64)
    }

    /// A run in tables that was killed when some chunks were completed, and others were not; gives
    /// how many were.
    pub fn killed_half_way(&self) -> u64 {
        let (running, completed) = self.stalled_half_way();
        running.signal("KILL");
        assert_eq!(running.wait().status, None);
        self.proxy.pass();
        completed
    }

    /// Chunks that are completed, by the ledger's tables.
    pub fn completed(&self) -> u64 {
        let server = self.server();
        if server.text("EXISTS TABLE load_state_chunks") == "0" {
            return 0;
        }
        server
            .text("SELECT count() FROM load_state_chunks FINAL WHERE status = 'completed'")
            .parse()
            .unwrap()
    }

    /// Asserts that the ledger says of one load that all of it is done, and that it is.
    #[track_caller]
    pub fn assert_completed(&self) {
        self.orders.assert_complete();
        let figures = self.server().text(
            "SELECT count(), any(status), any(chunks) = any(chunks_completed), any(rows_read) = (SELECT count() FROM expected),
                any(rows_read) = any(rows_inserted), any(matched) + any(matched_late) + any(unmatched) = any(rows_read), any(rows_expected) = any(rows_read),
                countIf(completed_at >= started_at) FROM load_state FINAL WHERE is_current",
        );
        assert_eq!(figures, "1\tcompleted\t1\t1\t1\t1\t1\t1");
        let held =
            self.server().text("SELECT count() FROM load_claims FINAL WHERE status = 'held'");
        assert_eq!(held, "0", "every claim was given back");
    }
}
