//! Errors of the server that a test can hardly bring about: the proxy answers with them, before the
//! request reaches the server.

use super::fixture::{Behind, INSERT, LOOKUP, SOURCE, exception};

/// What passes with time, by code and name.
const PASSING: [(u32, &str); 14] = [
    (33, "CANNOT_READ_ALL_DATA"),
    (75, "CANNOT_WRITE_TO_FILE_DESCRIPTOR"),
    (159, "TIMEOUT_EXCEEDED"),
    (201, "QUOTA_EXCEEDED"),
    (202, "TOO_MANY_SIMULTANEOUS_QUERIES"),
    (209, "SOCKET_TIMEOUT"),
    (210, "NETWORK_ERROR"),
    (241, "MEMORY_LIMIT_EXCEEDED"),
    (242, "TABLE_IS_READ_ONLY"),
    (243, "NOT_ENOUGH_SPACE"),
    (252, "TOO_MANY_PARTS"),
    (285, "TOO_FEW_LIVE_REPLICAS"),
    (439, "CANNOT_SCHEDULE_TASK"),
    (999, "KEEPER_EXCEPTION"),
];

/// What stays, whatever is tried.
const LASTING: [(u32, &str); 8] = [
    (16, "NO_SUCH_COLUMN_IN_TABLE"),
    (47, "UNKNOWN_IDENTIFIER"),
    (53, "TYPE_MISMATCH"),
    (60, "UNKNOWN_TABLE"),
    (62, "SYNTAX_ERROR"),
    (81, "UNKNOWN_DATABASE"),
    (497, "ACCESS_DENIED"),
    (516, "AUTHENTICATION_FAILED"),
];

#[test]
fn errors_of_inserts_that_pass_are_tried_again_and_shown() {
    let behind = Behind::start();
    behind
        .proxy
        .after_request_with(INSERT)
        .answer(PASSING.map(|(code, name)| exception(code, name)));
    // Small batches, so that each error meets a batch of its own.
    let tool = behind.orders.tool_at(&behind.proxy.url());
    let output = tool
        .args(&["--batch-size", "500", "--inserters", "14", "--max-retries", "14"])
        .run()
        .expect(0);
    assert_eq!(behind.proxy.fired(), PASSING.len(), "{output}");
    assert_eq!(behind.orders.figure("retries"), PASSING.len() as u64, "{output}");
    assert_eq!(behind.orders.figure("errors"), 0, "{output}");
    for (code, name) in PASSING {
        let line = output.stderr.lines().find(|line| line.contains(name)).unwrap_or_default();
        // One that ends a statement from outside may come when its rows are written.
        let outcome = if code == 159 {
            "it is not known whether the rows arrived"
        } else {
            "no row was inserted"
        };
        for part in [&format!("Code: {code}."), "the same bytes are sent again", outcome] {
            assert!(line.contains(part), "{part} of {name}\n{output}");
        }
    }
    behind.orders.assert_complete();
}

#[test]
fn an_insert_of_which_the_quorum_is_not_known_is_ambiguous() {
    let behind = Behind::start();
    let output = behind.survives(|proxy| {
        proxy.after_request_with(INSERT).answer([exception(319, "UNKNOWN_STATUS_OF_INSERT")]);
    });
    let line = output
        .stderr
        .lines()
        .find(|line| line.contains("UNKNOWN_STATUS_OF_INSERT"))
        .unwrap_or_default();
    assert!(line.contains("it is not known whether the rows arrived"), "{output}");
}

#[test]
#[ignore = "slow: about 9 s"]
fn errors_of_reading_that_pass_are_tried_again_and_shown() {
    let behind = Behind::start();
    for marker in [LOOKUP, SOURCE] {
        behind.begin_again();
        let errors = [(202, "TOO_MANY_SIMULTANEOUS_QUERIES"), (999, "KEEPER_EXCEPTION")];
        let before = behind.proxy.fired();
        behind
            .proxy
            .after_request_with(marker)
            .answer(errors.map(|(code, name)| exception(code, name)));
        let output = behind.tool().run().expect(0);
        assert_eq!(behind.proxy.fired(), before + errors.len(), "{output}");
        for (_, name) in errors {
            assert!(output.stderr.contains(name), "{name}\n{output}");
        }
        assert_eq!(
            (behind.orders.figure("retries"), behind.orders.figure("errors")),
            (2, 0),
            "{output}"
        );
        behind.orders.assert_complete();
    }
}

/// Something between the tool and the server speaks in its own words.
#[test]
#[ignore = "slow: about 16 s"]
fn a_gateway_that_has_no_server_is_tried_again() {
    let behind = Behind::start();
    let page = "<html><body>502 Bad Gateway</body></html>";
    let answer = format!(
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
        page.len()
    );
    for marker in [LOOKUP, SOURCE, INSERT] {
        let output = behind.survives(|proxy| {
            proxy.after_request_with(marker).answer([answer.clone().into_bytes()]);
        });
        assert!(output.stderr.contains("502 Bad Gateway"), "{output}");
    }
}

