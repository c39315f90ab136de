//! Parsing a command line together with what is below its flags.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgMatches, Command as Program, FromArgMatches};

use super::config_file::ConfigFile;
use super::dotenv::Environment;
use super::given::Given;
use super::help;
use super::layers::{self, Arguments, Call, Layers, Resolved};
use super::load::WhatArguments;
use super::packs::PackFolders;
use super::parse_error;
use super::reference::variable_names;
use super::server::ServerArguments;
use super::shown::{self, ShownSetting};
use super::{Cli, Command, command};
use crate::cli::failure::Failure;

/// The result of parsing a command line.
pub(crate) enum Parsed {
    /// A command to run.
    Call(Box<ParsedCall>),
    /// Help or the version was printed.
    Printed,
    /// No command is given. This is the help to show.
    Missing(String),
}

/// A command to run.
pub(crate) struct ParsedCall {
    pub command: Command,
    /// Its flags.
    pub given: Given,
    /// Where other values come from.
    pub layers: Layers,
    /// What to say of `.env` and the config file.
    pub notes: Vec<String>,
}

/// Parses the process's arguments. `environment` is what was read from `.env`; its failure, and a broken
/// config file, matter only to commands that use them.
pub(crate) fn parse(environment: Result<Environment, Failure>) -> Result<Parsed, Failure> {
    let (line, program): (Vec<_>, _) = (std::env::args_os().collect(), command());
    let words = |call: &Call| call.words.clone();
    let (words, layers) = match Call::scan(&program, &line) {
        Some(call) => (words(&call), Layers::read(environment?, &program, &call)?),
        None => match matches(&program, &line) {
            // The command has no settings.
            Ok(_) => (Vec::new(), Layers::default()),
            Err(error) => {
                return report(&error, &line, |error| {
                    Ok(parse_error::of_call(error, &environment?, &program, &line))
                });
            }
        },
    };
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let mut resolved = layers.resolve(&program, &words)?;
    let parsed = settled(&program, &words, &line, &mut resolved)
        .and_then(|matches| Cli::from_arg_matches(&matches).map(|cli| (cli, matches)));
    let (mut cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            return report(&error, &line, |error| {
                Ok(parse_error::of_call(error, layers.environment(), &program, &line))
            });
        }
    };
    cli.command.choose(innermost(&matches), &resolved)?;
    if let Some(server) = cli.command.server() {
        server.layers = layers.clone();
    }
    Ok(Parsed::Call(Box::new(ParsedCall {
        command: cli.command,
        given: Given::of(&program, &matches, &resolved, layers.clone()),
        notes: layers.notes(&variable_names(&program), &program),
        layers,
    })))
}

/// The settings of the command that these words call, with the flags behind them.
pub(crate) fn settings(
    layers: &Layers,
    words: &[String],
) -> Result<(Vec<String>, Layers, Vec<ShownSetting>), Failure> {
    let program = command();
    let name = [program.get_name().to_owned()];
    let flags = layers.flags().iter().flat_map(|(flag, value)| [(*flag).to_owned(), value.clone()]);
    let line: Vec<_> =
        name.into_iter().chain(words.iter().cloned()).chain(flags).map(OsString::from).collect();
    let failed =
        |error: &clap::Error| parse_error::of_call(error, layers.environment(), &program, &line);
    let optional = not_required_below(program.clone());
    let Some(call) = Call::scan(&program, &line) else {
        let shown = words.join(" ");
        return Err(match matches(&optional, &line) {
            Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                Failure::usage(format!("`{shown}` needs a command behind it"))
            }
            Err(error) if !error.use_stderr() => Failure::usage(format!(
                "`{shown}` has no settings; name a command, such as `config show run`"
            )),
            Err(error) => failed(&error),
            Ok(_) => Failure::usage(format!("`{shown}` has no settings")),
        });
    };
    let layers = Layers::read(layers.environment().clone(), &program, &call)?;
    let words: Vec<_> = call.words.iter().map(String::as_str).collect();
    let mut resolved = layers.resolve(&program, &words)?;
    let matches =
        settled(&optional, &words, &line, &mut resolved).map_err(|error| failed(&error))?;
    let shown = shown::settings(&program, &words, innermost(&matches), (&layers, &resolved));
    Ok((call.words, layers, shown))
}

/// A line that is being typed.
pub(crate) struct Incomplete {
    layers: Layers,
    resolved: Resolved,
    matches: ArgMatches,
}

