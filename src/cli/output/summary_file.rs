//! Files for programs and readers: the summary of `--summary-json`, and reports.

use std::path::Path;

use crate::cli::failure::Failure;
use crate::files;

/// Checks early whether the summary can be written: a run may take hours.
pub(crate) fn check(path: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    files::check_replaceable(path).map_err(|error| failed(path, &error))
}

/// Writes a summary as JSON, atomically.
pub(crate) fn write(path: Option<&Path>, summary: &impl serde::Serialize) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let mut text = serde_json::to_string_pretty(summary).map_err(|error| failed(path, &error))?;
    text.push('\n');
    files::replace(path, text.as_bytes()).map_err(|error| failed(path, &error))
}

/// Writes the text of `what`, atomically.
pub(crate) fn write_text(path: &Path, text: &str, what: &str) -> Result<(), Failure> {
    files::replace(path, text.as_bytes()).map_err(|error| {
        Failure::usage(format!("cannot write {what} to {}: {error}", path.display()))
    })
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let message = format!("cannot write the summary to {}: {error}", path.display());
    Failure::usage(message)
        .hint("set --summary-json to a file in an existing directory that this user can write to")
}
