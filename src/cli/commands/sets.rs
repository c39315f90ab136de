//! Commands for a set of jobs: the same command for each of its jobs in turn. `run` goes through months
//! first, and does so itself.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::Value;

use super::{plan, repair, report, status, verify};
use crate::cli::args::{
    Given, PlanArguments, RepairArguments, ReportArguments, StatusArguments, VerifyArguments,
    WhatArguments,
};
use crate::cli::config::JobConfig;
use crate::cli::failure::{DIFFERENT, Failure, INTERRUPTED};
use crate::cli::output::write_summary;
use crate::job::JobSet;
use crate::progress::Terminal;

/// Runs `plan`.
pub(crate) fn plan(
    mut arguments: Box<PlanArguments>,
    given: &Given,
    terminal: &Terminal,
) -> Result<ExitCode, Failure> {
    let Some(set) = set_of(&arguments.what)? else { return plan::plan(&arguments, given) };
    refuse(&set, "--out", arguments.out.is_some())?;
    let what = arguments.what.clone();
    for_each(&set, terminal, None, |job| {
        arguments.what = for_job(&what, &set, job)?;
        plan::plan(&arguments, given)
    })
}

/// Runs `verify`.
pub(crate) fn verify(
    mut arguments: Box<VerifyArguments>,
    terminal: &Terminal,
) -> Result<ExitCode, Failure> {
    let Some(set) = set_of(&arguments.what)? else { return verify::verify(&arguments, terminal) };
    refuse(&set, "--state", arguments.compare.state.is_some())?;
    let summary = arguments.output.summary_json.clone();
    let what = arguments.what.clone();
    for_each(&set, terminal, summary.as_deref(), |job| {
        arguments.what = for_job(&what, &set, job)?;
        verify::verify(&arguments, terminal)
    })
}

/// Runs `repair`.
pub(crate) fn repair(
    mut arguments: Box<RepairArguments>,
    terminal: &Terminal,
) -> Result<ExitCode, Failure> {
    let Some(set) = set_of(&arguments.what)? else { return repair::repair(&arguments, terminal) };
    refuse(&set, "--state", arguments.compare.state.is_some())?;
    let summary = arguments.output.summary_json.clone();
    let what = arguments.what.clone();
    for_each(&set, terminal, summary.as_deref(), |job| {
        arguments.what = for_job(&what, &set, job)?;
        repair::repair(&arguments, terminal)
    })
}

/// Runs `status`.
pub(crate) fn status(
    mut arguments: Box<StatusArguments>,
    terminal: &Terminal,
) -> Result<ExitCode, Failure> {
    let Some(set) = set_of(&arguments.what)? else { return status::status(&arguments) };
    let what = arguments.what.clone();
    for_each(&set, terminal, None, |job| {
        arguments.what = for_job(&what, &set, job)?;
        status::status(&arguments)
    })
}

/// Runs `report`.
pub(crate) fn report(
    mut arguments: Box<ReportArguments>,
    terminal: &Terminal,
) -> Result<ExitCode, Failure> {
    let Some(set) = set_of(&arguments.what)? else { return report::report(&arguments) };
    refuse(&set, "--out", arguments.out.is_some())?;
    refuse(&set, "--run", arguments.run.is_some())?;
    let what = arguments.what.clone();
    for_each(&set, terminal, None, |job| {
        arguments.what = for_job(&what, &set, job)?;
        report::report(&arguments)
    })
}

/// The set that `--job` names; `None` if it names a job.
fn set_of(what: &WhatArguments) -> Result<Option<JobSet>, Failure> {
    Ok(JobSet::find(&JobConfig::resolve(what)?.reference)?)
}

/// The arguments for a job of the set, with the exclusions that the set has for it.
fn for_job(what: &WhatArguments, set: &JobSet, job: &str) -> Result<WhatArguments, Failure> {
    let mut what = WhatArguments { job: job.to_owned(), ..what.clone() };
    what.exclude.extend(set.exclusions_of(job)?);
    Ok(what)
}

/// The flag, if it is given: it is for one job.
fn refuse(set: &JobSet, flag: &str, is_given: bool) -> Result<(), Failure> {
    if !is_given {
        return Ok(());
    }
    let message = format!("{flag} is for one job, and {} is a set of jobs", set.reference);
    Err(Failure::usage(message).hint(format!("its jobs: {}", set.jobs.join(", "))))
}

/// The summaries of all jobs. Field names are a contract.
#[derive(Serialize)]
struct SetSummary<'a> {
    set: &'a str,
    /// In the order of the set.
    jobs: Vec<JobSummary<'a>>,
}

#[derive(Serialize)]
struct JobSummary<'a> {
    job: &'a str,
    /// The summary of the command for this job; `null` if it came to none.
    summary: Option<Value>,
}

/// Runs a command for each job of the set, and says how each ended. A failure or differences of one job
/// do not keep the others from their turn; an interruption does. `summary` is the file that each writes.
fn for_each(
    set: &JobSet,
    terminal: &Terminal,
    summary: Option<&Path>,
    mut command: impl FnMut(&str) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    let mut all = SetSummary { set: &set.reference, jobs: Vec::new() };
    let (mut lines, mut worst, mut failure) = (String::new(), ExitCode::SUCCESS, None);
    let interrupted = ExitCode::from(INTERRUPTED);
    for (number, job) in set.jobs.iter().enumerate() {
        terminal.say(&format!(
            "\n{job}, {} of {} of {}",
            number + 1,
            set.jobs.len(),
            set.reference
        ));
        // What another job or an earlier call has written is not this job's.
        if let Some(path) = summary.filter(|path| path.is_file()) {
            let _ = std::fs::remove_file(path);
        }
        let words = match command(job) {
            Ok(code) if code == interrupted => return Ok(code),
            Err(failure) if failure.is_interruption() => return Err(failure),
            Ok(code) if code == ExitCode::SUCCESS => "ok".to_owned(),
            Ok(code) => {
                worst = code;
                if code == ExitCode::from(DIFFERENT) { "different" } else { "failed" }.to_owned()
            }
            Err(failed) => {
                let words = format!("failed: {}", failed.one_line());
                if failure.is_some() {
                    terminal.insist(&failed.text());
                }
                failure.get_or_insert((job, failed));
                words
            }
        };
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "  {job}  {words}");
        let written = summary.and_then(|path| std::fs::read(path).ok());
        let summary = written.and_then(|text| serde_json::from_slice(&text).ok());
        all.jobs.push(JobSummary { job, summary });
    }
    write_summary(summary, &all)?;
    terminal.say(&format!("\n{}\n{lines}", set.reference));
    match failure {
        Some((job, failure)) => Err(failure.of_job(job)),
        None => Ok(worst),
    }
}