/// The line behind `--` of this process, without the value of this flag, which is being typed; `None` if
/// the rest of it is wrong.
pub(crate) fn incomplete(environment: &Environment, flag: &str) -> Option<Incomplete> {
    let mut line: Vec<_> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let at = std::env::var("_CLAP_COMPLETE_INDEX").ok().and_then(|at| at.parse::<usize>().ok());
    let at = at.unwrap_or(line.len().saturating_sub(1)).min(line.len());
    let before = at.saturating_sub(1);
    let is_apart = line.get(before).is_some_and(|word| word == flag);
    let from = if is_apart { before } else { at };
    line.drain(from.min(line.len())..line.len().min(at + 1));
    let program = command();
    let call = Call::scan(&program, &line)?;
    let layers = Layers::read(environment.clone(), &program, &call).ok()?;
    let words: Vec<_> = call.words.iter().map(String::as_str).collect();
    let mut resolved = layers.resolve(&program, &words).ok()?;
    let optional = not_required_below(program.clone());
    let matches = settled(&optional, &words, &line, &mut resolved).ok()?;
    Some(Incomplete { layers, resolved, matches })
}

impl Incomplete {
    /// The connections of its config file.
    pub(crate) fn connections(&self) -> Vec<String> {
        let names = self.layers.file().map(ConfigFile::connection_names);
        names.into_iter().flatten().map(str::to_owned).collect()
    }

    /// The folders of `--pack`.
    pub(crate) fn pack_folders(&self) -> Vec<PathBuf> {
        let packs = PackFolders::from_arg_matches(innermost(&self.matches));
        packs.map(|packs| packs.folders()).unwrap_or_default()
    }

    /// Its servers and its job; `None` if the command has none.
    pub(crate) fn servers_and_job(&self) -> Option<(ServerArguments, WhatArguments)> {
        let matches = innermost(&self.matches);
        matches.try_contains_id("clickhouse_url").ok()?;
        matches.try_contains_id("job").ok()?;
        let mut servers = ServerArguments::from_arg_matches(matches).ok()?;
        servers.choose_passwords(matches, &self.resolved).ok()?;
        Some((servers, WhatArguments::from_arg_matches(matches).ok()?))
    }
}

fn not_required_below(command: Program) -> Program {
    command.mut_subcommands(not_required_below).mut_args(layers::not_required)
}

fn matches(program: &Program, line: &[OsString]) -> Result<ArgMatches, clap::Error> {
    help::arranged(program.clone()).try_get_matches_from(line)
}

/// The line, with the values of the config file as defaults, but for those that exclude a flag.
fn settled(
    program: &Program,
    words: &[&str],
    line: &[OsString],
    resolved: &mut Resolved,
) -> Result<ArgMatches, clap::Error> {
    let arguments = Arguments::of(program, words);
    let mut found = matches(&resolved.applied(program.clone(), words), line)?;
    if resolved.yield_to(&arguments, innermost(&found)) {
        found = matches(&resolved.applied(program.clone(), words), line)?;
    }
    Ok(found)
}

fn innermost(matches: &ArgMatches) -> &ArgMatches {
    let mut innermost = matches;
    while let Some((_, matches)) = innermost.subcommand() {
        innermost = matches;
    }
    innermost
}

/// Prints what is asked for, or returns the failure.
fn report(
    error: &clap::Error,
    line: &[OsString],
    failure: impl FnOnce(&clap::Error) -> Result<Failure, Failure>,
) -> Result<Parsed, Failure> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // If stdout is closed, there is nothing to do.
            let _ = error.print();
            Ok(Parsed::Printed)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Ok(Parsed::Missing(if line.len() == 1 {
                help::FIRST_STEPS.to_owned()
            } else {
                error.render().to_string()
            }))
        }
        _ => Err(failure(error)?),
    }
}

/// Whether the command with these arguments may read variables. The others must work whatever is in
/// `.env`.
pub(crate) fn reads_environment(mut arguments: impl Iterator<Item = OsString>) -> bool {
    let command = arguments.nth(1).unwrap_or_default();
    !["job", "completions", "man", "help"].iter().any(|other| command == *other)
}

#[cfg(test)]
mod tests {
    use std::any::TypeId;
    use std::collections::BTreeSet;

    use clap::builder::Resettable;
    use clap::{Arg, ArgAction, Args};

    use super::super::config_file::{
        CONFIG, CONNECTION, configurable, connection_ids, is_secret, settable_flags,
    };
    use super::super::server::ServerArguments;
    use super::super::shown::ShownOrigin;
    use super::*;

    /// The program, which reads no variables of whoever runs the tests.
    fn without_variables(command: Program) -> Program {
        command
            .mut_subcommands(without_variables)
            .mut_args(|argument| argument.env(Resettable::Reset))
    }

