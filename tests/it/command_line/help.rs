//! Help, and the commands that need no server.

use std::path::{Path, PathBuf};

use clap::Command;

use crate::orders::JOB;
use crate::support::{assert_text_snapshot, binary};

#[test]
fn every_command_explains_itself_with_examples() {
    fn visit(command: &Command, path: &mut Vec<String>) {
        let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let output = binary().args(&arguments).run().expect(0);
        assert_eq!(output.stderr, "");
        assert!(!output.stdout.contains('\u{1b}'), "{output}");
        assert!(
            output.stdout.contains("Examples:\n  clickhouse-backfill "),
            "`{}` has no examples\n{output}",
            arguments.join(" ")
        );
        for sub in command.get_subcommands() {
            path.push(sub.get_name().to_owned());
            visit(sub, path);
            path.pop();
        }
    }
    let command = clickhouse_backfill::cli::command();
    assert!(command.get_subcommands().count() >= 3);
    visit(&command, &mut Vec::new());
}

#[test]
fn the_version_is_that_of_the_crate() {
    let output = binary().arg("--version").run().expect(0);
    assert_eq!(output.stdout, format!("clickhouse-backfill {}\n", env!("CARGO_PKG_VERSION")));
    assert_text_snapshot!(binary().run().everything(), @r#"
    exit code 2
    --- stderr
    Fill partitions of a ClickHouse table from another table, with attributes from a third

    Usage: clickhouse-backfill <COMMAND>

    Commands:
      run          Fill one partition of the target, or several in sequence
      plan         Show what `run` would do, without moving data
      verify       Compare a partition of the target with the result of the job, without writing
      repair       Verify a partition, fill the chunks that contain different rows again, and verify
                   those rows
      rollback     Put back what a load has replaced, with `publish = "replace"` and `keep_versions`
      status       Show the state of a partition's load
      report       Write a report on the run of a partition, as HTML, Markdown or JSON
      history      List the loads of all partitions, and the partitions missing between them
      job          List the built-in jobs, or print one of them
      pack         List packs, show one, or create its tables and views
      query        Run a query of a pack, with parameters, and print its rows
      insert       Insert rows from stdin into a table, in batches that count once
      health       Show the state of the server and of the tables of a database or a pack, and what is
                   wrong
      completions  Print a script that completes commands, flags and values in a shell
      man          Print the man page, or write a page for each command
      ctl          Inspect, pause, tune or stop a run from another terminal
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Examples:
      clickhouse-backfill plan --partition 202511
      clickhouse-backfill run --partition 202511 --dry-run
      clickhouse-backfill run --partition 202511

    Most flags can also be set by an environment variable, or by a line of the file .env in the current
    directory. A flag overrides the environment, and the environment overrides .env.

    Exit codes: 0 success, 1 failure, 2 wrong usage or configuration, 3 blocked by a check before the
    first row, 4 differences found, 130 interrupted.
    "#);
}

/// The files of the built-in jobs.
fn built_in() -> Vec<PathBuf> {
    let packs = Path::new(env!("CARGO_MANIFEST_DIR")).join("packs");
    let mut files: Vec<_> = std::fs::read_dir(packs)
        .unwrap()
        .filter_map(|pack| std::fs::read_dir(pack.unwrap().path().join("jobs")).ok())
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 2);
    files
}

#[test]
fn jobs_are_listed_and_shown_as_they_are() {
    let list = binary().args(&["job", "list"]).run().expect(0);
    assert_eq!(list.stderr, "");
    let names: Vec<_> = list
        .stdout
        .lines()
        .map(|line| line.split_once(' ').expect("a name and a description").0)
        .collect();
    let files = built_in();
    let of_pack = |file: &PathBuf| {
        let pack = file.ancestors().nth(2).and_then(Path::file_name).unwrap().to_str().unwrap();
        (pack.to_owned(), file.file_stem().unwrap().to_str().unwrap().to_owned())
    };
    // The jobs for Langfuse have names that are older than packs.
    let listed: Vec<_> = files
        .iter()
        .map(of_pack)
        .map(|(pack, job)| format!("{pack}{}{job}", if pack == "langfuse" { "-" } else { "/" }))
        .collect();
    assert_eq!(names, listed, "listed and there");
    for (file, name) in files.iter().zip(names) {
        let (pack, job) = of_pack(file);
        for name in [name, &format!("{pack}/{job}")] {
            let shown = binary().args(&["job", "show", name]).run().expect(0);
            assert_eq!(
                (shown.stdout, shown.stderr.as_str()),
                (std::fs::read_to_string(file).unwrap(), ""),
                "{name}"
            );
        }
    }
    let text = format!("# kept\r\n{JOB}\n\n# to the last blank  ");
    let shown =
        binary().file("mine.toml", &text).args(&["job", "show", "mine.toml"]).run().expect(0);
    assert_eq!((shown.stdout, shown.stderr.as_str()), (text, ""));
}
