//! Built-in jobs, and loading a job by name or file.

use std::path::Path;

use super::error::{JobError, suggestion};
use super::file::Job;

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
    BuiltInJob { name: "langfuse-events", text: include_str!("builtin/langfuse-events.toml") },
    BuiltInJob {
        name: "langfuse-trace-roots",
        text: include_str!("builtin/langfuse-trace-roots.toml"),
    },
];

/// Reads the built-in job or else the file of this name.
///
/// # Errors
/// [`JobError::NotFound`] if there is neither, and errors in the job.
pub fn load(name: &str) -> Result<Job, JobError> {
    if let Some(job) = BUILT_IN_JOBS.iter().find(|job| job.name == name) {
        return Job::parse(job.name, job.text);
    }
    let text = std::fs::read_to_string(Path::new(name)).map_err(|error| {
        let suggestion = suggestion(name, BUILT_IN_JOBS.iter().map(|job| job.name));
        JobError::NotFound { name: name.to_owned(), reason: error.to_string(), suggestion }
    })?;
    Job::parse(name, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_job_reads_and_has_its_own_name() {
        for job in BUILT_IN_JOBS {
            let read = load(job.name).unwrap();
            assert_eq!(read.name, job.name);
            assert!(!read.description.is_empty(), "{}", job.name);
        }
    }
}
