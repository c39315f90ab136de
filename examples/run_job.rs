//! Fills November 2025 of Langfuse's `events`, as `clickhouse-backfill run --partition 202511`
//! does. Run again, it goes on where it was stopped, or says that there is nothing to do.

use std::error::Error;
use std::sync::Arc;

use clickhouse_backfill::internals::clickhouse::{
    Connection, Endpoint, Password, QueryPrefix, Servers, Timeouts, WireCompression,
};
use clickhouse_backfill::internals::engine::{Concurrency, PipelineOptions};
use clickhouse_backfill::internals::job::{BindOptions, bind, load};
use clickhouse_backfill::internals::load::{LoadRequest, Prepared, Recording, new_id, prepare};
use clickhouse_backfill::internals::plan::{MemoryDemand, MemoryPlan, PlanOptions};

#[tokio::main]
#[allow(clippy::print_stderr, reason = "it speaks to people")]
async fn main() -> Result<(), Box<dyn Error>> {
    let password = std::env::var("CLICKHOUSE_PASSWORD").ok().map(Password::new);
    let endpoint = Endpoint::new("http://localhost:8123", Some("default"), password, "default")?;
    let words = Box::pin(fill(endpoint, "langfuse-events", "202511")).await?;
    eprintln!("{words}");
    Ok(())
}

/// Fills a partition by a built-in job or the file of one, and says what became of it.
pub async fn fill(
    endpoint: Endpoint,
    job: &str,
    partition: &str,
) -> Result<String, Box<dyn Error>> {
    // Where is read and written. The id is a part of all queries' ids, by which system.query_log
    // finds them.
    let database = endpoint.database().to_owned();
    let connection = Connection::new(
        endpoint,
        WireCompression::None,
        QueryPrefix::new(&new_id()),
        Timeouts::default(),
    )?;
    let servers = Servers::one(connection);
    let version = servers.target.hello().await?;

    // The job, held against the tables: what is wrong with it is found here, before a row moves.
    let job = Arc::new(bind(&servers, &load(job)?, &BindOptions::default()).await?);

    // How much may be done at once, and how the memory is divided.
    let (readers, inserters) = (Concurrency::Fixed(2), Concurrency::Fixed(2));
    let memory = MemoryPlan::divide(MemoryDemand {
        total: 1 << 30,
        readers: readers.most() as u64,
        inserters: inserters.most() as u64,
        batch_bytes: 128 << 20,
        deferred: job.has_deferred_lookup(),
    })?;
    let pipeline = PipelineOptions::new(&job, &memory, readers, inserters);

    // Recorded in tables, so that it can be resumed, and nobody fills the same partition at the
    // same time.
    let mut request = LoadRequest::new(
        servers,
        version,
        job,
        partition.parse()?,
        PlanOptions::new(memory),
        pipeline,
    );
    request.recording = Some(Recording::in_tables(&database));
    let counters = request.counters.clone();

    Ok(match Box::pin(prepare(request)).await? {
        Prepared::Ready(mut load) => {
            load.begin().await?;
            let ended = load.run().await?;
            format!(
                "{ended:?}: {} rows inserted, {} of them matched",
                counters.inserted_rows.get(),
                counters.matched_rows.get()
            )
        }
        Prepared::AlreadyComplete(load) => {
            format!("completed before, with {} rows", load.rows_inserted)
        }
        Prepared::Empty(_) => "the partition has no rows".to_owned(),
    })
}
