//! Built-in jobs, and loading a job by name or file.

use std::path::{Path, PathBuf};

use super::error::{JobError, suggestion};
use super::file::Job;
use crate::packs::built_in;

/// A built-in job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BuiltInJob {
    /// Its name, as `--job` takes it.
    pub name: &'static str,
    /// Its job file.
    pub text: &'static str,
}

/// All built-in jobs.
pub(crate) const BUILT_IN_JOBS: &[BuiltInJob] = &[
    BuiltInJob {
        name: "langfuse-events",
        text: include_str!("../../packs/langfuse/jobs/events.toml"),
    },
    BuiltInJob {
        name: "langfuse-trace-roots",
        text: include_str!("../../packs/langfuse/jobs/trace-roots.toml"),
    },
    BuiltInJob {
        name: "optiinfra/cost-metrics-hourly",
        text: include_str!("../../packs/optiinfra/jobs/cost-metrics-hourly.toml"),
    },
    BuiltInJob {
        name: "optiinfra/performance-metrics-hourly",
        text: include_str!("../../packs/optiinfra/jobs/performance-metrics-hourly.toml"),
    },
    BuiltInJob {
        name: "optiinfra/quality-metrics-hourly",
        text: include_str!("../../packs/optiinfra/jobs/quality-metrics-hourly.toml"),
    },
    BuiltInJob {
        name: "optiinfra/resource-metrics-hourly",
        text: include_str!("../../packs/optiinfra/jobs/resource-metrics-hourly.toml"),
    },
];

/// The text of the built-in job of this name, or of the job `PACK/NAME` of a built-in pack.
pub(crate) fn built_in_text(name: &str) -> Option<&'static str> {
    let of_pack = || {
        let (pack, job) = name.split_once('/')?;
        built_in(pack)?.file(&format!("jobs/{job}.toml"))
    };
    BUILT_IN_JOBS.iter().find(|job| job.name == name).map(|job| job.text).or_else(of_pack)
}

/// Reads the built-in job of this name, the job `PACK/NAME` of a built-in pack, or else the file of this
/// name. A name `DIR/NAME` is that of a job of the pack in this folder.
///
/// # Errors
/// [`JobError::NotFound`] if there is none of them, and errors in the job.
pub fn load(name: &str) -> Result<Job, JobError> {
    if let Some(text) = built_in_text(name) {
        return Job::parse(name, text);
    }
    let text = std::fs::read_to_string(file_of(name)).map_err(|error| {
        let suggestion = suggestion(name, BUILT_IN_JOBS.iter().map(|job| job.name));
        JobError::NotFound { name: name.to_owned(), reason: error.to_string(), suggestion }
    })?;
    Job::parse(name, &text)
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
        let texts: Vec<_> = BUILT_IN_JOBS.iter().map(|job| job.text).collect();
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
        for job in BUILT_IN_JOBS {
            let read = load(job.name).unwrap();
            // In a pack, the name of the pack comes first.
            let name = job.name.rsplit_once('/').map_or(job.name, |(_, name)| name);
            assert_eq!(read.name, name);
            assert!(!read.description.is_empty(), "{}", job.name);
        }
    }
}
