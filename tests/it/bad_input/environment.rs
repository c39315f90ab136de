//! Flags, environment variables and `.env`. No server is asked: the URL leads nowhere.

use super::fails;
use crate::support::{Binary, binary};

/// A URL at which nobody listens, since port 1 needs a privilege and has no service.
const NOWHERE: &str = "http://127.0.0.1:1";

fn tool() -> Binary {
    binary().arg("run").env("CLICKHOUSE_URL", NOWHERE)
}

#[test]
fn partitions_that_are_none() {
    for (text, part) in [
        ("2024-06", "\"2024-06\" is not a partition; give a month as YYYYMM"),
        ("202413", "\"202413\" is not a month"),
        ("", "the partition is empty"),
        ("id:", "the partition is empty"),
        ("20240", "is not a partition"),
    ] {
        fails(tool().arg(format!("--partition={text}")), 2, &["--partition", part]);
        fails(
            tool().env("PARTITION", text),
            2,
            &["--partition", part, "the environment variable PARTITION"],
        );
    }
    fails(tool(), 2, &["required", "--partition"]);
}

#[test]
fn malformed_values_name_their_variable() {
    for (variable, value, part) in [
        ("BATCH_SIZE", "0", "it must be at least 1"),
        ("BATCH_SIZE", "many", "a whole number of rows"),
        ("BATCH_BYTES", "12 apples", "a size such as 128MiB"),
        ("STREAM_BLOCK_SIZE", "-5", "a whole number of rows"),
        ("READERS", "0", "auto, or a number from 1 to 256"),
        ("INSERTERS", "1000", "auto, or a number from 1 to 256"),
        ("MEMORY", "lots", "a size such as 128MiB"),
        ("COMPRESSION", "gzip", "none, lz4, zstd"),
        ("MAX_RETRIES", "-1", "0..=1000"),
        ("SAMPLE", "x", "invalid digit"),
        ("DRY_RUN", "perhaps", "perhaps"),
        ("EXCLUDE_DATASET_ITEMS", "2", "2"),
        ("NO_PROGRESS", "", "boolean"),
        ("LOG_FORMAT", "xml", "text, json"),
    ] {
        let flag = format!("--{}", variable.to_lowercase().replace('_', "-"));
        let origin = format!("the environment variable {variable}");
        fails(
            tool().args(&["--partition", "202506"]).env(variable, value),
            2,
            &[&flag, part, &origin],
        );
        let text = format!("# a comment\n\nexport OTHER=1\n{variable}='{value}'\n");
        let origin = format!("{variable} in .env, line 4");
        fails(
            tool().args(&["--partition", "202506"]).file(".env", &text),
            2,
            &[&flag, part, &origin],
        );
        let given = fails(
            tool().args(&["--partition", "202506"]).arg(format!("{flag}={value}")),
            2,
            &[&flag, part],
        );
        assert!(!given.stderr.contains("the value comes from"), "{given}");
    }
    fails(
        tool().args(&["--partition", "202506", "--batch-size", "0"]),
        2,
        &["--batch-size", "it must be at least 1"],
    );
}

#[test]
fn bad_lines_of_the_file_are_named_and_not_shown() {
    for (text, place) in [
        ("A=1\nCLICKHOUSE_PASSWORD hidden-word\n", ".env, line 2"),
        ("A=1\n\nCLICKHOUSE_PASSWORD=hidden word\n", ".env, line 3"),
        ("CLICKHOUSE_PASSWORD='hidden-word\n", ".env, line 1"),
        ("A=1\nCLICKHOUSE_PASSWORD=\"hidden-word\nB=2\n", ".env, line 2"),
        ("=hidden-word\n", ".env, line 1"),
        ("A=1\nB=\"\\hidden-word\"\n", ".env, line 2"),
        ("A=1\nA hidden-word\nA hidden-word\n", ".env, line 2"),
    ] {
        let output = fails(
            tool().args(&["--partition", "202506"]).file(".env", text),
            2,
            &[place, "this is not NAME=value"],
        );
        assert!(
            !output.stderr.contains("hidden"),
            "the line is shown, which may be a password\n{output}"
        );
    }
    let binary = tool().args(&["--partition", "202506"]);
    std::fs::write(binary.folder().join(".env"), b"CLICKHOUSE_PASSWORD=hidden\xff\n").unwrap();
    let output = fails(binary, 2, &[".env"]);
    assert!(!output.stderr.contains("hidden"), "{output}");
}

#[test]
fn flags_that_exclude_each_other() {
    let both =
        ["--partition", "202506", "--clickhouse-password", "x", "--clickhouse-password-file", "y"];
    fails(tool().args(&both), 2, &["--clickhouse-password-file"]);
    fails(tool().args(&["--partition", "202506", "-v", "-q"]), 2, &["--quiet"]);
    fails(
        tool().args(&["--partition", "202506", "--parition", "202507"]),
        2,
        &["--parition", "--partition"],
    );
    fails(
        tool().args(&["--partition", "202506", "--job", "no-such-job"]),
        2,
        &["no-such-job", "job list"],
    );
    fails(binary().args(&["job", "show", "no-such-job"]), 2, &["no-such-job", "job list"]);
    fails(
        tool().args(&["--partition", "202506", "--log-file", "no-such-folder/x.log"]),
        2,
        &["no-such-folder/x.log"],
    );
}

/// A summary that cannot be written in the end would be noticed after hours.
#[test]
fn a_summary_file_that_cannot_be_written_is_found_first() {
    let output = fails(
        tool().args(&["--partition", "202506", "--summary-json", "no-such-folder/x.json"]),
        2,
        &["no-such-folder/x.json"],
    );
    assert!(!output.stderr.contains("127.0.0.1:1"), "the server was asked first\n{output}");
}
