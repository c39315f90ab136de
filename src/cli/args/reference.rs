//! The documents that follow from the definitions of the flags: `docs/reference/cli.md`,
//! `docs/reference/environment.md` and `.env.example`.

use std::fmt::Write;

use clap::{Arg, Command};

use super::command;
use super::help::EXPERT;

/// Groups of flags in the order of the documents. Other groups follow.
const GROUPS: [&str; 13] = [
    "ClickHouse",
    "Source on another server, or as another user",
    "Job",
    "Preflight",
    "Ledger",
    "Throughput",
    "Throttling",
    "Faults",
    "Metrics",
    "Hooks",
    "Output",
    "Comparison",
    EXPERT,
];

/// Values to show in `.env.example` for variables without a fixed default.
const EXAMPLES: [(&str, &str); 41] = [
    ("CA_CERT", "/etc/clickhouse/ca.pem"),
    ("CHUNK_ROWS", "500000"),
    ("CLICKHOUSE_PASSWORD", "pa$$ #1"),
    ("CLICKHOUSE_PASSWORD_FILE", "/run/secrets/clickhouse-password"),
    ("CLICKHOUSE_USER", "default"),
    ("CLIENT_CERT", "/etc/clickhouse/client.pem"),
    ("CLIENT_KEY", "/etc/clickhouse/client.key"),
    ("CONFIG", "/etc/clickhouse-backfill.toml"),
    ("CONNECTION", "prod"),
    ("BEFORE", "2026-07-01T00:00:00Z"),
    ("EXCLUDE", "dataset-items"),
    ("WHERE", "paid"),
    ("CONTROL_SOCKET", "/run/user/1000/backfill.sock"),
    ("HOOK", "on-finish=cat > finished.json"),
    ("LEDGER_DB", "default"),
    ("LOG_FILE", "backfill.log"),
    ("MAX_MERGES", "20"),
    ("MAX_REPLICA_DELAY", "60s"),
    ("MAX_ROWS_PER_SECOND", "50000"),
    ("MAX_SERVER_MEMORY", "4GiB"),
    ("MAX_SERVER_MEMORY_USED", "85"),
    ("MEMORY", "4GiB"),
    ("METRICS_FILE", "backfill.prom"),
    ("METRICS_LISTEN", "127.0.0.1:9464"),
    ("PACK", "packs/mine"),
    ("PARTITION", "202511"),
    ("PARTITIONS", "202401..202512"),
    ("PLAN", "/var/lib/clickhouse-backfill/plan.json"),
    ("RUN_WINDOW", "22:00-06:00"),
    ("SKIP_CHECKS", "parts,disk"),
    ("SOURCE_DB", "default"),
    ("SOURCE_NATIVE", "source.internal:9000"),
    ("SOURCE_PASSWORD", "pa$$ #1"),
    ("SOURCE_PASSWORD_FILE", "/run/secrets/source-password"),
    ("SOURCE_URL", "http://localhost:8123"),
    ("SOURCE_USER", "reader"),
    ("STREAM_BLOCK_SIZE", "65409"),
    ("SUMMARY_JSON", "summary.json"),
    ("TARGET_TABLE", "events_full"),
    ("OBJECTS_ROOT", "s3://my-bucket/exports/cur2"),
    ("OBJECTS_COLLECTION", "billing"),
];

/// Examples of variables that need a longer value, or that only `verify` and `repair` read.
const MORE_EXAMPLES: [(&str, &str); 3] = [
    (
        "THROTTLE_QUERY",
        "SELECT if(max(elapsed) > 600, 'a query runs for long', '') FROM system.processes",
    ),
    ("VERIFY_SAMPLE", "1/100"),
    ("VERIFY_STATE", "verify.json"),
];

/// Variables without a flag, with their descriptions.
const OTHER_VARIABLES: [(&str, &str); 5] = [
    ("HOSTNAME", "Name of this host in the ledger, where the system does not report one."),
    ("NO_COLOR", "Any value turns colors off."),
    ("TERM", "`dumb` turns the progress display off."),
    ("TZ", "Time zone of `--window`."),
    ("XDG_RUNTIME_DIR", "Directory of control sockets."),
];

const GENERATED: &str = "<!-- Written by scripts/generate-references. Do not edit. -->";

