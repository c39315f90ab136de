//! `--help` of every command.

use clap::Command;

use super::steady::assert_shows;
use crate::support::binary;

/// The commands, by the words that call them.
fn commands() -> Vec<Vec<String>> {
    fn visit(command: &Command, path: &[String], found: &mut Vec<Vec<String>>) {
        found.push(path.to_vec());
        for sub in command.get_subcommands() {
            visit(sub, &[path, &[sub.get_name().to_owned()]].concat(), found);
        }
    }
    let mut found = Vec::new();
    visit(&clickhouse_backfill::cli::command(), &[], &mut found);
    found
}

fn name(command: &[String]) -> String {
    [&["help".to_owned()], command].concat().join("-")
}

/// The snapshots' names.
pub fn names() -> impl Iterator<Item = String> {
    commands().into_iter().map(|command| name(&command))
}

#[test]
fn help() {
    for command in commands() {
        let arguments: Vec<_> = command.iter().map(String::as_str).chain(["--help"]).collect();
        assert_shows(&name(&command), &binary().args(&arguments).run().expect(0).stdout);
    }
}

#[test]
fn short_help() {
    assert_shows("short-help-run", &binary().args(&["run", "-h"]).run().expect(0).stdout);
    assert_shows("short-help-status", &binary().args(&["status", "-h"]).run().expect(0).stdout);
}
