-- A believable partition 202511 of observations with its traces, made in the server, the same for the same seed.
--
-- Parameters, in the form of Python's string.Template: ${rows} observations before their further versions, ${seed} any word of
-- letters and digits. No statement holds a semicolon other than its last character.
--
-- What is in it: 20 projects of very different sizes, about 6 observations a trace in trees (groups of 24 rows hold traces of
-- 1, 4, 6 and 13 observations), newer versions of 4 % of the observations and 10 % of the traces, deleted newest versions of both,
-- versions whose event_ts ties, observations without a trace (2 %), traces of October and December, dataset run items.
-- Merges of both tables stay stopped, so that the 8 parts and all versions are still there when the job reads.
SYSTEM STOP MERGES observations;
SYSTEM STOP MERGES traces;

-- One row per trace number: what its observations need to know of it.
CREATE OR REPLACE VIEW demo_trace_facts AS
SELECT
    number AS trace_number,
    sipHash64('${seed}', 'trace', number) AS trace_hash,
    intHash64(trace_hash) AS trace_chance,
    toUInt32(floor(20 * pow((trace_hash % 1000003) / 1000003, 3))) AS project_number,
    'project-' || lower(hex(sipHash64('${seed}', 'project', project_number))) AS project,
    lower(hex(sipHash128('${seed}', number))) AS digits,
    if(project_number % 2 = 0, digits, substring(digits, 1, 8) || '-' || substring(digits, 9, 4) || '-' || substring(digits, 13, 4) || '-' || substring(digits, 17, 4) || '-' || substring(digits, 21)) AS trace,
    toDateTime64('2025-11-01 00:00:00.000', 3) + toIntervalMillisecond(trace_chance % (30 * 86400000 - 1800000)) AS trace_start,
    ['production', 'production', 'production', 'default', 'staging'][1 + trace_chance % 5] AS trace_environment
FROM numbers_mt({first:UInt64}, {count:UInt64});

