-- Data that a backfill of partition 202511 (and 196912) can get wrong, for the tests. Small on purpose.
--
-- Every statement ends with a semicolon at the end of its line, and there is no other semicolon in this file. Literals write
-- semicolons, question marks, braces and dollar signs as \x escapes, so that neither a splitter nor a client
-- with placeholders stumbles over them.
--
-- Versions of one key stand in separate statements: one inserted block would collapse them at once. Merges are
-- stopped, so that the versions are still there when the job reads. The order of the statements matters where versions tie.
SYSTEM STOP MERGES observations;
SYSTEM STOP MERGES traces;

-- 1. NULL, empty and filled in every combination that matters: three states of the observation's
-- nullable columns (mixed radix of number) against three states of the trace's.
INSERT INTO traces
    (id, timestamp, project_id, environment, name, user_id, session_id, release, version, metadata, public, bookmarked, tags,
     input, output, created_at, updated_at, event_ts, is_deleted)
SELECT
    'null-' || toString(number), toDateTime64('2025-11-05 10:00:00.007', 3) + INTERVAL number MINUTE, 'project-null',
    ['default', '', 'staging'][1 + number % 3], ['', 'a trace', 'trace \xF0\x9F\x8C\x8D'][1 + number % 3],
    [NULL, '', 'user'][1 + number % 3], [NULL, '', 'session'][1 + intDiv(number, 3) % 3],
    [NULL, '', 'release'][1 + intDiv(number, 9) % 3], [NULL, '', 'trace version'][1 + intDiv(number, 27) % 3],
    [map(), map('shared', 'from trace', 'only trace', ''), map('', 'empty key', 'shared', '')][1 + number % 3],
    number % 2, intDiv(number, 2) % 2, [[], ['tag'], ['', 'tag', 'tag']][1 + intDiv(number, 3) % 3],
    [NULL, '', 'trace input'][1 + number % 3], [NULL, '', 'trace output'][1 + number % 3],
    toDateTime64('2025-11-05 10:00:01.001', 3), toDateTime64('2025-11-05 10:00:02.002', 3), toDateTime64('2025-11-05 10:00:03.003', 3), 0
FROM numbers(81);

INSERT INTO observations
    (id, trace_id, project_id, environment, type, parent_observation_id, start_time, end_time, name, metadata, level, status_message,
     version, input, output, provided_model_name, internal_model_id, model_parameters, provided_usage_details, usage_details,
     provided_cost_details, cost_details, total_cost, completion_start_time, prompt_id, prompt_name, prompt_version,
     usage_pricing_tier_id, usage_pricing_tier_name, tool_definitions, tool_calls, tool_call_names, created_at, updated_at, event_ts, is_deleted)
SELECT
    'null-observation-' || toString(number), 'null-' || toString(number % 81), 'project-null',
    ['default', '', 'production'][1 + number % 3], ['SPAN', 'GENERATION', 'EVENT', ''][1 + number % 4],
    [NULL, '', 'a parent'][1 + number % 3], toDateTime64('2025-11-05 11:00:00.001', 3) + toIntervalMillisecond(number * 7919),
    [NULL, toDateTime64('2025-11-05 12:00:00.999', 3), toDateTime64('1970-01-01 00:00:00', 3)][1 + intDiv(number, 3) % 3],
    ['', 'name', 'na\0me'][1 + number % 3],
    [map(), map('shared', 'from observation', 'only observation', 'x'), map('', '', 'resourceAttributes', '')][1 + intDiv(number, 3) % 3],
    ['DEFAULT', '', 'ERROR'][1 + number % 3], [NULL, '', 'status'][1 + intDiv(number, 9) % 3],
    [NULL, '', 'observation version'][1 + intDiv(number, 81) % 3], [NULL, '', 'input'][1 + intDiv(number, 27) % 3],
    [NULL, '', 'output'][1 + intDiv(number, 9) % 3], [NULL, '', 'gpt-4o'][1 + intDiv(number, 3) % 3],
    [NULL, '', 'model id'][1 + number % 3], [NULL, '', '\x7B\x7D', '\x7B"temperature":0.7\x7D'][1 + number % 4],
    [map(), map('input', 0), map('input', 1, 'output', 2)][1 + number % 3], [map(), map('total', 3)][1 + number % 2],
    [map(), map('input', toDecimal64('0.000000000001', 12))][1 + number % 2],
    [map(), map('total', toDecimal64('0.1', 12), 'input', toDecimal64('-0.1', 12))][1 + intDiv(number, 2) % 2],
    [NULL, toDecimal64('0.1', 12)][1 + number % 2],
    [NULL, toDateTime64('2025-11-05 11:30:00.123', 3)][1 + number % 2], [NULL, '', 'prompt id'][1 + intDiv(number, 3) % 3],
    [NULL, '', 'prompt name'][1 + intDiv(number, 9) % 3], [NULL, 0, 65535][1 + intDiv(number, 27) % 3],
    [NULL, '', 'tier id'][1 + number % 3], [NULL, '', 'tier name'][1 + intDiv(number, 3) % 3],
    [map(), map('tool', '\x7B"type":"function"\x7D')][1 + number % 2], [[], [''], ['\x7B"id":"1"\x7D', '']][1 + number % 3],
    [[], ['tool'], ['tool', '']][1 + number % 3],
    toDateTime64('2025-11-05 11:00:01.111', 3), toDateTime64('2025-11-05 11:00:02.222', 3), toDateTime64('2025-11-05 11:00:03.333', 3), 0
FROM numbers(729);

-- 2. Ids that are data, not syntax: each as trace id, as observation id, as parent and as project.
INSERT INTO traces (id, timestamp, project_id, name, user_id, session_id, metadata, tags, event_ts, is_deleted)
WITH
    ['quote\'single', '\'', '\'\'', 'double"quote', 'back\\slash', 'trailing\\', '\\\'', 'back`tick', '`', 'nul\0byte', '\0', '\0\0',
     'new\nline', '\n', 'tab\ttab', '\t', 'carriage\r\nreturn', '\x1A', '\x7F', '\xFF\xFE', '\xC3\x28', '\xED\xA0\x80', '\xF0\x9F\x98', '\x80',
     '\x7B\x7D', '\x7Bid:String\x7D', '\x3F', '\x3F\x3F', '\x3Ffields', 'semi\x3Bcolon', '-- comment', '/* comment */', '#',
     '\') \x3B DROP TABLE events --', '%s %d %00', '\x241 \x24\x7Bx\x7D', 'NULL', '\\N', 'null', '0', '-1', 'true', 'nan',
     '\xF0\x9F\x98\x80', '\xC3\xA9', 'e\xCC\x81', '\xE2\x80\xAE', '\xEF\xBB\xBFbom', ' leading', 'trailing ', ' ', '',
     repeat('a', 127), repeat('a', 128), repeat('a', 129), repeat('b', 16383), repeat('b', 16384), repeat('\xC3\xA9', 50000)] AS strange