/// The path of each document within the repository, and its text.
pub fn references() -> [(&'static str, String); 4] {
    let mut command = command();
    command.build();
    [
        ("docs/reference/cli.md", command_line(&command)),
        ("docs/reference/environment.md", environment(&command)),
        (".env.example", example(&command)),
        ("docs/reference/job-file.md", crate::job::reference()),
    ]
}

/// The names of all variables that the program reads.
pub(crate) fn variable_names(command: &Command) -> Vec<&str> {
    let with_flag = variables(command).into_iter().map(|variable| variable.name);
    with_flag.chain(OTHER_VARIABLES.map(|(name, _)| name)).collect()
}

/// A flag that an environment variable can set.
struct Variable<'a> {
    name: &'a str,
    argument: &'a Arg,
    /// The commands that read it.
    commands: Vec<String>,
}

/// All variables of flags. A variable that has several flags is described by the first.
fn variables(command: &Command) -> Vec<Variable<'_>> {
    let mut found: Vec<Variable<'_>> = Vec::new();
    for (name, command) in commands(command) {
        for argument in command.get_arguments() {
            let Some(variable) = argument.get_env().and_then(|name| name.to_str()) else {
                continue;
            };
            if let Some(known) = found.iter_mut().find(|known| known.name == variable) {
                known.commands.push(name.clone());
                continue;
            }
            found.push(Variable { name: variable, argument, commands: vec![name.clone()] });
        }
    }
    found
}

/// The commands and their subcommands, by the words that call them.
fn commands(command: &Command) -> Vec<(String, &Command)> {
    let mut found = Vec::new();
    for sub in command.get_subcommands().filter(|sub| is_shown(sub)) {
        found.push((sub.get_name().to_owned(), sub));
        let below = commands(sub).into_iter();
        found.extend(below.map(|(name, command)| (format!("{} {name}", sub.get_name()), command)));
    }
    found
}

fn is_shown(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

/// Arguments by group, in the order of [`GROUPS`]; those without a group come first.
fn by_group<'a, T>(items: impl Iterator<Item = (T, &'a Arg)>) -> Vec<(&'a str, Vec<T>)> {
    let mut groups: Vec<(&str, Vec<T>)> = Vec::new();
    for (item, argument) in items {
        let heading = argument.get_help_heading().unwrap_or_default();
        match groups.iter_mut().find(|(name, _)| *name == heading) {
            Some((_, items)) => items.push(item),
            None => groups.push((heading, vec![item])),
        }
    }
    let place = |name: &str| GROUPS.iter().position(|known| *known == name);
    groups.sort_by_key(|(name, _)| {
        if name.is_empty() { 0 } else { place(name).map_or(GROUPS.len(), |n| n + 1) }
    });
    groups
}

fn command_line(command: &Command) -> String {
    let mut page = format!("# Command line\n\n{GENERATED}\n\n");
    let _ = write!(
        page,
        "{}\n\n    {} COMMAND [OPTIONS]\n\nA flag overrides its environment variable, the environment overrides `.env`, and `.env` the config file; see \
         [environment](environment.md) and [config file](configuration.md). `-h` prints a summary, `--help` the full text, `-V` the version.\n\n",
        sentence(&about(command)),
        command.get_name()
    );
    page.push_str("| Command | |\n|---|---|\n");
    for (name, sub) in commands(command) {
        let anchor = name.replace(' ', "-");
        let _ = writeln!(page, "| [`{name}`](#{anchor}) | {} |", cell(&about(sub)));
    }
    for (name, sub) in commands(command) {
        let usage = sub.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ");
        let _ = write!(page, "\n## {name}\n\n{}\n\n    {usage}\n", sentence(&about(sub)));
        let shown = |argument: &&Arg| !matches!(argument.get_id().as_str(), "help" | "version");
        let arguments = sub.get_arguments().filter(shown).map(|argument| (argument, argument));
        for (group, arguments) in by_group(arguments) {
            let _ = write!(
                page,
                "\n| {} | Variable | Default | Description |\n|---|---|---|---|\n",
                if group.is_empty() { "Flag" } else { group }
            );
            for argument in arguments {
                let _ = writeln!(
                    page,
                    "| {} | {} | {} | {} |",
                    code(&flag(argument)),
                    argument.get_env().map_or(String::new(), |name| code(&name.to_string_lossy())),
                    default_cell(argument),
                    cell(&description(argument)),
                );
            }
        }
        if let Some(after) = sub.get_after_help() {
            page.push_str(&after_help(&after.to_string()));
        }
    }
    page
}

