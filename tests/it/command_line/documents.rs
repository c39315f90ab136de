//! Completions and man pages: what they say is what the program takes.

use std::path::Path;
use std::process::Command as Process;
use std::time::Duration;

use crate::orders::{JOB, Orders, PARTITION};
use crate::support::{Binary, assert_text_snapshot, binary, process};

/// The call that the scripts of `completions` make, in a folder with a config file.
fn asked(shell: &str, words: &[&str]) -> Binary {
    binary()
        .arg("--")
        .args(words)
        .env("CLICKHOUSE_BACKFILL_COMPLETE", shell)
        .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
        .env("_CLAP_IFS", "\n")
        .file("job.toml", JOB)
}

/// What is offered for the last word, without descriptions.
fn offered(tool: Binary) -> Vec<String> {
    let output = tool.run().expect(0);
    assert_eq!(output.stderr, "", "{output}");
    output.stdout.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

const PROGRAM: &str = "clickhouse-backfill";
const SOON: Duration = Duration::from_secs(60);

#[test]
fn completions_are_made_for_every_shell_and_a_shell_takes_them() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = binary().args(&["completions", shell]).run().expect(0);
        assert_eq!(output.stderr, "");
        assert!(output.stdout.contains("CLICKHOUSE_BACKFILL_COMPLETE"), "{shell}\n{output}");
        for (words, word) in [
            (&[PROGRAM, "ver"] as &[&str], "verify"),
            (&[PROGRAM, "run", "--max-f"], "--max-failed-chunks"),
            (&[PROGRAM, "run", "--partition", "202511", "--insert-f"], "--insert-format"),
            (&[PROGRAM, "run", "--engine", "ser"], "server"),
            (&[PROGRAM, "config", "show", "--conf"], "--config"),
        ] {
            let found = offered(asked(shell, words));
            assert!(found.iter().any(|line| line.starts_with(word)), "{shell} {words:?} {found:?}");
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

    // Where there is a bash or a fish, it completes a flag with the script.
    let in_bash = "ask() { COMP_WORDS=(clickhouse-backfill run \"$@\"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_TYPE=9; \
        $(complete -p clickhouse-backfill | sed 's/.* -F //') \"${COMP_WORDS[COMP_CWORD]#=}\" run; printf '%s\\n' \"${COMPREPLY[@]}\"; }; \
        ask --max-f; ask --engine = se; ask --engine=str; ask --read-format =; ask --partition id : x --engine = str";
    let in_fish = "complete -C 'clickhouse-backfill run --max-f'";
    let program = Path::new(env!("CARGO_BIN_EXE_clickhouse-backfill"));
    let folder = program.parent().unwrap().display();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
    let home = tempfile::tempdir().unwrap();
    for (shell, options, asks) in
        [("bash", &["--norc", "-c"] as &[&str], in_bash), ("fish", &["-N", "-c"], in_fish)]
    {
        let script = binary().args(&["completions", shell]).run().expect(0).stdout;
        let mut command = Process::new(shell);
        command.args(options).arg(format!("{script}\n{asks}")).env_clear();
        let Ok(output) = command.env("PATH", &path).env("HOME", home.path()).output() else {
            eprintln!("not run: there is no {shell}");
            continue;
        };
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            said.lines().any(|line| line.starts_with("--max-failed-chunks")),
            "{said}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        if shell == "bash" {
            // Bash divides words at `=`, unless it is told not to.
            let values: Vec<_> = said.lines().filter(|line| !line.starts_with("--max")).collect();
            assert_eq!(
                values,
                ["server", "--engine=stream", "auto", "native", "rowbinary", "stream"],
                "{said}"
            );
        }
    }
}

