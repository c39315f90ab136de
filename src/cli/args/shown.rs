//! What `config show` prints: the value of each flag of a command, and where it comes from.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::config_file::is_secret;
use super::dotenv::ValueOrigin;
use super::given::without_password;
use super::layers::{ALTERNATIVES, Arguments, Layers, Resolved};
use super::reference::default;

/// The value of a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShownSetting {
    /// Such as `--job`.
    pub flag: String,
    /// `None` where it has neither a value nor a default. A default may be described in words.
    pub value: Option<String>,
    pub origin: ShownOrigin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ShownOrigin {
    Flag,
    Environment {
        variable: String,
    },
    DotEnv {
        variable: String,
        line: Option<usize>,
    },
    Config {
        line: usize,
        connection: Option<String>,
    },
    Default,
    /// No value and no default.
    Unset,
}

/// What is shown in place of a secret.
const HIDDEN: &str = "(hidden)";

/// The settings of the command with these words, in the order of its flags.
pub(super) fn settings(
    program: &Command,
    words: &[&str],
    matches: &ArgMatches,
    (layers, resolved): (&Layers, &Resolved),
) -> Vec<ShownSetting> {
    let arguments = Arguments::of(program, words);
    let shown = |argument: &Arg| shown(argument, matches, layers, resolved);
    arguments.iter().map(shown).collect()
}

fn shown(
    argument: &Arg,
    matches: &ArgMatches,
    layers: &Layers,
    resolved: &Resolved,
) -> ShownSetting {
    let id = argument.get_id().as_str();
    let flag = format!("--{}", argument.get_long().unwrap_or(id));
    // An empty variable counts as not set.
    let counts = |origin: &ValueOrigin| {
        let is_empty = *origin < ValueOrigin::ConnectionOfFlag
            && resolved.value(id).is_none()
            && value_of(argument, matches).is_empty();
        !is_empty && !is_set_aside(matches, resolved, id, *origin)
    };
    let given = resolved.origin(matches, id).filter(counts);
    let Some(origin) = given else {
        let value = described_default(argument);
        let origin = if value.is_some() { ShownOrigin::Default } else { ShownOrigin::Unset };
        return ShownSetting { flag, value, origin };
    };
    let variable =
        || argument.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let of_file = resolved.value(id);
    let origin = match (origin, of_file) {
        (ValueOrigin::Flag, _) => ShownOrigin::Flag,
        (_, Some(value)) => {
            ShownOrigin::Config { line: value.setting.line, connection: value.connection.clone() }
        }
        (ValueOrigin::File, None) => {
            ShownOrigin::DotEnv { line: layers.line_of(&variable()), variable: variable() }
        }
        _ => ShownOrigin::Environment { variable: variable() },
    };
    let value = if is_secret(argument) { HIDDEN.to_owned() } else { value_of(argument, matches) };
    ShownSetting { flag, value: Some(value), origin }
}

/// Whether the other one of a pair of which one counts is of higher precedence.
fn is_set_aside(matches: &ArgMatches, resolved: &Resolved, id: &str, origin: ValueOrigin) -> bool {
    let other = ALTERNATIVES.iter().find_map(|(one, two)| match id {
        _ if id == *one => Some(*two),
        _ if id == *two => Some(*one),
        _ => None,
    });
    let has = |id: &&str| matches.try_contains_id(id).is_ok();
    other
        .filter(has)
        .and_then(|other| resolved.origin(matches, other))
        .is_some_and(|other| other > origin)
}

fn value_of(argument: &Arg, matches: &ArgMatches) -> String {
    let id = argument.get_id().as_str();
    if !argument.get_action().takes_values() {
        return match matches.try_get_one::<u8>(id) {
            Ok(count) => count.copied().unwrap_or_default().to_string(),
            Err(_) => (matches.value_source(id) != Some(ValueSource::DefaultValue)
                || matches.get_flag(id))
            .to_string(),
        };
    }
    let raw = matches.get_raw(id).into_iter().flatten();
    let values: Vec<_> = raw.map(|value| without_password(&value.to_string_lossy())).collect();
    values.join(", ")
}

/// The default of a flag; one of a switch is that it is off.
fn described_default(argument: &Arg) -> Option<String> {
    if argument.get_action().takes_values() {
        return default(argument);
    }
    let is_count = matches!(argument.get_action(), clap::ArgAction::Count);
    Some(if is_count { "0" } else { "false" }.to_owned())
}