CREATE OR REPLACE VIEW demo_observations AS
WITH
    [
        'The customer asks why the invoice of last month shows two different amounts for the same plan.',
        'Please summarise the attached document in three short paragraphs and keep the original headings.',
        'According to the knowledge base, a refund is possible within thirty days after the purchase was made.',
        'I could not find an order with that number, could you check whether one of the digits is missing\x3F',
        'Here is a small function that parses the header and returns an error when the length does not match.',
        'The retrieved passages disagree about the release date, so the answer names both and says where each came from.',
        'Let us think about this step by step and write down what is known before we compute anything.',
        'Die Lieferung wurde gestern verschickt und sollte \xC3\xBCbermorgen ankommen, sofern der Zoll nichts zur\xC3\xBCckh\xC3\xA4lt.',
        'El usuario quiere cambiar su direcci\xC3\xB3n de correo electr\xC3\xB3nico, pero el enlace de confirmaci\xC3\xB3n ya caduc\xC3\xB3.',
        'Le mod\xC3\xA8le doit r\xC3\xA9pondre en fran\xC3\xA7ais, m\xC3\xAAme lorsque la question a \xC3\xA9t\xC3\xA9 pos\xC3\xA9\x65 en anglais.',
        '\xE3\x81\x8A\xE5\x95\x8F\xE3\x81\x84\xE5\x90\x88\xE3\x82\x8F\xE3\x81\x9B\xE3\x81\x82\xE3\x82\x8A\xE3\x81\x8C\xE3\x81\xA8\xE3\x81\x86\xE3\x81\x94\xE3\x81\x96\xE3\x81\x84\xE3\x81\xBE\xE3\x81\x99\xE3\x80\x82\xE6\xB3\xA8\xE6\x96\x87\xE7\x95\xAA\xE5\x8F\xB7\xE3\x82\x92\xE3\x81\x8A\xE7\x9F\xA5\xE3\x82\x89\xE3\x81\x9B\xE3\x81\x8F\xE3\x81\xA0\xE3\x81\x95\xE3\x81\x84\xE3\x80\x82',
        '\xD0\x9F\xD0\xBE\xD0\xB6\xD0\xB0\xD0\xBB\xD1\x83\xD0\xB9\xD1\x81\xD1\x82\xD0\xB0, \xD0\xBF\xD1\x80\xD0\xBE\xD0\xB2\xD0\xB5\xD1\x80\xD1\x8C\xD1\x82\xD0\xB5 \xD0\xBD\xD0\xB0\xD1\x81\xD1\x82\xD1\x80\xD0\xBE\xD0\xB9\xD0\xBA\xD0\xB8 \xD1\x83\xD1\x87\xD1\x91\xD1\x82\xD0\xBD\xD0\xBE\xD0\xB9 \xD0\xB7\xD0\xB0\xD0\xBF\xD0\xB8\xD1\x81\xD0\xB8.',
        'Great, that worked \xF0\x9F\x8E\x89 thank you so much for the quick help \xF0\x9F\x99\x8F',
        'The tool returned an empty list, which most likely means that the filter on the region was too narrow.',
        'SELECT name, count() FROM visits WHERE day >= today() - 7 GROUP BY name ORDER BY count() DESC LIMIT 10',
        'For a table of this size the index fits into memory, and the lookups take less than a microsecond each.',
        'If the temperature falls below zero the pump stops by itself and reports the state to the control room.',
        'You are right, I had overlooked the second attachment, and the total is indeed higher than I had said.',
        'The contract ends on the last day of the quarter unless one of the parties objects in writing before.',
        'Rewrite the paragraph so that a reader without any background in statistics can follow the argument.',
        'Traceback (most recent call last):\\n  File \\"worker.py\\", line 112, in handle\\n    raise TimeoutError(url)',
        'The three nearest shops that have the part in stock are listed below together with their opening hours.',
        'Before you deploy, run the migration in a transaction and keep a copy of the old table for one week.',
        'Based on the symptoms it could be a loose cable, a worn bearing, or a sensor that needs calibration.'
    ] AS sentences,
    ['gpt-4o', 'gpt-4o-mini', 'gpt-4.1', 'claude-sonnet-4', 'claude-haiku-3.5', 'gemini-2.5-flash', 'mistral-large', 'text-embedding-3-small'] AS models,
    ['chat completion', 'retrieve passages', 'plan', 'call tool', 'rerank', 'summarise', 'guardrail', 'embed', 'route', 'parse answer'] AS names,
    facts AS
    (
        SELECT
            number AS observation_number,
            [0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3][1 + number % 24] AS trace_in_group,
            [0, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12][1 + number % 24] AS step,
            intDiv(number, 24) * 4 + trace_in_group AS trace_number,
            sipHash64('${seed}', 'trace', trace_number) AS trace_hash,
            intHash64(trace_hash) AS trace_chance,
            toUInt32(floor(20 * pow((trace_hash % 1000003) / 1000003, 3))) AS project_number,
            'project-' || lower(hex(sipHash64('${seed}', 'project', project_number))) AS project,
            lower(hex(sipHash128('${seed}', trace_number))) AS digits,
            if(project_number % 2 = 0, digits, substring(digits, 1, 8) || '-' || substring(digits, 9, 4) || '-' || substring(digits, 13, 4) || '-' || substring(digits, 17, 4) || '-' || substring(digits, 21)) AS trace,
            toDateTime64('2025-11-01 00:00:00.000', 3) + toIntervalMillisecond(trace_chance % (30 * 86400000 - 1800000)) AS trace_start,
            ['production', 'production', 'production', 'default', 'staging'][1 + trace_chance % 5] AS trace_environment,
            lower(hex(sipHash64('${seed}', 'observation', number))) AS own_id,
            lower(hex(sipHash64('${seed}', 'observation', number - step))) AS root_own_id,
            multiIf(trace_chance % 10 < 3, 't-' || trace, trace_chance % 10 = 3, trace, root_own_id) AS root_id,
            intDiv(greatest(step, 1) - 1, 3) AS parent_step,
            if(parent_step = 0, root_id, lower(hex(sipHash64('${seed}', 'observation', number - step + parent_step)))) AS parent_id,
            cityHash64(own_id) AS chance,
            intHash64(chance) AS chance_2,
            if(step = 0, 'SPAN', transform(chance % 100, range(100), arrayConcat(arrayWithConstant(45, 'GENERATION'), arrayWithConstant(28, 'SPAN'), arrayWithConstant(12, 'EVENT'), arrayWithConstant(7, 'TOOL'), arrayWithConstant(5, 'RETRIEVER'), arrayWithConstant(3, 'AGENT')), '')) AS kind,
            kind = 'GENERATION' AS is_generation,
            trace_start + toIntervalMillisecond(step * 1300 + chance % 1200) AS start,
            20 + chance_2 % 3000 AS tokens_in,
            5 + intDiv(chance_2, 4096) % 900 AS tokens_out,
            toDecimal64(toFloat64(tokens_in) * 0.0000025, 12) AS cost_in,
            toDecimal64(toFloat64(tokens_out) * 0.00001, 12) AS cost_out
        FROM numbers_mt({first:UInt64}, {count:UInt64})
    )