SELECT
    id, toDateTime64('2025-11-06 10:00:00.5', 3), project, 'trace of ' || substring(id, 1, 100),
    substring(id, 1, 1000) || ' in ' || substring(project, 1, 1000), id, map(substring(id, 1, 1000), substring(id, 1, 1000)), [id, id],
    toDateTime64('2025-11-06 10:00:01', 3), 0
FROM (SELECT arrayJoin(strange) AS id) AS ids
CROSS JOIN (SELECT arrayJoin(['project-strange', '', 'project\'\\`\0\n\xFF\x7B\x7D\x3F']) AS project) AS projects;

INSERT INTO observations (id, trace_id, project_id, type, parent_observation_id, start_time, name, metadata, input, event_ts, is_deleted)
WITH
    ['quote\'single', '\'', '\'\'', 'double"quote', 'back\\slash', 'trailing\\', '\\\'', 'back`tick', '`', 'nul\0byte', '\0', '\0\0',
     'new\nline', '\n', 'tab\ttab', '\t', 'carriage\r\nreturn', '\x1A', '\x7F', '\xFF\xFE', '\xC3\x28', '\xED\xA0\x80', '\xF0\x9F\x98', '\x80',
     '\x7B\x7D', '\x7Bid:String\x7D', '\x3F', '\x3F\x3F', '\x3Ffields', 'semi\x3Bcolon', '-- comment', '/* comment */', '#',
     '\') \x3B DROP TABLE events --', '%s %d %00', '\x241 \x24\x7Bx\x7D', 'NULL', '\\N', 'null', '0', '-1', 'true', 'nan',
     '\xF0\x9F\x98\x80', '\xC3\xA9', 'e\xCC\x81', '\xE2\x80\xAE', '\xEF\xBB\xBFbom', ' leading', 'trailing ', ' ', '',
     repeat('a', 127), repeat('a', 128), repeat('a', 129), repeat('b', 16383), repeat('b', 16384), repeat('\xC3\xA9', 50000)] AS strange
SELECT
    multiIf(kind = 'own id', 'observation ' || strange_id, kind = 'root by prefix', 't-' || strange_id, strange_id),
    strange_id, project, 'SPAN', if(kind = 'own id', strange_id, NULL),
    toDateTime64('2025-11-06 11:00:00.25', 3), kind, map(substring(strange_id, 1, 1000), 'observation'), strange_id, toDateTime64('2025-11-06 11:00:01', 3), 0
FROM (SELECT arrayJoin(strange) AS strange_id) AS ids
CROSS JOIN (SELECT arrayJoin(['project-strange', '', 'project\'\\`\0\n\xFF\x7B\x7D\x3F', 'project-without-traces']) AS project) AS projects
CROSS JOIN (SELECT arrayJoin(['own id', 'root by prefix', 'root by id']) AS kind) AS kinds;

-- 3. Keys that differ only in the project, or only in where the project ends and the trace begins.
INSERT INTO traces (id, timestamp, project_id, name, user_id, event_ts, is_deleted) VALUES
    ('same', '2025-11-07 10:00:00.000', 'tenant-a', 'of a', 'user of a', '2025-11-07 10:00:01.000', 0),
    ('same', '2025-11-07 10:00:00.000', 'tenant-b', 'of b', 'user of b', '2025-11-07 10:00:02.000', 0),
    ('same', '2025-11-07 10:00:00.000', 'tenant-d', 'of d, deleted', 'user of d', '2025-11-07 10:00:03.000', 1),
    ('bc', '2025-11-07 10:00:00.000', 'a', 'a + bc', 'user of a + bc', '2025-11-07 10:00:01.000', 0),
    ('c', '2025-11-07 10:00:00.000', 'ab', 'ab + c', 'user of ab + c', '2025-11-07 10:00:01.000', 0),
    ('b', '2025-11-07 10:00:00.000', 'a\0', 'a0 + b', 'user of a0 + b', '2025-11-07 10:00:01.000', 0),
    ('\0b', '2025-11-07 10:00:00.000', 'a', 'a + 0b', 'user of a + 0b', '2025-11-07 10:00:01.000', 0),
    ('x', '2025-11-07 10:00:00.000', 'x\0', 'x0 + x', 'user of x0 + x', '2025-11-07 10:00:01.000', 0);
INSERT INTO observations (id, trace_id, project_id, type, start_time, name, event_ts, is_deleted) VALUES
    ('same-observation', 'same', 'tenant-a', 'SPAN', '2025-11-07 11:00:00.001', 'a', '2025-11-07 11:00:01.000', 0),
    ('same-observation', 'same', 'tenant-b', 'SPAN', '2025-11-07 11:00:00.001', 'b', '2025-11-07 11:00:01.000', 0),
    ('same-observation', 'same', 'tenant-c', 'SPAN', '2025-11-07 11:00:00.001', 'c has no such trace', '2025-11-07 11:00:01.000', 0),
    ('same-observation', 'same', 'tenant-d', 'SPAN', '2025-11-07 11:00:00.001', 'd has it deleted', '2025-11-07 11:00:01.000', 0),
    ('same-observation', 'same', 'TENANT-A', 'SPAN', '2025-11-07 11:00:00.001', 'other case', '2025-11-07 11:00:01.000', 0),
    ('same-observation', 'same ', 'tenant-a', 'SPAN', '2025-11-07 11:00:00.001', 'trailing space', '2025-11-07 11:00:01.000', 0),
    ('glued', 'bc', 'a', 'SPAN', '2025-11-07 11:00:00.001', '', '2025-11-07 11:00:01.000', 0),
    ('glued', 'c', 'ab', 'SPAN', '2025-11-07 11:00:00.001', '', '2025-11-07 11:00:01.000', 0),
    ('glued', '', 'abc', 'SPAN', '2025-11-07 11:00:00.001', '', '2025-11-07 11:00:01.000', 0),
    ('glued', 'abc', '', 'SPAN', '2025-11-07 11:00:00.001', '', '2025-11-07 11:00:01.000', 0),
    ('glued', 'b', 'a\0', 'SPAN', '2025-11-07 11:00:00.001', '', '2025-11-07 11:00:01.000', 0),
    ('glued-2', '\0b', 'a', 'SPAN', '2025-11-07 11:00:00.001', '', '2025-11-07 11:00:01.000', 0),
    ('glued', 'x', 'x\0', 'SPAN', '2025-11-07 11:00:00.001', '', '2025-11-07 11:00:01.000', 0),
    ('glued', '\0x', 'x', 'SPAN', '2025-11-07 11:00:00.001', '', '2025-11-07 11:00:01.000', 0);

