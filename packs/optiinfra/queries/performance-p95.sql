-- Latency (95th and 99th percentile, within 1 %), throughput and requests of a service by the hour.
SELECT
    hour,
    service_type,
    quantileDDMerge(0.01, 0.95)(p95_latency) AS p95_latency_ms,
    quantileDDMerge(0.01, 0.99)(p99_latency) AS p99_latency_ms,
    avgMerge(avg_latency) AS latency_ms,
    avgMerge(avg_throughput) AS tokens_per_second,
    avgMerge(avg_gpu_util) AS gpu_utilization,
    sum(request_count) AS requests
FROM performance_metrics_hourly
WHERE customer_id = {customer_id:UUID} AND service_id = {service_id:UUID}
    AND hour >= {from:DateTime('UTC')} AND hour < {to:DateTime('UTC')}
GROUP BY hour, service_type
ORDER BY hour, service_type