SELECT
    if(step = 0, root_id, own_id) AS id,
    trace AS trace_id,
    project AS project_id,
    trace_environment AS environment,
    kind AS type,
    multiIf(step = 0, if(chance % 4 = 0, '', NULL), chance_2 % 100 < 8, NULL, chance_2 % 100 < 10, '', parent_id) AS parent_observation_id,
    start AS start_time,
    if(kind = 'EVENT' OR step > 0 AND chance_2 % 211 = 0, NULL, start + toIntervalMillisecond(5 + chance_2 % 20000)) AS end_time,
    if(chance_2 % 97 = 0, '', names[1 + chance_2 % 10]) AS name,
    multiIf(
        project_number % 3 = 0,
        map('resourceAttributes', '{"service.name":"assistant-' || toString(project_number) || '","telemetry.sdk.language":"python","host.name":"worker-' || toString(chance % 40) || '"}',
            'scope', '{"name":"langfuse-sdk","version":"3.8.' || toString(chance % 5) || '"}', 'attributes', '{"request.id":"' || own_id || '","retries":' || toString(chance % 3) || '}'),
        chance % 9 = 0,
        map(),
        map('environment', 'observation ' || trace_environment, 'step', toString(step), 'cache', if(chance % 3 = 0, 'hit', 'miss'), 'request', '{"id":"' || own_id || '","tags":["a","\xC3\xBC"]}')) AS metadata,
    multiIf(chance_2 % 83 = 0, 'ERROR', chance_2 % 83 = 1, 'WARNING', kind = 'EVENT', 'DEBUG', 'DEFAULT') AS level,
    multiIf(chance_2 % 83 = 0, 'the provider answered with status 429 after ' || toString(chance % 3000) || ' ms', chance % 2 = 0, '', NULL) AS status_message,
    multiIf(chance % 7 = 0, NULL, chance % 7 = 1, '', 'v' || toString(chance % 4)) AS version,
    multiIf(
        kind = 'EVENT', multiIf(chance % 4 = 0, NULL, chance % 4 = 1, '', '{"event":"' || sentences[1 + chance % 24] || '","at":' || toString(chance % 100000) || '}'),
        is_generation,
        '{"messages":[{"role":"system","content":"' || sentences[1 + project_number] || ' ' || sentences[1 + (project_number + 5) % 24] || ' ' || sentences[1 + (project_number + 11) % 24] || ' ' || sentences[1 + (project_number + chance % 3) % 24] || '"},{"role":"user","content":"' || sentences[1 + chance % 24] || ' '
            || sentences[1 + intDiv(chance, 24) % 24] || ' ' || toString(chance % 100000) || ' ' || sentences[1 + intDiv(chance, 576) % 24] || ' ' || sentences[1 + intDiv(chance, 13824) % 24] || ' ' || sentences[1 + intDiv(chance, 331776) % 24] || ' '
            || if(chance % 3 = 0, sentences[1 + chance_2 % 24] || ' ' || sentences[1 + intDiv(chance_2, 24) % 24], '') || '"}],"request_id":"' || lower(hex(chance_2)) || '","stream":true}',
        '{"query":"' || sentences[1 + chance % 24] || ' ' || sentences[1 + intDiv(chance, 24) % 24] || ' ' || sentences[1 + intDiv(chance, 576) % 24] || '","limit":' || toString(chance % 50) || ',"after":"' || lower(hex(chance_2)) || '"}') AS input,
    multiIf(
        kind = 'EVENT' OR chance_2 % 211 = 0, NULL,
        is_generation,
        '{"role":"assistant","content":"' || sentences[1 + intDiv(chance_2, 7) % 24] || ' ' || sentences[1 + intDiv(chance_2, 168) % 24] || ' ' || sentences[1 + intDiv(chance_2, 4032) % 24] || ' '
            || sentences[1 + intDiv(chance_2, 96768) % 24] || '","finish_reason":"' || if(chance % 20 = 0, 'length', 'stop') || '","id":"' || lower(hex(intHash64(chance_2))) || '"}',
        '{"results":["' || sentences[1 + intDiv(chance_2, 5) % 24] || '","' || sentences[1 + intDiv(chance_2, 120) % 24] || '","' || sentences[1 + intDiv(chance_2, 2880) % 24] || '","' || sentences[1 + intDiv(chance_2, 69120) % 24] || '"],"score":0.' || toString(chance_2 % 10000) || '}') AS output,
    if(is_generation, models[1 + chance % 8], NULL) AS provided_model_name,
    if(is_generation AND chance % 5 != 0, 'model-' || toString(chance % 8), NULL) AS internal_model_id,
    multiIf(NOT is_generation, NULL, chance % 6 = 0, '', '{"temperature":' || toString((chance % 11) / 10) || ',"max_tokens":' || toString(256 * (1 + chance % 8)) || '}') AS model_parameters,
    if(is_generation AND chance % 3 = 0, map('input', tokens_in, 'output', tokens_out), map()) AS provided_usage_details,
    multiIf(NOT is_generation, map(), chance % 2 = 0, map('input', tokens_in, 'output', tokens_out, 'total', tokens_in + tokens_out),
        map('input', tokens_in, 'input_cached_tokens', intDiv(tokens_in, 3), 'output', tokens_out, 'output_reasoning_tokens', intDiv(tokens_out, 2), 'total', tokens_in + tokens_out)) AS usage_details,
    if(is_generation AND chance % 11 = 0, map('total', cost_in + cost_out), map()) AS provided_cost_details,
    if(is_generation, map('input', cost_in, 'output', cost_out, 'total', cost_in + cost_out), map()) AS cost_details,
    if(is_generation, cost_in + cost_out, NULL) AS total_cost,
    if(is_generation AND chance % 3 != 0, start + toIntervalMillisecond(5 + chance_2 % 900), NULL) AS completion_start_time,
    if(is_generation AND chance % 4 = 0, 'prompt-' || toString(project_number) || '-' || toString(chance % 12), NULL) AS prompt_id,
    if(is_generation AND chance % 4 = 0, 'answer/' || toString(chance % 12), NULL) AS prompt_name,
    if(is_generation AND chance % 4 = 0, toUInt16(1 + chance % 40), NULL) AS prompt_version,
    if(is_generation AND chance % 5 != 0, 'tier-' || toString(chance % 3), NULL) AS usage_pricing_tier_id,
    if(is_generation AND chance % 5 != 0, ['standard', 'batch', 'long context'][1 + chance % 3], NULL) AS usage_pricing_tier_name,
    if(is_generation AND chance % 10 = 0, map('search', '{"description":"search the knowledge base","parameters":{"type":"object","properties":{"query":{"type":"string"}}}}'), map()) AS tool_definitions,
    if(is_generation AND chance % 20 = 0, ['{"id":"call_' || own_id || '","arguments":"{}"}'], []) AS tool_calls,
    if(is_generation AND chance % 20 = 0, ['search'], []) AS tool_call_names,
    start + toIntervalMillisecond(300 + chance % 700) AS created_at,
    start + toIntervalMillisecond(1000 + chance % 25000) AS updated_at,
    start + toIntervalMillisecond(1000 + chance % 25000) AS event_ts,
    toUInt8(0) AS is_deleted
