-- Prints the statement after which Langfuse takes the steps 1 to 4 of its backfill for finished. It is for Langfuse's PostgreSQL, with the
-- gate off; nothing is executed. It changes nothing while a worker holds one of the steps. Fails while a query of the steps runs here.
SELECT if(
    throwIf((SELECT count() FROM system.processes WHERE startsWith(query_id, 'backfill-')) > 0,
        'queries of Langfuse''s own migrations run: turn the gate off, and end them by KILL QUERY WHERE startsWith(query_id, ''backfill-'')') = 0,
    $sql$-- PostgreSQL
UPDATE background_migrations
SET finished_at = now() AT TIME ZONE 'UTC', failed_at = NULL, failed_reason = NULL, locked_at = NULL, worker_id = NULL,
    state = '{"phase":"completed","chunksLoaded":true,"todos":[],"activeQueries":[],"config":{}}'
WHERE finished_at IS NULL AND name ~ '_v4_step_[1-4]_'
  AND NOT EXISTS (
    SELECT 1 FROM background_migrations
    WHERE name ~ '_v4_step_' AND locked_at > now() AT TIME ZONE 'UTC' - INTERVAL '60 seconds'
  );$sql$, '')
FORMAT TSVRaw
