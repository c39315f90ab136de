//! The typed client of the pack `optiinfra`, by its example and every call.

use clickhouse_backfill::optiinfra::{
    Client, CostMetric, PerformanceMetric, QualityMetric, ResourceMetric,
};
use clickhouse_backfill::{Endpoint, ErrorKind, Password};
use uuid::Uuid;

use crate::faults::fixture::exception;
use crate::support::{Direction, Proxy, Server, binary};

#[allow(dead_code, reason = "a program, of which only a part is used here")]
#[path = "../../../examples/optiinfra.rs"]
mod example;

const CUSTOMER: Uuid = Uuid::from_u128(7);
const SERVICE: Uuid = Uuid::from_u128(8);

fn server() -> Server {
    let server = Server::shared();
    binary().envs(&server.environment()).args(&["pack", "apply", "optiinfra"]).run().expect(0);
    server
}

fn client_at(server: &Server, url: &str) -> Client {
    let password = Some(Password::new(server.password()));
    let endpoint = Endpoint::new(url, Some(server.user()), password, server.database()).unwrap();
    Client::new(endpoint).unwrap()
}

fn now(server: &Server) -> u32 {
    server.text("SELECT toUnixTimestamp(now())").parse().unwrap()
}

fn cost(timestamp: u32, number: u32) -> CostMetric {
    CostMetric {
        timestamp,
        customer_id: CUSTOMER,
        cloud_provider: "aws".to_owned(),
        service_name: "s".to_owned(),
        instance_id: format!("i-{number}"),
        instance_type: "t".to_owned(),
        region: "r".to_owned(),
        cost_per_hour: 0.5,
        utilization_percent: 40.0,
        is_spot: 0,
        is_reserved: 1,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_inserts_and_reads_its_hour() {
    let server = server();
    let client = client_at(&server, server.url());
    assert!(client.ping().await.unwrap().starts_with('2'));
    let hours = example::cost_of_a_fleet(&client, now(&server), 1000).await.unwrap();
    let found: Vec<_> =
        hours.iter().map(|hour| (hour.service_name.as_str(), hour.cost, hour.samples)).collect();
    assert_eq!(found, [("inference", 1250.0, 500), ("training", 1250.0, 500)]);
    assert_eq!(
        server
            .text("SELECT count(), uniqExact(instance_id), any(is_reserved) FROM cost_metrics_ts"),
        "1000\t1000\t1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_inserted_and_read_by_the_hour() {
    let server = server();
    let client = client_at(&server, server.url());
    let now = now(&server);
    let (from, to) = (now - now % 3600, now + 1);
    let performance = PerformanceMetric {
        timestamp: now,
        customer_id: CUSTOMER,
        service_id: SERVICE,
        service_type: "llm".to_owned(),
        model_name: "m".to_owned(),
        request_id: Uuid::from_u128(9),
        latency_ms: 100.0,
        throughput_tokens_per_sec: 30.0,
        gpu_utilization: 50.0,
        kv_cache_utilization: 1.0,
        batch_size: 2,
        prompt_tokens: 3,
        completion_tokens: 4,
        total_tokens: 7,
    };
    client.insert_performance_metrics(&[performance]).await.unwrap();
    let hours = client.query_performance_p95(CUSTOMER, SERVICE, from, to).await.unwrap();
    let hour = &hours[0];
    assert_eq!((hours.len(), hour.hour, hour.requests, hour.latency_ms), (1, from, 1, 100.0));
    assert!((hour.p95_latency_ms / 100.0 - 1.0).abs() < 0.0101, "{hour:?}");
    assert_eq!(
        server.text("SELECT request_id, service_id, total_tokens FROM performance_metrics_ts"),
        format!("{}\t{SERVICE}\t7", Uuid::from_u128(9))
    );

    let resource = ResourceMetric {
        timestamp: now,
        customer_id: CUSTOMER,
        instance_id: "it's \\name".to_owned(),
        instance_type: "a100".to_owned(),
        gpu_index: 3,
        gpu_utilization: 80.0,
        gpu_memory_used_mb: 70.0,
        gpu_memory_total_mb: 80.0,
        gpu_temperature: 60.0,
        cpu_utilization: 20.0,
        memory_used_gb: 1.0,
        memory_total_gb: 2.0,
        network_rx_mbps: 3.0,
        network_tx_mbps: 4.0,
    };
    client.insert_resource_metrics(&[resource]).await.unwrap();
    let hours = client.query_resource_utilization(CUSTOMER, "it's \\name", from, to).await.unwrap();
    assert_eq!((hours.len(), hours[0].max_gpu_utilization, hours[0].samples), (1, 80.0, 1));

    let quality = QualityMetric {
        timestamp: now,
        customer_id: CUSTOMER,
        service_id: SERVICE,
        request_id: Uuid::from_u128(9),
        model_name: "m".to_owned(),
        relevance_score: 0.5,
        coherence_score: 0.25,
        factuality_score: 1.0,
        hallucination_detected: 1,
        toxicity_score: 0.0,
        overall_quality_score: 0.75,
        prompt_hash: "h".to_owned(),
        latency_ms: 5,
    };
    client.insert_quality_metrics(&[quality]).await.unwrap();
    let hours = client.query_quality_trends(CUSTOMER, SERVICE, from, to).await.unwrap();
    let hour = &hours[0];
    assert_eq!((hours.len(), hour.quality, hour.hallucinations, hour.requests), (1, 0.75, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_which_the_answer_is_lost_count_once() {
    let server = server();
    let proxy = Proxy::start(server.port());
    let client = client_at(&server, &proxy.url());
    let now = now(&server);
    let rows: Vec<_> = (0..250_000).map(|number| cost(now, number)).collect();
    proxy.after_request_with(b"INSERT").reset_at(Direction::ToClient, 0, 2);
    client.insert_cost_metrics(&rows).await.unwrap();
    assert_eq!(proxy.fired(), 2);
    let counted = "SELECT count(), uniqExact(instance_id), (SELECT sum(sample_count) FROM cost_metrics_hourly) FROM cost_metrics_ts";
    assert_eq!(server.text(counted), "250000\t250000\t250000");
    proxy.after_request_with(b"INSERT").answer([exception(252, "TOO_MANY_PARTS")]);
    client.insert_cost_metrics(&rows[..10]).await.unwrap();
    assert_eq!((proxy.fired(), server.text(counted)), (3, "250010\t250000\t250010".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_would_keep_repeated_rows_are_refused() {
    let server = server();
    server.query(
        "ALTER TABLE cost_metrics_hourly MODIFY SETTING non_replicated_deduplication_window = 0",
    );
    let client = client_at(&server, server.url());
    let error = client.insert_cost_metrics(&[cost(now(&server), 1)]).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("does not recognize repeated inserts"), "{error}");
    assert_eq!(server.text("SELECT count() FROM cost_metrics_ts"), "0");
}
