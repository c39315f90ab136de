//! The flags of this call, which the next command needs as well. Passwords and hooks, which may have
//! secrets, are left out.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

/// What must not be shown.
const SECRET: &[&str] = &["clickhouse_password", "source_password", "hook"];

/// The flags that were given on the command line, without those of the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Given {
    command: String,
    flags: Vec<GivenFlag>,
}

/// A flag with its values; without values it is a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GivenFlag {
    /// Such as `--job`.
    pub name: String,
    pub values: Vec<String>,
}

impl Given {
    /// The flags of the innermost command.
    pub(super) fn of(definition: &Command, matches: &ArgMatches) -> Self {
        let (mut definition, mut matches) = (definition, matches);
        while let Some((name, inner)) = matches.subcommand()
            && let Some(found) = definition.find_subcommand(name)
        {
            (definition, matches) = (found, inner);
        }
        let flags = definition.get_arguments().filter_map(|argument| given(argument, matches));
        Self { command: definition.get_name().to_owned(), flags: flags.collect() }
    }

    /// The command of this call, such as `run`.
    pub(crate) fn command(&self) -> &str {
        &self.command
    }

    /// The flags of this call that this command of the program has as well, but for the ones named.
    pub(crate) fn shared_with(
        &self,
        program: &Command,
        command: &str,
        but: &[&str],
    ) -> Vec<GivenFlag> {
        let has = |flag: &&GivenFlag| {
            let mut longs = program
                .find_subcommand(command)
                .into_iter()
                .flat_map(Command::get_arguments)
                .filter_map(Arg::get_long);
            let name = flag.name.trim_start_matches('-');
            longs.any(|long| long == name) && !but.contains(&name)
        };
        self.flags.iter().filter(has).cloned().collect()
    }
}

fn given(argument: &Arg, matches: &ArgMatches) -> Option<GivenFlag> {
    let (id, long) = (argument.get_id().as_str(), argument.get_long()?);
    if SECRET.contains(&id) || matches.value_source(id) != Some(ValueSource::CommandLine) {
        return None;
    }
    let name = format!("--{long}");
    let is_switch = !argument.get_action().takes_values();
    let raw = matches.get_raw(id).into_iter().flatten().map(|value| value.to_string_lossy());
    let values: Vec<_> = raw.map(|value| without_password(&value)).collect();
    // A value behind `=` may be left out where it is the one that is meant then.
    let is_implied = argument.is_require_equals_set() && values == ["true"];
    let values = if is_switch || is_implied { Vec::new() } else { values };
    Some(GivenFlag { name, values })
}

/// A URL without the password in it; any other text as it is.
fn without_password(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let Some((login, host)) = authority.rsplit_once('@') else { return value.to_owned() };
    let user = login.split_once(':').map_or(login, |(user, _)| user);
    let login = if user.is_empty() { String::new() } else { format!("{user}@") };
    format!("{scheme}://{login}{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(line: &[&str]) -> Given {
        let definition = super::super::command();
        let matches = definition.clone().try_get_matches_from(line).unwrap();
        Given::of(&definition, &matches)
    }

    fn shown(flags: &[GivenFlag]) -> Vec<String> {
        let words = |flag: &GivenFlag| [flag.name.clone(), flag.values.join(" ")].join(" ");
        flags.iter().map(|flag| words(flag).trim_end().to_owned()).collect()
    }

    #[test]
    fn the_next_command_gets_the_flags_that_it_has_and_no_password() {
        let program = super::super::command();
        let given = given(&[
            "clickhouse-backfill",
            "plan",
            "--partition=202511",
            "--clickhouse-url=http://ann:se:cr@et@db:8123/?x=1",
            "--clickhouse-password=hidden",
            "--clickhouse-user",
            "ann",
            "--measure=0s",
            "--exclude-dataset-items",
            "--where=a,b",
            "--json",
        ]);
        assert_eq!(given.command(), "plan");
        let run = shown(&given.shared_with(&program, "run", &["json"]));
        assert_eq!(
            run,
            [
                "--partition 202511",
                "--where a b",
                "--exclude-dataset-items",
                "--clickhouse-url http://ann@db:8123/?x=1",
                "--clickhouse-user ann",
            ]
        );
        let plan = shown(&given.shared_with(&program, "plan", &[])).join(" ");
        assert!(plan.contains("--measure 0s") && plan.contains("--json"), "{plan}");
        assert!(!plan.contains("hidden") && !plan.contains("cr"), "{plan}");
    }

    #[test]
    fn only_urls_have_passwords() {
        for (text, shown) in [
            ("https://:secret@db:1/x@y", "https://db:1/x@y"),
            ("https://db/a@b", "https://db/a@b"),
            ("a:b@c", "a:b@c"),
            ("SELECT '://'", "SELECT '://'"),
        ] {
            assert_eq!(without_password(text), shown);
        }
    }
}
