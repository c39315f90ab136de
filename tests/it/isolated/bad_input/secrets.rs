//! The password is in nothing that a run says, however much it says and whatever goes wrong.

use std::path::Path;
use std::time::Duration;

use crate::orders::{JOB, Orders};
use crate::support::{Binary, Direction, Proxy, Server, ServerOptions, binary, process};

/// Two words with a sign between them that URLs encode: both are looked for.
const PASSWORD: &str = "Tangerine@Submarine";
const IN_URL: &str = "Tangerine%40Submarine";

fn users() -> String {
    format!(
        "<clickhouse><users><ann><password>{PASSWORD}</password><networks><ip>::/0</ip></networks><profile>default</profile>
        <quota>default</quota></ann></users></clickhouse>"
    )
}

/// Everything that a run leaves: both outputs, and all files of its folder but those that the test
/// wrote.
#[track_caller]
fn says_no_secret(what: &str, tool: Binary, status: i32, folder: &Path) -> String {
    let output = tool.run().expect(status);
    let mut said = format!("{}{}", output.stdout, output.stderr);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        said += &String::from_utf8_lossy(&std::fs::read(&path).unwrap());
        std::fs::remove_file(path).unwrap();
    }
    for word in ["Tangerine", "Submarine", "VGFuZ2VyaW5l"] {
        assert!(!said.contains(word), "{what}: {word} is in\n{said}");
    }
    said
}

