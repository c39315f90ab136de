//! Help, and the commands that need no server.

use std::path::{Path, PathBuf};

use clap::Command;

use crate::orders::JOB;
use crate::support::binary;

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
    let nothing = binary().run().expect(2);
    assert!(nothing.stdout.is_empty() && nothing.stderr.contains("Usage:"), "{nothing}");
    assert!(!nothing.stderr.contains("error:"), "{nothing}");
    assert!(nothing.stderr.starts_with("Fill partitions of a ClickHouse table"), "{nothing}");
}

/// The files of the built-in jobs.
fn built_in() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/job/builtin");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
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
    let stems: Vec<_> =
        files.iter().map(|file| file.file_stem().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, stems, "listed and there");
    for (file, name) in files.iter().zip(stems) {
        let shown = binary().args(&["job", "show", name]).run().expect(0);
        assert_eq!(
            (shown.stdout, shown.stderr.as_str()),
            (std::fs::read_to_string(file).unwrap(), ""),
            "{name}"
        );
    }
    let text = format!("# kept\r\n{JOB}\n\n# to the last blank  ");
    let shown =
        binary().file("mine.toml", &text).args(&["job", "show", "mine.toml"]).run().expect(0);
    assert_eq!((shown.stdout, shown.stderr.as_str()), (text, ""));
}
