//! Where values come from: a flag wins over the environment, the environment over `.env`, `.env`
//! over the default; and the document of all variables, `.env.example`.

use std::collections::BTreeMap;
use std::path::Path;

use clap::{Arg, Command};

use crate::orders::{JOB, Orders};
use crate::support::{Binary, Server, assert_text_snapshot, binary};

fn example() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example")).unwrap()
}

/// One variable of the document: `# --flag VALUE (default: X)`, a few lines of words,
/// `#NAME=value`.
struct Documented {
    flag: String,
    default: String,
    words: String,
    value: String,
}

fn documented() -> BTreeMap<String, Documented> {
    let text = example();
    let mut found = BTreeMap::new();
    for block in text.split("\n\n").filter(|block| block.contains("# --")) {
        let lines: Vec<&str> = block.trim().lines().collect();
        let (head, rest) = lines.split_first().unwrap();
        let (assignment, words) = rest.split_last().unwrap();
        let (flag, default) = head
            .strip_prefix("# ")
            .unwrap()
            .split_once(" (")
            .expect("the default is in parentheses");
        let (name, value) = assignment
            .trim_start_matches('#')
            .split_once('=')
            .expect("the last line is the assignment");
        let entry = Documented {
            flag: flag.to_owned(),
            default: default.strip_suffix(')').unwrap().to_owned(),
            words: words.join(" ").replace("# ", ""),
            value: value.trim_matches('\'').to_owned(),
        };
        assert!(found.insert(name.to_owned(), entry).is_none(), "{name} is documented twice");
    }
    found
}

/// The variables of the code: every argument of `run` and `plan` that can be given in the
/// environment.
fn variables(command: &Command, of: &str) -> BTreeMap<String, Arg> {
    let found = command.find_subcommand(of).unwrap();
    found
        .get_arguments()
        .filter_map(|arg| Some((arg.get_env()?.to_str()?.to_owned(), arg.clone())))
        .collect()
}

