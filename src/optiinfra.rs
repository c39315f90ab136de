//! A typed client of the tables of the pack `optiinfra`.
//!
//! `clickhouse-backfill pack apply optiinfra` creates the tables. Times are seconds since 1970 in UTC.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ::clickhouse::{Row, RowOwned, RowRead, RowWrite};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::backfill::{Error, connection};
use crate::clickhouse::{Connection, Endpoint, Settings, TableName};
use crate::ingest::check_target;
use crate::packs::{built_in, escaped};
use crate::retry::{Attempts, OutageHandling, RetryError, RetryPolicy};
use crate::sync::Mutex;

/// The rows of an insert.
const BATCH_ROWS: usize = 100_000;
/// How long a server that is away is waited for.
const OUTAGE_WAIT: Duration = Duration::from_secs(300);

/// Declares a struct that is a row.
macro_rules! rows {
    ($($(#[$about:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[$about])*
        #[allow(missing_docs, reason = "the fields are the columns, which the pack's schema describes")]
        #[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
        pub struct $name {
            $($(#[$attribute])* pub $field: $kind,)*
        }
    )*};
}

rows! {
    /// A row of `cost_metrics_ts`.
    CostMetric {
        timestamp: u32,
        #[serde(with = "::clickhouse::serde::uuid")]
        customer_id: Uuid,
        cloud_provider: String,
        service_name: String,
        instance_id: String,
        instance_type: String,
        region: String,
        cost_per_hour: f64,
        utilization_percent: f32,
        is_spot: u8,
        is_reserved: u8,
    }
    /// A row of `performance_metrics_ts`.
    PerformanceMetric {
        timestamp: u32,
        #[serde(with = "::clickhouse::serde::uuid")]
        customer_id: Uuid,
        #[serde(with = "::clickhouse::serde::uuid")]
        service_id: Uuid,
        service_type: String,
        model_name: String,
        #[serde(with = "::clickhouse::serde::uuid")]
        request_id: Uuid,
        latency_ms: f32,
        throughput_tokens_per_sec: f32,
        gpu_utilization: f32,
        kv_cache_utilization: f32,
        batch_size: u32,
        prompt_tokens: u32,
        completion_tokens: u32,
        total_tokens: u32,
    }
    /// A row of `resource_metrics_ts`.
    ResourceMetric {
        timestamp: u32,
        #[serde(with = "::clickhouse::serde::uuid")]
        customer_id: Uuid,
        instance_id: String,
        instance_type: String,
        gpu_index: u8,
        gpu_utilization: f32,
        gpu_memory_used_mb: f32,
        gpu_memory_total_mb: f32,
        gpu_temperature: f32,
        cpu_utilization: f32,
        memory_used_gb: f32,
        memory_total_gb: f32,
        network_rx_mbps: f32,
        network_tx_mbps: f32,
    }
    /// A row of `quality_metrics_ts`.
    QualityMetric {
        timestamp: u32,
        #[serde(with = "::clickhouse::serde::uuid")]
        customer_id: Uuid,
        #[serde(with = "::clickhouse::serde::uuid")]
        service_id: Uuid,
        #[serde(with = "::clickhouse::serde::uuid")]
        request_id: Uuid,
        model_name: String,
        relevance_score: f32,
        coherence_score: f32,
        factuality_score: f32,
        hallucination_detected: u8,
        toxicity_score: f32,
        overall_quality_score: f32,
        prompt_hash: String,
        latency_ms: u32,
    }
    /// Cost of a customer in an hour, by provider and service.
    CostHour {
        hour: u32,
        cloud_provider: String,
        service_name: String,
        cost: f64,
        utilization_percent: f64,
        samples: u64,
    }
    /// Latency, throughput and requests of a service in an hour.
    PerformanceHour {
        hour: u32,
        service_type: String,
        p95_latency_ms: f64,
        p99_latency_ms: f64,
        latency_ms: f64,
        tokens_per_second: f64,
        gpu_utilization: f64,
        requests: u64,
    }
    /// GPU, memory and CPU of an instance in an hour.
    ResourceHour {
        hour: u32,
        instance_type: String,
        gpu_utilization: f64,
        max_gpu_utilization: f32,
        gpu_memory_used_mb: f64,
        cpu_utilization: f64,
        samples: u64,
    }
    /// Scores and hallucinations of a model in an hour.
    QualityHour {
        hour: u32,
        model_name: String,
        quality: f64,
        relevance: f64,
        coherence: f64,
        factuality: f64,
        hallucinations: u64,
        requests: u64,
    }
}

/// Inserts metrics and reads their roll-ups. Cheap to clone.
///
/// ```no_run
#[doc = include_str!("../examples/optiinfra.rs")]
/// ```
#[derive(Clone)]
pub struct Client {
    connection: Connection,
    /// The tables that are known to recognize repeated inserts.
    checked: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Client")
            .field("endpoint", self.connection.endpoint())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Prepares a client. Nothing is sent until the first call.
    ///
    /// # Errors
    /// The certificates of an `https` URL cannot be loaded.
    pub fn new(endpoint: Endpoint) -> Result<Self, Error> {
        Ok(Self { connection: connection(endpoint)?, checked: Arc::default() })
    }

    /// Checks that the server answers, lets the user in and has the database; gives its version.
    pub async fn ping(&self) -> Result<String, Error> {
        Ok(self.connection.hello().await?)
    }

    /// Inserts rows into `cost_metrics_ts`, in batches of 100,000 that count once, however often they
    /// have to be sent. After an error the batches before it stay.
    pub async fn insert_cost_metrics(&self, rows: &[CostMetric]) -> Result<(), Error> {
        self.insert("cost_metrics_ts", rows).await
    }

    /// Inserts rows into `performance_metrics_ts`; see [`insert_cost_metrics`](Self::insert_cost_metrics).
    pub async fn insert_performance_metrics(
        &self,
        rows: &[PerformanceMetric],
    ) -> Result<(), Error> {
        self.insert("performance_metrics_ts", rows).await
    }

    /// Inserts rows into `resource_metrics_ts`; see [`insert_cost_metrics`](Self::insert_cost_metrics).
    pub async fn insert_resource_metrics(&self, rows: &[ResourceMetric]) -> Result<(), Error> {
        self.insert("resource_metrics_ts", rows).await
    }

    /// Inserts rows into `quality_metrics_ts`; see [`insert_cost_metrics`](Self::insert_cost_metrics).
    pub async fn insert_quality_metrics(&self, rows: &[QualityMetric]) -> Result<(), Error> {
        self.insert("quality_metrics_ts", rows).await
    }

    /// The cost of a customer in the hours that begin from `from` until before `to`.
    pub async fn query_cost_hourly(
        &self,
        customer_id: Uuid,
        from: u32,
        to: u32,
    ) -> Result<Vec<CostHour>, Error> {
        self.query("cost-hourly", customer_id, from, to, None).await
    }

    /// Latency, throughput and requests of a service; the hours as for
    /// [`query_cost_hourly`](Self::query_cost_hourly).
    pub async fn query_performance_p95(
        &self,
        customer_id: Uuid,
        service_id: Uuid,
        from: u32,
        to: u32,
    ) -> Result<Vec<PerformanceHour>, Error> {
        let service = ("param_service_id", service_id.to_string());
        self.query("performance-p95", customer_id, from, to, Some(service)).await
    }

    /// GPU, memory and CPU of an instance; the hours as for
    /// [`query_cost_hourly`](Self::query_cost_hourly).
    pub async fn query_resource_utilization(
        &self,
        customer_id: Uuid,
        instance_id: &str,
        from: u32,
        to: u32,
    ) -> Result<Vec<ResourceHour>, Error> {
        let instance = ("param_instance_id", escaped(instance_id));
        self.query("resource-utilization", customer_id, from, to, Some(instance)).await
    }

    /// Scores and hallucinations of a service's models; the hours as for
    /// [`query_cost_hourly`](Self::query_cost_hourly).
    pub async fn query_quality_trends(
        &self,
        customer_id: Uuid,
        service_id: Uuid,
        from: u32,
        to: u32,
    ) -> Result<Vec<QualityHour>, Error> {
        let service = ("param_service_id", service_id.to_string());
        self.query("quality-trends", customer_id, from, to, Some(service)).await
    }

    async fn insert<T: RowOwned + RowWrite>(
        &self,
        table: &'static str,
        rows: &[T],
    ) -> Result<(), Error> {
        if !self.checked.lock().contains(table) {
            let database = self.connection.endpoint().database().to_owned();
            let name = TableName { database, table: table.to_owned() };
            check_target(&self.connection, &name).await?;
            self.checked.lock().insert(table);
        }
        for batch in rows.chunks(BATCH_ROWS) {
            // The same for all attempts of a batch, and for no other.
            let token = Uuid::from_u128(rand::random()).to_string();
            let attempts =
                Attempts::new(RetryPolicy::default(), OutageHandling::WaitFor(OUTAGE_WAIT));
            let insert = async || self.connection.insert_rows(table, batch, &token).await;
            attempts.ask("insert", insert).await.map_err(RetryError::into_error)?;
        }
        Ok(())
    }

    async fn query<T: RowOwned + RowRead>(
        &self,
        name: &str,
        customer_id: Uuid,
        from: u32,
        to: u32,
        more: Option<(&str, String)>,
    ) -> Result<Vec<T>, Error> {
        let sql = built_in("optiinfra").and_then(|pack| pack.file(&format!("queries/{name}.sql")));
        let settings = Settings::read()
            .with("param_customer_id", &customer_id.to_string())
            .with("param_from", &from.to_string())
            .with("param_to", &to.to_string())
            .with_all(more);
        Ok(self.connection.typed_rows(sql.unwrap_or_default(), &settings).await?)
    }
}
