//! The parser's errors as failures of this program, with the place that a wrong value comes from.

use std::ffi::OsString;

use clap::Command;
use clap::error::{ContextKind, ContextValue};

use super::dotenv::Environment;
use crate::cli::failure::Failure;

/// The failure, with the variable that contains the wrong value.
pub(super) fn of_call(
    error: &clap::Error,
    environment: &Environment,
    program: &Command,
    line: &[OsString],
) -> Failure {
    explained(error, origin(error, environment, program, line).as_deref())
}

/// The failure, with the place that the wrong value comes from.
pub(super) fn explained(error: &clap::Error, origin: Option<&str>) -> Failure {
    let text = error.render().to_string();
    let text = text.trim_start_matches("error: ");
    match origin {
        Some(origin) => {
            usage(&format!("{}\n\nnote: the value comes from {origin}", text.trim_end()))
        }
        None => usage(text),
    }
}

/// The origin of the value that an error is about, unless it is a flag.
fn origin(
    error: &clap::Error,
    environment: &Environment,
    program: &Command,
    line: &[OsString],
) -> Option<String> {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let flag = argument.split([' ', '=', '[']).next()?.trim_start_matches("--");
    let given = |argument: &OsString| {
        let argument = argument.to_string_lossy();
        argument == format!("--{flag}") || argument.starts_with(&format!("--{flag}="))
    };
    if line.iter().any(given) {
        return None;
    }
    let all = program.get_subcommands().flat_map(Command::get_arguments);
    let variable = all
        .filter(|argument| argument.get_long() == Some(flag))
        .find_map(clap::Arg::get_env)?
        .to_string_lossy()
        .into_owned();
    std::env::var_os(&variable)?;
    Some(environment.place_of(&variable))
}

/// The words, with its tips as hints at their end.
pub(crate) fn usage(words: &str) -> Failure {
    let (mut text, mut hints) = (Vec::<&str>::new(), Vec::new());
    for line in words.lines() {
        if let Some(tip) = line.trim_start().strip_prefix("tip: ") {
            hints.push(tip.to_owned());
        } else if line.starts_with("For more information, try") {
            hints.push("`--help` behind the command explains its flags".to_owned());
        } else if line.starts_with("note: ") {
            // It belongs to the message, not to a paragraph of its own.
            while text.last().is_some_and(|last| last.is_empty()) {
                text.pop();
            }
            text.push(line);
        } else if !(line.is_empty() && text.last().is_some_and(|last| last.is_empty())) {
            text.push(line);
        }
    }
    let text = text.into_iter().map(plain_reason).collect::<Vec<_>>().join("\n");
    hints.into_iter().fold(Failure::usage(text.trim_end()), Failure::hint)
}

/// The line, with a reason of the parser's in the words of this program's own.
fn plain_reason(line: &str) -> String {
    let Some((value, reason)) = line.rsplit_once("': ") else { return line.to_owned() };
    let reason = match reason
        .split_once(" is not in ")
        .and_then(|(_, range)| range.split_once("..="))
    {
        Some((least, most)) => format!("it must be a number from {least} to {most}"),
        None if reason == "invalid digit found in string" => "it must be a whole number".to_owned(),
        None if reason == "value was not a boolean" => "it must be true or false".to_owned(),
        None => reason.to_owned(),
    };
    format!("{value}': {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tips_become_hints() {
        let words = "unexpected argument '--partiton' found\n\n  tip: a similar argument exists: '--partition'\n\nUsage: tool run\n\nFor more information, try '--help'.\n";
        let text = "error: unexpected argument '--partiton' found\n\nUsage: tool run\nhint: a similar argument exists: '--partition'\nhint: `--help` behind the command explains its flags\n";
        assert_eq!(usage(words).text(), text);
    }
}
