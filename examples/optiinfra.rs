//! Inserts metrics into the tables of the pack `optiinfra` and reads them by the hour. The tables are
//! created by `clickhouse-backfill pack apply optiinfra`.

use std::time::SystemTime;

use clickhouse_backfill::optiinfra::{Client, CostHour, CostMetric};
use clickhouse_backfill::{Endpoint, Error, Password};
use uuid::Uuid;

#[tokio::main]
#[allow(clippy::print_stdout, reason = "the result is data")]
async fn main() -> Result<(), Error> {
    let password = std::env::var("CLICKHOUSE_PASSWORD").ok().map(Password::new);
    let endpoint = Endpoint::new("http://localhost:8123", Some("default"), password, "default")?;
    let client = Client::new(endpoint)?;
    client.ping().await?;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
    for hour in cost_of_a_fleet(&client, now, 1000).await? {
        println!("{}: {} of {}", hour.hour, hour.cost, hour.service_name);
    }
    Ok(())
}

/// Inserts a sample of each instance, and returns the customer's cost of that hour.
pub async fn cost_of_a_fleet(
    client: &Client,
    now: u32,
    instances: u32,
) -> Result<Vec<CostHour>, Error> {
    let customer_id = Uuid::from_u128(7);
    let sample = |instance: u32| CostMetric {
        timestamp: now,
        customer_id,
        cloud_provider: "aws".to_owned(),
        service_name: if instance.is_multiple_of(2) { "inference" } else { "training" }.to_owned(),
        instance_id: format!("i-{instance}"),
        instance_type: "p5.48xlarge".to_owned(),
        region: "eu-central-1".to_owned(),
        cost_per_hour: 2.5,
        utilization_percent: 80.0,
        is_spot: 0,
        is_reserved: 1,
    };
    let samples: Vec<_> = (0..instances).map(sample).collect();
    client.insert_cost_metrics(&samples).await?;
    client.query_cost_hourly(customer_id, now - now % 3600, now + 1).await
}
