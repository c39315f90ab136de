//! Plans, fills and verifies a partition by a job of its own, from one server into another.

use clickhouse_backfill::{Backfill, Comparison, Endpoint, Error, Job, Options, Password};

/// Copies orders and adds the name of each customer.
const JOB: &str = r#"
name = "orders-with-customers"

[source]
table = "orders"
join_key = ["customer_id"]

[lookup]
table = "customers"
join_key = ["id"]

[target]
table = "orders_with_customers"

[columns]
id = "source.id"
ordered_at = "source.ordered_at"
customer = "lookup.name"
"#;

#[tokio::main]
#[allow(clippy::print_stderr, reason = "progress is for people")]
async fn main() -> Result<(), Error> {
    let password = std::env::var("CLICKHOUSE_PASSWORD").ok().map(Password::new);
    let endpoint = |url| Endpoint::new(url, None, password.clone(), "default");
    let (source, target) = (endpoint("http://old:8123")?, endpoint("http://new:8123")?);
    let job = Job::from_toml(JOB)?;
    let backfill = Backfill::between(source, target, &job).await?;
    let comparison = fill_and_verify(&backfill, "202511").await?;
    eprintln!("equal: {}", comparison.equal);
    Ok(())
}

/// Fills a partition in 256 MiB and compares it with the equivalent join.
#[allow(clippy::print_stderr, reason = "progress is for people")]
pub async fn fill_and_verify(backfill: &Backfill, partition: &str) -> Result<Comparison, Error> {
    let mut options = Options::default();
    options.memory_bytes = 256 << 20;
    let backfill = backfill.clone().with_options(options);

    let plan = backfill.plan(partition).await?;
    eprintln!("{} rows in {} chunks", plan.stored_rows, plan.chunks);
    eprintln!("afterwards, the target equals\n{}", plan.equivalent_join);

    let report = backfill.run(partition, |_| ()).await?;
    eprintln!("{}: {} rows inserted", report.outcome.name(), report.progress.inserted_rows);
    backfill.verify(partition).await
}
