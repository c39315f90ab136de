//! Fills November 2025 of Langfuse's `events`, as `clickhouse-backfill run --partition 202511`
//! does. Run again, it continues where it was stopped, or reports that there is nothing to do.

use clickhouse_backfill::{Backfill, Endpoint, Error, Job, Password, RunReport};

#[tokio::main]
#[allow(clippy::print_stderr, reason = "progress is for people")]
async fn main() -> Result<(), Error> {
    let password = std::env::var("CLICKHOUSE_PASSWORD").ok().map(Password::new);
    let endpoint = Endpoint::new("http://localhost:8123", Some("default"), password, "default")?;
    let report = fill(endpoint, &Job::load("langfuse-events")?, "202511").await?;
    eprintln!("{report:?}");
    Ok(())
}

/// Fills a partition and reports progress while running.
#[allow(clippy::print_stderr, reason = "progress is for people")]
pub async fn fill(endpoint: Endpoint, job: &Job, partition: &str) -> Result<RunReport, Error> {
    let backfill = Backfill::connect(endpoint, job).await?;

    // Ctrl-C finishes what is in flight and records it.
    let stop = backfill.stop_signal();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.request();
        }
    });

    backfill
        .run(partition, |progress| {
            eprintln!(
                "{} of {} chunks, {} rows",
                progress.chunks_completed, progress.chunks, progress.inserted_rows
            );
        })
        .await
}
