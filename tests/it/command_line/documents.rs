//! Completions and man pages: what they say is what the program takes.

use std::process::Command as Process;

use crate::support::{assert_text_snapshot, binary};

#[test]
fn completions_are_made_for_every_shell_and_a_shell_takes_them() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = binary().args(&["completions", shell]).run().expect(0);
        assert_eq!(output.stderr, "");
        for word in ["verify", "max-failed-chunks", "insert-format"] {
            assert!(output.stdout.contains(word), "{shell} does not know {word}");
        }
    }
    let refused = binary().args(&["completions", "tcsh"]).run();
    assert_text_snapshot!(refused.failure(), @"
    exit code 2
    error: invalid value 'tcsh' for '<SHELL>'
      [possible values: bash, elvish, fish, powershell, zsh]
    hint: a similar value exists: 'zsh'
    hint: `--help` behind the command explains its flags
    ");

    // Where there is a bash, it completes a flag with the script.
    let script = binary().args(&["completions", "bash"]).run().expect(0).stdout;
    let asked = "COMP_WORDS=(clickhouse-backfill run --max-f); COMP_CWORD=2; \
        _clickhouse__backfill clickhouse-backfill --max-f run; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let Ok(bash) =
        Process::new("bash").args(["--norc", "-c"]).arg(format!("{script}\n{asked}")).output()
    else {
        eprintln!("not run: there is no bash");
        return;
    };
    let said = String::from_utf8_lossy(&bash.stdout);
    assert!(
        said.lines().any(|line| line == "--max-failed-chunks"),
        "{said}\n{}",
        String::from_utf8_lossy(&bash.stderr)
    );
}

#[test]
fn there_is_a_man_page_for_every_command() {
    let main = binary().args(&["man"]).run().expect(0);
    assert!(main.stdout.contains(".TH clickhouse-backfill 1"), "{main}");
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    binary().args(&["man", "--out"]).arg(&pages).run().expect(0);
    let mut expected = vec!["clickhouse-backfill.1".to_owned()];
    for command in clickhouse_backfill::cli::command().get_subcommands() {
        expected.push(format!("clickhouse-backfill-{}.1", command.get_name()));
        expected.extend(
            command.get_subcommands().map(|sub| {
                format!("clickhouse-backfill-{}-{}.1", command.get_name(), sub.get_name())
            }),
        );
    }
    let mut found: Vec<_> = std::fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    let run = std::fs::read_to_string(pages.join("clickhouse-backfill-run.1")).unwrap();
    for word in ["max\\-failed\\-chunks", "PARTITION", "Examples"] {
        assert!(run.contains(word), "{word} is not in\n{run}");
    }
    let refused = binary().args(&["man", "--out", "/dev/null/man1"]).run();
    assert_text_snapshot!(refused.failure(), @"
    exit code 2
    error: cannot write the man page /dev/null/man1: Not a directory (os error 20)
    hint: set --out to a directory that this user can write to
    ");
}
