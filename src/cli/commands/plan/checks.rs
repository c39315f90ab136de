//! The checks of `plan`: those of the preflight, and those that a run makes later.

use std::sync::Arc;
use std::time::Duration;

use crate::cli::commands::session::Session;
use crate::cli::failure::Failure;
use crate::clickhouse::ErrorClass;
use crate::engine::stream::{
    Counters, DedupError, DedupStrategy, Pipeline, PipelineOptions, Throttle, find_dedup_strategy,
};
use crate::preflight::{Check, Findings, INSERT, Preflight, REPEATS, in_order};
use crate::retry::{RetryPolicy, in_crowd};
use crate::stop::Stop;
use crate::units::counted;

/// Runs all checks concurrently.
pub(crate) async fn look(
    session: &Session,
    options: &PipelineOptions,
    skipped_checks: &[String],
    allow_duplicates: bool,
) -> Findings {
    let preflight = Preflight {
        servers: &session.servers,
        server_version: &session.server_version,
        source_version: &session.source_version,
        job: &session.job,
        plan: &session.plan,
        pipeline: options,
        share: 1.0,
        skipped_checks,
    };
    let (findings, insert, repeats) = tokio::join!(
        preflight.run(),
        insert(session, options),
        repeated(session, options, allow_duplicates)
    );
    let checks = findings.checks.into_iter().chain([insert, repeats]).collect();
    Findings { checks: in_order(checks), ..findings }
}

/// Tests the insert without rows.
async fn insert(session: &Session, options: &PipelineOptions) -> Check {
    let retry = RetryPolicy { max_retries: 0, ..options.retry };
    let options = PipelineOptions { retry, outage_wait: Duration::ZERO, ..options.clone() };
    let (servers, job) = (session.servers.clone(), session.job.clone());
    let throttle = Throttle::new(options.readers, options.inserters);
    let pipeline = Pipeline::new(
        servers,
        job,
        options,
        Arc::new(Counters::default()),
        Stop::new(),
        None,
        throttle,
    );
    match in_crowd(|| pipeline.preflight()).await {
        Ok(()) => {
            Check::passed(INSERT, "the server accepts the insert, tested without rows", false)
        }
        // A run would retry it.
        Err(error) if error.class() == ErrorClass::Retry => Check::passed(
            INSERT,
            format!("the server does not accept the insert at the moment: {error}"),
            true,
        ),
        Err(error) => Check::refused(
            INSERT,
            format!("the server refuses the insert, tested without rows: {error}"),
            vec![format!(
                "correct what the server names, often GRANT INSERT ON {}",
                session.job.target.name.quoted()
            )],
        ),
    }
}

async fn repeated(session: &Session, options: &PipelineOptions, allow_duplicates: bool) -> Check {
    let target = &session.job.target;
    match find_dedup_strategy(
        &session.servers.target,
        &session.job,
        &session.plan,
        options,
        allow_duplicates,
    )
    .await
    {
        Ok(found) => {
            let mut words = match found.strategy {
                DedupStrategy::Collapse => {
                    format!("rows sent twice collapse in {} ({})", target.name, target.engine)
                }
                DedupStrategy::Recognized { window } => {
                    format!(
                        "{} recognizes the last {}, so chunks are read in order",
                        target.name,
                        counted(window, "block")
                    )
                }
                DedupStrategy::Stay => format!("rows sent twice stay twice in {}", target.name),
            };
            for remark in &found.remarks {
                words.push_str("; ");
                words.push_str(remark);
            }
            Check::passed(REPEATS, words, !found.remarks.is_empty())
        }
        Err(error @ DedupError::Server { .. }) => {
            Check::unknown(REPEATS, Failure::from(error).one_line())
        }
        Err(error) => {
            let failure = Failure::from(error);
            Check::refused(REPEATS, failure.one_line(), failure.hints().to_vec())
        }
    }
}
