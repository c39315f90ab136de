//! A dry run does all the work and writes nothing: not in any database, and not in its own folder.

use std::collections::BTreeSet;

use crate::oracle::fixture::{YEAR_2026, adversarial_alone, number, oracle, tool};
use crate::support::Server;

#[test]
#[ignore = "slow: about 7 s"]
fn a_dry_run_writes_nothing_anywhere() {
    let server = adversarial_alone(YEAR_2026);
    // A merge would be a change that is not the tool's.
    server.query("SYSTEM STOP MERGES dataset_run_items_rmt");
    let rows = number(&server, &format!("SELECT count() FROM ({})", oracle("202511")));
    let before = everything(&server);
    assert!(
        before.contains("events_core") && before.contains("observations"),
        "the snapshot does not see the tables:\n{before}"
    );

    let mut run = tool(&server)
        .args(&[
            "run",
            "--partition",
            "202511",
            "--target-table",
            "events_full",
            "--dry-run",
            "--show-rows",
            "1",
        ])
        .spawn();
    let folder = run.folder().to_owned();
    let names = || -> BTreeSet<_> {
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    let mut seen = BTreeSet::new();
    while run.is_running() {
        seen.extend(names());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let left = names();
    let output = run.wait().expect(0);
    // The socket through which `ctl` reaches the run is there while it goes on.
    seen.retain(|name| !name.to_string_lossy().ends_with(".sock"));

    assert_eq!(everything(&server), before);
    assert_eq!((seen, left), (BTreeSet::new(), BTreeSet::new()), "files in the working folder");
    let words = output.stdout + &output.stderr;
    assert!(words.contains("dry run completed, nothing was written"), "{words}");
    let evaluated = words
        .lines()
        .find(|line| line.contains("events_full evaluated"))
        .unwrap_or_else(|| panic!("{words}"));
    let digits: String = evaluated.chars().filter(char::is_ascii_digit).collect();
    assert_eq!(digits, rows.to_string(), "{evaluated}");
}

/// All tables and parts of all databases but the server's own, with everything that a write would
/// change.
fn everything(server: &Server) -> String {
    let own = "database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema')";
    let databases = server.text(
        "SELECT name, engine, uuid FROM system.databases WHERE name != 'system' ORDER BY name",
    );
    let tables = server.text(&format!(
        "SELECT database, name, uuid, engine, total_rows, total_bytes, metadata_modification_time, create_table_query FROM system.tables
         WHERE {own} ORDER BY database, name"
    ));
    let parts = server.text(&format!(
        "SELECT database, table, name, active, rows, bytes_on_disk, modification_time, hash_of_all_files FROM system.parts
         WHERE {own} ORDER BY database, table, name, active"
    ));
    let others = server.text(&format!(
        "SELECT database, table, name FROM system.detached_parts WHERE {own} ORDER BY ALL"
    ));
    let mutations = server.text(&format!(
        "SELECT database, table, mutation_id FROM system.mutations WHERE {own} ORDER BY ALL"
    ));
    [databases, tables, parts, others, mutations].join("\n\n")
}