FROM facts;

CREATE OR REPLACE VIEW demo_traces AS
SELECT
    trace AS id,
    -- most traces start with their first observation, some long before or after it, so that they lie in another month
    multiIf(trace_hash % 67 = 0, trace_start - toIntervalMillisecond(intDiv(trace_hash, 67) % (6 * 86400000)),
        trace_hash % 67 = 1, trace_start + toIntervalMillisecond(intDiv(trace_hash, 67) % (20 * 3600000)),
        trace_start - toIntervalMillisecond(trace_hash % 40)) AS timestamp,
    project AS project_id,
    trace_environment AS environment,
    ['chat', 'search', 'support ticket', 'nightly evaluation', 'agent run', '', 'R\xC3\xBC\x63kfrage'][1 + intDiv(trace_hash, 11) % 7] AS name,
    multiIf(trace_chance % 10 < 2, NULL, trace_chance % 10 = 2, '', 'user-' || toString(project_number) || '-' || toString(floor(4000 * pow((trace_chance % 100003) / 100003, 2.5)))) AS user_id,
    multiIf(trace_chance % 20 < 7, NULL, trace_chance % 20 = 7, '', 'session-' || lower(hex(sipHash64('${seed}', 'session', project_number, floor(20000 * pow((trace_hash % 100019) / 100019, 1.5)))))) AS session_id,
    multiIf(trace_hash % 5 = 0, NULL, trace_hash % 5 = 1, '', '2025.' || toString(40 + trace_chance % 8)) AS release,
    multiIf(trace_hash % 9 = 0, NULL, trace_hash % 9 = 1, '', 'app-' || toString(trace_hash % 5)) AS version,
    if(trace_hash % 8 = 0, map(), map('environment', trace_environment, 'plan', ['free', 'team', 'enterprise'][1 + trace_chance % 3], 'client', '{"name":"web","locale":"' || ['en', 'de', 'ja', 'es'][1 + trace_hash % 4] || '"}')) AS metadata,
    trace_chance % 33 = 0 AS public,
    trace_chance % 91 = 0 AS bookmarked,
    arraySlice(['beta', 'internal', 'a/b: b', '\xE2\x9C\x93 reviewed'], 1 + toInt64(trace_hash % 4), toInt64(intDiv(trace_hash, 4) % 4)) AS tags,
    if(trace_hash % 3 = 0, NULL, '{"question":"' || trace || '"}') AS input,
    if(trace_hash % 3 = 0, NULL, '{"answer":"' || lower(hex(trace_chance)) || '"}') AS output,
    timestamp + toIntervalMillisecond(500) AS created_at,
    timestamp + toIntervalMillisecond(60000) AS updated_at,
    timestamp + toIntervalMillisecond(60000) AS event_ts,
    toUInt8(0) AS is_deleted,
    trace_hash,
    trace_chance
