//! The flags that run other commands when something becomes of a run. Pure: nothing here looks at
//! the world.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use crate::duration::parse_timeout;

/// What is run when.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Hooks")]
pub(crate) struct HookArguments {
    /// Run a command by `sh -c` at an event: on-start=CMD, on-failure=CMD or on-finish=CMD, with
    /// what is known as JSON on its standard input. Can be given several times.
    #[arg(long, value_name = "EVENT=CMD", env = "HOOK", value_delimiter = '\n')]
    pub hook: Vec<Hook>,
    /// A hook that takes longer is killed.
    #[arg(long, value_name = "TIME", env = "HOOK_TIMEOUT", default_value = "60s", value_parser = parse_timeout)]
    pub hook_timeout: Duration,
}

/// A command, and when it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    pub event: Event,
    pub command: String,
}

/// When hooks are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A run has been planned and begins to move rows.
    Start,
    /// A run has failed, or was refused.
    Failure,
    /// A run has ended, however.
    Finish,
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Start => "on-start",
            Self::Failure => "on-failure",
            Self::Finish => "on-finish",
        })
    }
}

impl FromStr for Hook {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "it must be on-start=CMD, on-failure=CMD or on-finish=CMD".to_owned();
        let (event, command) = text.split_once('=').ok_or_else(wrong)?;
        let events = [Event::Start, Event::Failure, Event::Finish];
        let event =
            events.into_iter().find(|known| known.to_string() == event.trim()).ok_or_else(wrong)?;
        if command.trim().is_empty() {
            return Err(wrong());
        }
        Ok(Self { event, command: command.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_are_an_event_and_a_command() {
        let hook = "on-finish=curl -d @- https://pager.example/?a=b".parse::<Hook>().unwrap();
        assert_eq!(
            (hook.event, hook.command.as_str()),
            (Event::Finish, "curl -d @- https://pager.example/?a=b")
        );
        for text in ["", "on-finish", "on-finish=", "on-finish= ", "finish=x", "on-end=x", "=x"] {
            assert!(text.parse::<Hook>().is_err(), "{text:?}");
        }
    }
}
