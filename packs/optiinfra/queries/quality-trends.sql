-- Scores and hallucinations of a service's models by the hour.
SELECT
    hour,
    model_name,
    avgMerge(avg_quality) AS quality,
    avgMerge(avg_relevance) AS relevance,
    avgMerge(avg_coherence) AS coherence,
    avgMerge(avg_factuality) AS factuality,
    sum(hallucination_count) AS hallucinations,
    sum(request_count) AS requests
FROM quality_metrics_hourly
WHERE customer_id = {customer_id:UUID} AND service_id = {service_id:UUID}
    AND hour >= {from:DateTime('UTC')} AND hour < {to:DateTime('UTC')}
GROUP BY hour, model_name
ORDER BY hour, model_name