FROM demo_trace_facts(first = {first:UInt64}, count = {count:UInt64})
WHERE trace_hash % 50 != 7;

INSERT INTO traces SELECT * EXCEPT (trace_hash, trace_chance) FROM demo_traces(first = 0, count = intDiv(${rows} + 23, 24) * 4)
SETTINGS max_block_size = 8192, optimize_on_insert = 0, min_insert_block_size_rows = 100000000, min_insert_block_size_bytes = 8000000000;

-- Newer versions of traces: of 10 %, of which every fourth has a timestamp of another date, and deletions of 1 %.
INSERT INTO traces
SELECT * EXCEPT (trace_hash, trace_chance) REPLACE (
    if(trace_hash % 40 = 2, timestamp + INTERVAL 1 DAY, timestamp) AS timestamp,
    if(trace_hash % 100 = 12, NULL, 'user-late-' || toString(trace_hash % 500)) AS user_id,
    arrayConcat(tags, ['late']) AS tags,
    mapUpdate(metadata, map('plan', 'upgraded')) AS metadata,
    event_ts + toIntervalMillisecond(30000) AS event_ts,
    trace_hash % 100 = 12 AS is_deleted)
FROM demo_traces(first = 0, count = intDiv(${rows} + 23, 24) * 4)
WHERE trace_hash % 10 = 2
SETTINGS max_block_size = 8192, optimize_on_insert = 0, min_insert_block_size_rows = 100000000, min_insert_block_size_bytes = 8000000000;

-- Versions of traces that tie with the first ones, on another date, and differ in the user alone.
INSERT INTO traces
SELECT * EXCEPT (trace_hash, trace_chance) REPLACE (timestamp - INTERVAL 1 DAY AS timestamp, 'user-tie-' || toString(trace_hash % 500) AS user_id)
FROM demo_traces(first = 0, count = intDiv(${rows} + 23, 24) * 4)
WHERE trace_hash % 300 = 3
SETTINGS max_block_size = 8192, optimize_on_insert = 0, min_insert_block_size_rows = 100000000, min_insert_block_size_bytes = 8000000000;

