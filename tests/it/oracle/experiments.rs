//! Experiments: the spans at and below the items of dataset runs, filled by the set
//! `langfuse/v4`.

use super::fixture::{YEAR_2026, empty};
use crate::support::{Binary, Server, binary};

/// Each observation as trace, id and parent; `-` for none, `''` for an empty one.
const OBSERVATIONS: &str = "\
whole a -, whole b a, whole empty '', whole orphan nowhere, whole below-orphan orphan, \
item c -, item d c, item e d, two f -, two g f, two h g, cycle i j, cycle j i, cycle k -, same l -, \
lost m -, lost n m, deleted o -, both p -, both q p, plain r -";

/// Each item as id, trace, observation, run, second of creation, and whether it is deleted.
const ITEMS: [(u8, &str, &str, &str, u8, u8); 11] = [
    (1, "whole", "-", "run-1", 1, 0),
    (2, "item", "d", "run-1", 1, 0),
    (3, "two", "-", "run-1", 1, 0),
    (4, "two", "-", "run-2", 2, 0),
    (5, "two", "g", "run-3", 1, 0),
    (6, "cycle", "i", "run-1", 1, 0),
    (7, "lost", "-", "run-1", 1, 0),
    (8, "deleted", "-", "run-1", 1, 1),
    (9, "both", "''", "run-1", 2, 0),
    (10, "both", "-", "run-2", 1, 0),
    (11, "same", "gone", "run-1", 1, 0),
];

/// Each span with its item and the span of the item; all others have none.
const EXPECTED: &str = "\
both p item-9 t-both\nboth q item-9 t-both\nboth t-both item-9 t-both\n\
cycle i item-6 i\ncycle j item-6 i\n\
item d item-2 d\nitem e item-2 d\n\
two f item-4 t-two\ntwo g item-5 g\ntwo h item-5 g\ntwo t-two item-4 t-two\n\
whole a item-1 t-whole\nwhole b item-1 t-whole\nwhole t-whole item-1 t-whole";

fn tables() -> Server {
    let server = empty(YEAR_2026);
    let text = |value: &str| match value {
        "-" => "NULL".to_owned(),
        "''" => "''".to_owned(),
        other => format!("'{other}'"),
    };
    let observations = OBSERVATIONS.split(", ").map(|row| {
        let row: Vec<_> = row.split(' ').collect();
        format!("('{}', '{}', {})", row[0], row[1], text(row[2]))
    });
    let items = ITEMS.iter().map(|(id, trace, observation, run, second, deleted)| {
        format!("({id}, '{trace}', {}, '{run}', {second}, {deleted})", text(observation))
    });
    let list = |rows: &mut dyn Iterator<Item = String>| rows.collect::<Vec<_>>().join(", ");
    server.script(&format!(
        "INSERT INTO traces (id, timestamp, project_id, name, user_id, session_id, metadata, bookmarked, tags, created_at, updated_at, event_ts)
         SELECT id, '2025-11-03 10:00:00' AS timestamp, 'p', 'a trace', concat('user of ', id), 'session', map('k', id), 1, ['tag'], timestamp, timestamp, timestamp
         FROM (SELECT arrayJoin(['whole', 'item', 'two', 'cycle', 'same', 'deleted', 'both', 'plain']) AS id)
         --;;
         INSERT INTO observations (trace_id, id, parent_observation_id, project_id, type, start_time, name, input, created_at, updated_at, event_ts)
         SELECT c1, c2, c3, 'p', 'SPAN', '2025-11-03 10:00:01' AS start_time, 'a span', concat('input of ', c2), start_time, start_time, start_time
         FROM values('c1 String, c2 String, c3 Nullable(String)', {})
         --;;
         INSERT INTO dataset_run_items_rmt (id, project_id, dataset_id, dataset_run_id, dataset_item_id, trace_id, observation_id, created_at, event_ts, is_deleted,
             dataset_run_name, dataset_run_description, dataset_run_metadata, dataset_item_expected_output, dataset_item_metadata, dataset_item_version)
         SELECT toString(c1), 'p', 'set', c4, concat('item-', toString(c1)), c2, c3, toDateTime64('2025-11-04 10:00:00', 3) + c5 AS created_at, created_at, c6,
             concat('name of ', c4), 'why', map('model', c4), concat('answer ', toString(c1)), map('hard', 'yes'), '2025-10-01 00:00:00'
         FROM values('c1 UInt8, c2 String, c3 Nullable(String), c4 String, c5 UInt8, c6 UInt8', {})",
        list(&mut observations.into_iter()),
        list(&mut items.into_iter()),
    ));
    make_lookups(&server);
    server
}

/// Makes the tables that the jobs look up, as the query of the pack says.
fn make_lookups(server: &Server) {
    let printed = tool(server, "query").arg("langfuse/experiments").run().expect(0).stdout;
    for statement in printed.split(";\n").filter(|statement| !statement.trim().is_empty()) {
        server.query(statement.trim_end().trim_end_matches(';'));
    }
}

