-- What the built-in job must produce for one partition, as one SELECT written by hand from the rules, so that it can
-- be compared with the job's result. It names the columns of every generation of the target, and the caller selects those
-- that its target has. A JSON column is compared as the map that it is made from.
--
-- Parameters: ${partition} is the id of the partition. ${attributes} are the columns of traces that decide a tie between versions,
-- in the order of the table.
-- Needs join_use_nulls = 0.
WITH
    -- The window follows the raw rows of the partition, deleted and replaced ones included.
    (SELECT toUnixTimestamp64Milli(min(start_time) - INTERVAL 7 DAY) FROM observations WHERE _partition_id = '${partition}') AS window_begin,
    (SELECT toUnixTimestamp64Milli(max(start_time) + INTERVAL 1 DAY) FROM observations WHERE _partition_id = '${partition}') AS window_end
SELECT
    observation.project_id AS project_id,
    observation.trace_id AS trace_id,
    observation.id AS span_id,
    multiIf(
        observation.id = 't-' || observation.trace_id, '',
        observation.parent_observation_id IS NOT NULL, assumeNotNull(observation.parent_observation_id),
        't-' || observation.trace_id) AS parent_span_id,
    CAST(observation.start_time, 'DateTime64(6)') AS start_time,
    CAST(observation.end_time, 'Nullable(DateTime64(6))') AS end_time,
    observation.name AS name,
    observation.type AS type,
    observation.environment AS environment,
    multiIf(observation.version IS NOT NULL, assumeNotNull(observation.version), trace.version IS NOT NULL, assumeNotNull(trace.version), '') AS version,
    ifNull(trace.release, '') AS release,
    trace.name AS trace_name,
    ifNull(trace.user_id, '') AS user_id,
    ifNull(trace.session_id, '') AS session_id,
    trace.tags AS tags,
    ifNull(observation.parent_observation_id, '') = '' AND trace.bookmarked AS bookmarked,
    trace.public AS public,
    observation.level AS level,
    ifNull(observation.status_message, '') AS status_message,
    CAST(observation.completion_start_time, 'Nullable(DateTime64(6))') AS completion_start_time,
    ifNull(observation.prompt_id, '') AS prompt_id,
    ifNull(observation.prompt_name, '') AS prompt_name,
    observation.prompt_version AS prompt_version,
    ifNull(observation.internal_model_id, '') AS model_id,
    ifNull(observation.provided_model_name, '') AS provided_model_name,
    ifNull(observation.model_parameters, '{}') AS model_parameters,
    observation.provided_usage_details AS provided_usage_details,
    observation.usage_details AS usage_details,
    observation.provided_cost_details AS provided_cost_details,
    observation.cost_details AS cost_details,
    observation.usage_pricing_tier_id AS usage_pricing_tier_id,
    observation.usage_pricing_tier_name AS usage_pricing_tier_name,
    observation.tool_definitions AS tool_definitions,
    observation.tool_calls AS tool_calls,
    observation.tool_call_names AS tool_call_names,
    ifNull(observation.input, '') AS input,
    ifNull(observation.output, '') AS output,
    mapUpdate(trace.metadata, observation.metadata) AS metadata,
    mapKeys(metadata) AS metadata_names,
    mapValues(metadata) AS metadata_values,
    mapValues(metadata) AS metadata_raw_values,
    if(mapContains(observation.metadata, 'resourceAttributes'), 'otel-backfill', 'ingestion-api-backfill') AS source,
    observation.bytes + byteSize(observation.project_id) + byteSize(observation.trace_id)
        + byteSize(trace.name, trace.metadata, trace.public, trace.bookmarked, trace.tags)
        + length(ifNull(trace.user_id, '')) + length(ifNull(trace.session_id, '')) + length(ifNull(trace.release, ''))
        + length(ifNull(trace.version, '')) + 4 * (byteSize('') + 1) AS event_bytes,
    CAST(observation.created_at, 'DateTime64(6)') AS created_at,
    CAST(observation.updated_at, 'DateTime64(6)') AS updated_at,
    CAST(observation.event_ts, 'DateTime64(6)') AS event_ts,
    observation.is_deleted AS is_deleted
FROM
(
    -- A NULL counts as an empty string and the byte of its flag.
    SELECT *,
        byteSize(* EXCEPT (parent_observation_id, status_message, version, input, output, provided_model_name,
            internal_model_id, model_parameters, prompt_id, prompt_name, usage_pricing_tier_id, usage_pricing_tier_name)) + 12 * (byteSize('') + 1)
        + length(ifNull(parent_observation_id, '')) + length(ifNull(status_message, '')) + length(ifNull(version, '')) + length(ifNull(input, ''))
        + length(ifNull(output, '')) + length(ifNull(provided_model_name, '')) + length(ifNull(internal_model_id, '')) + length(ifNull(model_parameters, ''))
        + length(ifNull(prompt_id, '')) + length(ifNull(prompt_name, '')) + length(ifNull(usage_pricing_tier_id, '')) + length(ifNull(usage_pricing_tier_name, '')) AS bytes
    FROM observations FINAL
    -- Of the rows of one id, in any partition, the newest counts, deleted or not.
    WHERE _partition_id = '${partition}' AND (project_id, type, toDate(start_time), id) IN (
        SELECT project_id, type, toDate(start_time), id FROM observations
        ORDER BY event_ts DESC, is_deleted DESC, _partition_id DESC, project_id DESC, type DESC, toDate(start_time) DESC
        LIMIT 1 BY project_id, id)
) AS observation
LEFT ANY JOIN
(
    -- Versions in the window come first, and one of them decides; a trace that has none there is looked for anywhere.
    -- Compared as a number: toDate, in the sorting key of traces, wraps before 1970, and a comparison of times would skip such rows.
    SELECT project_id, id, name, user_id, session_id, release, version, metadata, public, bookmarked, tags
    FROM
    (
        SELECT *
        FROM traces
        ORDER BY toUnixTimestamp64Milli(timestamp) BETWEEN window_begin AND window_end DESC, event_ts DESC, is_deleted DESC, formatRow('RowBinary', ${attributes}) DESC
        LIMIT 1 BY project_id, id
    )
    WHERE is_deleted = 0
) AS trace
ON observation.project_id = trace.project_id AND observation.trace_id = trace.id
