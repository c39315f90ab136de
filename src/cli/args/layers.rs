//! What a command gets where no flag is given: from the environment, `.env`, the config file or a named
//! connection. Values of the config file reach the parser as defaults, so that every flag takes them.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::{Resettable, ValueParser};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::config_file::{
    COMMON, CONFIG, CONNECTION, ConfigFile, DEFAULT_FILE, Setting, connection_ids, is_secret,
    settable_flags,
};
use super::dotenv::{Environment, ValueOrigin};
use crate::cli::failure::Failure;

/// Pairs of arguments of which the one of higher precedence counts, besides those that exclude each
/// other on the command line.
pub(super) const ALTERNATIVES: [(&str, &str); 3] = [
    ("partition", "partitions"),
    ("clickhouse_password", "clickhouse_password_file"),
    ("source_password", "source_password_file"),
];

/// A command line without a look at values: which command it is, and the file and the connection that it
/// names.
#[derive(Debug)]
pub(super) struct Call {
    /// The words that call the command.
    pub words: Vec<String>,
    config: Option<OsString>,
    connection: Option<String>,
}

impl Call {
    /// `None` where the parser has something else to do than to start a command with settings: to
    /// report an error, to print help.
    pub(super) fn scan(program: &Command, line: &[OsString]) -> Option<Self> {
        let matches = without_values(program.clone()).try_get_matches_from(line).ok()?;
        let (mut words, mut inner) = (Vec::new(), &matches);
        while let Some((name, matches)) = inner.subcommand() {
            words.push(name.to_owned());
            inner = matches;
        }
        let given = |id: &str| {
            let raw = inner.try_get_raw(id).ok()?;
            Some(raw.and_then(|mut values| values.next()).map(ToOwned::to_owned))
        };
        let config = given(CONFIG)?;
        let connection = given(CONNECTION).flatten();
        let connection = connection.map(|name| name.to_string_lossy().into_owned());
        Some(Self { words, config, connection })
    }
}

/// Arguments that take any text, and none of which is needed.
fn without_values(command: Command) -> Command {
    command.mut_subcommands(without_values).mut_args(|argument| {
        let argument = not_required(argument)
            .env(Resettable::Reset)
            .default_value(Resettable::Reset)
            .conflicts_with(Resettable::Reset)
            .requires(Resettable::Reset);
        if argument.get_action().takes_values() {
            argument.value_parser(ValueParser::os_string())
        } else {
            argument
        }
    })
}

/// The argument, which may be left out.
pub(super) fn not_required(argument: Arg) -> Arg {
    argument.required(false).required_unless_present(Resettable::Reset)
}

/// Everything below the flags.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers {
    environment: Environment,
    file: Option<Arc<ConfigFile>>,
    /// `--connection`
    connection: Option<String>,
    /// `--config` and `--connection`, if they are given as flags.
    flags: Vec<(&'static str, String)>,
}

impl Layers {
    /// Reads the config file that the call uses.
    ///
    /// # Errors
    /// The file cannot be read, does not exist although it is named, or is wrong.
    pub(super) fn read(
        environment: Environment,
        program: &Command,
        call: &Call,
    ) -> Result<Self, Failure> {
        let of_call = call.config.clone().filter(|path| !path.is_empty());
        let of_variable = std::env::var_os("CONFIG").filter(|path| !path.is_empty());
        let named = of_call.clone().or(of_variable).map(PathBuf::from);
        let path = named.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        let file = ConfigFile::read(&path, named.is_some(), program)?.map(Arc::new);
        let config = of_call.map(|path| ("--config", path.to_string_lossy().into_owned()));
        let connection = call.connection.clone().filter(|name| !name.is_empty());
        let flags = config.into_iter().chain(connection.clone().map(|name| ("--connection", name)));
        Ok(Self { environment, file, flags: flags.collect(), connection })
    }

    /// The config file, if there is one.
    pub(crate) fn file(&self) -> Option<&ConfigFile> {
        self.file.as_deref()
    }

