//! Faults of the config file, which name their line and show no value that may be a password.

use std::os::unix::fs::PermissionsExt;

use super::fails;
use crate::support::shown::titled;
use crate::support::{Binary, assert_text_snapshot, binary};

fn tool(file: &str) -> Binary {
    let tool = binary().args(&["run", "--partition=202506"]).env("OUTAGE_WAIT", "0s");
    tool.env("CLICKHOUSE_URL", "http://127.0.0.1:1").file("clickhouse-backfill.toml", file)
}

/// The text in one line, and the failure of a run with it.
fn failure_of(text: &str) -> (String, String) {
    let failure = fails(tool(text), 2);
    assert!(!failure.contains("Tangerine"), "{text}\n{failure}");
    (text.trim_end().replace('\n', " ⏎ "), failure)
}

#[test]
fn unknown_keys_and_wrong_values_name_their_line() {
    let cases = [
        "[run]\nbatch-size = 5\nmemroy = '4GiB'\n",
        "[run]\ndry_run = true\n",
        "[run]\nmeasure = '3s'\n",
        "[run]\nconfig = 'other.toml'\n",
        "[runn]\nmemory = '4GiB'\n",
        "memory = '4GiB'\n",
        "[something]\nx = 1\n",
        "[common]\nmemroy = '4GiB'\n",
        "[common]\nformat = 'html'\n",
        "[pack]\napply = 1\n",
        "[pack.aply]\nclickhouse-db = 'x'\n",
        "run = 5\n",
        "[run]\ndry-run = 'yes'\n",
        "[run]\nverbose = true\n",
        "[run]\nmemory = true\n",
        "[run]\nmemory = ['4GiB']\n",
        "[run]\nskip-checks = ['parts', 5, true]\n",
        "[run]\n\nbatch-size = 0\n",
        "[run]\nskip-checks = ['parts', 'dsk']\n",
        "[run]\npartition = '2025/11'\n",
        "[verify]\nsample = 'half'\n",
        "[run]\nlog-format = 'xml'\n",
        "[run]\nclickhouse-password = 'Tangerine'\nclickhouse-password-file = 'x'\n",
        "[run]\npartition = 202506\n\npartitions = '202501..202502'\n",
        "[run]\nquiet = true\nverbose = 1\n",
        "[database.clickhouse]\npassword = Tangerine\n",
        "[database.clickhouse]\npassword = 'Tangerine\n",
        "[run]\nmemory = '4GiB'\nmemory = '5GiB'\n",
        "[run\n",
    ];
    assert_text_snapshot!(titled(cases.map(failure_of)), @r#"
    # [run] ⏎ batch-size = 5 ⏎ memroy = '4GiB'
    exit code 2
    error: clickhouse-backfill.toml, line 3: [run] has no key memroy
    hint: did you mean memory?

    # [run] ⏎ dry_run = true
    exit code 2
    error: clickhouse-backfill.toml, line 2: [run] has no key dry_run
    hint: did you mean dry-run?

    # [run] ⏎ measure = '3s'
    exit code 2
    error: clickhouse-backfill.toml, line 2: [run] has no key measure
    hint: measure is a key of [plan]

    # [run] ⏎ config = 'other.toml'
    exit code 2
    error: clickhouse-backfill.toml, line 2: [run] has no key config

    # [runn] ⏎ memory = '4GiB'
    exit code 2
    error: clickhouse-backfill.toml, line 1: runn is not known
    hint: did you mean [run]?

    # memory = '4GiB'
    exit code 2
    error: clickhouse-backfill.toml, line 1: memory is not known
    hint: memory is a flag: put it under [common], or under the name of its command, such as [run]

    # [something] ⏎ x = 1
    exit code 2
    error: clickhouse-backfill.toml, line 1: something is not known
    hint: a table is named after a command, such as [run]; others are [database], [connections] and [common]

    # [common] ⏎ memroy = '4GiB'
    exit code 2
    error: clickhouse-backfill.toml, line 2: [common] has no key memroy
    hint: did you mean memory?

    # [common] ⏎ format = 'html'
    exit code 2
    error: invalid value 'html' for '--format <FORM>'
      [possible values: text, json]
    note: the value comes from format in clickhouse-backfill.toml, line 2
    hint: `--help` behind the command explains its flags
    hint: [common] is for all commands, and this is no value for `run`: put it under the command that it is for

    # [pack] ⏎ apply = 1
    exit code 2
    error: clickhouse-backfill.toml, line 2: [pack.apply] is a table, not a whole number

    # [pack.aply] ⏎ clickhouse-db = 'x'
    exit code 2
    error: clickhouse-backfill.toml, line 1: [pack] has no key aply
    hint: did you mean apply?

    # run = 5
    exit code 2
    error: clickhouse-backfill.toml, line 1: [run] is a table, not a whole number

    # [run] ⏎ dry-run = 'yes'
    exit code 2
    error: clickhouse-backfill.toml, line 2: dry-run is true or false, not a string

    # [run] ⏎ verbose = true
    exit code 2
    error: clickhouse-backfill.toml, line 2: verbose is a number from 0 to 255, not true or false

    # [run] ⏎ memory = true
    exit code 2
    error: clickhouse-backfill.toml, line 2: memory is a string or a number, not true or false

    # [run] ⏎ memory = ['4GiB']
    exit code 2
    error: clickhouse-backfill.toml, line 2: memory is a string or a number, not a list

    # [run] ⏎ skip-checks = ['parts', 5, true]
    exit code 2
    error: clickhouse-backfill.toml, line 2: skip-checks is a list of strings, not true or false

    # [run] ⏎  ⏎ batch-size = 0
    exit code 2
    error: invalid value '0' for '--batch-size <ROWS>': it must be at least 1
    note: the value comes from batch-size in clickhouse-backfill.toml, line 3
    hint: `--help` behind the command explains its flags

    # [run] ⏎ skip-checks = ['parts', 'dsk']
    exit code 2
    error: invalid value 'dsk' for '--skip-checks <NAMES>'
      [possible values: partitions, parts, disk, replicas, ttl]
    note: the value comes from skip-checks in clickhouse-backfill.toml, line 2
    hint: a similar value exists: 'disk'
    hint: `--help` behind the command explains its flags

    # [run] ⏎ partition = '2025/11'
    exit code 2
    error: invalid value '2025/11' for '--partition <YYYYMM>': "2025/11" is not a partition; give a month as YYYYMM, for example 202511
    note: the value comes from partition in clickhouse-backfill.toml, line 2
    hint: `--help` behind the command explains its flags

    # [verify] ⏎ sample = 'half'
    exit code 2
    error: invalid value 'half' for '--sample <PARTS/OF>': it must be a share such as 1/100 or 1%
    note: the value comes from sample in clickhouse-backfill.toml, line 2
    hint: `--help` behind the command explains its flags

    # [run] ⏎ log-format = 'xml'
    exit code 2
    error: invalid value 'xml' for '--log-format <FORM>'
      [possible values: text, json]
    note: the value comes from log-format in clickhouse-backfill.toml, line 2
    hint: `--help` behind the command explains its flags

    # [run] ⏎ clickhouse-password = 'Tangerine' ⏎ clickhouse-password-file = 'x'
    exit code 2
    error: clickhouse-backfill.toml, lines 2 and 3: clickhouse-password and clickhouse-password-file are both given; give one of them

    # [run] ⏎ partition = 202506 ⏎  ⏎ partitions = '202501..202502'
    exit code 2
    error: clickhouse-backfill.toml, lines 2 and 4: partition and partitions are both given; give one of them

    # [run] ⏎ quiet = true ⏎ verbose = 1
    exit code 2
    error: clickhouse-backfill.toml, lines 2 and 3: quiet and verbose are both given; give one of them

    # [database.clickhouse] ⏎ password = Tangerine
    exit code 2
    error: clickhouse-backfill.toml, line 2: invalid boolean, expected `true`

    # [database.clickhouse] ⏎ password = 'Tangerine
    exit code 2
    error: clickhouse-backfill.toml, line 2: invalid literal string, expected `'`

    # [run] ⏎ memory = '4GiB' ⏎ memory = '5GiB'
    exit code 2
    error: clickhouse-backfill.toml, line 3: duplicate key

    # [run
    exit code 2
    error: clickhouse-backfill.toml, line 1: unclosed table, expected `]`
    "#);
}

#[test]
fn connections_are_checked_and_their_passwords_hidden() {
    let cases = [
        "[database]\nbackend = 'postgres'\n",
        "[database]\nbackend = 5\n",
        "[database]\nclickhose = {}\n",
        "[database.clickhouse]\nusername = 'ann'\n",
        "[database.clickhouse]\nhost = 'http://ann:Tangerine@db'\n",
        "[database.clickhouse]\nport = 70000\n",
        "[database.clickhouse]\nport = '8123'\n",
        "[database.clickhouse]\nsecure = 'Tangerine'\n",
        "[database.clickhouse]\nuser = 5\n",
        "[connections]\nprod = 'Tangerine'\n",
        "[connections.prod.source]\nca_cert = 'x'\n",
        "[connections.prod]\npassword = 'Tangerine'\npassword_file = 'x'\n",
    ];
    assert_text_snapshot!(titled(cases.map(failure_of)), @r#"
    # [database] ⏎ backend = 'postgres'
    exit code 2
    error: clickhouse-backfill.toml, line 2: the backend "postgres" is not supported
    hint: the only backend is "clickhouse"

    # [database] ⏎ backend = 5
    exit code 2
    error: clickhouse-backfill.toml, line 2: backend is a string, not a whole number

    # [database] ⏎ clickhose = {}
    exit code 2
    error: clickhouse-backfill.toml, line 2: [database] has no key clickhose
    hint: did you mean clickhouse?

    # [database.clickhouse] ⏎ username = 'ann'
    exit code 2
    error: clickhouse-backfill.toml, line 2: [database.clickhouse] has no key username
    hint: its keys: host, port, secure, database, user, password, password_file, ca_cert, client_cert, client_key, source

    # [database.clickhouse] ⏎ host = 'http://ann:Tangerine@db'
    exit code 2
    error: clickhouse-backfill.toml, line 2: host is a name or an address, without scheme, user and path
    hint: secure = true means https, and port, user and database are keys of their own

    # [database.clickhouse] ⏎ port = 70000
    exit code 2
    error: clickhouse-backfill.toml, line 2: port is a number from 1 to 65535

    # [database.clickhouse] ⏎ port = '8123'
    exit code 2
    error: clickhouse-backfill.toml, line 2: port is a number, not a string

    # [database.clickhouse] ⏎ secure = 'Tangerine'
    exit code 2
    error: clickhouse-backfill.toml, line 2: secure is true or false, not a string

    # [database.clickhouse] ⏎ user = 5
    exit code 2
    error: clickhouse-backfill.toml, line 2: user is a string, not a whole number

    # [connections] ⏎ prod = 'Tangerine'
    exit code 2
    error: clickhouse-backfill.toml, line 2: [connections.prod] is a table, not a string

    # [connections.prod.source] ⏎ ca_cert = 'x'
    exit code 2
    error: clickhouse-backfill.toml, line 2: [connections.prod.source] has no key ca_cert
    hint: its keys: host, port, secure, database, user, password, password_file, native

    # [connections.prod] ⏎ password = 'Tangerine' ⏎ password_file = 'x'
    exit code 2
    error: clickhouse-backfill.toml, line 2: password and password_file are both given; give one of them
    "#);
}

#[test]
fn files_and_connections_that_do_not_exist() {
    let file = "[connections.prod]\n[connections.staging]\n";
    let with = |words: &[&str]| fails(tool(file).args(words), 2);
    let without = binary().args(&["history", "--connection=prod"]);
    let unreadable = binary().args(&["history", "--config=folder"]);
    std::fs::create_dir(unreadable.folder().join("folder")).unwrap();
    let binary_file = binary().arg("history");
    let path = binary_file.folder().join("clickhouse-backfill.toml");
    std::fs::write(path, b"[run]\nmemory = '\xff'\n").unwrap();
    assert_text_snapshot!(titled([
        ("--config", with(&["--config=nowhere.toml"])),
        ("CONFIG", fails(tool(file).env("CONFIG", "nowhere.toml"), 2)),
        ("--connection", with(&["--connection=stagin"])),
        ("CONNECTION", fails(tool(file).env("CONNECTION", "other"), 2)),
        ("[run]", fails(tool("[run]\nconnection = 'x'\n"), 2)),
        ("no file", fails(without, 2)),
        ("a folder", fails(unreadable, 2)),
        ("not UTF-8", fails(binary_file, 2)),
    ]), @"
    # --config
    exit code 2
    error: cannot read the config file nowhere.toml: No such file or directory (os error 2)
    hint: set --config or CONFIG to an existing file

    # CONFIG
    exit code 2
    error: cannot read the config file nowhere.toml: No such file or directory (os error 2)
    hint: set --config or CONFIG to an existing file

    # --connection
    exit code 2
    error: clickhouse-backfill.toml has no connection stagin
    hint: did you mean staging?

    # CONNECTION
    exit code 2
    error: clickhouse-backfill.toml has no connection other
    hint: its connections: prod, staging

    # [run]
    exit code 2
    error: clickhouse-backfill.toml has no connection x
    hint: a table [connections.x] defines it

    # no file
    exit code 2
    error: there is no connection prod: the file clickhouse-backfill.toml does not exist
    hint: --config or CONFIG names another config file

    # a folder
    exit code 2
    error: cannot read the config file folder: Is a directory (os error 21)
    hint: set --config or CONFIG to an existing file

    # not UTF-8
    exit code 2
    error: the config file clickhouse-backfill.toml is not UTF-8
    ");
}

#[test]
fn a_broken_file_stops_only_commands_that_use_it() {
    let tool = |arguments: &[&str]| {
        binary().file("clickhouse-backfill.toml", "[run]\nmemroy = 1\n").args(arguments).run()
    };
    for arguments in [
        &["--help"] as &[&str],
        &["--version"],
        &["run", "--help"],
        &["config", "show", "--help"],
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
    let refused = tool(&["run"]).everything();
    assert_text_snapshot!(refused, @"
    exit code 2
    --- stderr
    error: clickhouse-backfill.toml, line 2: [run] has no key memroy
    hint: did you mean memory?
    ");
    for arguments in [&["history"] as &[&str], &["ctl", "status"], &["config", "show"]] {
        assert_eq!(tool(arguments).everything(), refused, "{arguments:?}");
    }
    // A wrong flag is reported first, since the file may be one that it names.
    let output = tool(&["run", "--x"]).expect(2);
    assert!(output.stderr.starts_with("error: unexpected argument '--x'"), "{output}");
}

#[test]
fn passwords_that_others_can_read_are_noted() {
    let notes = |file: &str, text: &str, mode: u32| {
        let tool = tool("").file(file, text);
        let path = tool.folder().join(file);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        let output = tool.run().expect(2);
        let is_note = |line: &&str| line.starts_with("note: ");
        output.stderr.lines().filter(is_note).collect::<Vec<_>>().join("\n")
    };
    let config = "clickhouse-backfill.toml";
    let password = "[connections.x.source]\npassword = 'Tangerine'\n";
    let hook = "[run]\nhook = 'on-start=true'\n";
    assert_text_snapshot!(notes(config, password, 0o644), @"note: clickhouse-backfill.toml has a password, and other users can read it (mode 0644): `chmod 600 clickhouse-backfill.toml`");
    assert_text_snapshot!(notes(config, hook, 0o640), @"note: clickhouse-backfill.toml has a password, and other users can read it (mode 0640): `chmod 600 clickhouse-backfill.toml`");
    assert_text_snapshot!(notes(".env", "SOURCE_PASSWORD=Tangerine\nSOURCE_URL=http://x\n", 0o604), @"note: .env has a password, and other users can read it (mode 0604): `chmod 600 .env`");
    for (file, text, mode) in [
        (config, password, 0o600),
        (config, "[run]\nclickhouse-password = ''\n", 0o644),
        (config, "[database.clickhouse]\npassword_file = 'x'\n", 0o644),
        (".env", "SOURCE_PASSWORD=Tangerine\n", 0o600),
        (".env", "SOURCE_PASSWORD=\n", 0o644),
    ] {
        assert_eq!(notes(file, text, mode), "", "{file} {text}");
    }
}

/// A variable of the environment and one of the file are told apart, although both files have it.
#[test]
fn a_password_and_its_file_of_two_layers() {
    let tool = tool("").file(".env", "CLICKHOUSE_PASSWORD=x\nCLICKHOUSE_PASSWORD_FILE=y\n");
    let failure = fails(tool.env("CLICKHOUSE_PASSWORD", "z"), 2);
    assert!(failure.contains("the connection to http://127.0.0.1:1/ failed"), "{failure}");
}
