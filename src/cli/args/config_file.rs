//! The config file: flags by command, and connections. All of it is checked when it is read; an unknown
//! key or a wrong value names its line, and no message shows a value that may be a password.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::dotenv::{exposed, without_mark};
use super::parse_error::explained;
use crate::cli::failure::Failure;
use crate::clickhouse::Password;
use crate::job::suggestion;

/// The file that is read where none is named. Only the current directory is searched, as for `.env`.
pub(crate) const DEFAULT_FILE: &str = "clickhouse-backfill.toml";
/// The table of flags for all commands.
pub(super) const COMMON: &str = "common";
/// Arguments that choose the file and its connection.
pub(super) const CONFIG: &str = "config";
/// See [`CONFIG`].
pub(super) const CONNECTION: &str = "connection";

/// The keys of a connection, with the ids of the arguments that they set. `host`, `port` and `secure`
/// make up the URL.
const CONNECTION_KEYS: [(&str, &str); 11] = [
    ("host", "clickhouse_url"),
    ("port", "clickhouse_url"),
    ("secure", "clickhouse_url"),
    ("database", "clickhouse_db"),
    ("user", "clickhouse_user"),
    ("password", "clickhouse_password"),
    ("password_file", "clickhouse_password_file"),
    ("ca_cert", "ca_cert"),
    ("client_cert", "client_cert"),
    ("client_key", "client_key"),
    ("source", ""),
];
/// The keys of the table `source` of a connection.
const SOURCE_KEYS: [(&str, &str); 8] = [
    ("host", "source_url"),
    ("port", "source_url"),
    ("secure", "source_url"),
    ("database", "source_db"),
    ("user", "source_user"),
    ("password", "source_password"),
    ("password_file", "source_password_file"),
    ("native", "source_native"),
];

/// The ids of the arguments that a connection sets.
pub(super) fn connection_ids() -> impl Iterator<Item = &'static str> {
    CONNECTION_KEYS.iter().chain(&SOURCE_KEYS).map(|(_, id)| *id).filter(|id| !id.is_empty())
}

/// The value of an argument.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The id of the argument.
    pub id: String,
    pub values: Vec<String>,
    /// Counted from 1.
    pub line: usize,
}

impl fmt::Debug for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A value may be a password.
        formatter.debug_tuple("Setting").field(&self.id).field(&self.line).finish()
    }
}

/// A config file without faults.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    /// The values of `[common]`, and of each command by the words that call it.
    commands: BTreeMap<Vec<String>, Vec<Setting>>,
    /// `[database.clickhouse]`
    database: Vec<Setting>,
    connections: BTreeMap<String, Vec<Setting>>,
    /// The permissions.
    mode: u32,
}

