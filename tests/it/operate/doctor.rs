//! `doctor`: what is in the way of runs, and how it is mended.

use serde_json::Value;

use crate::orders::{JOB, Orders};
use crate::support::{Binary, Output, binary};

fn doctor(orders: &Orders) -> Binary {
    let tool = binary().file("job.toml", JOB).envs(&orders.server.environment());
    tool.args(&["doctor", "--json"])
}

/// The verdict of each check, and the check of this name.
fn checks(output: &Output) -> (Vec<(String, String)>, Value) {
    let all: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let verdicts = all["checks"].as_array().unwrap().iter();
    (verdicts.map(|check| (text(&check["name"]), text(&check["verdict"]))).collect(), all)
}

fn of<'a>(all: &'a Value, name: &str) -> &'a Value {
    let checks = all["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name} in {all}"))
}

#[test]
fn a_server_without_obstacles_is_ready() {
    let orders = Orders::start(100);
    let (verdicts, all) = checks(&doctor(&orders).run().expect(0));
    let names: Vec<_> = verdicts.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "terminal",
        "open-files",
        "connection",
        "tls",
        "version",
        "profile",
        "clock",
        "disk",
        "plan",
        "run",
        "verify",
        "repair",
        "undo",
        "status",
    ];
    assert_eq!((names, &all["ready"]), (expected.to_vec(), &true.into()), "{all}");
    assert_eq!(of(&all, "run")["detail"], "rights granted on all tables");

    let (_, all) = checks(&doctor(&orders).args(&["--job", "job.toml"]).run().expect(0));
    let detail = of(&all, "job")["detail"].as_str().unwrap();
    assert!(detail.starts_with("shipments fits its tables: "), "{all}");
    assert_eq!(
        of(&all, "undo")["detail"],
        "not for this job: without `owned` under [target], it is not known which rows are its own"
    );
    let owning =
        JOB.replace("\"shipments\"\n\n[col", "\"shipments\"\nowned = \"order_id > 0\"\n\n[col");
    let owning = doctor(&orders).file("job.toml", &owning).args(&["--job", "job.toml"]);
    let (_, all) = checks(&owning.run().expect(0));
    assert_eq!(of(&all, "undo")["detail"], "rights granted on the job's tables");

    // As text, with the verdict in the last line.
    let text = binary().envs(&orders.server.environment()).arg("doctor").run().expect(0).stdout;
    assert!(text.contains("  ok       connection   "), "{text}");
    assert!(text.lines().last().unwrap().starts_with("ready: nothing is in the way"), "{text}");
}

#[test]
fn what_is_in_the_way_is_blocked_with_what_mends_it() {
    let orders = Orders::start(100);
    let nowhere = doctor(&orders).env("CLICKHOUSE_URL", "http://127.0.0.1:1").run().expect(3);
    let (verdicts, all) = checks(&nowhere);
    assert_eq!(verdicts.last().unwrap(), &("connection".to_owned(), "blocked".to_owned()), "{all}");
    assert!(!of(&all, "connection")["lifted_by"].as_array().unwrap().is_empty(), "{all}");

    let no_url = doctor(&orders).env("CLICKHOUSE_URL", "localhost:8123").run().expect(3);
    let (_, all) = checks(&no_url);
    let means = &of(&all, "connection")["lifted_by"][0];
    assert!(means.as_str().unwrap().contains("--clickhouse-url http://localhost:8123"), "{all}");

    let misspelt = JOB.replace("lookup.city", "lookup.town");
    let other = doctor(&orders).file("job.toml", &misspelt).args(&["--job", "job.toml"]);
    let (_, all) = checks(&other.run().expect(3));
    assert_eq!(of(&all, "job")["verdict"], "blocked", "{all}");
    assert_eq!((&of(&all, "run")["verdict"], &all["ready"]), (&"ok".into(), &false.into()));

    let few = doctor(&orders).open_files(100).run().expect(0);
    let (_, all) = checks(&few);
    assert_eq!(of(&all, "open-files")["verdict"], "warning", "{all}");
}
