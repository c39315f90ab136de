//! Stdout, for data: the one place that writes to it.

use std::io::{self, Write};

use super::failure::Failure;

/// Writes data to stdout. A reader that has gone away (`| head`) is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::stopped(&error)),
        _ => Ok(()),
    }
}
