-- Cost of a customer by hour, provider and service.
SELECT
    hour,
    cloud_provider,
    service_name,
    sum(total_cost) AS cost,
    avgMerge(avg_utilization) AS utilization_percent,
    sum(sample_count) AS samples
FROM cost_metrics_hourly
WHERE customer_id = {customer_id:UUID} AND hour >= {from:DateTime('UTC')} AND hour < {to:DateTime('UTC')}
GROUP BY hour, cloud_provider, service_name
ORDER BY hour, cloud_provider, service_name
