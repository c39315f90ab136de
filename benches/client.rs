//! Inserts batches of metrics with the typed client. `scripts/bench --study client` builds it, runs it with
//! and without batches, and takes the difference of its processor time.

#![expect(clippy::print_stderr, reason = "it is run by hand without its variables")]

use clickhouse_backfill::optiinfra::{Client, CostMetric};
use clickhouse_backfill::{Endpoint, Error};
use uuid::Uuid;

const BATCH_ROWS: u32 = 100_000;
/// What the study sets. A user's own server must not get these rows.
const VARIABLES: [&str; 3] = ["CLIENT_STUDY_URL", "CLIENT_STUDY_DATABASE", "CLIENT_STUDY_BATCHES"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let [Ok(url), Ok(database), Ok(batches)] = VARIABLES.map(std::env::var) else {
        eprintln!("{} are not set: scripts/bench --study client sets them", VARIABLES.join(", "));
        return Ok(());
    };
    let client = Client::new(Endpoint::new(&url, None, None, &database)?)?;
    client.ping().await?;
    let rows: Vec<_> = (0..BATCH_ROWS).map(row).collect();
    for _ in 0..batches.parse::<u32>().unwrap_or_default() {
        client.insert_cost_metrics(&rows).await?;
    }
    Ok(())
}

/// The rows of `scripts/support/client_costs.py`.
fn row(number: u32) -> CostMetric {
    let providers = ["aws", "gcp", "azure"];
    let provider = usize::try_from(number % 3).unwrap_or_default();
    CostMetric {
        timestamp: 1_790_000_000 + number % 86_400,
        customer_id: Uuid::from_u128((number / 1_000).into()),
        cloud_provider: providers.get(provider).copied().unwrap_or_default().to_owned(),
        service_name: format!("service {}", number % 5),
        instance_id: format!("i-{}", number % 200),
        instance_type: "large".to_owned(),
        region: "eu".to_owned(),
        cost_per_hour: f64::from(number % 1_000) / 7.0,
        utilization_percent: f32::from(u8::try_from(number % 101).unwrap_or_default()),
        is_spot: u8::from(number % 2 == 1),
        is_reserved: u8::from(number.is_multiple_of(3)),
    }
}
