//! The summary for machines.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;
use crate::progress::Summary;

/// Finds out, before hours have passed, whether the summary can be written.
pub(crate) fn check(path: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let beside = beside(path);
    fs::write(&beside, "")
        .and_then(|()| fs::remove_file(&beside))
        .map_err(|error| failed(path, &error))
}

/// Writes the figures as JSON, whole or not at all: to a file beside it first, which then takes its
/// place.
pub(crate) fn write(path: Option<&Path>, summary: &Summary) -> Result<(), Failure> {
    write_any(path, summary)
}

/// The same with other figures.
pub(crate) fn write_any(
    path: Option<&Path>,
    summary: &impl serde::Serialize,
) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let mut text = serde_json::to_string_pretty(summary).map_err(|error| failed(path, &error))?;
    text.push('\n');
    write_text(path, &text, "the summary")
}

/// Writes `what` whole or not at all.
pub(crate) fn write_text(path: &Path, text: &str, what: &str) -> Result<(), Failure> {
    let beside = beside(path);
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        Failure::usage(format!("cannot write {what} to {}: {error}", path.display()))
    })
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let message = format!("cannot write the summary to {}: {error}", path.display());
    Failure::usage(message)
        .hint("set --summary-json to a file in an existing directory that this user can write to")
}
