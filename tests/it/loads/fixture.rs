//! A billing export of one month in several Parquet files, which the server writes and reads.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{Binary, Proxy, Server, binary};

/// The period, which is a part of the path.
pub const PERIOD: &str = "2025-10";

/// The table that is filled. Its partition of another month stays as it is.
const TABLE: &str = "
CREATE TABLE costs (id UInt64, account String, used DateTime('UTC'), cost Decimal(18, 6), tags Map(String, String))
ENGINE = MergeTree PARTITION BY toYYYYMM(used) ORDER BY id
--;;
INSERT INTO costs SELECT number, 'before', '2025-09-30 12:00:00', 1, map() FROM numbers(50)
";

/// The rows of an object: `count` of them from `first` on.
pub fn rows(first: u64, count: u64) -> String {
    format!(
        "SELECT number AS id, leftPad(toString(number % 30), 12, '0') AS account, \
         toDateTime('2025-10-01 00:00:00', 'UTC') + number * 600 AS used, toDecimal64(number * 1.000007, 6) AS cost, \
         mapFromArrays(arrayMap(i -> concat('tag', toString(i)), range(number % 4)), arrayMap(i -> toString(number + i), range(number % 4))) AS tags \
         FROM numbers({first}, {count})"
    )
}

/// The server, its target, and a folder of files.
pub struct Export {
    pub server: Server,
    folder: TempDir,
}

impl Export {
    /// Two objects of 1,000 and 500 rows.
    pub fn delivered() -> Self {
        let server = Server::shared_here();
        server.script(TABLE);
        let export = Self { server, folder: TempDir::with_prefix("objects-").unwrap() };
        export.write("a.parquet", &rows(0, 1000));
        export.write("b.parquet", &rows(1000, 500));
        export
    }

    /// The folder of the period.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join(format!("month={PERIOD}"))
    }

    /// The path of an object.
    pub fn path(&self, name: &str) -> String {
        self.folder().join(name).display().to_string()
    }

    /// Lets the server write an object, in the format of its name.
    pub fn write(&self, name: &str, rows: &str) {
        self.server.query_with(
            &format!("INSERT INTO FUNCTION file('{}') {rows}", self.path(name)),
            &[("engine_file_truncate_on_insert", "1")],
        );
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(Path::new(&self.path(name))).unwrap();
    }

    /// The second delivery: one object again with other rows, one gone, one new.
    pub fn deliver_anew(&self) {
        self.write("a.parquet", &rows(200, 700));
        self.write("c.parquet", &rows(2000, 90));
        self.remove("b.parquet");
    }

    /// The lines of the job under `[source]`, for objects of this name.
    pub fn source(&self, objects: &str) -> String {
        let folder = self.folder.path().display();
        format!("objects = \"file:{folder}/month={{period}}/{objects}\"")
    }

    /// The job.
    pub fn job(&self) -> String {
        format!(
            r#"name = "costs"

[source]
{}
format = "Parquet"

[target]
table = "costs"
publish = "replace"
keep_versions = 1

[columns]
id = "source.id"
account = "source.account"
used = "source.used"
cost = "source.cost"
tags = "source.tags"
"#,
            self.source("*.parquet")
        )
    }

    pub fn proxy(&self) -> Proxy {
        Proxy::start(self.server.port())
    }

    /// A command with a job and the period.
    pub fn command_of(&self, command: &str, job: &str) -> Binary {
        let tool = binary().file("job.toml", job).envs(&self.server.environment());
        tool.env("PARTITION", PERIOD)
            .args(&[command, "--job", "job.toml"])
            .limit(Duration::from_secs(120))
    }

    pub fn command(&self, command: &str) -> Binary {
        self.command_of(command, &self.job())
    }

    /// A run that fills one object after another.
    pub fn run_of(&self, job: &str) -> Binary {
        self.command_of("run", job).args(&["--engine", "server", "--inserters", "1"])
    }

    pub fn run(&self) -> Binary {
        self.run_of(&self.job())
    }

    /// A plan without a measurement.
    pub fn plan_of(&self, job: &str) -> Binary {
        self.command_of("plan", job).args(&["--engine", "server", "--measure", "0s"])
    }

    pub fn text(&self, sql: &str) -> String {
        self.server.text(&format!("{sql} FORMAT TSV"))
    }

    /// Asserts that the month has the rows of the objects that are there now, counted by a statement of its own,
    /// and that the other month is as it was.
    #[track_caller]
    pub fn assert_loaded(&self) {
        let objects = format!("(SELECT * FROM file('{}'))", self.path("*.parquet"));
        assert_eq!(self.digest(&objects), self.digest(MONTH));
        self.assert_other_month();
    }

    /// Rows, costs, tags and a hash of all values.
    pub fn digest(&self, rows: &str) -> String {
        self.text(&format!(
            "SELECT count(), sum(cost), sum(length(tags)), sum(sipHash64(id, account, toUnixTimestamp(used), toString(cost), toString(tags))) FROM {rows}"
        ))
    }

    #[track_caller]
    pub fn assert_other_month(&self) {
        let others = self.text("SELECT count(), countIf(account = 'before') FROM costs WHERE used < '2025-10-01 00:00:00'");
        assert_eq!(others, "50\t50");
    }

    /// The versions of the load, from the oldest: state, whether it is current, inserted rows.
    pub fn versions(&self) -> String {
        self.text(
            "SELECT status, is_current, rows_inserted FROM load_state FINAL ORDER BY load_version",
        )
    }
}

/// The rows of the month in the target.
pub const MONTH: &str = "(SELECT * FROM costs WHERE used >= '2025-10-01 00:00:00')";