/// It answers, and yet the server is not there: that uses up no retry.
#[test]
#[ignore = "slow: about 9 s"]
fn a_gateway_that_has_no_server_for_a_while_is_an_outage() {
    let behind = Behind::start();
    let running = behind.half_way_with(behind.tool().args(&["--max-retries", "0"]));
    let before = behind.proxy.fired();
    let answer =
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
    behind.proxy.after_request_with(b"query_id=").answer(vec![answer; 6]);
    behind.proxy.reset_all();
    let output = running.wait().expect(0);
    assert_eq!(behind.proxy.fired(), before + 6, "{output}");
    assert!(
        output.stderr.contains("the server answers again") && behind.orders.figure("outages") >= 1,
        "{output}"
    );
    assert_eq!(behind.orders.figure("errors"), 0, "{output}");
    behind.orders.assert_complete();
}

#[test]
#[ignore = "slow: about 22 s"]
fn errors_that_stay_end_the_run_at_once_in_the_servers_words() {
    let behind = Behind::start();
    for (number, (code, name)) in LASTING.into_iter().enumerate() {
        let marker = [INSERT, SOURCE, LOOKUP][number % 3];
        let before = behind.proxy.fired();
        // Each time that it is tried.
        behind.proxy.after_request_with(marker).answer(vec![exception(code, name); 20]);
        let output = behind.tool().args(&["--inserters", "1"]).run().expect(1);
        assert_eq!(behind.proxy.fired(), before + 1, "tried once\n{output}");
        assert_eq!(behind.orders.figure("retries"), 0, "{output}");
        assert!(
            !output.stderr.contains("a chunk failed"),
            "other chunks would meet the same\n{output}"
        );
        assert!(behind.orders.figure("errors") >= 1, "{output}");
        let last_words =
            output.stderr.rsplit_once("error: ").map(|(_, words)| words).unwrap_or_default();
        for part in [
            format!("this is error {code} of a test. ({name})"),
            "after 1 attempt".to_owned(),
            "hint: ".to_owned(),
        ] {
            assert!(last_words.contains(&part), "{part}\n{output}");
        }
        assert!(!last_words.contains("run the same command again"), "{output}");
    }
    behind.proxy.pass();
    behind.tool().run().expect(0);
    behind.orders.assert_complete();
}

/// Answers with which something on the way passes for the server.
fn impostors() -> [Vec<u8>; 2] {
    let page = "<html><title>Sign in</title><body>Sign in to go on</body></html>";
    let answer = |body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    };
    [answer(""), answer(page)]
}

#[test]
#[ignore = "slow: about 24 s"]
fn a_success_that_is_not_clickhouses_acknowledges_no_insert_and_answers_no_query() {
    let behind = Behind::start();
    for marker in [INSERT, LOOKUP, SOURCE] {
        for answer in impostors() {
            let output = behind.survives(|proxy| {
                proxy.after_request_with(marker).answer([answer]);
            });
            assert!(
                output.stderr.contains("answered 200 OK without ClickHouse's headers"),
                "{output}"
            );
        }
    }
}

#[test]
fn a_request_that_is_too_large_for_a_proxy_fails_at_once_and_says_what_helps() {
    let behind = Behind::start();
    let answer =
        b"HTTP/1.1 413 Request Entity Too Large\r\nConnection: close\r\nContent-Length: 60\r\n\r\n\
        <html><title>413 Request Entity Too Large</title></html>\r\n\r\n"
            .to_vec();
    behind.proxy.after_request_with(INSERT).answer(vec![answer; 20]);
    let output = behind.tool().args(&["--inserters", "1"]).run().expect(1);
    assert_eq!(behind.orders.figure("retries"), 0, "{output}");
    for part in ["413 Payload Too Large", "--batch-bytes makes inserts smaller"] {
        assert!(output.stderr.contains(part), "{part}\n{output}");
    }
    assert!(!output.stderr.contains('<'), "markup\n{output}");
}

/// From the very first question on, a gateway without a server is waited for.
#[test]
#[ignore = "slow: about 25 s"]
fn a_gateway_that_has_no_server_when_the_run_starts_is_waited_for() {
    let behind = Behind::start();
    let answer =
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            .to_vec();
    for label in ["-hello-", "-profile-", "-schema-", "-settings-", "-inspect-", "-plan-"] {
        behind.begin_again();
        behind.proxy.after_request_with(label.as_bytes()).answer([answer.clone()]);
        behind.tool().run().expect(0);
        behind.orders.assert_complete();
    }
}
