//! `clickhouse-backfill job`: jobs and the schema of their files.

use std::fmt::Write;
use std::process::ExitCode;

use crate::cli::args::{JobArguments, JobCommand};
use crate::cli::failure::Failure;
use crate::cli::output::print_document;
use crate::job::{BUILT_IN_JOBS, load, schema};

/// Lists the built-in jobs, or prints the text of one.
pub(crate) fn job(arguments: &JobArguments) -> Result<ExitCode, Failure> {
    let mut text = String::new();
    match &arguments.command {
        JobCommand::List => {
            for job in BUILT_IN_JOBS {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{:<24}{}", job.name, load(job.name)?.description);
            }
        }
        JobCommand::Show { name } => {
            if let Some(job) = BUILT_IN_JOBS.iter().find(|job| job.name == name) {
                text.push_str(job.text);
            } else {
                load(name)?;
                text = std::fs::read_to_string(name).map_err(|error| {
                    Failure::usage(format!("the file {name} cannot be read: {error}"))
                })?;
            }
        }
        JobCommand::Schema => {
            let _ = writeln!(text, "{:#}", schema());
        }
    }
    print_document(&text)?;
    Ok(ExitCode::SUCCESS)
}
