//! How an error is printed with its causes.

use std::error::Error;

/// The message of an error and those of its causes, outermost first. A message that an earlier one
/// contains is left out: many errors repeat the text of their cause.
pub(crate) fn causes(error: &dyn Error) -> Vec<String> {
    let mut messages = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        let message = cause.to_string();
        if !messages.iter().any(|earlier| earlier.contains(&message)) {
            messages.push(message);
        }
        source = cause.source();
    }
    messages
}

/// The [`causes`] of an error in one line, joined by colons.
pub(crate) fn error_chain(error: &dyn Error) -> String {
    causes(error).join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{message}")]
    struct Caused {
        message: &'static str,
        source: Option<Box<Caused>>,
    }

    fn chain(messages: &[&'static str]) -> Caused {
        let (message, rest) = messages.split_first().unwrap();
        let source = (!rest.is_empty()).then(|| Box::new(chain(rest)));
        Caused { message, source }
    }

    #[test]
    fn repeated_messages_are_left_out() {
        let error = chain(&["cannot read: no route", "no route", "socket closed", "no route"]);
        assert_eq!(causes(&error), ["cannot read: no route", "socket closed"]);
        assert_eq!(error_chain(&error), "cannot read: no route: socket closed");
        assert_eq!(error_chain(&chain(&["alone"])), "alone");
    }
}