fn tool(server: &Server, command: &str) -> Binary {
    binary().envs(&server.environment()).arg(command)
}

fn of_set(server: &Server, command: &str) -> Binary {
    tool(server, command)
        .args(&["--job", "langfuse/v4", "--target-table", "events_full"])
        .args(&["--partition", "202511"])
}

fn spans(server: &Server, table: &str) -> String {
    server.text(&format!(
        "SELECT concat(trace_id, ' ', span_id, ' ', experiment_item_id, ' ', experiment_item_root_span_id) FROM {table} WHERE experiment_id != '' ORDER BY 1"
    ))
}

#[test]
fn spans_below_an_item_have_its_run_and_all_others_have_none() {
    let server = tables();
    of_set(&server, "run").run().expect(0);
    // Without FINAL: no row is there twice.
    for table in ["events_full", "events_core"] {
        assert_eq!(spans(&server, table), EXPECTED, "{table}");
        let all = "SELECT count(), uniqExact(trace_id, span_id) FROM";
        assert_eq!(server.text(&format!("{all} {table}")), "29\t29", "{table}");
    }
    let others = "SELECT count() FROM events_full WHERE experiment_id = '' AND (experiment_name, experiment_dataset_id, experiment_item_id, experiment_description) = ('', '', '', '') AND empty(experiment_metadata_names)";
    assert_eq!(server.text(others), "15");
    // Every column of an experiment, and what the span and its trace have.
    assert_eq!(
        server.text(
            "SELECT experiment_id, experiment_name, experiment_description, experiment_metadata_names, experiment_metadata_values, experiment_dataset_id,
                 experiment_item_version, experiment_item_expected_output, experiment_item_metadata_names, experiment_item_metadata_values,
                 parent_span_id, input, user_id, session_id, trace_name, tags, bookmarked, metadata_names, metadata_values, source
             FROM events_full WHERE span_id = 'h'"
        ),
        "run-3\tname of run-3\twhy\t['model']\t['run-3']\tset\t2025-10-01 00:00:00.000000\tanswer 5\t['hard']\t['yes']\t\
         g\tinput of h\tuser of two\tsession\ta trace\t['tag']\tfalse\t['k']\t['two']\tingestion-api-backfill"
    );
    assert_eq!(
        server.text("SELECT experiment_name, parent_span_id, bookmarked, user_id FROM events_full WHERE span_id = 't-two'"),
        "name of run-2\t\ttrue\tuser of two"
    );
    // Observations have the same values in the columns that both jobs fill.
    let values = "SELECT arraySort(groupUniqArray(tuple(type, level, environment, model_parameters))) FROM events_full WHERE span_id NOT LIKE 't-%' AND experiment_id";
    assert_eq!(server.text(&format!("{values} = ''")), server.text(&format!("{values} != ''")));
}

#[test]
#[ignore = "slow: about 15 s"]
fn verify_and_repair_know_which_spans_are_of_experiments() {
    let server = tables();
    of_set(&server, "run").run().expect(0);
    of_set(&server, "verify").run().expect(0);
    // An item that is deleted afterwards: its spans are events of no experiment.
    server.script(
        "INSERT INTO dataset_run_items_rmt (id, project_id, dataset_id, dataset_run_id, trace_id, event_ts, is_deleted) VALUES ('1', 'p', 'set', 'run-1', 'whole', '2025-12-01 00:00:00', 1)
         --;;
         DROP TABLE backfill_experiment_tree
         --;;
         DROP TABLE backfill_experiment_spans
         --;;
         DROP TABLE backfill_experiment_roots",
    );
    make_lookups(&server);
    of_set(&server, "verify").run().expect(4);
    of_set(&server, "repair").arg("--remove").run().expect(0);
    of_set(&server, "repair").arg("--remove").run().expect(0);
    let left: Vec<_> = EXPECTED.lines().filter(|line| !line.starts_with("whole ")).collect();
    assert_eq!(spans(&server, "events_full FINAL"), left.join("\n"));
    of_set(&server, "verify").run().expect(0);
}

#[test]
#[ignore = "slow: about 10 s"]
fn experiments_are_the_same_at_any_batch_size_and_by_either_engine() {
    let server = tables();
    let rows = "SELECT count(), sum(sipHash64(formatRow('RowBinary', * EXCEPT (created_at, updated_at)))) FROM events_full";
    let mut found = Vec::new();
    for flags in [&["--batch-size", "1"][..], &["--batch-size", "3"], &["--engine", "server"]] {
        server.script("TRUNCATE TABLE events_full --;; TRUNCATE TABLE events_core");
        of_set(&server, "run").arg("--restart").args(flags).run().expect(0);
        found.push(server.text(rows));
    }
    assert!(found[0].starts_with("29\t"), "{found:?}");
    assert!(found.iter().all(|one| *one == found[0]), "{found:?}");
}
