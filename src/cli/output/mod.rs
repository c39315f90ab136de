//! What several commands print: stdout, for data, and the one place that writes to it; log lines;
//! files for machines.

pub(crate) mod comparison;
pub(crate) mod figures;
pub(crate) mod logging;
pub(crate) mod status_text;
pub(crate) mod summary_file;

use std::io::{self, Write};

use crate::cli::failure::Failure;

/// Writes data to stdout. A reader that has gone away (`| head`) is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::stopped(&error)),
        _ => Ok(()),
    }
}