#[test]
fn jobs_packs_queries_settings_and_connections_are_completed() {
    let bash = |words: &[&str]| {
        let file = "[connections.prod]\n[connections.staging]\n";
        asked("bash", &[&[PROGRAM], words].concat()).file("clickhouse-backfill.toml", file)
    };
    assert_eq!(offered(bash(&["ctl", "set", "max-p"])), ["max-parts="]);
    let jobs = offered(bash(&["plan", "--job", "langfuse-e"]));
    assert_eq!(jobs, ["langfuse-events"]);
    assert_eq!(offered(bash(&["run", "--job", "job."])), ["job.toml"]);
    assert_eq!(offered(bash(&["job", "show", "langfuse-e"])), ["langfuse-events"]);
    for command in [&["pack", "show"] as &[&str], &["pack", "apply"], &["health"]] {
        assert_eq!(offered(bash(&[command, &["opti"]].concat())), ["optiinfra"]);
    }
    assert_eq!(offered(bash(&["query", "optiinfra/table-s"])), ["optiinfra/table-sizes"]);
    for command in [&["run"] as &[&str], &["history", "--json"], &["config", "show"]] {
        let all = offered(bash(&[command, &["--connection", ""]].concat()));
        assert_eq!(all, ["prod", "staging"], "{command:?}");
        assert_eq!(
            offered(bash(&[command, &["--connection=s"]].concat())),
            ["--connection=staging"]
        );
    }
    // Packs of one's own.
    let pack = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("pack.toml", "name = 'mine'\ndescription = 'x'\n"),
        ("queries/counts.sql", "SELECT count() FROM t\n"),
        ("jobs/orders.toml", JOB),
    ] {
        let path = pack.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let folder = pack.path().to_str().unwrap();
    assert_eq!(offered(bash(&["pack", "show", "--pack", folder, "mi"])), ["mine"]);
    let joined = format!("--pack={folder}");
    assert_eq!(offered(bash(&["query", &joined, "mine/"])), ["mine/counts"]);
    let jobs = offered(bash(&["plan", "--pack", folder, "--job", "mine/o"]));
    assert_eq!(jobs, ["mine/orders"]);
    assert_eq!(offered(bash(&["health", "mi"]).env("PACK", folder)), ["mine"]);
    // A broken file offers nothing, and says nothing.
    let broken = bash(&["run", "--connection", ""]).file("clickhouse-backfill.toml", "[run\n");
    assert_eq!(offered(broken.file(".env", "A\n")), [""; 0]);
}

#[test]
fn partitions_are_asked_of_the_server() {
    let orders = Orders::start(10);
    let line =
        |more: &[&str]| asked("bash", &[&[PROGRAM, "run", "--job", "job.toml"], more].concat());
    // The server has a second to answer, which is too little for one that is busy.
    let becomes = |tool: &dyn Fn() -> Binary, expected: &str| {
        let mut found = Vec::new();
        let is_there = process::wait_until(SOON, || {
            found = offered(tool());
            found == [expected]
        });
        assert!(is_there, "{found:?}");
    };
    let environment = orders.server.environment();
    becomes(&|| line(&["--partition", "2"]).envs(&environment), PARTITION);
    let joined = format!("--partition={PARTITION}");
    becomes(&|| line(&["--partition=20"]).envs(&environment), &joined);
    // The config file says which server and which job.
    let file = format!(
        "[connections.here]\nhost = '127.0.0.1'\nport = {}\nuser = '{}'\npassword = '{}'\ndatabase = '{}'\n\
         [common]\njob = 'job.toml'\n",
        orders.server.port(),
        orders.server.user(),
        orders.server.password(),
        orders.server.database()
    );
    let words = [PROGRAM, "verify", "--connection", "here", "--partition", ""];
    becomes(&|| asked("zsh", &words).file("clickhouse-backfill.toml", &file), PARTITION);
    // The newest comes first.
    orders.server.query("INSERT INTO orders (id, placed) VALUES (77, '2025-04-01 00:00:00')");
    let mut found = Vec::new();
    let is_there = process::wait_until(SOON, || {
        found = offered(line(&["--partition", ""]).envs(&environment));
        found == [PARTITION, "202504"]
    });
    assert!(is_there, "{found:?}");

    // A server that is not there, and one that never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    for url in ["http://127.0.0.1:1", &silent] {
        let tool = line(&["--partition", "2"]).env("CLICKHOUSE_URL", url);
        assert_eq!(offered(tool), [""; 0], "{url}");
    }
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
