//! The flags of this call, which the next command needs as well. Passwords and hooks, which may have
//! secrets, are left out.

use std::collections::BTreeMap;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::config_file::is_secret;
use super::layers::{Layers, Resolved};

/// The flags that were given on the command line or in the config file, without those of the
/// environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    command: String,
    flags: Vec<GivenFlag>,
    layers: Layers,
}

/// A flag with its values; without values it is a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GivenFlag {
    /// Such as `--job`.
    pub name: String,
    pub values: Vec<String>,
    /// Whether a value needs `=` before it.
    pub needs_equals: bool,
    /// Whether it is from the config file, where the next command may find it as well.
    is_configured: bool,
}

impl Given {
    /// The flags of the innermost command.
    pub(super) fn of(
        definition: &Command,
        matches: &ArgMatches,
        resolved: &Resolved,
        layers: Layers,
    ) -> Self {
        let (mut definition, mut matches) = (definition, matches);
        while let Some((name, inner)) = matches.subcommand()
            && let Some(found) = definition.find_subcommand(name)
        {
            (definition, matches) = (found, inner);
        }
        let flags =
            definition.get_arguments().filter_map(|argument| given(argument, matches, resolved));
        Self { command: definition.get_name().to_owned(), flags: flags.collect(), layers }
    }

    /// The values that this command of the program gets without flags.
    pub(crate) fn inherited(&self, program: &Command, command: &str) -> BTreeMap<String, String> {
        self.layers.inherited(program, command)
    }

    /// The command of this call, such as `run`.
    pub(crate) fn command(&self) -> &str {
        &self.command
    }

    /// The flags of this call that this command of the program has as well, but for the ones named and
    /// for values that it finds in the config file.
    pub(crate) fn shared_with(
        &self,
        program: &Command,
        command: &str,
        but: &[&str],
    ) -> Vec<GivenFlag> {
        let inherited = self.inherited(program, command);
        let needs = |flag: &&GivenFlag| {
            let name = flag.name.trim_start_matches('-');
            let has = argument(program, command, name).is_some();
            let finds = || {
                let found = inherited.get(&flag.name).map(|value| without_password(value));
                let value = if flag.values.is_empty() { "true" } else { &*flag.values.join(",") };
                flag.is_configured && found.as_deref() == Some(value)
            };
            has && !but.contains(&name) && !finds()
        };
        self.flags.iter().filter(needs).cloned().collect()
    }

    /// Of the switches named, those that this command finds turned on.
    pub(crate) fn to_turn_off<'a>(
        &self,
        program: &Command,
        command: &str,
        but: &[&'a str],
    ) -> Vec<&'a str> {
        let inherited = self.inherited(program, command);
        let is_on = |name: &&&str| {
            let is_switch =
                argument(program, command, name).is_some_and(Arg::is_require_equals_set);
            is_switch && inherited.get(&format!("--{name}")).is_some_and(|value| is_true(value))
        };
        but.iter().filter(is_on).copied().collect()
    }
}

/// As the parser of switches reads a value.
fn is_true(value: &str) -> bool {
    ["y", "yes", "t", "true", "on", "1"].contains(&value.to_lowercase().as_str())
}

fn argument<'a>(program: &'a Command, command: &str, flag: &str) -> Option<&'a Arg> {
    let mut arguments = program.find_subcommand(command)?.get_arguments();
    arguments.find(|argument| argument.get_long() == Some(flag))
}

fn given(argument: &Arg, matches: &ArgMatches, resolved: &Resolved) -> Option<GivenFlag> {
    let (id, long) = (argument.get_id().as_str(), argument.get_long()?);
    let source = matches.value_source(id)?;
    let of_file = resolved.value(id).filter(|_| source == ValueSource::DefaultValue);
    if is_secret(argument) || (source != ValueSource::CommandLine && of_file.is_none()) {
        return None;
    }
    let name = format!("--{long}");
    let is_switch = !argument.get_action().takes_values();
    let values: Vec<_> = if let Some(value) = of_file {
        value.setting.values.clone()
    } else {
        let raw = matches.get_raw(id).into_iter().flatten();
        raw.map(|value| value.to_string_lossy().into_owned()).collect()
    };
    if is_switch && of_file.is_some() && values != ["true"] {
        return None;
    }
    let values: Vec<_> = values.iter().map(|value| without_password(value)).collect();
    // A value behind `=` may be left out where it is the one that is meant then.
    let needs_equals = argument.is_require_equals_set();
    let is_implied = needs_equals && values == ["true"];
    let values = if is_switch || is_implied { Vec::new() } else { values };
    Some(GivenFlag { name, values, needs_equals, is_configured: of_file.is_some() })
}

/// A URL without the password in it; any other text as it is.
pub(super) fn without_password(value: &str) -> String {
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
        Given::of(&definition, &matches, &Resolved::default(), Layers::default())
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
