-- The newest row of each raw table and of its roll-up, and their age; empty tables have no row here.
SELECT metrics, newest, dateDiff('second', newest, now('UTC')) AS age_seconds, newest_hour
FROM
(
    SELECT 'cost' AS metrics, max(timestamp) AS newest, (SELECT max(hour) FROM cost_metrics_hourly) AS newest_hour FROM cost_metrics_ts HAVING count() > 0
    UNION ALL
    SELECT 'performance', max(timestamp), (SELECT max(hour) FROM performance_metrics_hourly) FROM performance_metrics_ts HAVING count() > 0
    UNION ALL
    SELECT 'resource', max(timestamp), (SELECT max(hour) FROM resource_metrics_hourly) FROM resource_metrics_ts HAVING count() > 0
    UNION ALL
    SELECT 'quality', max(timestamp), (SELECT max(hour) FROM quality_metrics_hourly) FROM quality_metrics_ts HAVING count() > 0
)
ORDER BY metrics
