//! Answers that do not end: what the program takes of them has a bound.
// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::fixture::{Behind, INSERT, LOOKUP, SOURCE};
use crate::support::{Running, process};

/// Twice what the run may take; an answer without a bound passes it within a second.
const BOUND: u64 = 400 << 20;

const ERROR: &[u8] =
    b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n\r\nCode: 999. DB::Exception: ";
const PAGE: &[u8] = b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n<html>";
const RESULT: &[u8] = b"HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {}\r\nConnection: close\r\n\r\n";

/// The most memory of the run, followed until it ends.
fn peak_of(mut running: Running) -> (u64, crate::support::Output) {
    let mut peak = 0;
    let status = format!("/proc/{}/status", running.process());
    process::wait_until(super::fixture::SOON, || {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = peak.max(kibibytes.unwrap_or_default() << 10);
        !running.is_running()
    });
    (peak, running.wait())
}

#[test]
#[ignore = "slow: about 41 s"]
fn an_error_that_does_not_end_is_bounded_and_tried_again() {
    let behind = Behind::start();
    let labels = [&b"-hello-"[..], b"-schema-", b"-ledger-", LOOKUP, SOURCE, INSERT];
    for label in labels {
        for head in [ERROR, PAGE] {
            behind.begin_again();
            let before = behind.proxy.fired();
            behind.proxy.after_request_with(label).answer_endlessly([head.to_vec()]);
            let (peak, output) = peak_of(behind.tool().args(&["--memory", "200MiB"]).spawn());
            let label = String::from_utf8_lossy(label);
            assert_eq!(behind.proxy.fired(), before + 1, "{label}\n{output}");
            assert!(peak < BOUND, "{label}: {peak} bytes\n{output}");
            assert!([Some(0), Some(1), Some(2)].contains(&output.status), "{label}\n{output}");
            behind.proxy.pass();
        }
    }
}

#[test]
fn a_result_that_does_not_end_is_bounded() {
    let behind = Behind::start();
    for label in [&b"-hello-"[..], b"-schema-", b"-inspect-", b"-miss-"] {
        behind.begin_again();
        let before = behind.proxy.fired();
        behind.proxy.after_request_with(label).answer_endlessly([RESULT.to_vec()]);
        let (peak, output) = peak_of(behind.tool().args(&["--memory", "200MiB"]).spawn());
        let label = String::from_utf8_lossy(label);
        assert_eq!(behind.proxy.fired(), before + 1, "{label}\n{output}");
        assert!(peak < BOUND, "{label}: {peak} bytes\n{output}");
        assert_ne!(output.status, Some(0), "{label}\n{output}");
        assert!(output.stderr.contains("it is longer than "), "{label}\n{output}");
        behind.proxy.pass();
    }
}