#[test]
#[ignore = "slow: about 12 s"]
fn the_password_is_never_shown() {
    let orders = Orders::on(
        Server::isolated_with(ServerOptions { users_xml: Some(users()), ..Default::default() }),
        2_000,
    );
    let (server, proxy) = (&orders.server, Proxy::start(orders.server.port()));
    let left = tempfile::tempdir().unwrap();
    let file = |name: &str| left.path().join(name).to_str().unwrap().to_owned();
    let (log, summary) = (file("log"), file("summary.json"));
    let tool = |command: &str| {
        binary().file("job.toml", JOB).args(&[
            command,
            "--job",
            "job.toml",
            "--partition",
            "202506",
        ])
    };
    let run = || {
        tool("run").envs(&[("RESTART", "true"), ("OUTAGE_WAIT", "0")]).args(&[
            "--log-file",
            &log,
            "--summary-json",
            &summary,
            "-v",
            "-v",
        ])
    };
    let with_url =
        |url: &str, password: &str| url.replace("http://", &format!("http://ann:{password}@"));
    let named =
        |tool: Binary| tool.env("CLICKHOUSE_URL", server.url()).env("CLICKHOUSE_USER", "ann");

    let said = says_no_secret(
        "in the environment",
        named(run()).env("CLICKHOUSE_PASSWORD", PASSWORD),
        0,
        left.path(),
    );
    assert!(
        said.contains("DEBUG") && said.contains("\"status\""),
        "the log and the summary were looked at\n{said}"
    );
    says_no_secret(
        "as a flag",
        named(run()).args(&["--clickhouse-password", PASSWORD]),
        0,
        left.path(),
    );
    says_no_secret(
        "in a file",
        named(run()).file("secret", PASSWORD).args(&["--clickhouse-password-file", "secret"]),
        0,
        left.path(),
    );
    says_no_secret(
        "in .env",
        named(run()).file(".env", &format!("CLICKHOUSE_PASSWORD='{PASSWORD}'\n")),
        0,
        left.path(),
    );
    says_no_secret(
        "in the URL",
        run().env("CLICKHOUSE_URL", with_url(server.url(), IN_URL)).args(&["--log-format", "json"]),
        0,
        left.path(),
    );
    says_no_secret(
        "in the URL as a flag",
        run().arg("--clickhouse-url").arg(with_url(server.url(), IN_URL)),
        0,
        left.path(),
    );
    says_no_secret(
        "plan",
        named(tool("plan")).env("CLICKHOUSE_PASSWORD", PASSWORD).arg("--sql"),
        0,
        left.path(),
    );
    says_no_secret(
        "help",
        binary()
            .args(&["run", "--help"])
            .env("CLICKHOUSE_PASSWORD", PASSWORD)
            .env("CLICKHOUSE_URL", with_url(server.url(), IN_URL)),
        0,
        left.path(),
    );

    // Failures, which like to show what they were given.
    let wrong = format!("{PASSWORD}x");
    says_no_secret("wrong", named(run()).env("CLICKHOUSE_PASSWORD", wrong), 2, left.path());
    says_no_secret(
        "nobody listens",
        run().env("CLICKHOUSE_URL", with_url("http://127.0.0.1:1", IN_URL)),
        2,
        left.path(),
    );
    says_no_secret(
        "no such host",
        run().env("CLICKHOUSE_URL", with_url("http://no-such-host.invalid", IN_URL)),
        2,
        left.path(),
    );
    for url in [
        "http://127.0.0.1:port",
        "http://[::1",
        "ftp://127.0.0.1",
        "http://127.0.0.1:99999",
        "http://no host",
    ] {
        let (scheme, rest) = url.split_once("//").unwrap();
        let url = format!("{scheme}//ann:{IN_URL}@{rest}");
        says_no_secret(
            &format!("the URL {url}"),
            run().env("CLICKHOUSE_URL", &url),
            2,
            left.path(),
        );
        says_no_secret(
            &format!("the flag {url}"),
            run().arg("--clickhouse-url").arg(&url),
            2,
            left.path(),
        );
    }
    says_no_secret(
        "flag twice",
        named(run()).args(&["--clickhouse-password", PASSWORD, "--clickhouse-password", PASSWORD]),
        2,
        left.path(),
    );
    says_no_secret(
        "both",
        named(run()).args(&["--clickhouse-password", PASSWORD, "--clickhouse-password-file", "x"]),
        2,
        left.path(),
    );
    says_no_secret(
        "malformed beside",
        named(run()).env("CLICKHOUSE_PASSWORD", PASSWORD).env("BATCH_SIZE", "x"),
        2,
        left.path(),
    );

    // A password with a slash makes another URL of it, with a part of the password as the port.
    for rest in [
        "12/Submarine@127.0.0.1",
        "12?Submarine@127.0.0.1",
        "12#Submarine@127.0.0.1",
        "/Submarine@127.0.0.1:1",
    ] {
        let url = format!("http://ann:{rest}");
        says_no_secret(
            &format!("the URL {url}"),
            run().env("CLICKHOUSE_URL", &url),
            2,
            left.path(),
        );
        says_no_secret(
            &format!("the source's URL {url}"),
            named(run()).env("SOURCE_URL", &url),
            2,
            left.path(),
        );
    }
    // What HTTP cannot carry is refused, and not shown.
    for sign in ["\u{1}", "\n", "\r\nX-Other: 1", "\u{7f}"] {
        says_no_secret(
            "unusual signs",
            named(run()).env("CLICKHOUSE_PASSWORD", format!("Tangerine{sign}Submarine")),
            2,
            left.path(),
        );
    }

    // A proxy that repeats what it was sent.
    let page = format!("<html>502 Bad Gateway: X-ClickHouse-Key: {PASSWORD}</html>");
    let answer = format!(
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
        page.len()
    )
    .into_bytes();
    proxy.after_request_with(b"-hello-").answer([answer]);
    let said = says_no_secret(
        "a proxy that tells",
        run().env("CLICKHOUSE_URL", with_url(&proxy.url(), IN_URL)),
        2,
        left.path(),
    );
    assert!(said.contains("X-ClickHouse-Key: (hidden)"), "{said}");

    // A connection that breaks names its URL.
    proxy.after_request_with(b"-source-").reset_at(Direction::ToClient, 10_000, 10);
    let broken =
        run().env("CLICKHOUSE_URL", with_url(&proxy.url(), IN_URL)).args(&["--max-retries", "1"]);
    let said = says_no_secret("a broken connection", broken, 1, left.path());
    assert!(said.contains(&proxy.url()), "{said}");
}

