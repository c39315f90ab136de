//! `run --canary SHARE`: fills some chunks, spread over the partition, and compares their rows.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::comparing::{
    comparison_text, report_unless_stopped, require_comparable, say_if_not_resumed, state_file,
    verify_failure,
};
use super::session::Session;
use crate::cli::config::RunConfig;
use crate::cli::failure::Failure;
use crate::job::{BoundJob, Publish};
use crate::ledger::Ledger;
use crate::load::Load;
use crate::progress::{Canary, Terminal, show_comparison};
use crate::retry::RetryPolicy;
use crate::stop::Stop;
use crate::verify::{RecordedLoad, SelectedChunks, Share, Verifier, VerifyOptions, VerifyProgress};

/// Rows that are named where the comparison finds differences.
const ROWS_NAMED: usize = 20;
/// Age at which the state of an interrupted comparison is discarded.
const STATE_MAX_AGE: Duration = Duration::from_secs(3600);

/// The chunks of a canary.
pub(super) struct CanaryChunks {
    share: Share,
    chunks: SelectedChunks,
    /// The chunks of the partition.
    of: usize,
}

/// Refuses a job of which no part can be filled and compared alone.
pub(super) fn require_canary(job: &BoundJob) -> Result<(), Failure> {
    if job.publish == Publish::Replace {
        let message = format!(
            "--canary fills some chunks of a partition, and {} has publish = \"replace\", which publishes whole partitions",
            job.origin
        );
        return Err(Failure::refused(message).hint(
            "`run` compares what it has built with the join before it replaces anything, and `rollback` puts a partition back",
        ));
    }
    if job.reads_outside() {
        let message = format!(
            "--canary fills some chunks of a table's partition, and {} reads none",
            job.origin
        );
        return Err(Failure::refused(message)
            .hint("publish = \"replace\" compares what was built with the join before it replaces anything"));
    }
    if job.group.is_some() {
        let message = format!(
            "--canary compares the rows of some chunks, and {} has [group], whose groups have rows of many chunks",
            job.origin
        );
        return Err(Failure::refused(message)
            .hint("`--partition` of a small partition fills all of its groups, and `verify` compares them"));
    }
    Ok(())
}

impl CanaryChunks {
    /// The chunks of a load that the share chooses.
    ///
    /// # Errors
    /// Their rows cannot be told from others in the target, or the comparison is blocked.
    pub(super) async fn choose(
        share: Share,
        session: &Session,
        load: &Load,
    ) -> Result<Self, Failure> {
        let Session { servers, job, plan, .. } = session;
        require_comparable("run --canary", servers, job, plan).await?;
        let found = SelectedChunks::find(servers, job, plan, load.own_chunks()).await;
        let chunks = found.map_err(verify_failure)?.map_err(|reason| {
            Failure::refused(format!(
                "--canary cannot tell the rows of its chunks in {}: {reason}",
                job.target.name
            ))
            .hint("--worker 1/100 fills a part of the chunks without a comparison")
        })?;
        Ok(Self { share, chunks, of: plan.chunks.len() })
    }

    /// The chunks, for the description of the run.
    pub(super) fn text(&self) -> String {
        self.summary().text()
    }

    /// The chunks, for the summary of the run.
    pub(super) fn summary(&self) -> Canary {
        Canary {
            share: self.share.percentage(),
            chunks: self.chunks.numbers.iter().map(|number| number + 1).collect(),
            of: self.of,
            comparison: None,
        }
    }

    /// A note where the chunks are a much greater share than was asked for.
    pub(super) fn remark(&self) -> Option<String> {
        let (number, of) = (self.chunks.numbers.len(), self.of);
        let (parts, all) = (u64::from(self.share.parts), u64::from(self.share.of));
        let is_greater = number as u64 * all > 2 * parts * of as u64;
        is_greater.then(|| {
            let all = if of == 1 {
                "the partition has 1 chunk, which the canary fills as a whole".to_owned()
            } else {
                format!("the canary is {}, more than {}", self.text(), self.share.percentage())
            };
            format!("{all}; a new load with a lower --chunk-rows has smaller chunks")
        })
    }

    /// Compares the rows of the chunks, and shows the result; `None` after an interruption.
    pub(super) async fn compare(
        &self,
        session: &Session,
        config: &RunConfig,
        terminal: &Terminal,
        stop: Stop,
    ) -> Result<Option<Canary>, Failure> {
        let Session { servers, job, plan, .. } = session;
        let recording = &config.recording;
        let ledger = Ledger::new(&recording.location, &servers.target, &recording.database);
        let load = RecordedLoad::find(ledger, job, &plan.partition).await;
        let state = state_file(None, "canary", job, plan);
        let options = self.options(config, load.as_ref(), state.clone());
        let progress = Arc::<VerifyProgress>::default();
        let verifier =
            Verifier::new(servers.clone(), job, plan, options, progress.clone(), stop).await;
        let mut verifier = verifier.map_err(verify_failure)?;
        say_if_not_resumed(terminal, &verifier);
        let name = format!("{} {}, canary", job.name, plan.partition);
        let ran = show_comparison(terminal, &name, &progress, Box::pin(verifier.run())).await;
        let Some(report) = report_unless_stopped(ran, terminal, &state)? else { return Ok(None) };
        if let Some(load) = &load {
            let part = format!("canary, {}", self.text());
            load.record_result(&report, Some(&part), verifier.compared_parts().as_ref()).await;
        }
        terminal.say(&comparison_text(&report));
        Ok(Some(Canary { comparison: Some(report), ..self.summary() }))
    }

    fn options(
        &self,
        config: &RunConfig,
        load: Option<&RecordedLoad>,
        state: PathBuf,
    ) -> VerifyOptions {
        let max_retries = config.faults.retries.max_retries;
        VerifyOptions {
            chunks: Some(self.chunks.clone()),
            chunks_of_plan: true,
            max_differences: ROWS_NAMED,
            state_max_age: STATE_MAX_AGE,
            retry: RetryPolicy { max_retries, ..RetryPolicy::default() },
            load_began: load.and_then(RecordedLoad::began),
            run_id: load.map(|load| load.recorded().1.run_id.clone()),
            ..VerifyOptions::new(state)
        }
    }
}
