//! What `ctl` says to a run, and what the run does then.

use serde_json::Value;

use super::fixture::{
    SLOWLY, assert_nothing_moves, ctl, orders, resuming_tool, socket, time_of_a_run, tool,
    wait_for, wait_for_reason,
};
use crate::orders::Orders;
use crate::support::assert_text_snapshot;
use crate::support::shown::titled;

#[test]
fn a_run_is_looked_at_paused_changed_and_resumed() {
    let orders = orders();
    let running = tool(&orders).envs(&[SLOWLY]).spawn();
    let socket = socket(&running);
    wait_for(&socket, "some rows", |status| {
        status["progress"]["rows"].as_u64() > Some(0)
            && status["progress"]["rows_expected"].is_u64()
    });
    let text = ctl(&socket, &["status"]).expect(0).stdout;
    for part in [
        "run ",
        &format!("shipments, partition 202506 into {}.shipments", orders.server.database()),
        "state       filling",
        "rate        at most 4.0 krows/s",
        "of 58,",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let paused = ctl(&socket, &["pause"]).expect(0);
    assert!(paused.stdout.starts_with("paused: no new chunk starts"), "{paused}");
    wait_for_reason(&socket, "paused with ctl");
    let text = ctl(&socket, &["status"]).expect(0).stdout;
    assert!(text.contains("state       waiting: paused with ctl"), "{text}");

    let set = ctl(
        &socket,
        &["set", "inserters=3", "readers=2", "max-rows-per-second=none", "max-parts=777"],
    )
    .expect(0);
    assert_eq!(set.stdout, "inserters=3\nreaders=2\nmax-rows-per-second=none\nmax-parts=777\n");
    let json = ctl(&socket, &["status", "--json"]).expect(0).stdout;
    let status: serde_json::Value = serde_json::from_str(&json).unwrap();
    let limits = &status["limits"];
    assert_eq!(
        (&limits["inserters"], &limits["readers"], limits["max_rows_per_second"].is_null()),
        (&3.into(), &2.into(), true),
        "{json}"
    );
    assert_eq!(
        (&status["rules"]["parts_limit"], &status["paused"]),
        (&777.into(), &true.into()),
        "{json}"
    );
    assert_eq!(status["process"], running.process());

    let settings =
        ["inserters=65", "inserters=none", "readers=200", "speed=11", "window=now", "inserters"];
    let refused = |setting| ctl(&socket, &["set", setting]).everything();
    assert_text_snapshot!(titled(settings.map(|setting| (setting, refused(setting)))), @r#"
    # inserters=65
    exit code 2
    --- stderr
    error: inserters must be 1 to 64, and 65 was asked for
    hint: `clickhouse-backfill ctl set --help` lists the settings and their values

    # inserters=none
    exit code 2
    --- stderr
    error: inserters takes a number from 1, or auto, and "none" was given
    hint: `clickhouse-backfill ctl set --help` lists the settings and their values

    # readers=200
    exit code 2
    --- stderr
    error: readers must be 1 to [N], and 200 was asked for
    hint: `clickhouse-backfill ctl set --help` lists the settings and their values

    # speed=11
    exit code 2
    --- stderr
    error: there is no setting "speed"; there are inserters, readers, max-rows-per-second, max-parts, max-merges, max-server-memory-used, max-replica-delay, window
    hint: `clickhouse-backfill ctl set --help` lists the settings and their values

    # window=now
    exit code 2
    --- stderr
    error: window takes two times as 22:00-06:00, or none, and "now" was given
    hint: `clickhouse-backfill ctl set --help` lists the settings and their values

    # inserters
    exit code 2
    --- stderr
    error: invalid value 'inserters' for '<NAME=VALUE>...': give a setting and its value, such as inserters=4
    hint: `--help` behind the command explains its flags
    "#);
    wait_for(&socket, "nothing was changed", |status| {
        status["limits"]["inserters"] == 3 && status["limits"]["readers"] == 2
    });

    let resumed = ctl(&socket, &["resume"]).expect(0);
    assert_eq!(resumed.stdout, "resumed\n");
    let output = running.wait().expect(0);
    assert!(
        output.stderr.contains("waiting: paused with ctl") && output.stderr.contains("going on"),
        "{output}"
    );
    orders.assert_complete();
    let summary = orders.summary();
    assert_eq!((&summary["inserters"], &summary["readers"]), (&3.into(), &2.into()), "{summary:#}");
}

/// Inserts of a second each, however many of them at once.
fn insert_slowly(orders: &Orders) {
    orders.server.query("CREATE TABLE slow (x UInt8) ENGINE = Null");
    orders
        .server
        .query("CREATE MATERIALIZED VIEW slowly TO slow AS SELECT sleep(1) AS x FROM shipments");
}

#[test]
fn a_fixed_number_is_given_up_for_one_that_is_found() {
    let orders = orders();
    insert_slowly(&orders);
    let small = [("BATCH_SIZE", "500"), ("BATCH_BYTES", "16MiB")];
    let running = tool(&orders).envs(&small).args(&["--inserters", "1", "--readers", "1"]).spawn();
    let socket = socket(&running);
    let in_flight = |status: &Value, inserts: u64| {
        status["progress"]["inserts_in_flight"].as_u64() >= Some(inserts)
    };
    let fixed = wait_for(&socket, "the first insert", |status| in_flight(status, 1));
    assert_eq!(
        (&fixed["limits"]["inserters_auto"], &fixed["limits"]["readers_auto"]),
        (&false.into(), &false.into()),
        "{fixed:#}"
    );

    let set =
        ctl(&socket, &["set", "inserters=auto", "readers=auto", "max-replica-delay=90"]).expect(0);
    let note = "note: max-replica-delay has no effect: the user may not read the figure, or the server has none\n";
    assert_eq!(set.stdout, format!("inserters=auto\nreaders=auto\nmax-replica-delay=90\n{note}"));
    let text = ctl(&socket, &["status"]).expect(0).stdout;
    let line = |name: &str| {
        text.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default()
    };
    assert!(
        line("inserters").ends_with(", auto (at most 64)")
            && line("readers").ends_with("1, auto (at most 1)"),
        "{text}"
    );
    let of_rules =
        "replica 1 min 30 s behind; without effect, the figure is unknown: max-replica-delay";
    assert!(line("limits").ends_with(of_rules), "{text}");
    // Two at once are twice as fast as one.
    let found = wait_for(&socket, "one more", |status| {
        status["limits"]["inserters"].as_u64() >= Some(2) && in_flight(status, 2)
    });
    assert_eq!(
        (&found["limits"]["inserters_auto"], &found["rules"]["max_replica_delay_seconds"]),
        (&true.into(), &90.into()),
        "{found:#}"
    );

    // A number that is more than the run was begun with is one of inserts.
    ctl(&socket, &["set", "inserters=9", "max-replica-delay=none"]).expect(0);
    let told = wait_for(&socket, "as many as were asked for", |status| in_flight(status, 9));
    assert_eq!(told["limits"]["inserters_auto"], false, "{told:#}");
    orders.server.query("DROP VIEW slowly SYNC");
    running.wait().expect(0);
    orders.assert_complete();
}

#[test]
fn a_run_that_is_stopped_goes_on_another_time() {
    let orders = orders();
    let running = tool(&orders).envs(&[SLOWLY]).spawn();
    let socket = socket(&running);
    wait_for(&socket, "a chunk", |status| status["progress"]["chunks_done"].as_u64() > Some(0));
    let stopped = ctl(&socket, &["stop"]).expect(0);
    assert!(stopped.stdout.starts_with("stopping: "), "{stopped}");
    let output = running.wait().expect(130);
    assert!(output.stderr.contains("continue with the missing chunks"), "{output}");
    assert!(!socket.exists(), "the socket went with the run");
    let output = resuming_tool(&orders).run().expect(0);
    assert!(output.stderr.contains("resumed     "), "{output}");
    orders.assert_complete();
}

/// Waiting is no reason to go on for longer than one is asked to.
#[test]
#[ignore = "slow: about 11 s"]
fn a_run_that_waits_can_be_stopped() {
    let orders = orders();
    let time_of_a_run = time_of_a_run(&orders);
    for by_signal in [true, false] {
        let running = tool(&orders).args(&["--throttle-query", "SELECT 'for ever'"]).spawn();
        let socket = socket(&running);
        wait_for_reason(&socket, "throttle query: for ever");
        assert_nothing_moves(&socket, time_of_a_run);
        if by_signal {
            running.signal("INT");
        } else {
            ctl(&socket, &["stop"]).expect(0);
        }
        running.wait().expect(130);
        assert_eq!(orders.target_rows(), 0);
    }
}

/// Of several partitions, each is as was asked for while another one was filled.
#[test]
#[ignore = "slow: about 7 s"]
fn what_was_asked_for_holds_for_the_partitions_that_follow() {
    let orders = orders();
    orders.server.query(
        "INSERT INTO orders SELECT id, customer, placed + INTERVAL 1 MONTH, amount, version, is_deleted, note FROM orders WHERE id < 9000",
    );
    let running = tool(&orders).envs(&[SLOWLY]).args(&["--partitions", "202506..202507"]).spawn();
    let socket = socket(&running);
    wait_for(&socket, "some rows", |status| {
        status["partition"] == "202506" && status["progress"]["rows"].as_u64() > Some(0)
    });
    ctl(&socket, &["set", "inserters=1", "max-parts=777", "max-rows-per-second=20000"]).expect(0);
    let next = wait_for(&socket, "the next partition", |status| status["partition"] == "202507");
    assert_eq!(
        (&next["limits"]["inserters"], &next["limits"]["max_rows_per_second"]),
        (&1.into(), &20_000.into()),
        "{next:#}"
    );
    assert_eq!(next["rules"]["max_parts"]["limit"], 777, "{next:#}");
    ctl(&socket, &["stop"]).expect(0);
    running.wait().expect(130);
}
