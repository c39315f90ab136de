//! What is said where the program itself is at fault: the message and the place, and nothing of
//! what it was working with.

use std::any::Any;
use std::panic;

use crate::progress::{Terminal, TerminalOptions};

/// Replaces the standard words, which name neither the program nor what to do.
pub(super) fn install() {
    panic::set_hook(Box::new(|fault| {
        let words = words(fault.payload(), fault.location());
        // Where there is a log, its form is kept, and its file gets it too.
        if tracing::dispatcher::has_been_set() {
            tracing::error!("{words}");
        } else {
            Terminal::new(TerminalOptions::default()).insist(&format!("error: {words}"));
        }
    }));
}

fn words(payload: &(dyn Any + Send), location: Option<&panic::Location<'_>>) -> String {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = location.map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    format!(
        "this is a fault of {} {}: {} ({place}); what was inserted stays, and the same command can be run again",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION"),
        message.unwrap_or("no words")
    )
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn message_and_place_are_said_and_nothing_else() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let kept = said.clone();
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |fault| {
            kept.lock().unwrap().push(words(fault.payload(), fault.location()));
        }));
        let secret = crate::clickhouse::Password::new("Tangerine-Submarine");
        let faults: [&(dyn Fn() + panic::RefUnwindSafe); 3] =
            [&|| panic!("a plain one"), &|| panic!("with {secret:?}"), &|| panic::panic_any(7)];
        for fault in faults {
            panic::catch_unwind(fault).unwrap_err();
        }
        panic::set_hook(before);
        let said = said.lock().unwrap();
        for (words, part) in said.iter().zip(["a plain one", "with (hidden)", "no words"]) {
            assert!(
                words.contains(part)
                    && words.contains("panics.rs:")
                    && !words.contains("Submarine"),
                "{words}"
            );
        }
        assert_eq!(said.len(), 3);
    }
}
