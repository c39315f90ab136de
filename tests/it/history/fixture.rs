//! Orders of several months.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::orders::{JOB, Orders};
use crate::support::{Binary, Server, binary};

/// How long a condition that must come may take on a machine that does much else.
pub const SOON: Duration = Duration::from_secs(60);

/// The months that have orders; 202505 has none.
pub const MONTHS: [&str; 3] = ["202503", "202504", "202506"];

/// Orders of three months, and a folder for what runs leave behind.
pub struct Months {
    pub orders: Orders,
    folder: TempDir,
}

impl Months {
    pub fn start() -> Self {
        Self::on(Server::shared())
    }

    pub fn on(server: Server) -> Self {
        let orders = Orders::on(server, 2000);
        for months in [2, 3] {
            orders.server.query(&format!(
                "INSERT INTO orders SELECT id + {months}0000000, customer, toStartOfMonth(placed) - INTERVAL {months} MONTH + INTERVAL id MINUTE, amount, 1, 0, note
                 FROM orders WHERE version = 1 AND id < 10000"
            ));
        }
        Self { orders, folder: TempDir::with_prefix("months-").unwrap() }
    }

    pub fn server(&self) -> &Server {
        &self.orders.server
    }

    /// A command of the tool.
    pub fn tool(&self, command: &str) -> Binary {
        binary()
            .file("job.toml", JOB)
            .envs(&self.server().environment())
            .args(&[command, "--job", "job.toml"])
    }

    /// Fills from the first of the months to the last.
    pub fn run(&self) -> Binary {
        self.tool("run")
            .args(&["--partitions", "202503..202506", "--max-retries", "0", "--summary-json"])
            .arg(self.summary_file())
    }

    fn summary_file(&self) -> std::path::PathBuf {
        self.folder.path().join("summary.json")
    }

    /// The summary of the last run.
    pub fn summary(&self) -> Value {
        serde_json::from_str(
            &std::fs::read_to_string(self.summary_file()).expect("the run wrote a summary"),
        )
        .unwrap()
    }

    /// What became of each partition, by the last run's summary.
    pub fn outcomes(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let partitions = self.summary()["partitions"].as_array().unwrap().clone();
        partitions
            .iter()
            .map(|partition| (text(&partition["partition"]), text(&partition["outcome"])))
            .collect()
    }

    /// The line that says what is done and what is missing.
    pub fn line(&self) -> String {
        let output = self.tool("history").run().expect(0);
        output.stdout.lines().nth(1).unwrap_or_else(|| panic!("{output}")).to_owned()
    }

    /// Makes one order of this month one that the job's expressions cannot take.
    pub fn poison(&self, month: &str) {
        self.server().query(&format!(
            "INSERT INTO orders SELECT id, customer, placed, amount, 7, 0, 'poison' FROM orders WHERE toYYYYMM(placed) = {month} ORDER BY id LIMIT 1"
        ));
    }

    /// Takes that back.
    pub fn cure(&self) {
        self.server().query("INSERT INTO orders SELECT id, customer, placed, amount, 8, 0, 'cured' FROM orders WHERE note = 'poison'");
    }

    /// Which months are in the target as the join by hand makes them; panics where one is there in
    /// part.
    #[track_caller]
    pub fn filled(&self) -> Vec<String> {
        let expected = |month: &str| {
            format!(
                "SELECT o.id, o.customer, toDateTime64(o.placed, 3, 'UTC'), toDecimal64(o.amount * 2, 2), concat(o.note, ' to ', coalesce(c.city, 'nowhere')), c.tags, c.letter,
                    o.version
                 FROM (SELECT * FROM orders FINAL WHERE toYYYYMM(placed) = {month}) AS o LEFT ANY JOIN (SELECT * FROM customers FINAL) AS c ON o.customer = c.id"
            )
        };
        let mut filled = Vec::new();
        for month in MONTHS {
            let (sql, there) = (
                expected(month),
                format!("SELECT * FROM shipments FINAL WHERE toYYYYMM(placed) = {month}"),
            );
            let figures = self.server().text(&format!(
                "SELECT (SELECT count() FROM ({sql})), (SELECT count() FROM ({there})), (SELECT count() FROM ({sql} EXCEPT {there}))"
            ));
            let figures: Vec<u64> =
                figures.split('\t').map(|figure| figure.parse().unwrap()).collect();
            assert!(figures[0] > 1000, "{month}");
            match figures[1] {
                0 => {}
                rows => {
                    assert_eq!((rows, figures[2]), (figures[0], 0), "{month}");
                    filled.push(month.to_owned());
                }
            }
        }
        filled
    }
}

/// Pairs of texts.
pub fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
}
