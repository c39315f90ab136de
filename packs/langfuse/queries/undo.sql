-- Prints the statements that remove what the jobs and Langfuse's own migrations have made, and open the steps 1 to 4 of its backfill
-- again. Nothing is executed.
SELECT $sql$-- ClickHouse
DELETE FROM events_full WHERE source IN ('otel-backfill', 'ingestion-api-backfill');
DELETE FROM events_core WHERE source IN ('otel-backfill', 'ingestion-api-backfill');

-- PostgreSQL
UPDATE background_migrations
SET finished_at = NULL, state = '{}'
WHERE name ~ '_v4_step_[1-4]_';$sql$
FORMAT TSVRaw
