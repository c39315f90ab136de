//! Flags, environment variables and `.env`. No server is asked: the URL leads nowhere.

use super::fails;
use crate::support::shown::titled;
use crate::support::{Binary, assert_text_snapshot, binary};

/// A URL at which nobody listens, since port 1 needs a privilege and has no service.
const NOWHERE: &str = "http://127.0.0.1:1";

fn tool() -> Binary {
    binary().arg("run").env("CLICKHOUSE_URL", NOWHERE)
}

#[test]
fn partitions_that_are_none() {
    let texts = ["2024_06", "202413", "", "id:", "20240"];
    let failures = texts.map(|text| {
        let flag = fails(tool().arg(format!("--partition={text}")), 2);
        assert_same_but_origin(
            &fails(tool().env("PARTITION", text), 2),
            &flag,
            "the environment variable PARTITION",
        );
        (format!("--partition={text}"), flag)
    });
    assert_text_snapshot!(titled(failures), @r#"
    # --partition=2024_06
    exit code 2
    error: invalid value '2024_06' for '--partition <YYYYMM>': "2024_06" is not a partition; give a month as YYYYMM, for example 202511
    hint: `--help` behind the command explains its flags

    # --partition=202413
    exit code 2
    error: invalid value '202413' for '--partition <YYYYMM>': "202413" is not a month: its last two digits must be 01 to 12
    hint: `--help` behind the command explains its flags

    # --partition=
    exit code 2
    error: invalid value '' for '--partition <YYYYMM>': the partition is empty; give a month as YYYYMM, for example 202511
    hint: `--help` behind the command explains its flags

    # --partition=id:
    exit code 2
    error: invalid value 'id:' for '--partition <YYYYMM>': the partition is empty; give a month as YYYYMM, for example 202511
    hint: `--help` behind the command explains its flags

    # --partition=20240
    exit code 2
    error: invalid value '20240' for '--partition <YYYYMM>': "20240" is not a partition; give a month as YYYYMM, for example 202511
    hint: `--help` behind the command explains its flags
    "#);
    let period = fails(tool().arg("--partition=2024-06"), 2);
    assert_eq!(fails(tool().env("PARTITION", "2024-06"), 2), period);
    assert_text_snapshot!(period, @"
    exit code 2
    error: --partition 2024-06 is a period of objects or of PostgreSQL, and the job langfuse-events reads a table; give a month as YYYYMM, for example 202511
    ");
    assert_text_snapshot!(fails(tool(), 2), @"
    exit code 2
    error: the following required arguments were not provided:
      --partition <YYYYMM>

    Usage: clickhouse-backfill run --clickhouse-url <URL> --partition <YYYYMM>
    hint: `--help` behind the command explains its flags
    ");
}

/// A value that comes from elsewhere gives the failure of the flag, and a note that says from where.
#[track_caller]
fn assert_same_but_origin(failure: &str, of_flag: &str, origin: &str) {
    let note = format!("note: the value comes from {origin}\n");
    assert_eq!(failure.replace(&note, ""), of_flag, "{origin}");
    assert_eq!(failure.matches(&note).count(), 1, "{failure}");
}

#[test]
fn malformed_values_name_their_variable() {
    let values = [
        ("BATCH_SIZE", "0"),
        ("BATCH_SIZE", "many"),
        ("BATCH_BYTES", "12 apples"),
        ("STREAM_BLOCK_SIZE", "-5"),
        ("READERS", "0"),
        ("INSERTERS", "1000"),
        ("MEMORY", "lots"),
        ("COMPRESSION", "gzip"),
        ("MAX_RETRIES", "-1"),
        ("SHOW_ROWS", "x"),
        ("DRY_RUN", "perhaps"),
        ("EXCLUDE_DATASET_ITEMS", "2"),
        ("NO_PROGRESS", ""),
        ("LOG_FORMAT", "xml"),
    ];
    let tool = || tool().args(&["--partition", "202506"]);
    let failures = values.map(|(variable, value)| {
        let given = format!("--{}={value}", variable.to_lowercase().replace('_', "-"));
        let flag = fails(tool().arg(&given), 2);
        let variable_set = fails(tool().env(variable, value), 2);
        let origin = format!("the environment variable {variable}");
        assert_same_but_origin(&variable_set, &flag, &origin);
        let text = format!("# a comment\n\nexport OTHER=1\n{variable}='{value}'\n");
        let in_file = fails(tool().file(".env", &text), 2);
        assert_same_but_origin(&in_file, &flag, &format!("{variable} in .env, line 4"));
        (given, flag)
    });
    assert_text_snapshot!(titled(failures), @"
    # --batch-size=0
    exit code 2
    error: invalid value '0' for '--batch-size <ROWS>': it must be at least 1
    hint: `--help` behind the command explains its flags

    # --batch-size=many
    exit code 2
    error: invalid value 'many' for '--batch-size <ROWS>': it must be a whole number of rows, such as 100000 or 100k
    hint: `--help` behind the command explains its flags

    # --batch-bytes=12 apples
    exit code 2
    error: invalid value '12 apples' for '--batch-bytes <SIZE>': it must be a size such as 128MiB or 2GiB
    hint: `--help` behind the command explains its flags

    # --stream-block-size=-5
    exit code 2
    error: invalid value '-5' for '--stream-block-size <ROWS>': it must be a whole number of rows, such as 100000 or 100k
    hint: `--help` behind the command explains its flags

    # --readers=0
    exit code 2
    error: invalid value '0' for '--readers <N|auto>': it must be auto, or a number from 1 to 256
    hint: `--help` behind the command explains its flags

    # --inserters=1000
    exit code 2
    error: invalid value '1000' for '--inserters <N|auto>': it must be auto, or a number from 1 to 256
    hint: `--help` behind the command explains its flags

    # --memory=lots
    exit code 2
    error: invalid value 'lots' for '--memory <SIZE>': it must be a size such as 128MiB or 2GiB
    hint: `--help` behind the command explains its flags

    # --compression=gzip
    exit code 2
    error: invalid value 'gzip' for '--compression <METHOD>'
      [possible values: auto, none, lz4, zstd]
    hint: `--help` behind the command explains its flags

    # --max-retries=-1
    exit code 2
    error: invalid value '-1' for '--max-retries <N>': it must be a number from 0 to 1000
    hint: `--help` behind the command explains its flags

    # --show-rows=x
    exit code 2
    error: invalid value 'x' for '--show-rows <N>': it must be a whole number
    hint: `--help` behind the command explains its flags

    # --dry-run=perhaps
    exit code 2
    error: invalid value 'perhaps' for '--dry-run[=<BOOL>]': it must be true or false
    hint: `--help` behind the command explains its flags

    # --exclude-dataset-items=2
    exit code 2
    error: invalid value '2' for '--exclude-dataset-items[=<BOOL>]': it must be true or false
    hint: `--help` behind the command explains its flags

    # --no-progress=
    exit code 2
    error: invalid value '' for '--no-progress[=<BOOL>]': it must be true or false
    hint: `--help` behind the command explains its flags

    # --log-format=xml
    exit code 2
    error: invalid value 'xml' for '--log-format <FORM>'
      [possible values: text, json]
    hint: `--help` behind the command explains its flags
    ");
    let separate = fails(tool().args(&["--batch-size", "0"]), 2);
    assert_eq!(separate, fails(tool().arg("--batch-size=0"), 2));
}

#[test]
fn an_empty_variable_of_a_path_or_a_name_counts_as_not_set() {
    const NAMES: [&str; 12] = [
        "LOG_FILE",
        "SUMMARY_JSON",
        "METRICS_FILE",
        "CONTROL_SOCKET",
        "CLICKHOUSE_PASSWORD_FILE",
        "SOURCE_PASSWORD_FILE",
        "CA_CERT",
        "CLIENT_CERT",
        "CLIENT_KEY",
        "PACK",
        "JOB",
        "TARGET_TABLE",
    ];
    let tool = || tool().args(&["--partition", "202506"]).env("OUTAGE_WAIT", "0s");
    let without = tool().run().expect(2).stderr;
    let with = NAMES.iter().fold(tool(), |tool, name| tool.env(name, ""));
    assert_eq!(with.run().expect(2).stderr, without);
    let text = NAMES.map(|name| format!("{name}=\n")).concat();
    assert_eq!(tool().file(".env", &text).run().expect(2).stderr, without);
    // As a flag, it is no path.
    assert_text_snapshot!(fails(tool().arg("--log-file="), 2), @"
    exit code 2
    error: a value is required for '--log-file <FILE>' but none was supplied
    hint: `--help` behind the command explains its flags
    ");
}

#[test]
fn bad_lines_of_the_file_are_named_and_not_shown() {
    let texts = [
        "A=1\nCLICKHOUSE_PASSWORD hidden-word\n",
        "A=1\n\nCLICKHOUSE_PASSWORD=hidden word\n",
        "CLICKHOUSE_PASSWORD='hidden-word\n",
        "A=1\nCLICKHOUSE_PASSWORD=\"hidden-word\nB=2\n",
        "=hidden-word\n",
        "A=1\nB=\"\\hidden-word\"\n",
        "A=1\nA hidden-word\nA hidden-word\n",
    ];
    let tool = || tool().args(&["--partition", "202506"]);
    let failures = texts.map(|text| {
        let output = tool().file(".env", text).run();
        // The line may hold a password.
        assert!(!output.stderr.contains("hidden"), "the line is shown\n{output}");
        (format!("{text:?}"), output.failure())
    });
    assert_text_snapshot!(titled(failures), @r#"
    # "A=1\nCLICKHOUSE_PASSWORD hidden-word\n"
    exit code 2
    error: .env, line 2: this is not NAME=value
    hint: values with blanks, quotes, # or $ need single quotes around them

    # "A=1\n\nCLICKHOUSE_PASSWORD=hidden word\n"
    exit code 2
    error: .env, line 3: this is not NAME=value
    hint: values with blanks, quotes, # or $ need single quotes around them

    # "CLICKHOUSE_PASSWORD='hidden-word\n"
    exit code 2
    error: .env, line 1: this is not NAME=value
    hint: values with blanks, quotes, # or $ need single quotes around them

    # "A=1\nCLICKHOUSE_PASSWORD=\"hidden-word\nB=2\n"
    exit code 2
    error: .env, line 2: this is not NAME=value
    hint: values with blanks, quotes, # or $ need single quotes around them

    # "=hidden-word\n"
    exit code 2
    error: .env, line 1: this is not NAME=value
    hint: values with blanks, quotes, # or $ need single quotes around them

    # "A=1\nB=\"\\hidden-word\"\n"
    exit code 2
    error: .env, line 2: this is not NAME=value
    hint: values with blanks, quotes, # or $ need single quotes around them

    # "A=1\nA hidden-word\nA hidden-word\n"
    exit code 2
    error: .env, line 2: this is not NAME=value
    hint: values with blanks, quotes, # or $ need single quotes around them
    "#);
    let binary = tool();
    std::fs::write(binary.folder().join(".env"), b"CLICKHOUSE_PASSWORD=hidden\xff\n").unwrap();
    assert_text_snapshot!(fails(binary, 2), @"
    exit code 2
    error: the file .env is not UTF-8
    ");
}

#[test]
fn a_byte_order_mark_is_not_part_of_the_first_name() {
    let tool = |text: &str| tool().file(".env", text).run().everything();
    let taken = tool("\u{feff}PARTITION=202506\r\nOUTAGE_WAIT=0s\r\n");
    assert_text_snapshot!(taken, @"
    exit code 2
    --- stderr
    error: the connection to http://127.0.0.1:1/ failed: [WORDS OF THE SYSTEM]
    hint: set --clickhouse-url or CLICKHOUSE_URL to the server's HTTP interface; its port is 8123 by default, 8443 for https
    ");
    // Lines are counted as before.
    let counted = tool("\u{feff}PARTITION=202506\nBATCH_SIZE=0\n");
    assert_text_snapshot!(counted, @"
    exit code 2
    --- stderr
    error: invalid value '0' for '--batch-size <ROWS>': it must be at least 1
    note: the value comes from BATCH_SIZE in .env, line 2
    hint: `--help` behind the command explains its flags
    ");
}

#[test]
fn unknown_names_in_the_file_are_noted() {
    let text = "PARTITON=202505\nPARTITION=202506\n\nexport clickhouse_user=ann\nTZ=UTC\nNEXTAUTH_URL=hidden\n";
    let tool = || tool().env("OUTAGE_WAIT", "0s").file(".env", text);
    assert_text_snapshot!(tool().run().everything(), @"
    exit code 2
    --- stderr
    note: .env, line 1: PARTITON is not known; did you mean PARTITION?
    note: .env, line 4: clickhouse_user is not known; did you mean CLICKHOUSE_USER?
    note: .env: NEXTAUTH_URL is not known, and is ignored
    error: the connection to http://127.0.0.1:1/ failed: [WORDS OF THE SYSTEM]
    hint: set --clickhouse-url or CLICKHOUSE_URL to the server's HTTP interface; its port is 8123 by default, 8443 for https
    ");
    let output = tool().arg("--quiet").run().expect(2);
    assert!(output.stderr.starts_with("error: "), "no notes\n{output}");
    let output = tool().args(&["--log-format", "json"]).run().expect(2);
    let first = output.stderr.lines().next().unwrap();
    assert!(first.starts_with('{') && first.contains("did you mean PARTITION?"), "{output}");
    let others = ["ONE", "TWO", "THREE", "FOUR", "FIVE"].map(|name| format!("{name}_X_Y_Z=1\n"));
    let output = binary().arg("history").file(".env", &others.concat()).run().expect(2);
    assert_text_snapshot!(output.stderr.lines().next().unwrap(), @"note: .env: FIVE_X_Y_Z, FOUR_X_Y_Z, ONE_X_Y_Z and 2 more are not known, and are ignored");
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
    assert_text_snapshot!(tool(&["completions", "tcsh"]).everything(), @"
    exit code 2
    --- stderr
    error: invalid value 'tcsh' for '<SHELL>'
      [possible values: bash, elvish, fish, powershell, zsh]
    hint: a similar value exists: 'zsh'
    hint: `--help` behind the command explains its flags
    ");
    for arguments in [&["run"] as &[&str], &["history"], &["ctl", "status"], &["run", "--x"]] {
        let refused = tool(arguments).expect(2);
        assert!(refused.stderr.starts_with("error: .env, line 2: "), "{refused}");
    }
}

#[test]
fn flags_that_exclude_each_other() {
    let tool = || tool().args(&["--partition", "202506"]);
    let passwords = ["--clickhouse-password", "x", "--clickhouse-password-file", "y"];
    assert_text_snapshot!(titled([
        ("two passwords", fails(tool().args(&passwords), 2)),
        ("-v -q", fails(tool().args(&["-v", "-q"]), 2)),
        ("--parition", fails(tool().args(&["--parition", "202507"]), 2)),
        ("--job no-such-job", fails(tool().args(&["--job", "no-such-job"]), 2)),
        ("job show no-such-job", fails(binary().args(&["job", "show", "no-such-job"]), 2)),
        ("--log-file", fails(tool().args(&["--log-file", "no-such-folder/x.log"]), 2)),
    ]), @r#"
    # two passwords
    exit code 2
    error: --clickhouse-password and --clickhouse-password-file are both given; give one of them

    # -v -q
    exit code 2
    error: the argument '--verbose...' cannot be used with '--quiet'

    Usage: clickhouse-backfill run --partition <YYYYMM> --verbose... --clickhouse-url <URL>
    hint: `--help` behind the command explains its flags

    # --parition
    exit code 2
    error: unexpected argument '--parition' found

    Usage: clickhouse-backfill run --partition <YYYYMM>
    hint: a similar argument exists: '--partition'
    hint: `--help` behind the command explains its flags

    # --job no-such-job
    exit code 2
    error: there is no built-in job "no-such-job" and no file of that name (No such file or directory (os error 2))
    hint: `clickhouse-backfill job list` lists the built-in jobs

    # job show no-such-job
    exit code 2
    error: there is no built-in job "no-such-job" and no file of that name (No such file or directory (os error 2))
    hint: `clickhouse-backfill job list` lists the built-in jobs

    # --log-file
    exit code 2
    error: cannot open the log file no-such-folder/x.log: No such file or directory (os error 2)
    hint: set --log-file to a file in an existing directory that this user can write to
    "#);
}

/// A summary that cannot be written in the end would be noticed after hours.
#[test]
fn a_summary_file_that_cannot_be_written_is_found_first() {
    let tool = tool().args(&["--partition", "202506", "--summary-json", "no-such-folder/x.json"]);
    // The server is not asked first: its URL leads nowhere.
    assert_text_snapshot!(tool.run().everything(), @"
    exit code 2
    --- stderr
    error: cannot write the summary to no-such-folder/x.json: No such file or directory (os error 2)
    hint: set --summary-json to a file in an existing directory that this user can write to
    ");
}
