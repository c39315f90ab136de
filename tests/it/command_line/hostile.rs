//! Words of servers that control a terminal or repeat a password, and links that others place where
//! files are written.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;

use crate::orders::{JOB, Orders, PARTITION};
use crate::support::shown::titled;
use crate::support::{Output, Server, assert_text_snapshot, binary};

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
    let head = "HTTP/1.1 500 No\r\nX-ClickHouse-Exception-Code: 62";
    server_that_answers(head, &format!("Code: 62. DB::Exception: {words}"))
}

/// The URL of a server that answers every request with this body, behind these first lines of a head.
fn server_that_answers(head: &str, body: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let length = body.len();
    let response = format!("{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 8192]);
            let _ = stream.write_all(response.as_bytes());
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

/// A server quotes the values that it cannot convert. Whoever looks at what a run leaves may do so at a
/// terminal.
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
    let assert_escaped = |file: &str, form: &str| {
        let text = std::fs::read_to_string(orders.file(file)).unwrap();
        assert!(text.contains(form), "{file}: {text}");
        assert_harmless(&text);
    };
    // As text, the log quotes values in another way.
    assert_escaped("log", "u{1b}]0;owned");
    assert_escaped("summary.json", "u001b]0;owned");
    let after = |command: &str| {
        let tool = binary().file("job.toml", &job).envs(&orders.server.environment());
        tool.args(&[command, "--job", "job.toml", "--partition", PARTITION])
    };
    assert_shows_escaped(&after("status").run().expect(0));
    for (report, form) in [
        ("report.md", "0;owned"),
        ("report.html", "u001b]0;owned"),
        ("report.json", "u001b]0;owned"),
    ] {
        after("report").arg("--out").arg(orders.file(report)).run().expect(0);
        assert_escaped(report, form);
    }
    std::fs::remove_file(&log).unwrap();
    let hook = format!("on-finish=cat > {}", orders.file("event").display());
    let output = tool().args(&["--log-format", "json", "--json", "--hook", &hook]).run().expect(1);
    assert_harmless(&output.stderr);
    assert_shows_escaped(&output);
    assert_escaped("log", "u001b]0;owned");
    assert_escaped("event", "u001b]0;owned");
}

/// Names of jobs are labels of metrics.
#[test]
fn names_do_not_control_the_terminal() {
    let orders = Orders::start(10);
    let job = JOB.replacen("shipments", r"ship\u009b2Jments\u202e", 1);
    let metrics = orders.file("metrics.prom");
    let tool = || orders.tool().file("job.toml", &job).arg("--metrics-file").arg(&metrics);
    let output = tool().run().expect(0);
    assert_harmless(&output.stderr);
    assert!(output.stderr.contains(r"ship\u009b2Jments\u202e"), "{output}");
    let text = std::fs::read_to_string(&metrics).unwrap();
    assert!(text.contains(r#"backfill="ship\\u009b2Jments\\u202e""#), "{text}");
    assert_harmless(&text);
    let plan = orders.file("plan.json");
    let planning = binary().file("job.toml", &job).envs(&orders.server.environment());
    let planning = planning.args(&["plan", "--job", "job.toml", "--partition", PARTITION]);
    let output = planning.args(&["--measure", "0s", "--out"]).arg(&plan).run().expect(0);
    assert_harmless(&output.stdout);
    let text = std::fs::read_to_string(&plan).unwrap();
    assert!(text.contains(r"ship\u009b2Jments"), "{text}");
    assert_harmless(&text);
    // It is the same document.
    tool().arg("--plan").arg(&plan).run().expect(0);
    orders.assert_complete();
}

/// In the words of a server, and on the page of a proxy, which is shown without its tags.
#[test]
fn a_password_is_hidden_in_every_form() {
    let password = "Plum <x> \"Tram\"/ä&é";
    let percent = "Plum%20%3cx%3E%20%22Tram%22%2F%C3%A4%26%c3%a9";
    let json = r#"Plum <x> \"Tram\"\/\u00e4&é"#;
    let html = "Plum &lt;x&gt; &quot;Tram&quot;/ä&amp;é";
    let real = Server::shared();
    for form in [password, percent, json, html, &percent.replace("%20", "+")] {
        let server = server_that_says(&format!("who is [{form}]?"));
        let page = format!("<html><body>who is\n[{form}]?</body></html>");
        let proxy = server_that_answers("HTTP/1.1 502 Bad Gateway", &page);
        for (url, prefix) in [
            (&server, "CLICKHOUSE"),
            (&proxy, "CLICKHOUSE"),
            (&proxy, "SOURCE"),
            (&server, "SOURCE"),
        ] {
            let tool = binary().file("job.toml", JOB).envs(&real.environment());
            let tool = tool.args(&["run", "--job", "job.toml", "--partition", PARTITION, "-vv"]);
            let tool = tool.env("OUTAGE_WAIT", "0s").env(&format!("{prefix}_URL"), url);
            let tool = tool.env(&format!("{prefix}_USER"), "ann");
            let output = tool.env(&format!("{prefix}_PASSWORD"), password).run();
            assert!(output.stderr.contains("who is [(hidden)]?"), "{form}, {prefix}\n{output}");
            for word in ["Plum", "Tram"] {
                assert!(!output.stderr.contains(word), "{form}, {prefix}\n{output}");
            }
        }
    }
}

/// The names of the temporary files of version 0.1 could be guessed.
#[test]
fn links_in_the_way_of_files_are_not_followed() {
    let orders = Orders::start(10);
    let victim = orders.file("victim");
    std::fs::write(&victim, "precious\n").unwrap();
    let untouched = || assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious\n");
    let folder = tempfile::tempdir().unwrap();
    let files = ["summary.json", "metrics.prom", "plan.json", "report.md", "state.json"]
        .map(|file| folder.path().join(file).display().to_string());
    // The names themselves are links, too: the file is written, and takes the link's place.
    for file in &files {
        symlink(&victim, file).unwrap();
    }
    let guessed = files.each_ref().map(|file| format!("ln -s {} {file}.$$.tmp", victim.display()));
    let [summary, metrics, plan, report, state] = &files;
    for arguments in [
        &["run", "--restart", "--summary-json", summary, "--metrics-file", metrics][..],
        &["plan", "--measure", "0s", "--out", plan],
        &["report", "--out", report],
        &["verify", "--state", state],
    ] {
        let tool = binary().file("job.toml", JOB).envs(&orders.server.environment());
        let tool = tool.args(arguments).args(&["--job", "job.toml", "--partition", PARTITION]);
        let output = tool.after(&guessed.join(" && ")).run();
        untouched();
        // A state is read before it is written.
        assert_eq!(output.status, Some(if arguments[0] == "verify" { 2 } else { 0 }), "{output}");
    }
    for file in &files[..4] {
        let written = std::fs::symlink_metadata(file).unwrap();
        assert!(written.is_file() && written.len() > 9, "{file}");
    }

    let nowhere = orders.file("nowhere");
    let refused = [("log", &victim), ("dangling", &nowhere)].map(|(name, target)| {
        let log = orders.file(name);
        symlink(target, &log).unwrap();
        (name, orders.tool().arg("--log-file").arg(&log).run().failure())
    });
    untouched();
    assert!(!nowhere.exists());
    assert_text_snapshot!(titled(refused), @"
    # log
    exit code 2
    error: cannot open the log file [PATH]: it is a symbolic link
    hint: set --log-file to a file in an existing directory that this user can write to

    # dangling
    exit code 2
    error: cannot open the log file [PATH]: it is a symbolic link
    hint: set --log-file to a file in an existing directory that this user can write to
    ");
}