/// The same for the server that has the source.
#[test]
fn the_password_of_the_source_is_never_shown() {
    let orders = Orders::on(
        Server::isolated_with(ServerOptions { users_xml: Some(users()), ..Default::default() }),
        2_000,
    );
    let server = &orders.server;
    let left = tempfile::tempdir().unwrap();
    let (log, summary) = (left.path().join("log"), left.path().join("summary.json"));
    let run = || {
        let tool = binary().file("job.toml", JOB).args(&[
            "run",
            "--job",
            "job.toml",
            "--partition",
            "202506",
            "-v",
            "-v",
        ]);
        tool.envs(&server.environment())
            .env("OUTAGE_WAIT", "0")
            .arg("--log-file")
            .arg(&log)
            .arg("--summary-json")
            .arg(&summary)
    };
    let ann = || run().env("SOURCE_USER", "ann");
    let with_url = |url: &str| url.replace("http://", &format!("http://ann:{IN_URL}@"));

    let said = says_no_secret(
        "in the environment",
        ann().env("SOURCE_PASSWORD", PASSWORD),
        0,
        left.path(),
    );
    assert!(said.contains("user ann") && said.contains("DEBUG"), "{said}");
    says_no_secret("as a flag", ann().args(&["--source-password", PASSWORD]), 0, left.path());
    says_no_secret(
        "in a file",
        ann().file("secret", PASSWORD).args(&["--source-password-file", "secret"]),
        0,
        left.path(),
    );
    says_no_secret(
        "in .env",
        ann().file(".env", &format!("SOURCE_PASSWORD='{PASSWORD}'\n")),
        0,
        left.path(),
    );
    says_no_secret(
        "in the URL",
        run().env("SOURCE_URL", with_url(server.url())).args(&["--log-format", "json"]),
        0,
        left.path(),
    );
    says_no_secret(
        "in the URL as a flag",
        run().arg("--source-url").arg(with_url(server.url())),
        0,
        left.path(),
    );
    says_no_secret(
        "help",
        binary()
            .args(&["run", "--help"])
            .env("SOURCE_PASSWORD", PASSWORD)
            .env("SOURCE_URL", with_url("http://x")),
        0,
        left.path(),
    );

    says_no_secret("wrong", ann().env("SOURCE_PASSWORD", format!("{PASSWORD}x")), 2, left.path());
    for url in [
        "http://127.0.0.1:1",
        "http://no-such-host.invalid",
        "http://127.0.0.1:port",
        "http://[::1",
        "ftp://127.0.0.1",
        "http://no host",
    ] {
        let (scheme, rest) = url.split_once("//").unwrap();
        let url = format!("{scheme}//ann:{IN_URL}@{rest}");
        says_no_secret(&format!("the URL {url}"), run().env("SOURCE_URL", &url), 2, left.path());
    }
    says_no_secret(
        "both",
        ann().args(&["--source-password", PASSWORD, "--source-password-file", "x"]),
        2,
        left.path(),
    );

    // What is recorded beside the target.
    for table in server.text("SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE 'load\\_%'").lines() {
        let rows = server.text(&format!("SELECT * FROM `{table}` FORMAT JSONEachRow"));
        assert!(!rows.contains("Tangerine") && !rows.contains("Submarine"), "{table}\n{rows}");
    }
}

/// A file or the environment is enough to run, so that the list of processes shows nothing.
#[test]
fn the_list_of_processes_shows_no_secret() {
    let orders = Orders::on(
        Server::isolated_with(ServerOptions { users_xml: Some(users()), ..Default::default() }),
        2_000,
    );
    let proxy = Proxy::start(orders.server.port());
    let tool = |name: &str| {
        let tool = orders
            .tool_at(&proxy.url())
            .env("CLICKHOUSE_USER", "ann")
            .env("SOURCE_USER", "ann")
            .env(name, PASSWORD);
        tool.env("SOURCE_PASSWORD_FILE", "secret")
            .file("secret", &format!("{PASSWORD}\nanother line"))
    };
    for tool in [
        tool("CLICKHOUSE_PASSWORD"),
        tool("OTHER").env("CLICKHOUSE_PASSWORD", "").env("CLICKHOUSE_PASSWORD_FILE", "secret"),
    ] {
        // It waits for its first answer while it is looked at.
        let before = proxy.fired();
        proxy.stall_at(Direction::ToServer, 0, 1);
        let running = tool.spawn();
        assert!(
            process::wait_until(Duration::from_secs(30), || proxy.fired() > before),
            "it did not connect"
        );
        let shown = std::fs::read(format!("/proc/{}/cmdline", running.process())).unwrap();
        proxy.pass();
        let shown = String::from_utf8_lossy(&shown).into_owned();
        assert!(shown.contains("job.toml") && !shown.contains("Tangerine"), "{shown}");
        running.wait().expect(0);
    }
    orders.assert_complete();
}
