//! What several commands print: data on stdout, log lines, files for programs.

pub(crate) mod comparison;
pub(crate) mod layout;
pub(crate) mod load_status;
pub(crate) mod logging;
pub(crate) mod next_command;
pub(crate) mod sample;
pub(crate) mod summary_file;

use std::io::{self, IsTerminal, Write};

use crate::cli::failure::Failure;
use crate::escape::escape;

/// An indented JSON document.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    // The structures that are printed always serialize.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

/// Prints text or JSON to stdout. Control characters are escaped: the text may contain a server's
/// messages.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_raw(&escape(text))
}

/// Prints a document to stdout: as it is to a file or a pipe, with control characters escaped to a
/// terminal.
pub(crate) fn print_document(text: &str) -> Result<(), Failure> {
    if io::stdout().is_terminal() { print(text) } else { print_raw(text) }
}

/// Prints to stdout. A closed pipe (`| head`) is not a failure.
pub(crate) fn print_raw(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::stopped(&error)),
        _ => Ok(()),
    }
}