impl ConfigFile {
    /// Reads the file; `None` if it does not exist and need not.
    ///
    /// # Errors
    /// The file cannot be read, or something in it is wrong.
    pub(super) fn read(
        path: &Path,
        is_named: bool,
        program: &Command,
    ) -> Result<Option<Self>, Failure> {
        let shown = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && !is_named => return Ok(None),
            Err(error) => {
                let message = match error.kind() {
                    ErrorKind::InvalidData => format!("the config file {shown} is not UTF-8"),
                    _ => format!("cannot read the config file {shown}: {error}"),
                };
                return Err(if is_named {
                    Failure::usage(message).hint("set --config or CONFIG to an existing file")
                } else {
                    Failure::usage(message)
                });
            }
        };
        let mode = std::fs::metadata(path).map_or(0, |found| found.permissions().mode());
        let file = Self::parse(path, without_mark(&text), program)?;
        Ok(Some(Self { mode, ..file }))
    }

    /// Checks a text without a byte order mark.
    pub(crate) fn parse(path: &Path, text: &str, program: &Command) -> Result<Self, Failure> {
        let file = Self { path: path.to_owned(), ..Self::default() };
        Reader { path, text, program }.read(file)
    }

    /// The path, as it was given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The values of `[database.clickhouse]`.
    pub(super) fn database(&self) -> &[Setting] {
        &self.database
    }

    /// The values under the table of a command, or of [`COMMON`].
    pub(super) fn of_command(&self, words: &[&str]) -> &[Setting] {
        let is_it = |known: &&Vec<String>| known.iter().eq(words.iter());
        let found = self.commands.keys().find(is_it).and_then(|key| self.commands.get(key));
        found.map_or(&[], Vec::as_slice)
    }

    /// The values of a named connection.
    ///
    /// # Errors
    /// There is none of that name.
    pub(super) fn connection(&self, name: &str) -> Result<&[Setting], Failure> {
        if let Some(connection) = self.connections.get(name) {
            return Ok(connection);
        }
        let message = format!("{} has no connection {name}", self.path.display());
        let names = || self.connections.keys().map(String::as_str);
        Err(Failure::usage(message).hint(match suggestion(name, names()) {
            Some(meant) => format!("did you mean {meant}?"),
            None if self.connections.is_empty() => {
                format!("a table [connections.{name}] defines it")
            }
            None => format!("its connections: {}", names().collect::<Vec<_>>().join(", ")),
        }))
    }

    /// The names of all connections.
    pub(super) fn connection_names(&self) -> impl Iterator<Item = &str> {
        self.connections.keys().map(String::as_str)
    }

    /// A note if the file has a password that other users of this machine can read.
    pub(super) fn note(&self, secrets: &BTreeSet<String>) -> Option<String> {
        let all = self.commands.values().chain(self.connections.values());
        let has_secret = all
            .flatten()
            .chain(&self.database)
            .any(|setting| secrets.contains(&setting.id) && !setting.values.concat().is_empty());
        has_secret.then(|| exposed(&self.path, self.mode)).flatten()
    }
}

/// The commands below this one that take a config file, with the words that call them.
pub(super) fn configurable(command: &Command) -> Vec<(Vec<&str>, &Command)> {
    let mut found = Vec::new();
    for sub in command.get_subcommands() {
        if sub.get_arguments().any(|argument| argument.get_id() == CONFIG) {
            found.push((vec![sub.get_name()], sub));
        }
        for (mut words, command) in configurable(sub) {
            words.insert(0, sub.get_name());
            found.push((words, command));
        }
    }
    found
}

/// The argument of this flag, if a config file may set it.
fn settable<'a>(command: &'a Command, flag: &str) -> Option<&'a Arg> {
    settable_flags(command).find(|argument| argument.get_long() == Some(flag))
}

/// The arguments of the command that a config file may set: all flags but `--config`, and but for the
/// ones that only print something.
pub(super) fn settable_flags(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|argument| {
        let prints = matches!(
            argument.get_action(),
            ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
        );
        argument.get_long().is_some() && argument.get_id() != CONFIG && !prints
    })
}

/// Whether the argument's value must not be shown. Hooks may have secrets in their commands.
pub(super) fn is_secret(argument: &Arg) -> bool {
    argument.get_value_parser().type_id() == TypeId::of::<Password>() || argument.get_id() == "hook"
}

/// Reads a file's text.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    program: &'a Command,
}

