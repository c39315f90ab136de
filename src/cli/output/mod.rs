//! What several commands print: data on stdout, log lines, files for programs.

pub(crate) mod comparison;
pub(crate) mod layout;
pub(crate) mod load_status;
pub(crate) mod logging;
pub(crate) mod sample;
pub(crate) mod summary_file;

use std::io::{self, Write};

use crate::cli::failure::Failure;

/// Writes data to stdout. A closed pipe (`| head`) is not a failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::stopped(&error)),
        _ => Ok(()),
    }
}
