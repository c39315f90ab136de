//! The course that the filling of one partition takes, as others are told of it.

use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinHandle;

use super::hooks::{Told, run_hooks};
use super::telling::{Telling, status_of};
use crate::cli::args::Event;
use crate::cli::failure::{Failure, INTERRUPTED};
use crate::metrics::{ObservedRun, ObservedState};
use crate::plan::Partition;
use crate::progress::{Status, Summary};

/// One partition.
pub(crate) struct Course<'a> {
    telling: &'a Telling<'a>,
    partition: String,
    observed: Option<Arc<ObservedRun>>,
    /// Hooks that are run while rows move.
    beginning: Option<JoinHandle<()>>,
    summary: Option<Summary>,
}

impl<'a> Course<'a> {
    pub(crate) fn new(telling: &'a Telling<'a>, partition: &Partition) -> Self {
        Self {
            telling,
            partition: partition.to_string(),
            observed: None,
            beginning: None,
            summary: None,
        }
    }

    /// The run is planned, and rows are about to move.
    pub fn begin(&mut self, run: ObservedRun) {
        let run = Arc::new(run);
        if let Some(exporter) = &self.telling.exporter {
            exporter.observe(run.clone());
        }
        let (subject, run_id) =
            (run.control().subject(), run.control().run_id().unwrap_or_default());
        let json = json!({
            "status": "started", "job": subject.job, "partition": subject.partition, "run_id": run_id, "dry_run": subject.dry_run,
            "source": subject.source, "target": subject.target, "worker": run.info().worker,
        });
        let told = Told {
            status: "started".to_owned(),
            job: subject.job.clone(),
            partition: self.partition.clone(),
            run_id,
            exit_code: None,
            json: json.to_string(),
        };
        let hooks = self.telling.arguments.hooks.clone();
        self.beginning =
            Some(tokio::spawn(async move { run_hooks(&hooks, Event::Start, &told).await }));
        self.observed = Some(run);
    }

    /// The run has these figures in the end.
    pub fn summarize(&mut self, summary: Summary) {
        if let Some(run) = &self.observed {
            run.ended(match summary.status {
                Status::Completed => ObservedState::Completed,
                Status::Failed => ObservedState::Failed,
                Status::Interrupted => ObservedState::Interrupted,
            });
        }
        self.summary = Some(summary);
    }

    /// Its figures, where it came so far.
    pub fn summary(&self) -> Option<&Summary> {
        self.summary.as_ref()
    }

    /// It has ended: tells everybody. Gives its figures, where it came so far.
    pub async fn end(mut self, failure: Option<&Failure>) -> Option<Summary> {
        if let Some(exporter) = &self.telling.exporter
            && let Err(error) = exporter.write().await
        {
            tracing::warn!(%error, "the last metrics are missing; the run is not affected");
        }
        if let Some(beginning) = self.beginning.take() {
            // It ends by itself, in time.
            let _ = beginning.await;
        }
        let (told, hooks) = (self.ending(failure), &self.telling.arguments.hooks);
        self.telling.told.set(true);
        if failure.is_some() {
            run_hooks(hooks, Event::Failure, &told).await;
        }
        run_hooks(hooks, Event::Finish, &told).await;
        self.telling.set_last_line(told.json);
        self.summary
    }

    fn ending(&self, failure: Option<&Failure>) -> Told {
        let job = &self.telling.arguments.what.job;
        let (summary, failed) = match (&self.summary, failure) {
            (Some(summary), failure) => (summary, failure),
            (None, Some(failure)) => return Told::of_failure(failure, job, &self.partition),
            (None, None) => return Told::default(),
        };
        let (status, code) = match (failed, summary.status) {
            (Some(failure), _) => (status_of(failure), failure.code()),
            (None, Status::Interrupted) => ("interrupted", INTERRUPTED),
            (None, _) => ("completed", 0),
        };
        Told {
            status: status.to_owned(),
            job: summary.job.clone(),
            partition: self.partition.clone(),
            run_id: summary.run_id.clone(),
            exit_code: Some(code),
            json: serde_json::to_string(summary).unwrap_or_default(),
        }
    }
}