type Entry<'a, 'i> = (&'a str, Range<usize>, &'a Spanned<DeValue<'i>>);

/// The entries of a table in the order of the file.
fn entries<'a, 'i>(table: &'a DeTable<'i>) -> Vec<Entry<'a, 'i>> {
    let mut found: Vec<_> =
        table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect();
    found.sort_by_key(|(_, span, _)| span.start);
    found
}

impl Reader<'_> {
    fn read(&self, mut file: ConfigFile) -> Result<ConfigFile, Failure> {
        let root = DeTable::parse(self.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            self.wrong(at, error.message())
        })?;
        for (name, span, value) in entries(root.get_ref()) {
            match name {
                "database" => file.database = self.database(self.table(name, value)?)?,
                "connections" => {
                    for (name, _, value) in entries(self.table(name, value)?) {
                        let title = format!("connections.{name}");
                        let settings = self.connection(&title, self.table(&title, value)?)?;
                        file.connections.insert(name.to_owned(), settings);
                    }
                }
                COMMON => {
                    let settings = self.common(self.table(name, value)?)?;
                    file.commands.insert(vec![name.to_owned()], settings);
                }
                _ => {
                    let Some(command) = self.command(name) else {
                        return Err(self.unknown_table(name, span.start));
                    };
                    let table = self.table(name, value)?;
                    self.flags(command, &[name], table, &mut file)?;
                }
            }
        }
        Ok(file)
    }

    fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }

    fn wrong(&self, at: usize, message: &str) -> Failure {
        Failure::usage(format!("{}, line {}: {message}", self.path.display(), self.line(at)))
    }

    fn table<'a, 'i>(
        &self,
        title: &str,
        value: &'a Spanned<DeValue<'i>>,
    ) -> Result<&'a DeTable<'i>, Failure> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            other => {
                let message = format!("[{title}] is a table, not {}", kind(other));
                Err(self.wrong(value.span().start, &message))
            }
        }
    }

    /// The command of this name, if it or one below it takes a config file.
    fn command(&self, name: &str) -> Option<&Command> {
        let mut all = configurable(self.program).into_iter();
        all.find(|(words, _)| words.first() == Some(&name))
            .and_then(|_| self.program.find_subcommand(name))
    }

    fn unknown_table(&self, name: &str, at: usize) -> Failure {
        let commands = configurable(self.program);
        let known = ["database", "connections", COMMON].into_iter();
        let known: Vec<_> =
            known.chain(commands.iter().filter_map(|(words, _)| words.first().copied())).collect();
        let failure = self.wrong(at, &format!("{name} is not known"));
        let is_flag = commands.iter().any(|(_, command)| settable(command, name).is_some());
        match suggestion(name, known) {
            Some(meant) => failure.hint(format!("did you mean [{meant}]?")),
            None if is_flag => failure.hint(format!(
                "{name} is a flag: put it under [{COMMON}], or under the name of its command, such as [run]"
            )),
            None => failure.hint("a table is named after a command, such as [run]; others are [database], [connections] and [common]"),
        }
    }

    /// `[database]`
    fn database(&self, table: &DeTable<'_>) -> Result<Vec<Setting>, Failure> {
        let mut settings = Vec::new();
        for (key, span, value) in entries(table) {
            match (key, value.get_ref()) {
                ("backend", DeValue::String(name)) if name == "clickhouse" => {}
                ("backend", DeValue::String(name)) => {
                    let message = format!("the backend {name:?} is not supported");
                    return Err(self
                        .wrong(value.span().start, &message)
                        .hint("the only backend is \"clickhouse\""));
                }
                ("backend", other) => {
                    return Err(self.mistyped("backend", "a string", value, other));
                }
                ("clickhouse", _) => {
                    let title = "database.clickhouse";
                    settings = self.connection(title, self.table(title, value)?)?;
                }
                _ => {
                    return Err(self.unknown(
                        "database",
                        key,
                        span.start,
                        &["backend", "clickhouse"],
                    ));
                }
            }
        }
        Ok(settings)
    }

    /// `[connections.NAME]` or `[database.clickhouse]`
    fn connection(&self, title: &str, table: &DeTable<'_>) -> Result<Vec<Setting>, Failure> {
        let mut settings = self.server(title, table, &CONNECTION_KEYS)?;
        let source = entries(table).into_iter().find(|(key, ..)| *key == "source");
        if let Some((_, _, value)) = source {
            let title = format!("{title}.source");
            settings.extend(self.server(&title, self.table(&title, value)?, &SOURCE_KEYS)?);
        }
        Ok(settings)
    }

    fn server(
        &self,
        title: &str,
        table: &DeTable<'_>,
        keys: &[(&str, &str)],
    ) -> Result<Vec<Setting>, Failure> {
        let mut settings: Vec<Setting> = Vec::new();
        let mut url = UrlParts::default();
        for (key, span, value) in entries(table) {
            let Some((_, id)) = keys.iter().find(|(known, _)| *known == key) else {
                let known: Vec<_> = keys.iter().map(|(known, _)| *known).collect();
                return Err(self.unknown(title, key, span.start, &known));
            };
            let line = self.line(span.start);
            match (key, value.get_ref()) {
                ("source", _) => continue,
                ("host", DeValue::String(host)) => url.host = Some(self.host(host, value)?),
                ("port", DeValue::Integer(port)) => url.port = Some(self.port(port, value)?),
                ("secure", DeValue::Boolean(secure)) => url.secure = *secure,
                ("port", other) => {
                    return Err(self.mistyped(key, "a number", value, other));
                }
                ("secure", other) => {
                    return Err(self.mistyped(key, "true or false", value, other));
                }
                ("password", DeValue::String(_)) if table.contains_key("password_file") => {
                    let message = "password and password_file are both given; give one of them";
                    return Err(self.wrong(span.start, message));
                }
                (_, DeValue::String(text)) => settings.push(Setting {
                    id: (*id).to_owned(),
                    values: vec![text.clone().into_owned()],
                    line,
                }),
                (_, other) => return Err(self.mistyped(key, "a string", value, other)),
            }
            if matches!(key, "host" | "port" | "secure") {
                url.line = if url.line == 0 { line } else { url.line.min(line) };
                (*id).clone_into(&mut url.id);
            }
        }
        settings.extend(url.setting());
        Ok(settings)
    }

    fn host(&self, host: &str, value: &Spanned<DeValue<'_>>) -> Result<String, Failure> {
        if host.is_empty() || host.contains(['/', '@', '?', '#']) {
            let message = "host is a name or an address, without scheme, user and path";
            return Err(self.wrong(value.span().start, message).hint(
                "secure = true means https, and port, user and database are keys of their own",
            ));
        }
        let is_bare_v6 = host.contains(':') && !host.starts_with('[');
        Ok(if is_bare_v6 { format!("[{host}]") } else { host.to_owned() })
    }

    fn port(&self, port: &DeInteger<'_>, value: &Spanned<DeValue<'_>>) -> Result<u16, Failure> {
        match u16::from_str_radix(port.as_str(), port.radix()) {
            Ok(port @ 1..) => Ok(port),
            _ => Err(self.wrong(value.span().start, "port is a number from 1 to 65535")),
        }
    }

    /// `[common]`: a flag that some command has.
    fn common(&self, table: &DeTable<'_>) -> Result<Vec<Setting>, Failure> {
        let commands = configurable(self.program);
        let mut settings = Vec::new();
        for (key, span, value) in entries(table) {
            let mut found = None;
            for (words, command) in &commands {
                let Some(argument) = settable(command, key) else { continue };
                let setting = self.setting(key, argument, value).map_err(|failure| {
                    failure.hint(format!(
                        "[{COMMON}] is for all commands, and this is no value for `{}`: put it under the command that it is for",
                        words.join(" ")
                    ))
                })?;
                found = Some(setting);
            }
            let Some(setting) = found else {
                let known: Vec<_> = commands
                    .iter()
                    .flat_map(|(_, command)| settable_flags(command))
                    .filter_map(Arg::get_long)
                    .collect();
                return Err(self.unknown(COMMON, key, span.start, &known));
            };
            settings.push(setting);
        }
        Ok(settings)
    }

    /// The table of a command, with the tables of those below it.
    fn flags(
        &self,
        command: &Command,
        words: &[&str],
        table: &DeTable<'_>,
        file: &mut ConfigFile,
    ) -> Result<(), Failure> {
        let mut settings = Vec::new();
        for (key, span, value) in entries(table) {
            if let Some(sub) = command.find_subcommand(key) {
                let words: Vec<_> = words.iter().copied().chain([key]).collect();
                self.flags(sub, &words, self.table(&words.join("."), value)?, file)?;
                continue;
            }
            let Some(argument) = settable(command, key) else {
                return Err(self.unknown_flag(command, words, key, span.start));
            };
            settings.push(self.setting(key, argument, value)?);
        }
        file.commands.insert(words.iter().map(|word| (*word).to_owned()).collect(), settings);
        Ok(())
    }

    fn unknown_flag(&self, command: &Command, words: &[&str], key: &str, at: usize) -> Failure {
        let subs = command.get_subcommands().map(Command::get_name);
        let known: Vec<_> = settable_flags(command).filter_map(Arg::get_long).chain(subs).collect();
        let failure = self.unknown(&words.join("."), key, at, &known);
        let elsewhere: Vec<_> = configurable(self.program)
            .into_iter()
            .filter(|(_, command)| settable(command, key).is_some())
            .map(|(words, _)| format!("[{}]", words.join(".")))
            .collect();
        if failure.hints().is_empty() && !elsewhere.is_empty() {
            return failure.hint(format!("{key} is a key of {}", elsewhere.join(", ")));
        }
        failure
    }

    fn unknown(&self, title: &str, key: &str, at: usize, known: &[&str]) -> Failure {
        let failure = self.wrong(at, &format!("[{title}] has no key {key}"));
        match suggestion(key, known.iter().copied()) {
            Some(meant) => failure.hint(format!("did you mean {meant}?")),
            None if known.len() <= CONNECTION_KEYS.len() && !known.is_empty() => {
                failure.hint(format!("its keys: {}", known.join(", ")))
            }
            None => failure,
        }
    }

    fn mistyped(
        &self,
        key: &str,
        wanted: &str,
        value: &Spanned<DeValue<'_>>,
        found: &DeValue<'_>,
    ) -> Failure {
        self.wrong(value.span().start, &format!("{key} is {wanted}, not {}", kind(found)))
    }

    /// The value of a flag, checked by the flag's own parser.
    fn setting(
        &self,
        key: &str,
        argument: &Arg,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Setting, Failure> {
        let is_switch = argument.get_value_parser().type_id() == TypeId::of::<bool>();
        let is_list = matches!(argument.get_action(), ArgAction::Append);
        let is_count = matches!(argument.get_action(), ArgAction::Count);
        let values = match value.get_ref() {
            DeValue::Boolean(on) if is_switch => vec![on.to_string()],
            other if is_switch => return Err(self.mistyped(key, "true or false", value, other)),
            DeValue::Integer(number) if is_count && number.as_str().parse::<u8>().is_ok() => {
                vec![number.as_str().to_owned()]
            }
            other if is_count => {
                return Err(self.mistyped(key, "a number from 0 to 255", value, other));
            }
            DeValue::Array(items) if is_list => {
                let items = items.iter().map(|item| {
                    text(item.get_ref()).ok_or_else(|| {
                        self.mistyped(key, "a list of strings", item, item.get_ref())
                    })
                });
                items.collect::<Result<Vec<_>, _>>()?
            }
            other => match text(other) {
                Some(text) => vec![text],
                None if is_list => {
                    return Err(self.mistyped(key, "a string or a list of strings", value, other));
                }
                None => return Err(self.mistyped(key, "a string or a number", value, other)),
            },
        };
        let line = self.line(value.span().start);
        if argument.get_action().takes_values() {
            self.check(key, argument, &values, line)?;
        }
        Ok(Setting { id: argument.get_id().to_string(), values, line })
    }

    /// Lets the argument's own parser read the values.
    fn check(
        &self,
        key: &str,
        argument: &Arg,
        values: &[String],
        line: usize,
    ) -> Result<(), Failure> {
        let mut alone = Arg::new(argument.get_id().clone())
            .long(key.to_owned())
            .action(argument.get_action().clone())
            .value_parser(argument.get_value_parser().clone());
        if let Some(names) = argument.get_value_names() {
            alone = alone.value_names(names.iter().cloned());
        }
        if let Some(delimiter) = argument.get_value_delimiter() {
            alone = alone.value_delimiter(delimiter);
        }
        let words = values.iter().map(|value| format!("--{key}={value}"));
        let line_of_words = [String::new()].into_iter().chain(words);
        let checked = Command::new("").arg(alone).try_get_matches_from(line_of_words);
        checked.map(drop).map_err(|error| {
            explained(&error, Some(&format!("{key} in {}, line {line}", self.path.display())))
        })
    }
}

