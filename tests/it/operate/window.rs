//! Waiting for the time of the day.

use std::time::{SystemTime, UNIX_EPOCH};

use super::fixture::{assert_nothing_moves, ctl, orders, socket, time_of_a_run, tool, wait_for};
use crate::support::assert_text_snapshot;

#[test]
#[ignore = "slow: about 8 s"]
fn a_run_waits_outside_of_its_window_which_is_of_the_local_zone() {
    let orders = orders();
    let hour = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 3600 % 24;
    // From now on in two hours, for three of them: so neither end is near, here nor two and a half
    // hours to the east.
    let window = format!("{:02}:00-{:02}:00", (hour + 2) % 24, (hour + 5) % 24);
    let time_of_a_run = time_of_a_run(&orders);
    let run = |zone: &str| tool(&orders).env("TZ", zone).args(&["--window", &window]);
    let running = run("UTC").spawn();
    let socket = socket(&running);
    let status = wait_for(&socket, "the window", |status| status["waiting"][0].is_string());
    let reason = status["waiting"][0].as_str().unwrap();
    assert!(
        reason.starts_with("it is ") && reason.ends_with(&format!(" UTC, window {window}")),
        "{reason}"
    );
    assert_eq!(status["rules"]["window"], window.as_str());
    assert_nothing_moves(&socket, time_of_a_run);
    ctl(&socket, &["set", "window=none"]).expect(0);
    let output = running.wait().expect(0);
    assert!(output.stderr.contains(&format!("throttling: window {window} (UTC)")), "{output}");
    orders.assert_complete();

    // The same moment lies in the window where it is later.
    let output = run("EAST-3").run().expect(0);
    assert!(
        output.stderr.contains(&format!("throttling: window {window} (+03)"))
            && !output.stderr.contains("waiting"),
        "{output}"
    );
}

#[test]
fn what_is_no_window_or_no_zone_is_refused() {
    let orders = orders();
    let refused = tool(&orders).args(&["--window", "22-06"]).run();
    assert_text_snapshot!(refused.failure(), @r#"
    exit code 2
    error: invalid value '22-06' for '--window <FROM-TO>': "22-06" is not a window of the day; give two times as 22:00-06:00
    hint: `--help` behind the command explains its flags
    "#);
    let refused = tool(&orders).env("TZ", "Nowhere/AtAll").args(&["--window", "22:00-06:00"]).run();
    assert_text_snapshot!(refused.failure(), @"
    exit code 2
    error: it cannot be found out which time it is here: `TZ` environment variable set, but failed to read value: failed to read `TZ` environment variable value as a TZif file after attempting (and failing) a tzdb lookup for that same value
    hint: set TZ to a zone, such as TZ=Europe/Berlin
    ");
}