/// The examples as a block of code, and the sentences after them.
fn after_help(text: &str) -> String {
    let mut page = String::new();
    for block in text.split("\n\n") {
        match block.split_once(":\n") {
            Some((head, lines)) => {
                let _ = write!(page, "\n{head}:\n\n");
                for line in lines.lines() {
                    let _ = writeln!(page, "    {}", line.trim_start());
                }
            }
            None => {
                let _ = write!(page, "\n{block}\n");
            }
        }
    }
    page
}

fn environment(command: &Command) -> String {
    let variables = variables(command);
    let mut page = format!("# Environment\n\n{GENERATED}\n\n");
    page.push_str(
        "A flag overrides its environment variable, the environment overrides the file `.env` of the current \
         directory, and `.env` overrides the [config file](configuration.md). `.env.example` lists every variable with its default; copy it to `.env`.\n\n\
         In `.env`, a value with blanks, quotes, `#` or `$` needs single quotes, as in `CLICKHOUSE_PASSWORD='pa$$ #1'`: \
         outside of them, `#` starts a comment, and `$NAME` is replaced by that variable. A variable that switches \
         something on takes `true` or `false`.\n",
    );
    for (group, variables) in by_group(variables.iter().map(|known| (known, known.argument))) {
        let _ = write!(
            page,
            "\n## {group}\n\n| Variable | Flag | Default | Description | Commands |\n|---|---|---|---|---|\n"
        );
        for Variable { name, argument, commands } in variables {
            let commands: Vec<_> = commands.iter().map(|name| code(name)).collect();
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} | {} |",
                code(name),
                code(&flag(argument)),
                default_cell(argument),
                cell(&description(argument)),
                commands.join(", ")
            );
        }
    }
    page.push_str("\n## Without a flag\n\n| Variable | Description |\n|---|---|\n");
    for (name, words) in OTHER_VARIABLES {
        let _ = writeln!(page, "| `{name}` | {words} |");
    }
    page
}

fn example(command: &Command) -> String {
    let variables = variables(command);
    let mut text = comment(
        "Settings of clickhouse-backfill. Copy this file to `.env` in the directory in which you run the program, and \
         remove the # of the lines that you want to change. Each line shows the default of its variable, or an example if \
         there is no fixed default.",
    );
    text.push_str("#\n");
    text.push_str(&comment(
        "A flag overrides its environment variable, the environment overrides this file, and this file overrides the config \
         file.",
    ));
    text.push_str("#\n");
    text.push_str(&comment(
        "A value with blanks, quotes, # or $ needs single quotes, as in CLICKHOUSE_PASSWORD='pa$$ #1': outside of them, # \
         starts a comment, and $NAME is replaced by that variable.",
    ));
    for (group, variables) in by_group(variables.iter().map(|known| (known, known.argument))) {
        let _ = write!(text, "\n\n# {group}");
        if !variables.iter().any(|known| known.commands.iter().any(|name| name == "run")) {
            let commands = variables.first().map(|known| known.commands.join(" and "));
            let _ =
                write!(text, " (`{}`)", commands.unwrap_or_default().replace(" and ", "` and `"));
        }
        text.push('\n');
        for Variable { name, argument, .. } in variables {
            let default = match default(argument) {
                Some(default) => format!("default: {default}"),
                None => "no default".to_owned(),
            };
            let _ = write!(text, "\n# {} ({default})\n", flag(argument));
            text.push_str(&comment(&description(argument)));
            let value = fixed_default(argument).or_else(|| value_shown(name).map(str::to_owned));
            let _ = writeln!(text, "#{name}={}", quoted(&value.unwrap_or_default()));
        }
    }
    text
}

fn value_shown(name: &str) -> Option<&'static str> {
    let mut examples = EXAMPLES.iter().chain(&MORE_EXAMPLES);
    examples.find(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// The text as one value of `.env`.
pub(crate) fn quoted(value: &str) -> String {
    if !value.contains([' ', '\'', '"', '#', '$', '\\']) {
        value.to_owned()
    } else if value.contains('\'') {
        format!("\"{value}\"")
    } else {
        format!("'{value}'")
    }
}

/// Lines of at most 100 characters that begin with `#`.
fn comment(words: &str) -> String {
    const WIDTH: usize = 100;
    let mut lines = vec!["#".to_owned()];
    for word in words.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("# {word}")),
        }
    }
    lines.join("\n") + "\n"
}

