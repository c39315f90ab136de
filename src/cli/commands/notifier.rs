//! What a run reports to others: metrics, hooks, and with `--json` one line on stdout.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::hooks::{HookEvent, run_hooks};
use crate::cli::args::{Event, RunArguments};
use crate::cli::failure::Failure;
use crate::cli::output::print;
use crate::metrics::{Exporter, MetricsError, ObservedRun};
use crate::progress::{Summary, Terminal};

/// Reports the events of one process, which may fill several partitions.
pub(crate) struct Notifier<'a> {
    arguments: &'a RunArguments,
    terminal: &'a Terminal,
    exporter: Option<Exporter>,
    /// What `--json` prints at the end.
    last_line: RefCell<Option<String>>,
    /// Whether hooks have received the end of a run.
    has_reported_end: Cell<bool>,
}

impl<'a> Notifier<'a> {
    pub(super) fn new(arguments: &'a RunArguments, terminal: &'a Terminal) -> Self {
        Self {
            arguments,
            terminal,
            exporter: None,
            last_line: RefCell::default(),
            has_reported_end: Cell::default(),
        }
    }

    /// Starts to export metrics, if the arguments ask for it.
    pub(super) async fn start(&mut self) -> Result<(), Failure> {
        let metrics = &self.arguments.metrics;
        let file = metrics.metrics_file.as_deref().filter(|path| *path != Path::new(""));
        let exporter = Exporter::start(metrics.metrics_listen, file).await.map_err(|error| {
            let hint = match error {
                MetricsError::Listen { .. } => {
                    "set --metrics-listen to another port; 0 lets the system choose one"
                }
                MetricsError::File { .. } => {
                    "set --metrics-file to a file in a directory that this user can write to"
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

    /// Reports that rows begin to move. The hooks run beside them.
    pub(super) fn partition_started(
        &self,
        run: Arc<ObservedRun>,
        partition: &str,
    ) -> JoinHandle<()> {
        let event = HookEvent::started(&run, partition);
        if let Some(exporter) = &self.exporter {
            exporter.observe(run);
        }
        let hooks = self.arguments.hooks.clone();
        tokio::spawn(async move { run_hooks(&hooks, Event::Start, &event).await })
    }

    /// Reports the end of a partition, after the hooks of its start have ended.
    pub(super) async fn partition_ended(
        &self,
        start_hooks: Option<JoinHandle<()>>,
        summary: Option<&Summary>,
        failure: Option<&Failure>,
        partition: &str,
    ) {
        if let Some(exporter) = &self.exporter
            && let Err(error) = exporter.write().await
        {
            tracing::warn!(%error, "the last metrics are missing; the run is not affected");
        }
        if let Some(start_hooks) = start_hooks {
            // Hooks have a time limit of their own.
            let _ = start_hooks.await;
        }
        let event = match (summary, failure) {
            (Some(summary), failure) => HookEvent::ended(summary, failure, partition),
            (None, Some(failure)) => {
                HookEvent::failed(failure, &self.arguments.what.job, partition)
            }
            (None, None) => HookEvent::default(),
        };
        self.run_end_hooks(&event, failure.is_some()).await;
        self.set_last_line(event.json);
    }

    /// Sets the line that `--json` prints at the end.
    pub(super) fn set_last_line(&self, line: String) {
        *self.last_line.borrow_mut() = Some(line);
    }

    /// Ends the reports of the process: a failure before the first partition is reported now.
    pub(super) async fn end(self, result: Result<ExitCode, Failure>) -> Result<ExitCode, Failure> {
        let failed = result.as_ref().err().map(|failure| self.process_failed(failure));
        if let Some(event) = failed.as_ref().filter(|_| !self.has_reported_end.get()) {
            self.run_end_hooks(event, true).await;
        }
        let line = self.last_line.take().or(failed.map(|event| event.json));
        let Some(line) = line.filter(|_| self.arguments.json) else { return result };
        let printed = self.terminal.suspended(|| print(&format!("{line}\n")));
        // The failure of the run is more important than a failure to print.
        result.and_then(|code| printed.map(|()| code))
    }

    async fn run_end_hooks(&self, event: &HookEvent, is_failure: bool) {
        self.has_reported_end.set(true);
        if is_failure {
            run_hooks(&self.arguments.hooks, Event::Failure, event).await;
        }
        run_hooks(&self.arguments.hooks, Event::Finish, event).await;
    }

    fn process_failed(&self, failure: &Failure) -> HookEvent {
        let which = &self.arguments.which;
        let one = which.partition.as_ref().map(ToString::to_string);
        let several = which.partitions.as_ref().map(ToString::to_string);
        let partition = one.or(several).unwrap_or_default();
        HookEvent::failed(failure, &self.arguments.what.job, &partition)
    }
}
