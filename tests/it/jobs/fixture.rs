//! Running a job file, and comparing its target with a SELECT that was written by hand.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::{Binary, Comparison, Output, Server, binary, quoted};

/// The only partition of the tests' tables.
pub const PARTITION: [&str; 2] = ["--partition", "id:all"];

/// What tables of unusual types need.
pub const UNUSUAL_TYPES: &[(&str, &str)] = &[
    ("allow_suspicious_low_cardinality_types", "1"),
    ("allow_suspicious_types_in_group_by", "1"),
    ("enable_time_time64_type", "1"),
    ("allow_experimental_qbit_type", "1"),
    ("enable_nullable_tuple_type", "1"),
    ("flatten_nested", "0"),
];

/// Runs statements that make such tables.
pub fn make(server: &Server, statements: &[String]) {
    for statement in statements {
        server.query_with(statement, UNUSUAL_TYPES);
    }
}

/// A job file in a folder of its own.
#[derive(Debug)]
pub struct JobFile {
    folder: TempDir,
}

impl JobFile {
    pub fn new(text: &str) -> Self {
        let folder = TempDir::with_prefix("job-").unwrap();
        std::fs::write(folder.path().join("job.toml"), text).unwrap();
        Self { folder }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("job.toml")
    }

    /// A command with this job over the tests' partition.
    pub fn tool(&self, server: &Server, command: &str) -> Binary {
        self.tool_without_partition(server, command).args(&PARTITION)
    }

    /// A command with this job; which partition is left to the test.
    pub fn tool_without_partition(&self, server: &Server, command: &str) -> Binary {
        binary()
            .envs(&server.environment())
            .env("RESTART", "true")
            .arg(command)
            .arg("--job")
            .arg(self.path())
    }
}

/// Runs the job, and executes the join that `plan --sql` prints as well; both must have filled the
/// target as `expected` says. Gives what the run printed.
#[track_caller]
pub fn assert_fills(
    server: &Server,
    job: &str,
    target: &str,
    key: &[&str],
    expected: &str,
) -> Output {
    assert_fills_with(server, job, &[], target, key, expected)
}

/// The same with more arguments for the run.
#[track_caller]
pub fn assert_fills_with(
    server: &Server,
    job: &str,
    arguments: &[&str],
    target: &str,
    key: &[&str],
    expected: &str,
) -> Output {
    let file = JobFile::new(job);
    // No later run asks for it, and tables cost a third of the server's work.
    let tool = |command| file.tool(server, command).env("LEDGER", "file:ledger");
    let output = tool("run").args(arguments).run().expect(0);
    let comparison = Comparison::of_table(server, target, key).with_settings(UNUSUAL_TYPES);
    let (table, twin) = (quoted(target), quoted(&format!("{target}, twin")));
    comparison.assert_same("the run", &format!("SELECT * FROM {table} FINAL"), expected);

    let printed = tool("plan").arg("--sql").run().expect(0).stdout;
    let (_, join) = printed.split_once("-- equivalent join\n").expect("the join is printed");
    let (_, insert) = printed.split_once("-- insert of a batch\n").expect("the insert is printed");
    let settings = insert.find("\nSETTINGS ").expect("the insert has settings");
    let columns = &insert[insert.find(" (").expect("the insert names its columns")..settings];
    server.query_with(&format!("CREATE TABLE {twin} AS {table}"), UNUSUAL_TYPES);
    let join = join.trim_end().strip_suffix(';').expect("a statement ends with a semicolon");
    server.query_with(
        &format!("INSERT INTO {twin}{columns}\n{join}"),
        &[("insert_null_as_default", "0")],
    );
    comparison.assert_same("the derived join", &format!("SELECT * FROM {twin} FINAL"), expected);
    server.query(&format!("DROP TABLE {twin} SYNC"));
    output
}

/// Asserts that the run is refused before the first row, in these words, and that nothing was
/// written.
#[track_caller]
pub fn assert_refused(server: &Server, job: &str, target: &str, status: i32, words: &str) {
    let output = JobFile::new(job).tool(server, "run").run().expect(status);
    assert!(output.stderr.contains(words), "{words:?} is expected\n{output}");
    assert_eq!(server.text(&format!("SELECT count() FROM {target}")), "0");
}
