//! Words of servers that control a terminal or repeat a password, and links that others place where
//! files are written.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;

use crate::orders::{JOB, Orders, PARTITION};
use crate::support::{Output, assert_text_snapshot, binary};

/// Sets a title, clears the screen in the form of one character, and turns text around.
const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}";
const ESCAPED: &str = "\\u001b]0;owned\\u0007\\u009b2J\\u202e";

#[track_caller]
fn assert_harmless(text: &str) {
    let is_hostile = |c: char| c.is_control() && c != '\n' || matches!(c, '\u{202a}'..='\u{202e}');
    let found = text.chars().find(|c| is_hostile(*c));
    assert_eq!(found, None, "{text:?}");
}

#[track_caller]
fn assert_shows_escaped(output: &Output) {
    assert_harmless(&output.stdout);
    assert_harmless(&output.stderr);
    assert!(output.stderr.contains(ESCAPED) || output.stdout.contains(ESCAPED), "{output}");
}

/// The URL of a server that answers every request with this error.
fn server_that_says(words: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let body = format!("Code: 62. DB::Exception: {words}");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 8192]);
            let _ = write!(
                stream,
                "HTTP/1.1 500 No\r\nX-ClickHouse-Exception-Code: 62\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    url
}

#[test]
fn a_servers_words_do_not_control_the_terminal() {
    let url = server_that_says(HOSTILE);
    for command in ["run", "plan", "verify", "repair", "status", "report"] {
        for format in ["text", "json"] {
            let writes_log = ["run", "verify", "repair"].contains(&command);
            if format == "json" && !writes_log {
                continue;
            }
            let tool = binary()
                .file("job.toml", JOB)
                .args(&[command, "--job", "job.toml", "--partition", PARTITION])
                .args(&["--clickhouse-url", &url, "--clickhouse-user", "ann"]);
            let tool = if writes_log { tool.args(&["-vv", "--log-format", format]) } else { tool };
            let output = tool.run();
            if format == "text" {
                assert_shows_escaped(&output);
            } else {
                // As JSON the words are the same, in the escapes of JSON.
                assert_harmless(&output.stderr);
                assert!(output.stderr.contains("u001b]0;owned"), "{output}");
            }
        }
    }
}

/// A server quotes the values that it cannot convert.
#[test]
fn values_in_a_servers_words_do_not_control_the_terminal() {
    let orders = Orders::start(10);
    orders.server.query(
        "INSERT INTO orders SELECT id, customer, placed, amount, version + 1, 0, '\\x1b]0;owned\\x07\\xc2\\x9b2J\\xe2\\x80\\xae' FROM orders",
    );
    let job = JOB.replace("order_id = \"source.id\"", "order_id = \"toUInt64(source.note)\"");
    let log = orders.file("log");
    let tool = || orders.tool().file("job.toml", &job).arg("--log-file").arg(&log);
    let output = tool().run().expect(1);
    assert_shows_escaped(&output);
    assert!(output.stderr.contains("ERROR a chunk failed"), "{output}");
    let logged = std::fs::read_to_string(&log).unwrap();
    assert!(logged.contains("owned"), "{logged}");
    assert_harmless(&logged);
    let status = binary()
        .file("job.toml", &job)
        .envs(&orders.server.environment())
        .args(&["status", "--job", "job.toml", "--partition", PARTITION])
        .run()
        .expect(0);
    assert_shows_escaped(&status);
    assert_harmless(&tool().args(&["--log-format", "json"]).run().expect(1).stderr);
}

#[test]
fn a_password_is_hidden_in_every_form() {
    let password = "Plum \"Tram\"/ä&é";
    let percent = "Plum%20%22Tram%22%2F%C3%A4%26%c3%a9";
    let json = r#"Plum \"Tram\"\/\u00e4&é"#;
    let html = "Plum &quot;Tram&quot;/ä&amp;é";
    for form in [password, percent, json, html, &percent.replace("%20", "+")] {
        let url = server_that_says(&format!("who is <{form}>?"));
        let output = binary()
            .file("job.toml", JOB)
            .args(&["run", "--job", "job.toml", "--partition", PARTITION, "-vv"])
            .args(&["--clickhouse-url", &url, "--clickhouse-user", "ann"])
            .env("CLICKHOUSE_PASSWORD", password)
            .run();
        assert!(output.stderr.contains("who is <(hidden)>?"), "{form}\n{output}");
        assert!(!output.stderr.contains("Tram"), "{output}");
    }
}

/// The names of the temporary files of version 0.1 could be guessed.
#[test]
fn links_in_the_way_of_files_are_not_followed() {
    let orders = Orders::start(10);
    let victim = orders.file("victim");
    std::fs::write(&victim, "precious\n").unwrap();
    let untouched = || assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious\n");
    let guessed = ["summary.json.$$.tmp", "metrics.prom.$$.tmp", "plan.json.$$.tmp"]
        .map(|name| format!("ln -s {} {name}", victim.display()))
        .join(" && ");
    let tool = || {
        binary()
            .file("job.toml", JOB)
            .envs(&orders.server.environment())
            .env("PARTITION", PARTITION)
            .env("JOB", "job.toml")
    };
    let run = tool().args(&["run", "--job", "job.toml", "--restart"]);
    let run = run.args(&["--summary-json", "summary.json", "--metrics-file", "metrics.prom"]);
    run.after(&guessed).run().expect(0);
    untouched();
    let plan = tool().args(&["plan", "--job", "job.toml", "--measure", "0s", "--out", "plan.json"]);
    plan.after(&guessed).run().expect(0);
    untouched();

    let log = orders.file("log");
    symlink(&victim, &log).unwrap();
    let refused = orders.tool().arg("--log-file").arg(&log).run();
    assert_text_snapshot!(refused.failure(), @"
    exit code 2
    error: cannot open the log file [PATH]: it is a symbolic link
    hint: set --log-file to a file in an existing directory that this user can write to
    ");
    untouched();
}
