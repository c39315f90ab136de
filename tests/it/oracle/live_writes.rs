//! The source and the target are written to while the run is on, as an application does that goes
//! on working.
//!
//! Every row of the partition has been read and none inserted when the writes come, so that what is
//! inserted is as old as it can be.

use super::fixture::{DECEMBER, adversarial_on, number, oracle, tool};
use crate::support::{Direction, Proxy, Server, process};

const PARTITION: &str = "202511";
const SOON: std::time::Duration = std::time::Duration::from_secs(60);

/// Observations that are there before the run, by what happens to them.
const BEFORE: [&str; 6] = [
    "untouched",
    "changed in both",
    "changed in the source",
    "deleted in both",
    "deleted in the source",
    "deleted and written again",
];

/// Versions of these observations with this time, name and flag.
fn write(server: &Server, ids: &[&str], event_ts: &str, name: &str, is_deleted: u8) {
    for id in ids {
        server.query(&format!(
            "INSERT INTO observations (project_id, type, id, trace_id, start_time, event_ts, name, is_deleted, created_at, updated_at)
            VALUES ('live', 'SPAN', '{id}', 'live trace', '2025-11-11 11:11:11.111', '{event_ts}', '{name}', {is_deleted}, '2025-11-11', '2025-11-11')"
        ));
    }
}

/// What the application itself writes into the target: the event of the observation as it is now,
/// or its tombstone.
fn write_event(server: &Server, id: &str, is_deleted: u8) {
    let select = oracle(PARTITION);
    let columns = "project_id, trace_id, span_id, parent_span_id, start_time, name, type, source, created_at, updated_at, event_ts";
    let select = if is_deleted == 0 {
        format!(
            "SELECT {columns}, is_deleted FROM ({select}) WHERE project_id = 'live' AND span_id = '{id}'"
        )
    } else {
        format!(
            "SELECT project_id, trace_id, id, 't-live trace', start_time, name, type, 'ingestion-api-backfill', created_at, updated_at, event_ts, 1
            FROM observations WHERE project_id = 'live' AND id = '{id}' AND is_deleted"
        )
    };
    server.query_with(
        &format!("INSERT INTO events ({columns}, is_deleted) {select}"),
        &[("join_use_nulls", "0")],
    );
}

/// The names of the live events, by span.
fn live_events(server: &Server) -> Vec<(String, String)> {
    let rows = server.text("SELECT span_id, name FROM events FINAL WHERE project_id = 'live' ORDER BY span_id FORMAT TSVRaw");
    rows.lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(span, name)| (span.to_owned(), name.to_owned()))
        .collect()
}

#[test]
fn what_is_written_while_the_run_is_on_holds() {
    let server = adversarial_on(Server::shared(), DECEMBER);
    write(&server, &BEFORE, "2025-11-11 12:00:00", "as it was", 0);
    let proxy = Proxy::start(server.port());
    proxy.after_request_with(b"-insert-").stall_at(Direction::ToServer, 0, 1000);
    let run = || {
        tool(&server).args(&["run", "--partition", PARTITION]).env("CLICKHOUSE_URL", proxy.url())
    };
    let running = run().spawn();
    let reading = "SELECT count() FROM system.processes WHERE query_id LIKE 'clickhouse-backfill-%-source-%' AND current_database = currentDatabase()";
    assert!(
        process::wait_until(SOON, || proxy.fired() > 0 && server.text(reading) == "0"),
        "all rows are read, and none inserted"
    );
    assert_eq!(number(&server, "SELECT count() FROM events"), 0);

    let both = ["changed in both", "new in both"];
    write(&server, &both, "2025-11-11 13:00:00", "as it is", 0);
    write(
        &server,
        &["changed in the source", "new in the source"],
        "2025-11-11 13:00:00",
        "as it is",
        0,
    );
    write(
        &server,
        &["deleted in both", "deleted in the source", "deleted and written again"],
        "2025-11-11 13:00:00",
        "gone",
        1,
    );
    // At the very time of its deletion: of two versions that tie, the server takes the one that was
    // written last.
    write(&server, &["deleted and written again"], "2025-11-11 13:00:00", "as it is", 0);
    for id in both {
        write_event(&server, id, 0);
    }
    write_event(&server, "deleted in both", 1);
    proxy.pass();
    running.wait().expect(0);

    let events = live_events(&server);
    let name_of =
        |span: &str| events.iter().find(|(id, _)| id == span).map(|(_, name)| name.as_str());
    assert_eq!(name_of("untouched"), Some("as it was"));
    assert_eq!(
        name_of("changed in both"),
        Some("as it is"),
        "a newer live row wins over one that was read before it"
    );
    assert_eq!(name_of("new in both"), Some("as it is"));
    for id in ["deleted in both", "deleted in the source"] {
        assert_eq!(name_of(id), None, "a row that was deleted does not come back to life: {id}");
    }
    let deleted = "project_id = 'live' AND (is_deleted = 1 OR startsWith(span_id, 'deleted in '))";
    assert_eq!(
        number(&server, &format!("SELECT count() FROM events WHERE {deleted}")),
        0,
        "nothing of them is left to readers without FINAL"
    );
    assert_eq!(
        name_of("deleted and written again"),
        Some("as it was"),
        "a row that lives stays alive"
    );
    assert_eq!(
        name_of("changed in the source"),
        Some("as it was"),
        "what only the source knows is as it was when it was read"
    );
    assert_eq!(name_of("new in the source"), None);
}
