//! Sales enriched with the city of their customer, into a table that collapses nothing.

use std::time::Duration;

use crate::support::{Binary, Proxy, Server, binary};

/// The partition that is replaced.
pub const PARTITION: &str = "202506";

/// The job. Its target has rows in other partitions, and in this one.
pub const JOB: &str = r#"name = "sales"

[source]
table = "raw"
join_key = ["customer"]

[lookup]
table = "customers"
join_key = ["id"]

[target]
table = "sales"
publish = "replace"

[columns]
id = "source.id"
customer = "source.customer"
at = "source.at"
amount = "source.amount * 2"
city = "coalesce(lookup.city, 'nowhere')"
"#;

/// The target recognizes blocks, which must not swallow rows that are equal.
const TABLES: &str = "
CREATE TABLE raw (id UInt64, customer String, at DateTime('UTC'), amount Int64)
ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY (customer, id) SETTINGS index_granularity = 128
--;;
CREATE TABLE customers (id String, city Nullable(String)) ENGINE = MergeTree ORDER BY id
--;;
CREATE TABLE sales (id UInt64, customer String, at DateTime('UTC'), amount Int64, city String, label String DEFAULT concat('of ', customer))
ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY (customer, id) SETTINGS non_replicated_deduplication_window = 1000
--;;
INSERT INTO raw SELECT number, concat('c', toString(number % 100)), toDateTime('2025-06-01 00:00:00', 'UTC') + number * 120, number FROM numbers(20000)
--;;
INSERT INTO raw SELECT * FROM raw WHERE id % 10 = 0
--;;
INSERT INTO raw SELECT number, 'c1', toDateTime('2025-05-03 00:00:00', 'UTC'), 1 FROM numbers(500)
--;;
INSERT INTO customers SELECT concat('c', toString(number)), if(number % 7 = 0, NULL, concat('city ', toString(number))) FROM numbers(80)
--;;
INSERT INTO sales (id, customer, at, amount, city) SELECT number, 'before', toDateTime('2025-06-09 00:00:00', 'UTC'), 1, 'old' FROM numbers(300)
--;;
INSERT INTO sales (id, customer, at, amount, city) SELECT number, 'other', toDateTime('2025-05-09 00:00:00', 'UTC'), 1, 'old' FROM numbers(200)
";

/// What the partition is to hold, written by hand.
const EXPECTED: &str = "SELECT r.id, r.customer, r.at, r.amount * 2, coalesce(c.city, 'nowhere'), concat('of ', r.customer)
    FROM raw AS r LEFT ANY JOIN customers AS c ON r.customer = c.id WHERE toYYYYMM(r.at) = 202506";

/// The tables in a database of the test's own.
pub struct Sales {
    pub server: Server,
}

impl Sales {
    pub fn start() -> Self {
        Self::on(Server::shared())
    }

    pub fn on(server: Server) -> Self {
        server.script(TABLES);
        Self { server }
    }

    pub fn proxy(&self) -> Proxy {
        Proxy::start(self.server.port())
    }

    /// A command with the job, the partition and this server.
    pub fn command(&self, command: &str) -> Binary {
        let tool = binary().file("job.toml", JOB).envs(&self.server.environment());
        tool.env("PARTITION", PARTITION)
            .args(&[command, "--job", "job.toml"])
            .limit(Duration::from_secs(120))
    }

    /// A run in several chunks.
    pub fn run(&self) -> Binary {
        self.command("run").args(&["--engine", "server", "--chunk-rows", "3000"])
    }

    /// The same with other lines under `[target]`.
    pub fn run_with(&self, target: &str) -> Binary {
        self.run().file("job.toml", &job_with(target))
    }

    /// A figure of the server.
    pub fn text(&self, sql: &str) -> String {
        self.server.text(sql).trim().to_owned()
    }

    fn digest(&self, rows: &str) -> String {
        self.text(&format!(
            "SELECT count(), sum(sipHash64(formatRow('RowBinary', *))) FROM ({rows}) FORMAT TSV"
        ))
    }

    /// Asserts that the partition has the rows of the job, each as often as the source, and that the
    /// other partition is as it was.
    #[track_caller]
    pub fn assert_published(&self) {
        self.assert_published_in("sales");
    }

    /// The same of a table like the target.
    #[track_caller]
    pub fn assert_published_in(&self, table: &str) {
        let found = self.digest(&format!("SELECT * FROM {table} WHERE toYYYYMM(at) = 202506"));
        assert_eq!(found, self.digest(EXPECTED));
        self.assert_other_partition_of(table);
    }

    /// Asserts that the partition is as it was before the run.
    #[track_caller]
    pub fn assert_unchanged(&self) {
        let found = "SELECT count(), countIf(customer = 'before') FROM sales WHERE toYYYYMM(at) = 202506 FORMAT TSV";
        assert_eq!(self.text(found), "300\t300");
        self.assert_other_partition_of("sales");
    }

    #[track_caller]
    fn assert_other_partition_of(&self, table: &str) {
        let found = format!(
            "SELECT count(), countIf(customer = 'other') FROM {table} WHERE toYYYYMM(at) != 202506 FORMAT TSV"
        );
        assert_eq!(self.text(&found), "200\t200");
    }

    /// The tables beside the target.
    pub fn tables(&self) -> String {
        self.text("SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE 'sales\\\\_%' ORDER BY name FORMAT TSV")
    }

    /// The versions of the load, from the oldest: state, whether it is current, and the step.
    pub fn versions(&self) -> String {
        self.text(
            "SELECT status, is_current, JSONExtractString(publication, 'step') FROM load_state FINAL ORDER BY load_version FORMAT TSV",
        )
    }
}

/// The job with other lines under `[target]` in the place of `publish`.
pub fn job_with(target: &str) -> String {
    JOB.replace("publish = \"replace\"", target)
}