    /// `--config` and `--connection`, if they were given as flags.
    pub(crate) fn flags(&self) -> &[(&'static str, String)] {
        &self.flags
    }

    /// Notes about `.env` and the config file.
    pub(super) fn notes(&self, known: &[&str], program: &Command) -> Vec<String> {
        let (mut ids, mut variables) = (BTreeSet::new(), BTreeSet::new());
        for (_, command) in super::config_file::configurable(program) {
            for argument in command.get_arguments().filter(|argument| is_secret(argument)) {
                ids.insert(argument.get_id().to_string());
                variables.extend(argument.get_env().and_then(|name| name.to_str()));
            }
        }
        let variables: Vec<_> = variables.into_iter().collect();
        let of_file = self.file().and_then(|file| file.note(&ids));
        self.environment.notes(known, &variables).into_iter().chain(of_file).collect()
    }

    /// The line of `.env` that sets this variable.
    pub(super) fn line_of(&self, variable: &str) -> Option<usize> {
        self.environment.line_of(variable)
    }

    /// `.env`.
    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// What the command with these words gets without flags.
    ///
    /// # Errors
    /// A connection that does not exist; values of the file that exclude each other.
    pub(super) fn resolve(&self, program: &Command, words: &[&str]) -> Result<Resolved, Failure> {
        let arguments = Arguments::of(program, words);
        let mut resolved = Resolved::default();
        for argument in arguments.iter() {
            let Some(variable) = argument.get_env().and_then(|name| name.to_str()) else {
                continue;
            };
            let (id, value) = (argument.get_id().to_string(), std::env::var_os(variable));
            if value.as_ref().is_some_and(|value| !value.is_empty()) {
                resolved.variables.insert(id, self.environment.origin_of(variable));
            } else if value.is_some() && is_name(argument) {
                resolved.blocked.insert(id);
            }
        }
        let Some(file) = self.file() else {
            return match self.named_connection(&resolved, &arguments) {
                None => Ok(resolved),
                Some((name, _)) => Err(Failure::usage(format!(
                    "there is no connection {name}: the file {DEFAULT_FILE} does not exist"
                ))
                .hint("--config or CONFIG names another config file")),
            };
        };
        for table in tables(words) {
            resolved.add_table(file, file.of_command(&table), &arguments)?;
        }
        let named = self.named_connection(&resolved, &arguments);
        match named {
            None => resolved.add_below(file.database(), &arguments, None),
            Some((name, origin)) => {
                let connection = file.connection(&name)?;
                if origin == ValueOrigin::Config {
                    resolved.add_below(connection, &arguments, Some(&name));
                } else {
                    resolved.add_connection((&name, connection), origin, &arguments);
                }
            }
        }
        resolved.settle(&arguments);
        Ok(resolved)
    }

    /// The connection, and where it is named.
    fn named_connection(
        &self,
        resolved: &Resolved,
        arguments: &Arguments<'_>,
    ) -> Option<(String, ValueOrigin)> {
        if !arguments.has(CONNECTION) {
            return None;
        }
        if let Some(name) = &self.connection {
            return Some((name.clone(), ValueOrigin::ConnectionOfFlag));
        }
        if let Some(origin) = resolved.variables.get(CONNECTION) {
            let origin = match origin {
                ValueOrigin::File => ValueOrigin::ConnectionOfFile,
                _ => ValueOrigin::ConnectionOfEnvironment,
            };
            return Some((std::env::var("CONNECTION").ok()?, origin));
        }
        let name = resolved.values.get(CONNECTION)?.setting.values.first()?;
        (!name.is_empty()).then(|| (name.clone(), ValueOrigin::Config))
    }

    /// The values that a command of one word gets without flags, but for `--config` and `--connection`
    /// of this call; by flag, several values joined by commas.
    pub(crate) fn inherited(&self, program: &Command, command: &str) -> BTreeMap<String, String> {
        let words = [command];
        let Ok(resolved) = self.resolve(program, &words) else { return BTreeMap::new() };
        let value = |argument: &Arg| {
            let id = argument.get_id().as_str();
            if let Some(value) = resolved.values.get(id) {
                return Some(value.setting.values.join(","));
            }
            let variable = argument.get_env().filter(|_| !resolved.blocked.contains(id));
            let of_variable = variable.and_then(std::env::var_os).filter(|value| !value.is_empty());
            of_variable.map(|value| value.to_string_lossy().into_owned()).or_else(|| {
                let default = argument.get_default_values().first()?;
                Some(default.to_string_lossy().into_owned())
            })
        };
        Arguments::of(program, &words)
            .iter()
            .filter_map(|argument| Some((format!("--{}", argument.get_long()?), value(argument)?)))
            .collect()
    }

    /// What a command of one word gets from the config file, by variable.
    pub(crate) fn configured(&self, program: &Command, command: &str) -> BTreeMap<String, String> {
        let words = [command];
        let Ok(resolved) = self.resolve(program, &words) else { return BTreeMap::new() };
        let value = |argument: &Arg| {
            let variable = argument.get_env()?.to_string_lossy().into_owned();
            let value = resolved.values.get(argument.get_id().as_str())?;
            Some((variable, value.setting.values.join(",")))
        };
        Arguments::of(program, &words).iter().filter_map(value).collect()
    }
}

/// The tables of a command, the one that counts most last. `plan` shows what `run` does.
fn tables<'a>(words: &[&'a str]) -> Vec<Vec<&'a str>> {
    let mut tables = vec![vec![COMMON]];
    if words == ["plan"] {
        tables.push(vec!["run"]);
    }
    tables.extend((1..=words.len()).map(|length| words.iter().take(length).copied().collect()));
    tables
}