/// `--batch-size <ROWS>`, or `<NAME>` of an argument that is no flag.
fn flag(argument: &Arg) -> String {
    let values: Vec<_> =
        argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let value = if argument.get_action().takes_values() { values.join(" ") } else { String::new() };
    let name = match (argument.get_long(), argument.get_short()) {
        (Some(long), Some(short)) => format!("-{short}, --{long}"),
        (Some(long), None) => format!("--{long}"),
        _ => return value,
    };
    let optional = argument.get_num_args().is_some_and(|range| range.min_values() == 0);
    if value.is_empty() || argument.is_require_equals_set() {
        name
    } else if optional {
        format!("{name} [{value}]")
    } else {
        format!("{name} {value}")
    }
}

fn fixed_default(argument: &Arg) -> Option<String> {
    let values = argument.get_default_values();
    let takes_values = argument.get_action().takes_values();
    values.first().filter(|_| takes_values).map(|value| value.to_string_lossy().into_owned())
}

/// The default, or what takes its place, as the help text describes it.
pub(super) fn default(argument: &Arg) -> Option<String> {
    fixed_default(argument).or_else(|| {
        let help = argument.get_help()?.to_string();
        let (_, rest) = help.split_once("[default: ")?;
        rest.split_once(']').map(|(default, _)| default.to_owned())
    })
}

fn default_cell(argument: &Arg) -> String {
    match fixed_default(argument) {
        Some(default) => code(&default),
        None => cell(&default(argument).unwrap_or_default()),
    }
}

/// What the flag does, in sentences, without its default; its possible values.
fn description(argument: &Arg) -> String {
    let text = argument.get_long_help().or(argument.get_help()).map(ToString::to_string);
    let text = text.unwrap_or_default();
    let text = match (text.find(" [default: "), text.find(']')) {
        (Some(start), Some(end)) if start < end => {
            let (head, tail) = text.split_at(start);
            let tail = tail.split_once(']').map_or("", |(_, tail)| tail);
            format!("{head}{tail}")
        }
        _ => text,
    };
    let mut words = text.split("\n\n").map(sentence).collect::<Vec<_>>().join(" ");
    let values = argument.get_possible_values();
    let values: Vec<_> = values.iter().filter(|value| !value.is_hide_set()).collect();
    if !values.is_empty() && !argument.is_hide_possible_values_set() {
        let explained = values.iter().any(|value| value.get_help().is_some());
        let values: Vec<_> = values
            .iter()
            .map(|value| match value.get_help() {
                Some(help) => format!("`{}`: {help}", value.get_name()),
                None => format!("`{}`", value.get_name()),
            })
            .collect();
        let values = values.join(if explained { "; " } else { ", " });
        words = format!("{words} Values: {values}.");
    }
    words
}

fn about(command: &Command) -> String {
    let about = command.get_long_about().or(command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    about.split("\n\n").map(sentence).collect::<Vec<_>>().join(" ")
}

/// The text with the full stop that the parser removes.
fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() || text.ends_with('.') { text.to_owned() } else { format!("{text}.") }
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_without_a_fixed_default_has_an_example_and_no_other() {
        let command = command();
        let mut missing: Vec<_> = variables(&command)
            .iter()
            .filter(|known| fixed_default(known.argument).is_none())
            .map(|known| known.name.to_owned())
            .collect();
        let mut examples: Vec<_> =
            EXAMPLES.iter().chain(&MORE_EXAMPLES).map(|(name, _)| (*name).to_owned()).collect();
        missing.sort_unstable();
        examples.sort_unstable();
        assert_eq!(missing, examples);
    }

    #[test]
    fn values_are_quoted_as_the_file_needs_it() {
        for value in ["a", "pa$$ #1", "a b", "SELECT 'x'", "a\"b", "C:\\x"] {
            let text = format!("A={}\n", quoted(value));
            let read: Vec<_> =
                dotenvy::from_read_iter(text.as_bytes()).map(|entry| entry.unwrap().1).collect();
            assert_eq!(read, [value], "{text}");
        }
    }

    #[test]
    fn defaults_are_told_apart_from_descriptions() {
        let argument = Arg::new("x").long("x").value_name("N").help("Do x [default: the half]");
        assert_eq!(default(&argument).as_deref(), Some("the half"));
        assert_eq!(description(&argument), "Do x.");
        assert_eq!(flag(&argument), "--x N");
        let argument = Arg::new("y").long("y").default_value("3").help("Do y");
        assert_eq!(default(&argument).as_deref(), Some("3"));
    }
}