/// A string, a number or a moment, as it would be written behind a flag.
fn text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) => Some(
            i128::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| number.to_string(), |number| number.to_string()),
        ),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Datetime(moment) => Some(moment.to_string()),
        DeValue::Boolean(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// `host`, `port` and `secure` of a server.
#[derive(Default)]
struct UrlParts {
    id: String,
    host: Option<String>,
    port: Option<u16>,
    secure: bool,
    /// 0 if none of the keys is given.
    line: usize,
}

impl UrlParts {
    fn setting(self) -> Option<Setting> {
        if self.line == 0 {
            return None;
        }
        let (scheme, usual) = if self.secure { ("https", 8443) } else { ("http", 8123) };
        let host = self.host.as_deref().unwrap_or("localhost");
        let url = format!("{scheme}://{host}:{}", self.port.unwrap_or(usual));
        Some(Setting { id: self.id, values: vec![url], line: self.line })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConfigFile, Failure> {
        ConfigFile::parse(Path::new("c.toml"), text, &super::super::command())
    }

    fn url(table: &str) -> String {
        let file = parse(&format!("[database.clickhouse]\n{table}")).unwrap();
        file.database().iter().map(|setting| setting.values.concat()).collect()
    }

    #[test]
    fn the_file_of_the_documents_is_accepted() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let page = std::fs::read_to_string(root.join("docs/reference/configuration.md")).unwrap();
        let (_, rest) = page.split_once("```toml\n").unwrap();
        let (text, _) = rest.split_once("```").unwrap();
        let file = parse(text).unwrap_or_else(|failure| panic!("{}", failure.text()));
        assert!(file.connection("prod").is_ok_and(|connection| connection.len() == 7));
        assert_eq!(file.of_command(&["run"]).len(), 3);
        assert_eq!(file.of_command(&["pack", "apply"]).len(), 1);
        // The page names every key of a connection.
        for (key, _) in CONNECTION_KEYS.iter().filter(|(_, id)| !id.is_empty()) {
            assert!(page.contains(&format!("`{key}`")), "{key}");
        }
        for (key, _) in SOURCE_KEYS {
            assert!(page.contains(&format!("`source.{key}`")), "{key}");
        }
    }

    #[test]
    fn urls_are_made_of_their_parts() {
        for (table, expected) in [
            ("host = 'db'", "http://db:8123"),
            ("host = 'db'\nsecure = true", "https://db:8443"),
            ("port = 18_123", "http://localhost:18123"),
            ("secure = false", "http://localhost:8123"),
            ("host = '::1'\nport = 0x1fbb", "http://[::1]:8123"),
            ("host = '[::1]'\nport = 1", "http://[::1]:1"),
            ("", ""),
        ] {
            assert_eq!(url(table), expected, "{table}");
        }
    }

    #[test]
    fn no_value_is_in_the_debug_form() {
        let file = parse("[connections.x]\npassword = 'Tangerine'\n").unwrap();
        assert!(!format!("{file:?}").contains("Tangerine"), "{file:?}");
    }
}
