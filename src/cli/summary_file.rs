//! The summary for machines.

use std::fs;
use std::path::Path;

use super::failure::Failure;
use crate::progress::Summary;

/// Writes the figures as JSON, whole or not at all: to a file beside it first, which then takes its place.
pub(super) fn write(path: Option<&Path>, summary: &Summary) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let failed = |error: &dyn std::fmt::Display| Failure::usage(format!("the summary cannot be written to {}: {error}", path.display()));
    let mut text = serde_json::to_string_pretty(summary).map_err(|error| failed(&error))?;
    text.push('\n');
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    fs::write(&beside, text).and_then(|()| fs::rename(&beside, path)).map_err(|error| failed(&error))
}
