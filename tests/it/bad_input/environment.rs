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
fn a_byte_order_mark_is_not_part_of_the_first_name() {
    let output = fails(
        tool().file(".env", "\u{feff}PARTITION=202506\r\nOUTAGE_WAIT=0s\r\n"),
        2,
        &["the connection to http://127.0.0.1:1/ failed"],
    );
    assert!(!output.stderr.contains("note: "), "{output}");
    // Lines are counted as before.
    fails(
        tool().file(".env", "\u{feff}PARTITION=202506\nBATCH_SIZE=0\n"),
        2,
        &["BATCH_SIZE in .env, line 2"],
    );
}

#[test]
fn unknown_names_in_the_file_are_noted() {
    let text = "PARTITON=202505\nPARTITION=202506\n\nexport clickhouse_user=ann\nTZ=UTC\nNEXTAUTH_URL=hidden\n";
    let tool = || tool().env("OUTAGE_WAIT", "0s").file(".env", text);
    let notes = "note: .env, line 1: PARTITON is not known; did you mean PARTITION?\n\
        note: .env, line 4: clickhouse_user is not known; did you mean CLICKHOUSE_USER?\n\
        note: .env: NEXTAUTH_URL is not known, and is ignored\n";
    let output = fails(tool(), 2, &[]);
    assert!(output.stderr.starts_with(notes), "{output}");
    let output = fails(tool().arg("--quiet"), 2, &[]);
    assert!(!output.stderr.contains("note: "), "{output}");
    let output = tool().args(&["--log-format", "json"]).run().expect(2);
    let first = output.stderr.lines().next().unwrap();
    assert!(first.starts_with('{') && first.contains("did you mean PARTITION?"), "{output}");
    let others = ["ONE", "TWO", "THREE", "FOUR", "FIVE"].map(|name| format!("{name}_X_Y_Z=1\n"));
    let output = fails(binary().arg("history").file(".env", &others.concat()), 2, &[]);
    let note =
        "note: .env: FIVE_X_Y_Z, FOUR_X_Y_Z, ONE_X_Y_Z and 2 more are not known, and are ignored\n";
    assert!(output.stderr.starts_with(note), "{output}");
}

#[test]
fn a_broken_file_stops_only_commands_that_use_it() {
    let tool = |arguments: &[&str]| {
        binary().file(".env", "PARTITION=202506\nREADERS 4\n").args(arguments).run()
    };
    for arguments in [
        &["--help"] as &[&str],
        &["--version"],
        &["run", "--help"],
        &["run", "-h"],
        &["help", "run"],
        &["completions", "bash"],
        &["man"],
        &["job", "list"],
        &["job", "show", "langfuse-events"],
    ] {
        let output = tool(arguments).expect(0);
        assert_eq!(output.stderr, "", "{arguments:?}");
    }
    let refused = tool(&["completions", "tcsh"]).expect(2);
    assert!(refused.stderr.contains("tcsh") && !refused.stderr.contains(".env"), "{refused}");
    for arguments in [&["run"] as &[&str], &["history"], &["ctl", "status"], &["run", "--x"]] {
        let refused = tool(arguments).expect(2);
        assert!(refused.stderr.starts_with("error: .env, line 2: "), "{refused}");
    }
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