/// A value of the config file.
#[derive(Clone, Debug)]
pub(super) struct Configured {
    pub setting: Setting,
    pub origin: ValueOrigin,
    /// The connection that it is from.
    pub connection: Option<String>,
}

/// What a command gets where no flag is given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolved {
    /// The values of the config file that count, by the id of the argument.
    values: BTreeMap<String, Configured>,
    /// The arguments that do not take their variable, because a connection or an alternative overrides it.
    blocked: BTreeSet<String>,
    /// Where the variables that are set and not empty come from, by the id of the argument.
    variables: BTreeMap<String, ValueOrigin>,
}

impl Resolved {
    /// Adds a table that counts more than those before.
    fn add_table(
        &mut self,
        file: &ConfigFile,
        settings: &[Setting],
        arguments: &Arguments<'_>,
    ) -> Result<(), Failure> {
        let settings: Vec<_> =
            settings.iter().filter(|setting| arguments.has(&setting.id)).collect();
        for (position, setting) in settings.iter().enumerate() {
            let rivals = arguments.rivals(&setting.id);
            let other = settings.iter().skip(position + 1).find(|other| {
                rivals.contains(&other.id.as_str()) && is_on(setting) && is_on(other)
            });
            if let Some(other) = other {
                let flag = |setting: &Setting| setting.id.replace('_', "-");
                return Err(Failure::usage(format!(
                    "{}, lines {} and {}: {} and {} are both given; give one of them",
                    file.path().display(),
                    setting.line.min(other.line),
                    setting.line.max(other.line),
                    flag(setting),
                    flag(other)
                )));
            }
        }
        for setting in settings {
            self.add(setting, ValueOrigin::Config, None, arguments);
        }
        Ok(())
    }

    fn add(
        &mut self,
        setting: &Setting,
        origin: ValueOrigin,
        connection: Option<&str>,
        arguments: &Arguments<'_>,
    ) {
        if is_on(setting) {
            for rival in arguments.rivals(&setting.id) {
                self.values.remove(rival);
            }
        }
        let connection = connection.map(str::to_owned);
        let value = Configured { setting: setting.clone(), origin, connection };
        self.values.insert(setting.id.clone(), value);
    }

    /// Adds values that count less than those before.
    fn add_below(
        &mut self,
        settings: &[Setting],
        arguments: &Arguments<'_>,
        connection: Option<&str>,
    ) {
        let known: BTreeSet<_> = self.values.keys().cloned().collect();
        for setting in settings.iter().filter(|setting| arguments.has(&setting.id)) {
            let is_covered = known.contains(&setting.id)
                || arguments.rivals(&setting.id).iter().any(|rival| known.contains(*rival));
            if !is_covered {
                self.add(setting, ValueOrigin::Config, connection, arguments);
            }
        }
    }

    /// Adds a connection that a flag, the environment or `.env` names. It takes the place of all that is
    /// known of servers below; only a password may come from there, if the connection has none.
    fn add_connection(
        &mut self,
        (name, settings): (&str, &[Setting]),
        origin: ValueOrigin,
        arguments: &Arguments<'_>,
    ) {
        let is_set = |id: &str| settings.iter().any(|setting| setting.id == id);
        for id in connection_ids() {
            let is_open = ALTERNATIVES.iter().any(|(password, file)| {
                [*password, *file].contains(&id) && !is_set(password) && !is_set(file)
            });
            if is_open {
                continue;
            }
            self.values.remove(id);
            if self.variables.get(id).is_some_and(|variable| *variable < origin) {
                self.variables.remove(id);
                self.blocked.insert(id.to_owned());
            }
        }
        for setting in settings.iter().filter(|setting| arguments.has(&setting.id)) {
            self.add(setting, origin, Some(name), arguments);
        }
    }

    /// Between the file and variables, the higher precedence counts. An empty variable counts as not set.
    fn settle(&mut self, arguments: &Arguments<'_>) {
        for argument in arguments.iter() {
            let id = argument.get_id().as_str();
            let Some(value) = self.values.get(id) else { continue };
            if self.variables.get(id).is_some_and(|variable| *variable > value.origin) {
                self.values.remove(id);
            } else {
                self.variables.remove(id);
                self.blocked.insert(id.to_owned());
            }
        }
    }

