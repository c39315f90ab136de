//! Waiting because of how a server is, or how it is set up.

use std::time::Duration;

use crate::operate::fixture::{SLOWLY, ctl, orders_on, socket, tool, wait_for, wait_for_reason};
use crate::orders::{JOB, Orders};
use crate::support::{Server, ServerOptions, binary};

#[test]
#[ignore = "slow: about 9 s"]
fn a_run_waits_for_the_memory_of_the_server() {
    let config =
        "<clickhouse><max_server_memory_usage>1000000000</max_server_memory_usage></clickhouse>";
    let orders = orders_on(Server::isolated_with(ServerOptions {
        config_xml: Some(config.to_owned()),
        ..Default::default()
    }));
    orders.server.hold_memory(200);
    let running = tool(&orders).args(&["--max-server-memory-used", "10"]).spawn();
    let socket = socket(&running);
    let status = wait_for(&socket, "memory", |status| {
        status["waiting"][0].as_str().is_some_and(|reason| {
            reason.starts_with("server memory at ") && reason.ends_with(" %, limit 10 %")
        })
    });
    assert_eq!(status["server"]["memory_total"], 1_000_000_000_u64);
    ctl(&socket, &["set", "max-server-memory-used=none"]).expect(0);
    running.wait().expect(0);
    orders.assert_complete();
}

/// Figures that may not be read are not known, and disturb nothing; a limit on one of them is said
/// to have no effect.
#[test]
#[ignore = "slow: about 9 s"]
fn what_may_not_be_read_lets_nobody_wait() {
    let config = "<clickhouse><access_control_improvements><select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>\
        </access_control_improvements></clickhouse>";
    let users = "<clickhouse><users><narrow><password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
        <grants><query>GRANT SELECT, INSERT, CREATE TABLE, CREATE TEMPORARY TABLE ON *.*</query><query>GRANT TABLE ENGINE ON * TO narrow</query>
        <query>REVOKE SELECT ON system.* FROM narrow</query><query>GRANT SELECT ON system.parts TO narrow</query></grants></narrow></users></clickhouse>"
        .replace(" TO narrow</query>", "</query>")
        .replace(" FROM narrow</query>", "</query>");
    let options = ServerOptions {
        config_xml: Some(config.to_owned()),
        users_xml: Some(users),
        ..Default::default()
    };
    let orders = orders_on(Server::isolated_with(options));
    let run = tool(&orders)
        .envs(&[("CLICKHOUSE_USER", "narrow"), SLOWLY])
        .args(&["--max-merges", "7", "--max-parts", "100"])
        .spawn();
    let socket = socket(&run);
    // What may be read is known all the same.
    let status =
        wait_for(&socket, "parts", |status| status["server"]["parts"]["parts"].as_u64().is_some());
    assert!(status["server"]["merges"].is_null(), "{status:#}");
    assert_eq!(status["rules_without_effect"], serde_json::json!(["max-merges"]), "{status:#}");
    let ctl =
        |arguments: &[&str]| crate::operate::fixture::ctl(&socket, arguments).expect(0).stdout;
    let looked = ctl(&["status"]);
    assert!(
        looked.contains("100 parts, 7 merges; without effect, the figure is unknown: max-merges\n"),
        "{looked}"
    );
    let reason = "has no effect: the user may not read the figure, or the server has none";
    let set = ctl(&["set", "max-server-memory-used=80", "max-parts=90"]);
    assert_eq!(
        set,
        format!("max-server-memory-used=80\nmax-parts=90\nnote: max-server-memory-used {reason}\n")
    );
    assert_eq!(
        ctl(&["set", "max-merges=none", "max-rows-per-second=none"]),
        "max-merges=none\nmax-rows-per-second=none\n"
    );
    let output = run.wait().expect(0);
    assert!(
        output.stderr.contains("--max-merges has no effect")
            && !output.stderr.contains("--max-parts has no effect"),
        "{output}"
    );
    orders.assert_complete();
}

/// A server that gives up a reader after so few seconds.
fn impatient() -> Server {
    let profile = "<clickhouse><profiles><default><http_send_timeout>2</http_send_timeout></default></profiles></clickhouse>";
    Server::isolated_with(ServerOptions {
        users_xml: Some(profile.to_owned()),
        ..Default::default()
    })
}

