//! The jobs that come with the program, and finding a job by name or by file.

use std::path::Path;

use super::error::{JobError, suggestion};
use super::file::Job;

/// A job that comes with the program.
#[derive(Clone, Copy, Debug)]
pub struct BuiltInJob {
    /// Its name, as `--job` takes it.
    pub name: &'static str,
    /// Its file, for copying.
    pub text: &'static str,
}

/// All of them.
pub const BUILT_IN_JOBS: &[BuiltInJob] = &[
    BuiltInJob { name: "langfuse-events", text: include_str!("builtin/langfuse-events.toml") },
    BuiltInJob {
        name: "langfuse-trace-roots",
        text: include_str!("builtin/langfuse-trace-roots.toml"),
    },
];

/// Reads the built-in job of this name, or else the file of this name.
///
/// # Errors
/// [`JobError::NotFound`] where there is neither; else whatever is wrong with the job.
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