    /// Lets the parser know the values, as defaults of the command with these words.
    pub(super) fn applied(&self, program: Command, words: &[&str]) -> Command {
        let Some((word, rest)) = words.split_first() else { return program };
        program.mut_subcommands(|sub| {
            if sub.get_name() != *word {
                return sub;
            }
            self.applied(sub, rest).mut_args(|argument| {
                let id = argument.get_id().as_str();
                let value = self.values.get(id).map(|value| value.setting.values.clone());
                let is_blocked = self.blocked.contains(id);
                let argument = if is_blocked { argument.env(Resettable::Reset) } else { argument };
                match value {
                    Some(values) => not_required(argument).default_values(values),
                    None => argument,
                }
            })
        })
    }

    /// Removes the values that exclude a flag or a variable of this call; whether there were any.
    pub(super) fn yield_to(&mut self, arguments: &Arguments<'_>, matches: &ArgMatches) -> bool {
        let is_given = |id: &str| {
            let source = matches.value_source(id);
            source.is_some_and(|source| source != ValueSource::DefaultValue)
        };
        let beaten: Vec<_> = self
            .values
            .keys()
            .filter(|id| arguments.conflicts(id).any(is_given))
            .cloned()
            .collect();
        for id in &beaten {
            self.values.remove(id);
        }
        !beaten.is_empty()
    }

    /// The value of the config file that counts for an argument.
    pub(super) fn value(&self, id: &str) -> Option<&Configured> {
        self.values.get(id)
    }

    /// Where the value of an argument comes from, unless it is the program's default.
    pub(super) fn origin(&self, matches: &ArgMatches, id: &str) -> Option<ValueOrigin> {
        match matches.value_source(id)? {
            ValueSource::CommandLine => Some(ValueOrigin::Flag),
            ValueSource::EnvVariable => {
                Some(self.variables.get(id).copied().unwrap_or(ValueOrigin::Environment))
            }
            _ => self.values.get(id).map(|value| value.origin),
        }
    }
}

/// Whether a value is a path, or the name of a job or a table, so that an empty one can only mean none.
fn is_name(argument: &Arg) -> bool {
    argument.get_value_parser().type_id() == TypeId::of::<PathBuf>()
        || ["job", "target_table"].contains(&argument.get_id().as_str())
}

/// Whether a value says something: a switch that is off excludes nothing.
fn is_on(setting: &Setting) -> bool {
    !matches!(&*setting.values, [value] if ["false", "0", ""].contains(&value.as_str()))
}

/// The flags of a command with those of the commands above it, and which of them exclude each other.
pub(super) struct Arguments<'a> {
    all: Vec<&'a Arg>,
    conflicts: Vec<(&'a str, &'a str)>,
}

impl<'a> Arguments<'a> {
    /// Of the command that these words call.
    pub(super) fn of(program: &'a Command, words: &[&str]) -> Self {
        let (mut all, mut conflicts, mut command) = (Vec::new(), Vec::new(), program);
        for word in words {
            let Some(sub) = command.find_subcommand(word) else { break };
            command = sub;
            for argument in settable_flags(command) {
                let id = argument.get_id().as_str();
                // Of a global argument, the parser also returns those of subcommands.
                let others = command.get_arg_conflicts_with(argument).into_iter();
                conflicts.extend(others.map(|other| (id, other.get_id().as_str())));
                all.push(argument);
            }
        }
        Self { all, conflicts }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'a Arg> + '_ {
        self.all.iter().copied()
    }

    fn has(&self, id: &str) -> bool {
        self.all.iter().any(|argument| argument.get_id() == id)
    }

    /// The arguments that exclude this one on the command line.
    fn conflicts(&self, id: &str) -> impl Iterator<Item = &'a str> {
        let other = move |(one, two): &(&'a str, &'a str)| match (*one == id, *two == id) {
            (true, _) => Some(*two),
            (_, true) => Some(*one),
            _ => None,
        };
        self.conflicts.iter().filter_map(other)
    }

    /// The arguments of which only one counts beside this one.
    pub(super) fn rivals(&self, id: &str) -> Vec<&'a str> {
        let alternative = ALTERNATIVES.iter().find_map(|(one, two)| match id {
            _ if id == *one => Some(*two),
            _ if id == *two => Some(*one),
            _ => None,
        });
        self.conflicts(id).chain(alternative).collect()
    }
}
