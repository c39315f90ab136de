//! A run that is killed at any point leaves the partition as it was or as it is to be, and the next run
//! ends right, with no table left.

use super::fixture::Sales;
use crate::faults::fixture::held_at;
use crate::support::Direction;

/// What readers see of a partition at the moment of a kill.
#[derive(Clone, Copy)]
enum Seen {
    Before,
    After,
}

/// Kills a run whose statement of this label has not arrived, or is not answered, and runs again.
#[track_caller]
fn killed_at(target: &str, label: &str, direction: Direction, seen: Seen) -> Sales {
    let sales = Sales::start();
    let proxy = sales.proxy();
    let running = held_at(&proxy, label, direction, sales.run_with(target));
    match seen {
        Seen::Before => sales.assert_unchanged(),
        Seen::After => sales.assert_published(),
    }
    running.signal("KILL");
    running.wait();
    let output = sales.run_with(target).run().expect(0);
    sales.assert_published();
    assert_eq!(sales.versions(), "completed\t1\tdone", "{output}");
    sales
}

const REPLACE: &str = "publish = \"replace\"";
const KEEP: &str = "publish = \"replace\"\nkeep_versions = 1";

#[test]
#[ignore = "slow: about 9 s"]
fn while_the_stage_is_created() {
    for direction in [Direction::ToServer, Direction::ToClient] {
        let sales = killed_at(REPLACE, "-stage-", direction, Seen::Before);
        assert_eq!(sales.tables(), "");
    }
}

#[test]
#[ignore = "slow: about 9 s"]
fn while_a_chunk_is_staged() {
    for direction in [Direction::ToServer, Direction::ToClient] {
        let sales = killed_at(REPLACE, "-chunk2-", direction, Seen::Before);
        assert_eq!(sales.tables(), "");
    }
}

#[test]
#[ignore = "slow: about 8 s"]
fn while_the_table_that_is_published_is_built() {
    for direction in [Direction::ToServer, Direction::ToClient] {
        let sales = killed_at(REPLACE, "-publish-insert-", direction, Seen::Before);
        assert_eq!(sales.tables(), "");
    }
}

#[test]
fn before_the_partition_is_replaced() {
    let sales = killed_at(REPLACE, "-replace-", Direction::ToServer, Seen::Before);
    assert_eq!(sales.tables(), "");
}

#[test]
fn when_the_partition_is_replaced_and_nobody_knows() {
    let sales = killed_at(REPLACE, "-replace-", Direction::ToClient, Seen::After);
    assert_eq!(sales.tables(), "");
}

#[test]
#[ignore = "slow: about 9 s"]
fn when_what_stood_there_is_kept() {
    for direction in [Direction::ToServer, Direction::ToClient] {
        let sales = killed_at(KEEP, "-replace-", direction, Seen::Before);
        let kept = sales.tables();
        assert!(kept.starts_with("sales_kept_") && !kept.contains('\n'), "{kept}");
        let rows = format!("SELECT count(), countIf(customer = 'before') FROM {kept} FORMAT TSV");
        assert_eq!(sales.text(&rows), "300\t300");
    }
}

#[test]
#[ignore = "slow: about 7 s"]
fn while_the_tables_are_dropped() {
    for direction in [Direction::ToServer, Direction::ToClient] {
        let sales = killed_at(REPLACE, "-drop-", direction, Seen::After);
        assert_eq!(sales.tables(), "");
    }
}

#[test]
fn a_new_version_drops_what_a_killed_one_left() {
    let sales = Sales::start();
    let proxy = sales.proxy();
    let running = held_at(&proxy, "-replace-", Direction::ToServer, sales.run());
    assert_eq!(sales.tables().lines().count(), 2, "{}", sales.tables());
    running.signal("KILL");
    running.wait();
    sales.run().arg("--restart").run().expect(0);
    sales.assert_published();
    assert_eq!(sales.tables(), "");
    assert_eq!(sales.versions(), "staged\t0\tabandoned\ncompleted\t1\tdone");
}

#[test]
fn inserts_whose_answers_are_lost_are_staged_again_and_count_once() {
    let sales = Sales::start();
    let proxy = sales.proxy();
    let before = proxy.fired();
    proxy.after_request_with(b"-chunk").reset_at(Direction::ToClient, 0, 3);
    let output = sales.run().env("CLICKHOUSE_URL", proxy.url()).run().expect(0);
    assert_eq!(proxy.fired(), before + 3, "{output}");
    sales.assert_published();
    assert_eq!(sales.tables(), "");
}
