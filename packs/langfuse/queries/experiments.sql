-- Prints the statements that make the tables that langfuse/experiments and langfuse/experiment-roots look up: a row for each span at or
-- below an item of a dataset run, with the item that is nearest above it and the attributes of its trace. Of several items at one span
-- the newest counts. A path never visits a span twice, so parents in a circle end it. Nothing is executed.
SELECT $sql$CREATE TABLE backfill_experiment_tree ENGINE = MergeTree ORDER BY (project_id, trace_id, parent_id) AS
SELECT DISTINCT project_id, trace_id, id AS span_id,
    if(id = concat('t-', trace_id), '', ifNull(parent_observation_id, concat('t-', trace_id))) AS parent_id
FROM observations FINAL
WHERE is_deleted = 0
    AND (project_id, trace_id) IN (SELECT project_id, trace_id FROM dataset_run_items_rmt FINAL WHERE is_deleted = 0)
UNION DISTINCT
SELECT project_id, id, concat('t-', id), ''
FROM traces FINAL
WHERE is_deleted = 0
    AND (project_id, id) IN (SELECT project_id, trace_id FROM dataset_run_items_rmt FINAL WHERE is_deleted = 0);

CREATE TABLE backfill_experiment_spans ENGINE = MergeTree ORDER BY (project_id, trace_id, span_id) AS
WITH RECURSIVE
    items AS
    (
        SELECT *, ifNull(nullIf(observation_id, ''), concat('t-', trace_id)) AS root_id
        FROM dataset_run_items_rmt FINAL
        WHERE is_deleted = 0
        ORDER BY created_at DESC, id DESC
        LIMIT 1 BY project_id, trace_id, root_id
    ),
    below AS
    (
        SELECT project_id, trace_id, span_id AS root_id, span_id, [span_id] AS path
        FROM backfill_experiment_tree
        WHERE (project_id, trace_id, span_id) IN (SELECT project_id, trace_id, root_id FROM items)
        UNION ALL
        SELECT tree.project_id, tree.trace_id, below.root_id, tree.span_id, arrayPushBack(below.path, tree.span_id)
        FROM backfill_experiment_tree AS tree
        INNER JOIN below ON tree.project_id = below.project_id AND tree.trace_id = below.trace_id AND tree.parent_id = below.span_id
        WHERE NOT has(below.path, tree.span_id)
    ),
    nearest AS
    (
        SELECT project_id, trace_id, span_id, argMin(root_id, (length(path), root_id)) AS root_id
        FROM below
        GROUP BY project_id, trace_id, span_id
    )
SELECT
    nearest.project_id AS project_id, nearest.trace_id AS trace_id, nearest.span_id AS span_id,
    traces.name AS name, traces.user_id AS user_id, traces.session_id AS session_id, traces.release AS release,
    traces.version AS version, traces.metadata AS metadata, traces.public AS public, traces.bookmarked AS bookmarked,
    traces.tags AS tags,
    items.dataset_run_id AS experiment_id, items.dataset_run_name AS experiment_name,
    items.dataset_run_description AS experiment_description, items.dataset_run_metadata AS experiment_metadata,
    items.dataset_id AS experiment_dataset_id, items.dataset_item_id AS experiment_item_id,
    items.dataset_item_version AS experiment_item_version,
    items.dataset_item_expected_output AS experiment_item_expected_output,
    items.dataset_item_metadata AS experiment_item_metadata, items.root_id AS experiment_item_root_span_id
FROM nearest
INNER JOIN items
    ON items.project_id = nearest.project_id AND items.trace_id = nearest.trace_id AND items.root_id = nearest.root_id
LEFT JOIN (SELECT * FROM traces FINAL WHERE is_deleted = 0) AS traces
    ON traces.project_id = nearest.project_id AND traces.id = nearest.trace_id
SETTINGS max_recursive_cte_evaluation_depth = 100000;

CREATE TABLE backfill_experiment_roots ENGINE = MergeTree ORDER BY (project_id, trace_id) AS
SELECT * FROM backfill_experiment_spans WHERE span_id = concat('t-', trace_id);$sql$
FORMAT TSVRaw
