//! How an error is printed with its causes, and how much of a long one.

use std::borrow::Cow;
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

/// The beginning and the end of a text: of a server's message, the name of the error is at the end, and the
/// values of a row may be in the middle. Logs and the ledger have the whole text.
pub(crate) fn shortened(text: &str) -> Cow<'_, str> {
    const BEGINNING: usize = 600;
    const END: usize = 200;
    let letters = text.chars().count();
    if letters <= BEGINNING + END {
        return text.into();
    }
    let beginning: String = text.chars().take(BEGINNING).collect();
    let end: String = text.chars().skip(letters - END).collect();
    format!("{} … {}", beginning.trim_end(), end.trim_start()).into()
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

    #[test]
    fn the_middle_of_a_long_text_is_left_out() {
        let text =
            format!("Code: 6. Cannot parse string '{}' (CANNOT_PARSE_TEXT)", "ä ".repeat(400));
        let short = shortened(&text);
        assert!(short.chars().count() < text.chars().count());
        assert!(short.starts_with("Code: 6. Cannot parse string 'ä ä"), "{short}");
        assert!(short.ends_with("ä ä ' (CANNOT_PARSE_TEXT)") && short.contains(" … "), "{short}");
        assert_eq!(shortened("Code: 6."), "Code: 6.");
    }
}
