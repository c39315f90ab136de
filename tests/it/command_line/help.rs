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
        let place = |text: &str| output.stdout.find(text).unwrap_or(usize::MAX);
        let first_flag = ["\nOptions:", "\nJob:", "\nOutput:", "\nArguments:"].map(place);
        assert!(first_flag.into_iter().all(|flag| place("Examples:") < flag), "{output}");
        if let Some(expert) = output.stdout.find("\nExpert: ") {
            let after = output.stdout.get(expert + 1..).unwrap_or_default();
            let groups = ["ClickHouse:", "Job:", "Throughput:", "Faults:", "Output:"];
            let is_last = groups.iter().all(|group| !after.contains(&format!("\n{group}")));
            assert!(is_last && after.contains("--ca-cert"), "experts' flags come last\n{output}");
        }
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
    assert_text_snapshot!(binary().run().everything(), @"
    exit code 2
    --- stderr
    Fill partitions of a ClickHouse table from another table, with attributes from
    a third.

    First steps:
      # Write a job file from the server's tables.
      clickhouse-backfill init
      # Check the servers, rights and this machine.
      clickhouse-backfill doctor --job job.toml
      # Show what a run would do.
      clickhouse-backfill plan --job job.toml --partition P
      # Fill the partition.
      clickhouse-backfill run --job job.toml --partition P
      # Compare the result with the job.
      clickhouse-backfill verify --job job.toml --partition P

    `clickhouse-backfill --help` lists all commands, and `-h` behind a command its
    common flags.
    ");
}

/// The flags that a help lists.
fn flags(help: &str) -> Vec<&str> {
    let is_flag = |line: &&str| line.starts_with("      --") || line.starts_with("  -");
    help.lines().filter(is_flag).collect()
}

#[test]
fn the_short_help_has_the_flags_that_most_calls_need() {
    let help = |command: &str, flag: &str| binary().args(&[command, flag]).run().expect(0).stdout;
    for command in ["run", "plan", "verify", "repair", "insert"] {
        let (short, long) = (help(command, "-h"), help(command, "--help"));
        let (shown, all) = (flags(&short), flags(&long));
        assert!(shown.len() <= 24 && all.len() > shown.len(), "{command}\n{short}");
        for flag in ["--clickhouse-url", "--clickhouse-password-file"] {
            assert!(short.contains(flag), "{command} {flag}\n{short}");
        }
        for flag in ["--idle-timeout", "--ca-cert"] {
            assert!(!short.contains(flag) && long.contains(flag), "{command} {flag}\n{short}");
        }
        assert!(short.lines().count() <= 90, "{short}");
    }
}

#[test]
fn json_is_asked_for_in_one_way() {
    fn visit(command: &Command) {
        let has = |id: &str| command.get_arguments().any(|argument| argument.get_id() == id);
        // The format of `insert` is that of its input.
        assert_eq!(has("format"), has("json"), "{}", command.get_name());
        command.get_subcommands().for_each(visit);
    }
    visit(&clickhouse_backfill::cli::command());
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
    // Two of the jobs for Langfuse have names that are older than packs.
    let older = ["events", "trace-roots"];
    let is_older = |pack: &str, job: &str| pack == "langfuse" && older.contains(&job);
    let listed: Vec<_> = files
        .iter()
        .map(of_pack)
        .map(|(pack, job)| format!("{pack}{}{job}", if is_older(&pack, &job) { "-" } else { "/" }))
        .collect();
    let (names, sets) = names.split_at(files.len());
    assert_eq!(names, listed, "listed and there");
    assert_eq!(sets, ["langfuse/v4", "langfuse/v4-without-experiments", "shop/month"]);
    for (file, name) in files.iter().zip(names.iter().copied()) {
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