-- The first versions, in six parts.
INSERT INTO observations SELECT * FROM demo_observations(first = intDiv(${rows} * 0, 6), count = intDiv(${rows} * 1, 6) - intDiv(${rows} * 0, 6))
SETTINGS max_block_size = 8192, optimize_on_insert = 0, min_insert_block_size_rows = 100000000, min_insert_block_size_bytes = 8000000000;
INSERT INTO observations SELECT * FROM demo_observations(first = intDiv(${rows} * 1, 6), count = intDiv(${rows} * 2, 6) - intDiv(${rows} * 1, 6))
SETTINGS max_block_size = 8192, optimize_on_insert = 0, min_insert_block_size_rows = 100000000, min_insert_block_size_bytes = 8000000000;
INSERT INTO observations SELECT * FROM demo_observations(first = intDiv(${rows} * 2, 6), count = intDiv(${rows} * 3, 6) - intDiv(${rows} * 2, 6))
SETTINGS max_block_size = 8192, optimize_on_insert = 0, min_insert_block_size_rows = 100000000, min_insert_block_size_bytes = 8000000000;
INSERT INTO observations SELECT * FROM demo_observations(first = intDiv(${rows} * 3, 6), count = intDiv(${rows} * 4, 6) - intDiv(${rows} * 3, 6))
SETTINGS max_block_size = 8192, optimize_on_insert = 0, min_insert_block_size_rows = 100000000, min_insert_block_size_bytes = 8000000000;
INSERT INTO observations SELECT * FROM demo_observations(first = intDiv(${rows} * 4, 6), count = intDiv(${rows} * 5, 6) - intDiv(${rows} * 4, 6))
SETTINGS max_block_size = 8192, optimize_on_insert = 0, min_insert_block_size_rows = 100000000, min_insert_block_size_bytes = 8000000000;
INSERT INTO observations SELECT * FROM demo_observations(first = intDiv(${rows} * 5, 6), count = intDiv(${rows} * 6, 6) - intDiv(${rows} * 5, 6))
SETTINGS max_block_size = 8192, optimize_on_insert = 0, min_insert_block_size_rows = 100000000, min_insert_block_size_bytes = 8000000000;

-- Newer versions of observations: of 4 %, of which every fourth has another start time on the same date, and deletions of 0.7 %.
INSERT INTO observations
WITH cityHash64(id, 'version') AS version_chance
SELECT * REPLACE (
    if(version_chance % 100 = 0 AND toDate(start_time) = toDate(start_time + toIntervalMillisecond(1500)), start_time + toIntervalMillisecond(1500), start_time) AS start_time,
    ifNull(output, '') || ' (final)' AS output,
    event_ts + toIntervalMillisecond(5000) AS event_ts,
    version_chance % 1000 IN (7, 107, 207, 307, 407, 507, 607) AS is_deleted)
FROM demo_observations(first = 0, count = ${rows})
WHERE version_chance % 100 IN (0, 1, 2, 3) OR version_chance % 1000 IN (7, 107, 207, 307, 407, 507, 607)
SETTINGS max_block_size = 8192, optimize_on_insert = 0, min_insert_block_size_rows = 100000000, min_insert_block_size_bytes = 8000000000;

-- Versions of observations that tie with those before, and older versions that arrive late.
INSERT INTO observations
WITH cityHash64(id, 'version') AS version_chance
SELECT * REPLACE (
    ifNull(output, '') || if(version_chance % 500 = 77, ' (tie)', ' (too old)') AS output,
    if(version_chance % 500 = 77, event_ts, event_ts - toIntervalMillisecond(5000)) AS event_ts)
FROM demo_observations(first = 0, count = ${rows})
WHERE version_chance % 500 IN (77, 78)
SETTINGS max_block_size = 8192, optimize_on_insert = 0, min_insert_block_size_rows = 100000000, min_insert_block_size_bytes = 8000000000;

INSERT INTO dataset_run_items_rmt (id, project_id, dataset_run_id, dataset_item_id, dataset_id, trace_id, observation_id, created_at, updated_at, event_ts, is_deleted)
SELECT 'item-' || id, project_id, 'run-' || toString(trace_hash % 7), 'dataset-item-' || toString(trace_hash % 90), 'dataset-' || toString(trace_hash % 3), id,
    if(trace_chance % 2 = 0, NULL, 't-' || id), created_at, updated_at, event_ts, trace_chance % 20 = 0
FROM demo_traces(first = 0, count = intDiv(${rows} + 23, 24) * 4)
WHERE trace_hash % 200 = 5;

DROP VIEW demo_traces;
DROP VIEW demo_observations;
DROP VIEW demo_trace_facts;