    /// A value that differs from the default, as the file has it and as it is shown.
    fn value(argument: &Arg) -> (String, String) {
        const CANDIDATES: [&str; 14] = [
            "x",
            "7",
            "7s",
            "1MiB",
            "1/7",
            "7%",
            "a=b",
            "on-start=x",
            "file:x",
            "127.0.0.1:7",
            "22:00-06:00",
            "202511",
            "202401..202412",
            "2026-07-01T00:00:00Z",
        ];
        if argument.get_value_parser().type_id() == TypeId::of::<bool>() {
            return ("true".to_owned(), "true".to_owned());
        }
        if matches!(argument.get_action(), ArgAction::Count) {
            return ("2".to_owned(), "2".to_owned());
        }
        let default = argument.get_default_values().first().and_then(|value| value.to_str());
        let accepts = |text: &str| {
            let alone = Arg::new("x").long("x").value_parser(argument.get_value_parser().clone());
            Program::new("").arg(alone).try_get_matches_from(["", &format!("--x={text}")]).is_ok()
        };
        let possible = argument.get_possible_values().into_iter();
        let possible: Vec<_> = possible.map(|value| value.get_name().to_owned()).collect();
        let texts = possible.iter().map(String::as_str).chain(CANDIDATES);
        let text = texts.into_iter().find(|text| default != Some(text) && accepts(text));
        let text = text.unwrap_or_else(|| panic!("no value for {argument:?}"));
        let shown = if is_secret(argument) { "(hidden)" } else { text };
        (format!("{text:?}"), shown.to_owned())
    }

    /// What `config show` would print of the command, with this config file.
    fn shown_with(program: &Program, words: &[&str], path: &str) -> Vec<ShownSetting> {
        // `ctl` is not called without a command behind it.
        let below: &[&str] = if words == ["ctl"] { &["status"] } else { &[] };
        let line = [&["x"], words, below, &["--config", path]].concat();
        let line: Vec<_> = line.into_iter().map(OsString::from).collect();
        let call = Call::scan(program, &line).unwrap();
        let words: Vec<_> = call.words.iter().map(String::as_str).collect();
        let failed = |failure: Failure| -> Layers { panic!("{}", failure.text()) };
        let layers = Layers::read(Environment::default(), program, &call).unwrap_or_else(failed);
        let mut resolved = layers.resolve(program, &words).unwrap();
        let optional = not_required_below(program.clone());
        let matches = settled(&optional, &words, &line, &mut resolved).unwrap();
        shown::settings(program, &words, innermost(&matches), (&layers, &resolved))
    }

    #[test]
    fn the_config_file_can_set_every_flag_of_every_command() {
        let program = without_variables(command());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let mut seen = 0;
        for (words, definition) in configurable(&program) {
            let arguments = Arguments::of(&program, &words);
            // Nothing is left out but these two, which are of the file itself.
            let is_other = |argument: &&Arg| {
                let id = argument.get_id().as_str();
                argument.get_long().is_some() && ![CONFIG, CONNECTION].contains(&id)
            };
            let mut left: Vec<_> = definition.get_arguments().filter(is_other).collect();
            // Flags that exclude each other cannot be in one file.
            while !left.is_empty() {
                let (mut group, mut rest): (Vec<&Arg>, Vec<&Arg>) = (Vec::new(), Vec::new());
                for argument in left {
                    let rivals = arguments.rivals(argument.get_id().as_str());
                    let is_alone =
                        group.iter().all(|other| !rivals.contains(&other.get_id().as_str()));
                    if is_alone { group.push(argument) } else { rest.push(argument) }
                }
                left = rest;
                let values: Vec<_> = group.iter().map(|argument| value(argument)).collect();
                let flags = group.iter().map(|argument| argument.get_long().unwrap());
                let lines =
                    flags.zip(&values).map(|(flag, (text, _))| format!("{flag} = {text}\n"));
                let text = format!("[{}]\n{}", words.join("."), lines.collect::<String>());
                std::fs::write(&path, &text).unwrap();
                let settings = shown_with(&program, &words, path.to_str().unwrap());
                for (position, (argument, (_, value))) in group.iter().zip(values).enumerate() {
                    let flag = format!("--{}", argument.get_long().unwrap());
                    let shown = settings.iter().find(|shown| shown.flag == flag).unwrap();
                    let origin = ShownOrigin::Config { line: position + 2, connection: None };
                    let expected = ShownSetting { flag, value: Some(value), origin };
                    assert_eq!(*shown, expected, "{text}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 400, "{seen}");
    }

    #[test]
    fn a_connection_can_set_all_that_reaches_a_server() {
        let arguments = ServerArguments::augment_args(Program::new(""));
        let ids = arguments.get_arguments().map(|argument| argument.get_id().as_str());
        let of_servers: BTreeSet<_> = ids.filter(|id| !id.ends_with("_timeout")).collect();
        assert_eq!(connection_ids().collect::<BTreeSet<_>>(), of_servers);
    }

    #[test]
    fn a_flag_is_never_called_as_a_command_below() {
        for (_, command) in configurable(&command()) {
            let names: BTreeSet<_> = command.get_subcommands().map(Program::get_name).collect();
            assert!(settable_flags(command).all(|flag| !names.contains(flag.get_long().unwrap())));
        }
    }
}