#[test]
fn the_example_documents_every_variable_and_no_other() {
    let command = clickhouse_backfill::cli::command();
    let (documented, mut variables) = (documented(), variables(&command, "run"));
    variables.extend(self::variables(&command, "verify"));
    variables.extend(self::variables(&command, "repair"));
    assert!(variables.len() > 15, "{:?}", variables.keys());
    assert_eq!(
        documented.keys().collect::<Vec<_>>(),
        variables.keys().collect::<Vec<_>>(),
        ".env.example against the code"
    );
    let assigned = example()
        .lines()
        .filter(|line| {
            line.trim_start_matches('#').split_once('=').is_some_and(|(name, _)| is_name(name))
        })
        .count();
    assert_eq!(assigned, documented.len(), "there are assignments outside of the blocks");
    for (name, Documented { flag, default, words, value }) in &documented {
        let arg = &variables[name];
        assert_eq!(
            flag.split(' ').next().unwrap().trim_start_matches("--"),
            arg.get_long().unwrap(),
            "{name}"
        );
        assert!(words.len() > 20 && words.ends_with('.'), "{name} is not explained: {words:?}");
        if let [in_code] = arg.get_default_values() {
            assert_eq!(default, &format!("default: {}", in_code.to_str().unwrap()), "{name}");
            assert_eq!(value.as_str(), in_code, "the line of {name} shows the default");
        } else {
            // What takes the place of a default stands in the help text as well.
            let help = arg.get_help().unwrap().to_string();
            match default.strip_prefix("default: ") {
                Some(words) => assert!(help.contains(&format!("[default: {words}]")), "{name}"),
                None => {
                    assert!(default == "no default" && !help.contains("[default: "), "{name}");
                }
            }
            assert!(!value.is_empty(), "{name} has no example");
        }
    }
    // The others must not have variables of their own, which would be documented nowhere.
    for other in ["plan", "history"] {
        let others = self::variables(&command, other);
        assert!(
            others.keys().all(|name| documented.contains_key(name)),
            "{other}: {:?}",
            others.keys()
        );
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

#[test]
fn help_names_every_variable_with_its_flag() {
    for command in ["run", "verify", "repair"] {
        let help = binary().args(&[command, "--help"]).run().expect(0).stdout;
        // The short form wraps in the middle of things.
        let short = binary()
            .args(&[command, "-h"])
            .run()
            .expect(0)
            .stdout
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let mut listed = 0;
        for (name, arg) in variables(&clickhouse_backfill::cli::command(), command) {
            let part = help
                .split("\n      --")
                .find(|part| part.starts_with(arg.get_long().unwrap()))
                .unwrap_or_else(|| panic!("{name} is not in\n{help}"));
            assert!(part.contains(&format!("[env: {name}")), "{part}");
            // The short form lists only the flags that most calls need.
            let flag = format!(" --{}", arg.get_long().unwrap());
            let is_listed =
                short.contains(&format!("{flag} <")) || short.contains(&format!("{flag}["));
            assert!(
                !is_listed
                    || short.contains(&format!("[env: {name}=]"))
                    || short.contains(&format!("[env: {name}]")),
                "{name} is not in\n{short}"
            );
            listed += usize::from(is_listed);
        }
        assert!(listed >= 8, "{command}: {listed}\n{short}");
    }
}

#[test]
fn the_example_works_unchanged_and_with_every_line_taken() {
    let orders = Orders::on(Server::shared(), 100);
    let run = orders.tool().arg("-v").file(".env", &example()).run().expect(0);
    assert!(
        run.stderr.contains("batches     100,000 rows or 128.0 MiB as native blocks; up to "),
        "{run}"
    );
    orders.assert_complete();

    // Every line taken: the values are accepted, until the files that they name are missed.
    let taken: String =
        example()
            .lines()
            .map(|line| {
                if is_assignment(line) { format!("{}\n", &line[1..]) } else { format!("{line}\n") }
            })
            .collect();
    let without_file = taken
        .lines()
        .filter(|line| !line.contains("=/") && !line.starts_with("PARTITIONS="))
        .collect::<Vec<_>>()
        .join("\n");
    // The port of the example may be taken.
    let tool = binary()
        .arg("run")
        .env("CLICKHOUSE_URL", "http://127.0.0.1:1")
        .env("METRICS_LISTEN", "0")
        .env("OUTAGE_WAIT", "0s");
    let tool = tool.file("clickhouse-backfill.toml", "[connections.prod]\n");
    let nowhere = tool.file(".env", &without_file).run();
    assert_text_snapshot!(nowhere.failure(), @"
    exit code 2
    error: the connection to http://127.0.0.1:1/ failed: [WORDS OF THE SYSTEM]
    hint: set --clickhouse-url or CLICKHOUSE_URL to the server's HTTP interface; its port is 8123 by default, 8443 for https
    ");
}

fn is_assignment(line: &str) -> bool {
    line.strip_prefix('#')
        .and_then(|rest| rest.split_once('='))
        .is_some_and(|(name, _)| is_name(name))
}

/// A dry run with its own idea of the partition and the batches, so that nothing but what a test
/// adds says them.
fn bare(server: &Server) -> Binary {
    let tool =
        binary().args(&["run", "-v", "--dry-run"]).file("job.toml", JOB).env("JOB", "job.toml");
    tool.envs(&server.environment())
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
    let orders = Orders::on(Server::shared(), 100);
    let file = "PARTITION=202501\nBATCH_SIZE=1111\n";
    let variables = [("PARTITION", "202502"), ("BATCH_SIZE", "2222")];
    let flags = ["--partition", "202503", "--batch-size", "3333"];
    // Which of the three are given, and what the configuration must say then.
    for (given, partition, batch) in [
        ("f", "202501", "1,111 rows"),
        ("fe", "202502", "2,222 rows"),
        ("fea", "202503", "3,333 rows"),
        ("fa", "202503", "3,333 rows"),
        ("ea", "202503", "3,333 rows"),
        ("e", "202502", "2,222 rows"),
        ("a", "202503", "3,333 rows"),
    ] {
        let mut tool = bare(&orders.server);
        if given.contains('f') {
            tool = tool.file(".env", file);
        }
        if given.contains('e') {
            tool = tool.envs(&variables);
        }
        if given.contains('a') {
            tool = tool.args(&flags);
        }
        let output = tool.run().expect(0);
        assert!(output.stderr.contains(&format!("partition {partition}:")), "{given}\n{output}");
        assert!(output.stderr.contains(batch), "{given}\n{output}");
    }
    let output = bare(&orders.server).args(&["--partition", "202503"]).run().expect(0);
    assert!(output.stderr.contains("batches     100,000 rows"), "the default\n{output}");
}

#[test]
fn switches_can_be_taken_back() {
    let orders = Orders::on(Server::shared(), 100);
    for (file, variable, flag, dry) in [
        ("DRY_RUN=true\n", None, None, true),
        ("DRY_RUN=true\n", Some("false"), None, false),
        ("DRY_RUN=0\n", Some("yes"), None, true),
        ("DRY_RUN=0\n", Some("yes"), Some("--dry-run=false"), false),
        ("DRY_RUN=no\n", Some("off"), Some("--dry-run"), true),
    ] {
        let mut tool = orders.tool().file(".env", file);
        if let Some(variable) = variable {
            tool = tool.env("DRY_RUN", variable);
        }
        if let Some(flag) = flag {
            tool = tool.arg(flag);
        }
        let output = tool.run().expect(0);
        assert_eq!(orders.summary()["dry_run"], dry, "{output}");
        assert_eq!(orders.target_rows() == 0, dry, "{output}");
        orders.server.query("TRUNCATE TABLE shipments");
    }
}

#[test]
fn the_file_is_looked_for_in_the_current_folder_only() {
    let outer = binary().file(".env", "BATCH_SIZE=x\n");
    let inner = outer.folder().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_clickhouse-backfill"));
    let output = command
        .env_clear()
        .current_dir(&inner)
        .args([
            "run",
            "--partition",
            "202506",
            "--clickhouse-url",
            "http://127.0.0.1:1",
            "--outage-wait",
            "0",
        ])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("the connection to"), "{output:?}");
}