#[test]
#[ignore = "slow: about 16 s"]
fn a_run_that_is_paused_for_longer_than_the_server_waits_loses_nothing() {
    let orders = orders_on(impatient());
    let running = tool(&orders).envs(&[SLOWLY]).spawn();
    let socket = socket(&running);
    wait_for(&socket, "some rows", |status| status["progress"]["rows_read"].as_u64() > Some(0));
    ctl(&socket, &["pause"]).expect(0);
    wait_for_reason(&socket, "paused with ctl");
    // Chunks under way go on to their end, and then nothing is read any more.
    ctl(&socket, &["set", "max-rows-per-second=none"]).expect(0);
    let idle = |status: &serde_json::Value| {
        let progress = &status["progress"];
        progress["rows_read"] == progress["rows"]
            && progress["inserts_in_flight"] == 0
            && progress["chunks_done"].as_u64() > Some(0)
    };
    let before = wait_for(&socket, "chunks under way end", idle);
    assert!(
        before["progress"]["chunks_done"].as_u64() < before["progress"]["chunks"].as_u64(),
        "{before:#}"
    );
    std::thread::sleep(Duration::from_secs(5));
    let after = wait_for_reason(&socket, "paused with ctl");
    assert_eq!(after["progress"], before["progress"]);
    ctl(&socket, &["resume"]).expect(0);
    running.wait().expect(0);
    assert_eq!((orders.figure("errors"), orders.figure("retries")), (0, 0));
    orders.assert_complete();
}

/// So slow that several readers would each stand still for longer than that: fewer read.
#[test]
#[ignore = "slow: about 11 s"]
fn a_slow_run_keeps_its_readers_moving() {
    let orders = orders_on(impatient());
    let running = tool(&orders).args(&["--max-rows-per-second", "1000", "--readers", "6"]).spawn();
    let socket = socket(&running);
    let status = wait_for(&socket, "some rows", |status| {
        status["progress"]["rows_read"].as_u64() > Some(5000)
    });
    assert_eq!(
        (&status["limits"]["readers"], &status["limits"]["readers_most"]),
        (&1.into(), &6.into()),
        "{status:#}"
    );
    ctl(&socket, &["set", "max-rows-per-second=none"]).expect(0);
    wait_for(&socket, "all readers", |status| status["limits"]["readers"] == 6);
    running.wait().expect(0);
    assert_eq!(orders.figure("errors"), 0);
    orders.assert_complete();
}

#[test]
#[ignore = "slow: a server of its own"]
fn missing_rights_are_named_for_each_command_and_a_password_is_kept_to_oneself() {
    let grants = [
        "GRANT SELECT ON default.orders",
        "GRANT SELECT ON default.customers",
        "GRANT SELECT, INSERT ON default.shipments",
        "GRANT SELECT ON system.*",
    ];
    let grants = grants.join("</query><query>");
    let users = format!(
        "<clickhouse><users><filler><password>tangerine</password><grants><query>{grants}</query></grants></filler></users></clickhouse>"
    );
    let options = ServerOptions { users_xml: Some(users), ..ServerOptions::default() };
    let orders = Orders::on(Server::isolated_with(options), 10);
    let tool = || {
        let owning =
            JOB.replace("\"shipments\"\n\n[col", "\"shipments\"\nowned = \"order_id > 0\"\n\n[col");
        let tool = binary().file("job.toml", &owning).envs(&orders.server.environment());
        tool.env("CLICKHOUSE_USER", "filler").env("CLICKHOUSE_PASSWORD", "tangerine")
    };
    let doctor = tool().args(&["doctor", "--job", "job.toml", "--json"]).run().expect(3);
    let found: serde_json::Value = serde_json::from_str(&doctor.stdout).unwrap();
    let verdict = |name: &str| {
        let checks = found["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap().clone()
    };
    assert_eq!(verdict("plan")["verdict"], "warning", "{found}");
    assert_eq!(verdict("run")["verdict"], "blocked", "{found}");
    let grants = verdict("run")["lifted_by"].to_string();
    for right in ["SELECT", "INSERT", "CREATE TABLE"] {
        let grant = format!("GRANT {right} ON `default`.`load_claims` TO filler");
        assert!(grants.contains(&grant), "{grants}");
    }
    assert_eq!(verdict("undo")["verdict"], "blocked", "{found}");
    let in_files =
        tool().args(&["doctor", "--job", "job.toml", "--json", "--ledger", "file:ledger"]);
    let in_files = in_files.run().expect(3).stdout;
    let found: serde_json::Value = serde_json::from_str(&in_files).unwrap();
    let checks = found["checks"].as_array().unwrap().iter();
    let blocked: Vec<_> = checks.filter(|check| check["verdict"] == "blocked").collect();
    let names: Vec<_> = blocked.iter().map(|check| &check["name"]).collect();
    assert_eq!(names, ["undo"], "{found}");

    let folder = tempfile::tempdir().unwrap();
    let tables = ["init", "--source", "orders", "--target", "shipments", "--output", "mine.toml"];
    let written = tool().after(&format!("cd {}", folder.path().display())).args(&tables);
    let written = written.run().expect(0);
    assert!(!format!("{written}").contains("tangerine"), "{written}");
    let env = std::fs::read_to_string(folder.path().join(".env")).unwrap();
    assert!(env.contains("\nCLICKHOUSE_PASSWORD=tangerine\n"), "{env}");
}
