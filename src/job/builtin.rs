//! Built-in jobs, and loading a job by name or file.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::error::{JobError, suggestion};
use super::file::Job;
use crate::packs::built_in;

/// The names of all built-in jobs, as `--job` takes them.
pub(crate) const BUILT_IN_JOBS: [&str; 6] = [
    "langfuse-events",
    "langfuse-trace-roots",
    "optiinfra/cost-metrics-hourly",
    "optiinfra/performance-metrics-hourly",
    "optiinfra/quality-metrics-hourly",
    "optiinfra/resource-metrics-hourly",
];

/// The names of jobs that are older than their pack, with those in the pack.
const OLDER_NAMES: [(&str, &str); 2] =
    [("langfuse-events", "langfuse/events"), ("langfuse-trace-roots", "langfuse/trace-roots")];

/// The text of the built-in job of this name, or of the job `PACK/NAME` of a built-in pack.
fn built_in_text(name: &str) -> Option<&'static str> {
    let older = OLDER_NAMES.iter().find(|(older, _)| *older == name);
    let (pack, job) = older.map_or(name, |(_, name)| name).split_once('/')?;
    built_in(pack)?.file(&format!("jobs/{job}.toml"))
}

/// Reads the built-in job of this name, the job `PACK/NAME` of a built-in pack, or else the file of this
/// name. A name `DIR/NAME` is that of a job of the pack in this folder.
///
/// # Errors
/// [`JobError::NotFound`] if there is none of them, and errors in the job.
pub fn load(name: &str) -> Result<Job, JobError> {
    Job::parse(name, &job_text(name)?)
}

/// The text of the job that [`load`] reads by this name.
///
/// # Errors
/// [`JobError::NotFound`] if there is none.
pub(crate) fn job_text(name: &str) -> Result<Cow<'static, str>, JobError> {
    if let Some(text) = built_in_text(name) {
        return Ok(text.into());
    }
    std::fs::read_to_string(file_of(name)).map(Cow::Owned).map_err(|error| {
        let suggestion = suggestion(name, BUILT_IN_JOBS);
        JobError::NotFound { name: name.to_owned(), reason: error.to_string(), suggestion }
    })
}

/// The file that a name means.
fn file_of(name: &str) -> PathBuf {
    let path = Path::new(name);
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(job)) if !path.exists() && folder.join("pack.toml").exists() => {
            folder.join("jobs").join(job).with_extension("toml")
        }
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packs::BUILT_IN_PACKS;

    #[test]
    fn every_job_of_a_built_in_pack_is_listed_and_has_two_names_at_most() {
        let texts = BUILT_IN_JOBS.map(|name| built_in_text(name).unwrap());
        for pack in BUILT_IN_PACKS {
            for (path, text) in pack.files.iter().filter(|(path, _)| path.starts_with("jobs/")) {
                assert!(texts.contains(text), "{}/{path}", pack.name);
                let name = path.trim_start_matches("jobs/").trim_end_matches(".toml");
                assert_eq!(built_in_text(&format!("{}/{name}", pack.name)), Some(*text));
            }
        }
    }

    #[test]
    fn every_built_in_job_reads_and_has_its_own_name() {
        for listed in BUILT_IN_JOBS {
            let read = load(listed).unwrap();
            // In a pack, the name of the pack comes first.
            let name = listed.rsplit_once('/').map_or(listed, |(_, name)| name);
            assert_eq!(read.name, name);
            assert!(!read.description.is_empty(), "{listed}");
        }
    }
}