-- 4. Versions of observations. The first inserts carry the first versions, the ones below replace them.
INSERT INTO observations (id, trace_id, project_id, type, start_time, name, input, event_ts, is_deleted) VALUES
    ('same start', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'old', 'old input', '2025-11-08 10:00:01.000', 0),
    ('other start, same date', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'old', 'old input', '2025-11-08 10:00:01.000', 0),
    ('other date', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 23:59:59.999', 'row of the 8th', NULL, '2025-11-08 10:00:01.000', 0),
    ('other month', 'trace-1', 'project-versions', 'SPAN', '2025-10-31 23:59:59.999', 'row of october', NULL, '2025-11-08 10:00:01.000', 0),
    ('other type', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'row as span', NULL, '2025-11-08 10:00:01.000', 0),
    ('other trace', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'old', NULL, '2025-11-08 10:00:01.000', 0),
    ('deleted', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'must not come back', NULL, '2025-11-08 10:00:01.000', 0),
    ('deleted, other start', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'must not come back', NULL, '2025-11-08 10:00:01.000', 0),
    ('deleted and written again', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'old', NULL, '2025-11-08 10:00:01.000', 0),
    ('deleted on one date only', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'stays', NULL, '2025-11-08 10:00:01.000', 0),
    ('older inserted later', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'newest', NULL, '2025-11-08 10:00:09.000', 0),
    ('newest by a millisecond', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'newest', NULL, '2025-11-08 10:00:01.001', 0),
    ('tie, live and live', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'first', NULL, '2025-11-08 10:00:01.000', 0),
    ('tie, live then deleted', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'first', NULL, '2025-11-08 10:00:01.000', 0),
    ('tie, deleted then live', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'first', NULL, '2025-11-08 10:00:01.000', 1),
    ('only ever deleted', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'never seen', NULL, '2025-11-08 10:00:01.000', 1);
INSERT INTO observations (id, trace_id, project_id, type, start_time, name, input, event_ts, is_deleted) VALUES
    ('same start', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'new', 'new input', '2025-11-08 10:00:02.000', 0),
    ('other start, same date', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.200', 'new', NULL, '2025-11-08 10:00:02.000', 0),
    ('other date', 'trace-1', 'project-versions', 'SPAN', '2025-11-09 00:00:00.000', 'row of the 9th', NULL, '2025-11-08 10:00:02.000', 0),
    ('other month', 'trace-1', 'project-versions', 'SPAN', '2025-11-01 00:00:00.001', 'row of november', NULL, '2025-11-08 10:00:02.000', 0),
    ('other type', 'trace-1', 'project-versions', 'GENERATION', '2025-11-08 10:00:00.200', 'row as generation', NULL, '2025-11-08 10:00:02.000', 0),
    ('other trace', 'trace-2', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'new', NULL, '2025-11-08 10:00:02.000', 0),
    ('deleted', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'must not come back', NULL, '2025-11-08 10:00:02.000', 1),
    ('deleted, other start', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 11:00:00.100', '', NULL, '2025-11-08 10:00:02.000', 1),
    ('deleted and written again', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'deleted', NULL, '2025-11-08 10:00:02.000', 1),
    ('deleted on one date only', 'trace-1', 'project-versions', 'SPAN', '2025-11-09 10:00:00.100', 'goes', NULL, '2025-11-08 10:00:02.000', 1),
    ('older inserted later', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'oldest', NULL, '2025-11-08 10:00:01.000', 0),
    ('newest by a millisecond', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'older', NULL, '2025-11-08 10:00:01.000', 0),
    ('tie, live and live', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'last', NULL, '2025-11-08 10:00:01.000', 0),
    ('tie, live then deleted', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'last', NULL, '2025-11-08 10:00:01.000', 1),
    ('tie, deleted then live', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'last', NULL, '2025-11-08 10:00:01.000', 0);
INSERT INTO observations (id, trace_id, project_id, type, start_time, name, input, event_ts, is_deleted) VALUES
    ('deleted and written again', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'new', NULL, '2025-11-08 10:00:03.000', 0),
    ('same start', 'trace-1', 'project-versions', 'SPAN', '2025-11-08 10:00:00.100', 'newest', 'newest input', '2025-11-08 10:00:03.000', 0);

-- 5. Versions of traces. One observation per trace tells which version won. Traces with another date are other
-- rows of the table, and the newest of them all must win. Where event_ts ties, deleted wins, then the greater attribute bytes.
INSERT INTO traces (id, timestamp, project_id, name, user_id, session_id, metadata, bookmarked, tags, event_ts, is_deleted) VALUES
    ('trace-1', '2025-11-08 09:00:00.000', 'project-versions', 'trace one', 'user', 'session', map('k', 'v'), 1, ['t'], '2025-11-08 09:00:01.000', 0),
    ('trace-2', '2025-11-08 09:00:00.000', 'project-versions', 'trace two', 'user 2', 'session 2', map('k', 'v2'), 0, [], '2025-11-08 09:00:01.000', 0),
    ('same timestamp', '2025-11-08 09:00:00.000', 'project-traces', 'old', 'old', 'old', map('old', 'old'), 1, ['old'], '2025-11-08 09:00:01.000', 0),
    ('same date', '2025-11-08 09:00:00.000', 'project-traces', 'old', 'old', 'old', map('old', 'old'), 1, ['old'], '2025-11-08 09:00:01.000', 0),
    ('other date', '2025-11-08 09:00:00.000', 'project-traces', 'old', 'old', 'old', map('old', 'old'), 1, ['old'], '2025-11-08 09:00:01.000', 0),
    ('other date, newest is the earlier', '2025-11-08 09:00:00.000', 'project-traces', 'old', 'old', 'old', map(), 1, ['old'], '2025-11-08 09:00:01.000', 0),
    ('other month', '2025-11-08 09:00:00.000', 'project-traces', 'old', 'old', 'old', map(), 1, ['old'], '2025-11-08 09:00:01.000', 0),
    ('newest lost its attributes', '2025-11-08 09:00:00.000', 'project-traces', 'old', 'old', 'old', map('old', 'old'), 1, ['old'], '2025-11-08 09:00:01.000', 0),
    ('deleted', '2025-11-08 09:00:00.000', 'project-traces', 'gone', 'gone', 'gone', map('gone', 'gone'), 1, ['gone'], '2025-11-08 09:00:01.000', 0),
    ('deleted on another date', '2025-11-08 09:00:00.000', 'project-traces', 'gone', 'gone', 'gone', map(), 1, ['gone'], '2025-11-08 09:00:01.000', 0),
    ('deleted before', '2025-11-08 09:00:00.000', 'project-traces', 'gone', 'gone', 'gone', map(), 1, ['gone'], '2025-11-08 09:00:01.000', 1),
    ('only ever deleted', '2025-11-08 09:00:00.000', 'project-traces', 'gone', 'gone', 'gone', map(), 1, ['gone'], '2025-11-08 09:00:01.000', 1),
    ('tie, deleted on another date', '2025-11-08 09:00:00.000', 'project-traces', 'gone', 'gone', 'gone', map(), 1, ['gone'], '2025-11-08 09:00:01.000', 0),
    ('tie, deleted first', '2025-11-08 09:00:00.000', 'project-traces', 'gone', 'gone', 'gone', map(), 1, ['gone'], '2025-11-08 09:00:01.000', 1),
    ('tie, user on another date', '2025-11-08 09:00:00.000', 'project-traces', 'same', 'user b', 'same', map(), 1, ['same'], '2025-11-08 09:00:01.000', 0),
    ('tie, null against empty', '2025-11-08 09:00:00.000', 'project-traces', 'same', NULL, 'same', map(), 1, ['same'], '2025-11-08 09:00:01.000', 0),
    ('tie, longer against greater', '2025-11-08 09:00:00.000', 'project-traces', 'same', 'aa', 'same', map(), 1, ['same'], '2025-11-08 09:00:01.000', 0),
    ('tie, only in metadata', '2025-11-08 09:00:00.000', 'project-traces', 'same', 'same', 'same', map('k', 'b'), 1, ['same'], '2025-11-08 09:00:01.000', 0),
    ('tie, only in unused columns', '2025-11-08 09:00:00.000', 'project-traces', 'same', 'same', 'same', map('k', 'a'), 1, ['same'], '2025-11-08 09:00:01.000', 0),
    ('tie, columns disagree', '2025-11-08 09:00:00.000', 'project-traces', 'longest name', 'user', 'session', map('k', 'a'), 1, ['same'], '2025-11-08 09:00:01.000', 0);
INSERT INTO traces (id, timestamp, project_id, name, user_id, session_id, metadata, bookmarked, tags, event_ts, is_deleted) VALUES
    ('same timestamp', '2025-11-08 09:00:00.000', 'project-traces', 'new', 'new', 'new', map('new', 'new'), 0, ['new'], '2025-11-08 09:00:02.000', 0),
    ('same date', '2025-11-08 09:30:00.000', 'project-traces', 'new', 'new', 'new', map('new', 'new'), 0, ['new'], '2025-11-08 09:00:02.000', 0),
    ('other date', '2025-11-11 09:00:00.000', 'project-traces', 'new', 'new', 'new', map('new', 'new'), 0, ['new'], '2025-11-08 09:00:02.000', 0),
    ('other date, newest is the earlier', '2025-11-05 09:00:00.000', 'project-traces', 'new', 'new', 'new', map(), 0, ['new'], '2025-11-08 09:00:02.000', 0),
    ('other month', '2025-10-30 09:00:00.000', 'project-traces', 'new', 'new', 'new', map(), 0, ['new'], '2025-11-08 09:00:02.000', 0),
    ('newest lost its attributes', '2025-11-09 09:00:00.000', 'project-traces', '', NULL, NULL, map(), 0, [], '2025-11-08 09:00:02.000', 0),
    ('deleted', '2025-11-08 09:00:00.000', 'project-traces', 'gone', 'gone', 'gone', map('gone', 'gone'), 1, ['gone'], '2025-11-08 09:00:02.000', 1),
    ('deleted on another date', '2025-11-10 09:00:00.000', 'project-traces', '', NULL, NULL, map(), 0, [], '2025-11-08 09:00:02.000', 1),
    ('deleted before', '2025-11-10 09:00:00.000', 'project-traces', 'back', 'back', 'back', map(), 0, ['back'], '2025-11-08 09:00:02.000', 0),
    ('tie, deleted on another date', '2025-11-10 09:00:00.000', 'project-traces', 'gone', 'gone', 'gone', map(), 1, ['gone'], '2025-11-08 09:00:01.000', 1),
    ('tie, deleted first', '2025-11-10 09:00:00.000', 'project-traces', 'gone', 'gone', 'gone', map(), 1, ['gone'], '2025-11-08 09:00:01.000', 0),
    ('tie, user on another date', '2025-11-10 09:00:00.000', 'project-traces', 'same', 'user c', 'same', map(), 1, ['same'], '2025-11-08 09:00:01.000', 0),
    ('tie, null against empty', '2025-11-10 09:00:00.000', 'project-traces', 'same', '', 'same', map(), 1, ['same'], '2025-11-08 09:00:01.000', 0),
    ('tie, longer against greater', '2025-11-10 09:00:00.000', 'project-traces', 'same', 'b', 'same', map(), 1, ['same'], '2025-11-08 09:00:01.000', 0),
    ('tie, only in metadata', '2025-11-10 09:00:00.000', 'project-traces', 'same', 'same', 'same', map('k', 'c'), 1, ['same'], '2025-11-08 09:00:01.000', 0),
    ('tie, only in unused columns', '2025-11-10 09:00:00.000', 'project-traces', 'same', 'same', 'same', map('k', 'a'), 1, ['same'], '2025-11-08 09:00:01.000', 0),
    ('tie, columns disagree', '2025-11-10 09:00:00.000', 'project-traces', 'name', 'longer user', 'session', map('k', 'b'), 1, ['same'], '2025-11-08 09:00:01.000', 0);
INSERT INTO traces (id, timestamp, project_id, name, user_id, session_id, metadata, bookmarked, tags, event_ts, is_deleted) VALUES
    ('same timestamp', '2025-11-08 09:00:00.000', 'project-traces', 'older, inserted last', 'x', 'x', map('x', 'x'), 1, ['x'], '2025-11-08 09:00:01.500', 0),
    ('other date', '2025-11-02 09:00:00.000', 'project-traces', 'older, inserted last', 'x', 'x', map('x', 'x'), 1, ['x'], '2025-11-08 09:00:01.999', 0);
INSERT INTO observations (id, trace_id, project_id, type, parent_observation_id, start_time, name, metadata, event_ts, is_deleted)
SELECT
    child || ' of ' || trace, trace, 'project-traces', 'SPAN', if(child = 'child', 'top of ' || trace, NULL),
    toDateTime64('2025-11-08 10:00:00.001', 3), '', map('old', 'observation'), toDateTime64('2025-11-08 10:00:01.000', 3), 0
FROM
(
    SELECT arrayJoin(['same timestamp', 'same date', 'other date', 'other date, newest is the earlier', 'other month', 'newest lost its attributes',
        'deleted', 'deleted on another date', 'deleted before', 'only ever deleted', 'tie, deleted on another date', 'tie, deleted first',
        'tie, user on another date', 'tie, null against empty', 'tie, longer against greater', 'tie, only in metadata',
        'tie, only in unused columns', 'tie, columns disagree', 'an orphan']) AS trace
) AS all_traces
CROSS JOIN (SELECT arrayJoin(['top', 'child']) AS child) AS children;

-- 6. The lookup window. The partition's first and last rows are deleted ones (the window follows the raw rows), at the very ends
-- of the month: traces from 2025-10-25 00:00:00.000 to 2025-12-01 23:59:59.999 are inside. One outside counts where none is inside.
INSERT INTO observations (id, trace_id, project_id, type, start_time, name, event_ts, is_deleted) VALUES
    ('first of the month', 'none', 'project-window', 'SPAN', '2025-11-01 00:00:00.000', '', '2025-11-01 00:00:01.000', 0),
    ('last of the month', 'none', 'project-window', 'SPAN', '2025-11-30 23:59:59.999', '', '2025-11-30 00:00:01.000', 0);
INSERT INTO observations (id, trace_id, project_id, type, start_time, name, event_ts, is_deleted) VALUES
    ('first of the month', 'none', 'project-window', 'SPAN', '2025-11-01 00:00:00.000', '', '2025-11-01 00:00:02.000', 1),
    ('last of the month', 'none', 'project-window', 'SPAN', '2025-11-30 23:59:59.999', '', '2025-11-30 00:00:02.000', 1);
INSERT INTO traces (id, timestamp, project_id, name, user_id, event_ts, is_deleted) VALUES
    ('before the window', '2025-10-24 23:59:59.999', 'project-window', 'outside', 'outside', '2025-11-01 09:00:01.000', 0),
    ('first of the window', '2025-10-25 00:00:00.000', 'project-window', 'inside', 'inside', '2025-11-01 09:00:01.000', 0),
    ('month before', '2025-10-31 23:59:59.999', 'project-window', 'inside', 'inside', '2025-11-01 09:00:01.000', 0),
    ('month after', '2025-12-01 00:00:00.000', 'project-window', 'inside', 'inside', '2025-11-01 09:00:01.000', 0),
    ('last of the window', '2025-12-01 23:59:59.999', 'project-window', 'inside', 'inside', '2025-11-01 09:00:01.000', 0),
    ('after the window', '2025-12-02 00:00:00.000', 'project-window', 'outside', 'outside', '2025-11-01 09:00:01.000', 0),
    ('newest is outside', '2025-11-03 00:00:00.000', 'project-window', 'inside, older', 'inside', '2025-11-01 09:00:01.000', 0),
    ('newest is outside', '2025-09-01 00:00:00.000', 'project-window', 'outside, newer', 'outside', '2025-11-01 09:00:02.000', 0),
    ('deletion is outside', '2025-11-03 00:00:00.000', 'project-window', 'inside, older', 'inside', '2025-11-01 09:00:01.000', 0),
    ('deletion is outside', '2025-09-01 00:00:00.000', 'project-window', 'outside, newer', 'outside', '2025-11-01 09:00:02.000', 1),
    ('inside at its begin, newer outside', '2025-10-25 00:00:00.000', 'project-window', 'inside, older', 'inside', '2025-11-01 09:00:01.000', 0),
    ('inside at its begin, newer outside', '2025-08-01 00:00:00.000', 'project-window', 'outside, newer', 'outside', '2025-11-01 09:00:02.000', 0),
    ('inside at its end, newer outside', '2025-12-01 23:59:59.999', 'project-window', 'inside, older', 'inside', '2025-11-01 09:00:01.000', 0),
    ('inside at its end, newer outside', '2026-01-15 00:00:00.000', 'project-window', 'outside, newer', 'outside', '2025-11-01 09:00:02.000', 0),
    ('inside, newer just before', '2025-11-03 00:00:00.000', 'project-window', 'inside, older', 'inside', '2025-11-01 09:00:01.000', 0),
    ('inside, newer just before', '2025-10-24 23:59:59.999', 'project-window', 'outside, newer', 'outside', '2025-11-01 09:00:02.000', 0),
    ('inside, newer just after', '2025-11-03 00:00:00.000', 'project-window', 'inside, older', 'inside', '2025-11-01 09:00:01.000', 0),
    ('inside, newer just after', '2025-12-02 00:00:00.000', 'project-window', 'outside, newer', 'outside', '2025-11-01 09:00:02.000', 0),
    ('deleted inside, live outside', '2025-11-03 00:00:00.000', 'project-window', 'inside, deleted', 'inside', '2025-11-01 09:00:01.000', 1),
    ('deleted inside, live outside', '2025-09-01 00:00:00.000', 'project-window', 'outside, newer', 'outside', '2025-11-01 09:00:02.000', 0),
    ('outside, deleted since', '2025-08-01 00:00:00.000', 'project-window', 'outside, older', 'older', '2025-11-01 09:00:01.000', 0),
    ('outside, deleted since', '2025-07-01 00:00:00.000', 'project-window', 'outside, deleted', 'newer', '2025-11-01 09:00:02.000', 1),
    ('outside in versions', '2026-02-01 00:00:00.000', 'project-window', 'outside, older', 'older', '2025-11-01 09:00:01.000', 0),
    ('outside in versions', '2025-07-01 00:00:00.000', 'project-window', 'outside, newer', 'newer', '2025-11-01 09:00:02.000', 0),
    ('outside, tie', '2025-08-01 00:00:00.000', 'project-window', 'outside', 'a', '2025-11-01 09:00:01.000', 0),
    ('outside, tie', '2025-07-01 00:00:00.000', 'project-window', 'outside', 'b', '2025-11-01 09:00:01.000', 0),
    ('outside, tie, deleted', '2025-08-01 00:00:00.000', 'project-window', 'outside', 'a', '2025-11-01 09:00:01.000', 0),
    ('outside, tie, deleted', '2025-07-01 00:00:00.000', 'project-window', 'outside', 'b', '2025-11-01 09:00:01.000', 1);
-- Ids of any bytes out of the window, in two projects, the other of which has them with other attributes.
INSERT INTO traces (id, timestamp, project_id, name, user_id, metadata, tags, event_ts, is_deleted)
WITH
    ['late quote\'', '\'late', '\'', 'late\\', 'late\0', '\0', 'late\n', '\xFF\xFElate', '\xC3\x28', '', ']', '\']) OR 1 --', 'NULL', '\x7B\x7D\x3F',
     repeat('l', 127), repeat('l', 128), repeat('\xC3\xA9', 50000)] AS strange
SELECT
    id, toDateTime64('2025-06-01 10:00:00.5', 3) + toIntervalDay(length(id) % 50), project, 'late', substring(id, 1, 1000) || ' in ' || project, map('late', project), ['late'],
    toDateTime64('2025-06-01 10:00:01', 3), 0
FROM (SELECT arrayJoin(strange) AS id) AS ids
CROSS JOIN (SELECT arrayJoin(['project-late', 'project\'late\xFF']) AS project) AS projects;
INSERT INTO observations (id, trace_id, project_id, type, start_time, name, event_ts, is_deleted)
SELECT
    'late ' || toString(number) || ' of ' || substring(trace, 1, 1000), trace, project, 'SPAN', toDateTime64('2025-11-15 10:00:00.002', 3) + toIntervalMillisecond(number), '',
    toDateTime64('2025-11-15 10:00:01.000', 3), 0
FROM (SELECT DISTINCT id AS trace FROM traces WHERE name = 'late') AS all_traces
CROSS JOIN (SELECT arrayJoin(['project-late', 'project\'late\xFF', 'project-late-without-traces']) AS project) AS projects
CROSS JOIN numbers(3) AS repeated;
INSERT INTO observations (id, trace_id, project_id, type, start_time, name, event_ts, is_deleted)
SELECT 'observation of ' || trace, trace, 'project-window', 'SPAN', toDateTime64('2025-11-15 10:00:00.001', 3), '', toDateTime64('2025-11-15 10:00:01.000', 3), 0
FROM
(
    SELECT arrayJoin(['before the window', 'first of the window', 'month before', 'month after', 'last of the window', 'after the window',
        'newest is outside', 'deletion is outside', 'inside at its begin, newer outside', 'inside at its end, newer outside', 'inside, newer just before',
        'inside, newer just after', 'deleted inside, live outside', 'outside, deleted since', 'outside in versions', 'outside, tie',
        'outside, tie, deleted']) AS trace
) AS all_traces;

-- 7. Rows of other partitions, with the same traces: they must not be read.
INSERT INTO observations (id, trace_id, project_id, type, start_time, name, event_ts, is_deleted) VALUES
    ('october', 'trace-1', 'project-versions', 'SPAN', '2025-10-31 23:59:59.998', 'other partition', '2025-10-31 23:59:59.998', 0),
    ('december', 'trace-1', 'project-versions', 'SPAN', '2025-12-01 00:00:00.000', 'other partition', '2025-12-01 00:00:00.000', 0),
    ('same start', 'trace-1', 'project-versions', 'SPAN', '2025-12-08 10:00:00.100', 'other partition', '2025-12-08 10:00:00.000', 0);

-- 8. Maps: shared keys, keys twice in one map, paths that are prefixes of one another, keys and values of any bytes, and values that look like JSON.
INSERT INTO traces (id, timestamp, project_id, name, metadata, event_ts, is_deleted) VALUES
    ('shared', '2025-11-09 09:00:00.000', 'project-maps', '', map('a', 'trace a', 'b', 'trace b', 'c', 'trace c'), '2025-11-09 09:00:01.000', 0),
    ('twice', '2025-11-09 09:00:00.000', 'project-maps', '', map('a', 'first', 'b', 'one', 'a', 'second'), '2025-11-09 09:00:01.000', 0),
    ('empty', '2025-11-09 09:00:00.000', 'project-maps', '', map(), '2025-11-09 09:00:01.000', 0),
    ('paths', '2025-11-09 09:00:00.000', 'project-maps', '', map('a', '1', 'a.b', '2', 'a.b.c', '3', '.', '4', '..', '5', 'x.', '6', '.x', '7', '', '8'), '2025-11-09 09:00:01.000', 0),
    ('otel', '2025-11-09 09:00:00.000', 'project-maps', '', map('resourceAttributes', 'of the trace does not count'), '2025-11-09 09:00:01.000', 0),
    ('bytes', '2025-11-09 09:00:00.000', 'project-maps', '', map('quote"', '"', 'back\\slash', '\\', 'nul\0', '\0', 'line\n', '\r\n\t', 'invalid\xFF', '\xFF\xC3\x28', '\xE2\x98\x83', '\xF0\x9F\x98\x80'), '2025-11-09 09:00:01.000', 0);
INSERT INTO observations (id, trace_id, project_id, type, start_time, name, metadata, event_ts, is_deleted)
SELECT
    'map ' || toString(number) || ' on ' || trace, trace, 'project-maps', 'SPAN', toDateTime64('2025-11-09 10:00:00.001', 3), '',
    arrayElement(
    [
        map(),
        map('b', 'observation b'),
        map('d', 'observation d', 'a', 'observation a'),
        map('c', ''),
        map('a', 'x', 'a', 'y', 'z', 'z'),
        map('z', '1', 'z', '2', 'z', '1'),
        map('a.b', 'dotted', 'a', 'plain'),
        map('a', 'plain', 'a.b', 'dotted', 'a.b.c', 'more'),
        map('a.', '', '.a', '', '', 'empty key', 'a..b', '1', '%2E', '2', 'a%2Eb', '3', 'a[]', '4', 'a[0]', '5', '^a', '6', 'a:b', '7', '`a`', '8'),
        map('object', '\x7B"x":\x7B"y":[1,2.0,null,true]\x7D\x7D', 'array', '[1,\x7B\x7D]', 'string', '"s"', 'null', 'null', 'true', 'true', 'integer', '12', 'float', '1.0', 'big', '123456789012345678901234567890', 'exponent', '1e400'),
        map('broken object', '\x7B"x":', 'broken array', '[1,', 'broken string', '"', 'escape', '\\u0041\\ud800\\n', 'slash', '</script>/'),
        map('date', '2025-11-09', 'time', '2025-11-09 10:00:00', 'fraction', '2025-11-09T10:00:00.123Z', 'micro', '2025-11-09 10:00:00.123456', 'uuid', '61f0c404-5cb3-11e7-907b-a6006ad3dba0', 'address', '127.0.0.1'),
        map('quote\'"`', 'quote\'"`', 'back\\slash', 'back\\slash\\', 'nul\0key', 'nul\0value', 'line\n\r\tkey', 'line\n\r\tvalue\n', '\x01\x1F\x7F', '\x01\x1F\x7F'),
        map('invalid\xFFkey', 'invalid\xFF\xFEvalue', '\xC3\x28', '\xC3\x28', '\xED\xA0\x80', '\xED\xA0\x80'),
        map('\xD0\xBA\xD0\xBB\xD1\x8E\xD1\x87', '\xE5\x80\xA4 \xF0\x9F\x98\x80 \xE2\x80\xA8'),
        map('resourceAttributes', '\x7B"service.name":"api"\x7D', 'scope', 'x'),
        map('resourceAttributes', ''),
        map('resourceattributes', 'other case', ' resourceAttributes', 'space', 'resourceAttributes.service', 'dotted'),
        map('exception', 'Code: 241. DB::Exception: Memory limit (for query) exceeded: would use 10.00 GiB. (MEMORY_LIMIT_EXCEEDED) (version 26.7.2.1 (official build))\n', '__exception__', '__exception__\r\n'),
        map('placeholders', '\x3F \x7B\x7D \x7Bid:String\x7D \x241 %s \x3B', '\x3F', '\x7B\x7D')
    ], toUInt32(number + 1)),
    toDateTime64('2025-11-09 10:00:01.000', 3), 0
FROM numbers(20) AS cases
CROSS JOIN (SELECT arrayJoin(['shared', 'twice', 'empty', 'paths', 'otel', 'bytes', 'no such trace']) AS trace) AS all_traces;

-- 9. Values that quote a server's exception, wherever a column may end a response.
INSERT INTO observations (id, trace_id, project_id, type, start_time, name, status_message, input, output, tool_calls, event_ts, is_deleted)
SELECT
    'quotes ' || toString(number), 'none', 'project-exceptions', 'SPAN', toDateTime64('2025-11-10 10:00:00.001', 3) + toIntervalMillisecond(number), text, text, text, text, [text, text],
    toDateTime64('2025-11-10 10:00:01.000', 3), 0
FROM
(
    SELECT number,
        arrayElement(
        [
            'Code: 241. DB::Exception: Memory limit (total) exceeded: would use 10.00 GiB. (MEMORY_LIMIT_EXCEEDED) (version 26.7.2.1 (official build))\n',
            'Code: 241. DB::Exception: Memory limit (version 26.7))\n',
            'Code: 394. DB::Exception: Query was cancelled. (QUERY_WAS_CANCELLED) (version 26.7.2.1 (official build))',
            '__exception__\r\n',
            '\r\n__exception__\r\nabcdefghijklmnop\r\nCode: 241. DB::Exception: x (version 26.7)\r\n40 abcdefghijklmnop\r\n__exception__\r\n',
            'DB::Exception: ))', '))\n', '))', 'Code: ', '0\r\n\r\n', 'HTTP/1.1 500 Internal Server Error\r\nX-ClickHouse-Exception-Code: 241\r\n\r\n'
        ], toUInt32(number + 1)) AS text
    FROM numbers(11)
) AS texts;

-- 10. Numbers and times at their limits. The reinterpreted decimal has more digits than its type promises.
INSERT INTO observations
    (id, trace_id, project_id, type, start_time, end_time, completion_start_time, name, provided_usage_details, usage_details,
     provided_cost_details, cost_details, total_cost, prompt_version, created_at, updated_at, event_ts, is_deleted)
SELECT
    'limits ' || toString(number), 'none', 'project-limits', 'GENERATION',
    [toDateTime64('2025-11-01 00:00:00.001', 3), toDateTime64('2025-11-30 23:59:59.998', 3), toDateTime64('2025-11-11 11:11:11.111', 3)][1 + number % 3],
    [toDateTime64('1900-01-01 00:00:00.000', 3), toDateTime64('2299-12-31 23:59:59.999', 3), toDateTime64('1969-12-31 23:59:59.999', 3), NULL][1 + number % 4],
    [toDateTime64('2299-12-31 23:59:59.999', 3), toDateTime64('1900-01-01 00:00:00.001', 3), NULL][1 + number % 3],
    '',
    [map('max', 18446744073709551615, 'zero', 0), map('', 18446744073709551615), map('signed max', 9223372036854775807, 'one more', 9223372036854775808)][1 + number % 3],
    [map('a', toUInt64(1), 'a', 2), map('a', toUInt64(1), 'a.b', 2), map('max', 18446744073709551615)][1 + number % 3],
    [map('max', toDecimal64('999999.999999999999', 12), 'min', toDecimal64('-999999.999999999999', 12)), map('least', toDecimal64('0.000000000001', 12), 'negative', toDecimal64('-0.000000000001', 12)),
     map('a', toDecimal64('1', 12), 'a', toDecimal64('2', 12))][1 + number % 3],
    [map('total', toDecimal64('999999.999999999999', 12)), map('raw', reinterpret(toInt64(9223372036854775807), 'Decimal64(12)')), map('raw', reinterpret(toInt64(-9223372036854775808), 'Decimal64(12)'))][1 + number % 3],
    [toDecimal64('999999.999999999999', 12), toDecimal64('-999999.999999999999', 12), toDecimal64('0', 12), NULL][1 + number % 4],
    [0, 65535, NULL][1 + number % 3],
    [toDateTime64('1969-12-31 23:59:59.999', 3), toDateTime64('2025-11-11 11:11:11.001', 3)][1 + number % 2],
    [toDateTime64('2299-12-31 23:59:59.999', 3), toDateTime64('1970-01-01 00:00:00.000', 3)][1 + number % 2],
    [toDateTime64('2025-11-11 11:11:11.999', 3), toDateTime64('1970-01-01 00:00:00.001', 3), toDateTime64('2299-12-31 23:59:59.999', 3)][1 + number % 3], 0
FROM numbers(12);

-- 11. Roots and bookmarks: every way to have a parent or none, on a bookmarked, a public and a missing trace.
INSERT INTO traces (id, timestamp, project_id, name, bookmarked, public, release, version, event_ts, is_deleted) VALUES
    ('bookmarked', '2025-11-12 09:00:00.000', 'project-roots', 'root', 1, 0, 'r1', 'v1', '2025-11-12 09:00:01.000', 0),
    ('public', '2025-11-12 09:00:00.000', 'project-roots', 'root', 0, 1, '', '', '2025-11-12 09:00:01.000', 0);
INSERT INTO observations (id, trace_id, project_id, type, parent_observation_id, start_time, name, version, event_ts, is_deleted)
SELECT
    if(kind = '', trace, if(kind = 't-', 't-' || trace, kind || trace || ifNull('<' || parent || '>', ' null'))), trace, 'project-roots', 'SPAN', parent,
    toDateTime64('2025-11-12 10:00:00.001', 3) + toIntervalMillisecond(parent_number), kind, if(kind = 'T-', 'own', NULL), toDateTime64('2025-11-12 10:00:01.000', 3), 0
FROM (SELECT arrayJoin(['bookmarked', 'public', 'missing']) AS trace) AS all_traces
CROSS JOIN (SELECT arrayJoin(['', 't-', 'T-', 't', 't--', 'x-', 't-t-']) AS kind) AS kinds
CROSS JOIN (SELECT [NULL, '', 'parent', 't-bookmarked', 'bookmarked'] AS parents, arrayJoin([1, 2, 3, 4, 5]) AS parent_number, parents[parent_number] AS parent) AS all_parents
WHERE NOT (kind IN ('', 't-') AND parent_number != if(trace = 'public', 3, 1 + cityHash64(trace, kind) % 2));

-- 12. Large values.
INSERT INTO observations (id, trace_id, project_id, type, start_time, name, input, output, event_ts, is_deleted)
SELECT 'large input', 'bookmarked', 'project-roots', 'GENERATION', toDateTime64('2025-11-13 10:00:00.001', 3), '',
    arrayStringConcat(arrayMap(i -> hex(sipHash64(i)), range(327680))), repeat('0123456789abcde\n', 327680), toDateTime64('2025-11-13 10:00:01.000', 3), 0;
INSERT INTO observations (id, trace_id, project_id, type, start_time, name, input, output, event_ts, is_deleted)
SELECT 'length ' || toString(length), 'bookmarked', 'project-roots', 'GENERATION', toDateTime64('2025-11-13 10:00:00.002', 3), '', substring(repeat('0123456789', 300000), 1, length), substring(repeat('\0\n\0 ', 600000), 1, length), toDateTime64('2025-11-13 10:00:01.000', 3), 0
FROM (SELECT arrayJoin([0, 1, 127, 128, 16383, 16384, 65535, 65536, 1048576, 2097151, 2097152]) AS length) AS lengths;

-- 13. Traces that dataset runs refer to: one live, one whose item was deleted, one of another project, one by observation.
INSERT INTO dataset_run_items_rmt (id, project_id, dataset_run_id, dataset_item_id, dataset_id, trace_id, observation_id, event_ts, is_deleted) VALUES
    ('item 1', 'project-versions', 'run', 'item', 'dataset', 'trace-2', NULL, '2025-11-08 10:00:01.000', 0),
    ('item 2', 'project-versions', 'run', 'item', 'dataset', 'trace-1', NULL, '2025-11-08 10:00:01.000', 0),
    ('item 3', 'project-other', 'run', 'item', 'dataset', 'bookmarked', NULL, '2025-11-08 10:00:01.000', 0),
    ('item 4', 'project-roots', 'run', 'item', 'dataset', 'public', 't-public', '2025-11-08 10:00:01.000', 0),
    ('item 5', 'project-strange', 'run', 'item', 'dataset', 'quote\'single', '', '2025-11-08 10:00:01.000', 0);
INSERT INTO dataset_run_items_rmt (id, project_id, dataset_run_id, dataset_item_id, dataset_id, trace_id, observation_id, event_ts, is_deleted) VALUES
    ('item 2', 'project-versions', 'run', 'item', 'dataset', 'trace-1', NULL, '2025-11-08 10:00:02.000', 1);

-- 14. Partition 196912: times before 1970. toYYYYMM knows them (_partition_id is 196912), but toDate wraps into the year 2149, so
-- that no filter by date may be trusted. The last second of the year is rounded towards zero: its date is 1970-01-01.
INSERT INTO traces (id, timestamp, project_id, name, user_id, session_id, release, version, metadata, bookmarked, tags, event_ts, is_deleted) VALUES
    ('before', '1969-11-23 23:59:59.999', 'project-1969', 'outside', 'outside', '', '', '', map(), 0, [], '1969-12-31 00:00:00.001', 0),
    ('november', '1969-11-24 00:00:00.000', 'project-1969', 'inside', 'november', 's', 'r', 'v', map('k', 'v'), 1, ['t'], '1969-12-31 00:00:00.001', 0),
    ('december', '1969-12-15 12:00:00.500', 'project-1969', 'inside', 'december', 's', 'r', 'v', map('k', 'v'), 1, ['t'], '1969-12-31 00:00:00.001', 0),
    ('last', '1969-12-31 23:59:59.999', 'project-1969', 'inside', 'last', 's', 'r', 'v', map('k', 'v'), 1, ['t'], '1969-12-31 00:00:00.001', 0),
    ('january', '1970-01-01 23:59:59.999', 'project-1969', 'inside', 'january', 's', 'r', 'v', map('k', 'v'), 1, ['t'], '1969-12-31 00:00:00.001', 0),
    ('after', '1970-01-02 00:00:00.000', 'project-1969', 'outside', 'after', '', '', '', map(), 0, [], '1969-12-31 00:00:00.001', 0),
    ('versions', '1969-12-15 12:00:00.500', 'project-1969', 'old', 'old', 'old', 'old', 'old', map('old', ''), 0, [], '1969-12-31 00:00:00.001', 0),
    ('deleted', '1969-12-15 12:00:00.500', 'project-1969', 'gone', 'gone', '', '', '', map(), 1, [], '1969-12-31 00:00:00.001', 0);
INSERT INTO traces (id, timestamp, project_id, name, user_id, session_id, release, version, metadata, bookmarked, tags, event_ts, is_deleted) VALUES
    ('versions', '1969-12-20 12:00:00.500', 'project-1969', 'new', 'new', 'new', 'new', 'new', map('new', ''), 1, ['new'], '1969-12-31 00:00:00.002', 0),
    ('deleted', '1969-12-20 12:00:00.500', 'project-1969', '', '', '', '', '', map(), 0, [], '1969-12-31 00:00:00.002', 1);
INSERT INTO observations (id, trace_id, project_id, type, parent_observation_id, start_time, end_time, name, metadata, created_at, updated_at, event_ts, is_deleted)
SELECT
    'observation of ' || trace || ' at ' || toString(time_number), trace, 'project-1969', 'SPAN', if(time_number % 2 = 0, NULL, 'parent'),
    [toDateTime64('1969-12-01 00:00:00.000', 3), toDateTime64('1969-12-15 12:00:00.001', 3), toDateTime64('1969-12-30 23:59:59.500', 3), toDateTime64('1969-12-31 23:59:58.999', 3),
     toDateTime64('1969-12-31 23:59:59.001', 3), toDateTime64('1969-12-31 23:59:59.999', 3)][time_number] AS time,
    time + toIntervalMillisecond(1), '', map('time', toString(time)), time, time, time, 0
FROM (SELECT arrayJoin(['before', 'november', 'december', 'last', 'january', 'after', 'versions', 'deleted', 'missing']) AS trace) AS all_traces
CROSS JOIN (SELECT arrayJoin([1, 2, 3, 4, 5, 6]) AS time_number) AS times;
INSERT INTO observations (id, trace_id, project_id, type, start_time, name, event_ts, is_deleted) VALUES
    ('version', 'december', 'project-1969', 'SPAN', '1969-12-15 12:00:00.001', 'old', '1969-12-15 12:00:00.001', 0),
    ('wrapped date', 'december', 'project-1969', 'SPAN', '1969-12-31 23:59:58.999', 'two rows, by the wrapped date', '1969-12-31 23:59:59.000', 0),
    ('deleted', 'december', 'project-1969', 'SPAN', '1969-12-15 12:00:00.001', 'must not come back', '1969-12-15 12:00:00.001', 0),
    ('epoch', 'december', 'project-1969', 'SPAN', '1970-01-01 00:00:00.000', 'other partition', '1970-01-01 00:00:00.000', 0);
INSERT INTO observations (id, trace_id, project_id, type, start_time, name, event_ts, is_deleted) VALUES
    ('version', 'december', 'project-1969', 'SPAN', '1969-12-15 12:00:00.002', 'new', '1969-12-15 12:00:00.002', 0),
    ('wrapped date', 'december', 'project-1969', 'SPAN', '1969-12-31 23:59:59.999', 'two rows, by the wrapped date', '1969-12-31 23:59:59.999', 0),
    ('deleted', 'december', 'project-1969', 'SPAN', '1969-12-15 12:00:00.001', '', '1969-12-15 12:00:00.002', 1);
