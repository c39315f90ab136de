//! What the process tells others: figures to Prometheus, events to hooks, and at the end one line
//! on stdout.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::course::Course;
use super::hooks::{Told, run_hooks};
use crate::cli::args::{Event, RunArguments};
use crate::cli::failure::Failure;
use crate::cli::output::print;
use crate::metrics::{Exporter, MetricsError};
use crate::plan::Partition;
use crate::progress::Terminal;

/// For as long as the process runs. Each partition that is filled has a [`Course`] of its own.
pub(crate) struct Telling<'a> {
    pub arguments: &'a RunArguments,
    pub terminal: &'a Terminal,
    pub exporter: Option<Exporter>,
    /// What is printed at the end.
    last_line: RefCell<Option<String>>,
    /// Whether hooks have heard of an end.
    pub told: Cell<bool>,
}

impl<'a> Telling<'a> {
    pub fn new(arguments: &'a RunArguments, terminal: &'a Terminal) -> Self {
        Self {
            arguments,
            terminal,
            exporter: None,
            last_line: RefCell::default(),
            told: Cell::default(),
        }
    }

    /// Begins to export figures, where that is asked for.
    pub async fn start(&mut self) -> Result<(), Failure> {
        let metrics = &self.arguments.metrics;
        let file = metrics.metrics_file.as_deref().filter(|path| *path != Path::new(""));
        let exporter = Exporter::start(metrics.metrics_listen, file).await.map_err(|error| {
            let hint = match error {
                MetricsError::Listen { .. } => {
                    "--metrics-listen names another port; 0 lets the system choose one"
                }
                MetricsError::File { .. } => {
                    "--metrics-file names a file in a folder that this user may write to"
                }
            };
            Failure::misuse(&error).hint(hint)
        })?;
        if let Some(address) = exporter.address() {
            self.terminal.say(&format!("metrics: http://{address}/metrics"));
        }
        self.exporter = Some(exporter);
        Ok(())
    }

    /// The filling of a partition, which is about to begin.
    pub fn course(&self, partition: &Partition) -> Course<'_> {
        Course::new(self, partition)
    }

    /// With `--json`, this is printed at the end.
    pub fn set_last_line(&self, line: String) {
        *self.last_line.borrow_mut() = Some(line);
    }

    /// The process ends so: tells those who have heard nothing yet, and gives that back.
    pub async fn end(self, ended: Result<ExitCode, Failure>) -> Result<ExitCode, Failure> {
        let failed = ended.as_ref().err().map(|failure| self.failed(failure));
        if let Some(told) = failed.as_ref().filter(|_| !self.told.get()) {
            run_hooks(&self.arguments.hooks, Event::Failure, told).await;
            run_hooks(&self.arguments.hooks, Event::Finish, told).await;
        }
        let line = self.last_line.take().or(failed.map(|told| told.json));
        let Some(line) = line.filter(|_| self.arguments.json) else { return ended };
        let printed = self.terminal.suspended(|| print(&format!("{line}\n")));
        // What the run failed of is said rather than that.
        ended.and_then(|code| printed.map(|()| code))
    }

    /// A failure before any partition.
    fn failed(&self, failure: &Failure) -> Told {
        let (which, job) = (&self.arguments.which, &self.arguments.what.job);
        let one = which.partition.as_ref().map(ToString::to_string);
        let partition =
            one.or(which.partitions.as_ref().map(ToString::to_string)).unwrap_or_default();
        Told::of_failure(failure, job, &partition)
    }
}

impl Told {
    /// Of a run that did not come to have figures.
    pub fn of_failure(failure: &Failure, job: &str, partition: &str) -> Self {
        let (status, code) = (status_of(failure), failure.code());
        let json = json!({ "status": status, "job": job, "partition": partition, "error": failure.one_line(), "exit_code": code });
        Self {
            status: status.to_owned(),
            job: job.to_owned(),
            partition: partition.to_owned(),
            run_id: String::new(),
            exit_code: Some(code),
            json: json.to_string(),
        }
    }
}

/// What a failure is called.
pub(crate) fn status_of(failure: &Failure) -> &'static str {
    const REFUSED: u8 = 3;
    if failure.code() == REFUSED { "refused" } else { "failed" }
}
