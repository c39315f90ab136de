-- GPU, memory and CPU of an instance by the hour.
SELECT
    hour,
    instance_type,
    avgMerge(avg_gpu_util) AS gpu_utilization,
    maxMerge(max_gpu_util) AS max_gpu_utilization,
    avgMerge(avg_gpu_memory) AS gpu_memory_used_mb,
    avgMerge(avg_cpu_util) AS cpu_utilization,
    sum(sample_count) AS samples
FROM resource_metrics_hourly
WHERE customer_id = {customer_id:UUID} AND instance_id = {instance_id:String}
    AND hour >= {from:DateTime('UTC')} AND hour < {to:DateTime('UTC')}
GROUP BY hour, instance_type
ORDER BY hour, instance_type
