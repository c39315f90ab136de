//! The page of a run.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::fixture::{SOON, free_address, page, scraped};
use crate::faults::fixture::{Behind, SOURCE};
use crate::report::browser::chromium;
use crate::support::{Direction, process};

/// The text of a page of this type.
#[track_caller]
fn served(address: SocketAddr, path: &str, kind: &str) -> String {
    let (status, found, text) = page(address, path).unwrap();
    assert_eq!((status, found.as_str()), (200, kind), "{path}");
    text
}

#[test]
#[ignore = "slow: about 12 s"]
fn the_page_follows_the_run_and_says_when_it_has_ended() {
    let behind = Behind::start();
    let address = free_address();
    let listen = ["--metrics-listen", &address.to_string()];
    let small = ["--chunk-rows", "1000", "--readers", "2"];
    // Less than a chunk: one reader is held back inside a chunk, the other reads all others.
    behind.proxy.after_request_with(SOURCE).stall_at(Direction::ToClient, 1_500_000, 1);
    let running = behind.tool().args(&listen).args(&small).spawn();
    scraped(address);

    let html = "text/html; charset=utf-8";
    let whole = served(address, "/", html);
    assert!(!whole.contains("style=") && !whole.contains("://"), "{whole}");
    assert!(served(address, "/live.css", "text/css; charset=utf-8").contains(".cells"));
    assert!(
        served(address, "/live.js", "text/javascript; charset=utf-8").contains("fetch(\"live\"")
    );
    let cells = || {
        let text = served(address, "/live", html);
        ["completed", "started", "pending"]
            .map(|class| text.matches(&format!("class=\"{class}\"><title>")).count())
    };
    let ledger = || {
        let sql = "SELECT countIf(status = 'completed'), count() FROM load_state_chunks FINAL";
        behind.orders.server.text(sql)
    };
    let all_but_one = || {
        let [completed, started, pending] = cells();
        completed > 1
            && (started, pending) == (1, 0)
            && ledger() == format!("{completed}\t{}", completed + 1)
    };
    assert!(process::wait_until(SOON, all_but_one), "{:?}", cells());

    let Some(chromium) = chromium() else {
        behind.proxy.pass();
        running.wait().expect(0);
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut browser = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/metrics/live.py"))
        .args([&chromium, &format!("http://{address}/")])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(browser.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let seen = next();
    assert_eq!((&seen["said"], &seen["elsewhere"]), (&json!([]), &json!([])));
    for name in ["light", "dark", "narrow"] {
        let view = &seen["views"][name];
        assert_eq!(
            (&view["wide"], &view["gone"]),
            (&json!(false), &json!(false)),
            "{name}: {view}"
        );
        assert!(view["title"].as_str().unwrap().contains("% shipments 202506"), "{view}");
        assert_eq!(view["stages"], json!(["lookup", "read", "enrich", "insert"]));
        let bar = view["bar"].as_f64().unwrap();
        assert!(bar > 0.0 && bar < 1.0, "{view}");
        assert!(folder.path().join(format!("{name}.png")).metadata().unwrap().len() > 5000);
    }
    assert_ne!(seen["views"]["light"]["background"], seen["views"]["dark"]["background"]);
    behind.proxy.pass();
    running.wait().expect(0);
    let gone = next()["gone"].as_str().unwrap().to_owned();
    assert!(gone.starts_with("No answer since "), "{gone}");
    assert!(browser.wait().unwrap().success());
    behind.orders.assert_complete();
}
