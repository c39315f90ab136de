//! A comparison that is interrupted, and taken up again.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::fixture::{corrupt, filled, named, questions, report, row, tool};
use crate::jobs::fixture::JobFile;
use crate::support::{Binary, Direction, Proxy, Server, assert_text_snapshot, process};

#[test]
fn what_was_compared_is_kept() {
    let orders = filled(2_000);
    corrupt(&orders, "letter = 'x' WHERE order_id = 17");
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let proxy = Proxy::start(orders.server.port());
    let tool =
        |url: &str| tool(&orders, "verify").env("CLICKHOUSE_URL", url).env("VERIFY_STATE", &state);

    proxy.after_request_with(b"-found-").stall_at(Direction::ToClient, 0, 1);
    let running = tool(&proxy.url()).spawn();
    assert!(
        process::wait_until(Duration::from_secs(60), || proxy.fired() == 1),
        "the target is asked"
    );
    running.signal("INT");
    let output = running.wait().expect(130);
    assert!(
        output.stderr.contains(&format!("its state is saved in {}", state.display())),
        "{output}"
    );
    assert!(
        output.stderr.contains("hint: run the same command again to continue")
            && output.stdout.is_empty(),
        "{output}"
    );
    assert!(state.exists());

    // Another comparison must not go on with it.
    let other = tool(orders.server.url()).args(&["--sample", "1/2"]).run();
    assert_text_snapshot!(other.failure(), @"
    exit code 2
    error: the state file [PATH]: it belongs to another comparison, or the job or the tables have changed since; remove it to start over
    hint: --state names another file; without a state, the comparison starts over
    ");

    let asked = questions(&orders.server);
    let output = tool(orders.server.url()).arg("--json").run().expect(4);
    assert!(
        output.stderr.contains("continuing after 1 chunk of the source and 0 ranges of the target"),
        "{output}"
    );
    assert_eq!(named(&report(&output)), [row("differing", 17, &["letter"])]);
    assert!(!state.exists(), "a comparison that is done leaves no state");
    // The chunk's sums were not asked for again; its rows and the differing one were.
    assert_eq!(questions(&orders.server) - asked, 2);
}

#[test]
fn a_failure_of_the_server_is_tried_again() {
    let orders = filled(2_000);
    let proxy = Proxy::start(orders.server.port());
    for label in [b"-expected-".as_slice(), b"-found-"] {
        proxy.after_request_with(label).reset_at(Direction::ToClient, 100, 1);
        let output = tool(&orders, "verify").env("CLICKHOUSE_URL", proxy.url()).run().expect(0);
        assert!(output.stderr.contains("is retried"), "{output}");
    }
    let nowhere =
        tool(&orders, "verify").args(&["--state", "/nowhere/state.json", "--max-retries", "0"]);
    proxy.after_request_with(b"-found-").reset_at(Direction::ToClient, 100, 9);
    let output = nowhere.env("CLICKHOUSE_URL", proxy.url()).run();
    assert_text_snapshot!(output.failure(), @"
    exit code 2
    error: the state file /nowhere/state.json: it cannot be written: No such file or directory (os error 2)
    hint: --state names another file; without a state, the comparison starts over
    ");
    assert!(!Path::new("/nowhere").exists());
}

/// A source without partitions, and a target with two, which are compared one after the other.
struct TwoRanges {
    server: Server,
    job: JobFile,
    proxy: Proxy,
    state: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl TwoRanges {
    fn filled() -> Self {
        let server = Server::shared();
        server.script(
            "CREATE TABLE stored (id UInt32, placed Date, amount UInt32, version UInt32) ENGINE = ReplacingMergeTree(version) ORDER BY id
             --;;
             INSERT INTO stored SELECT number, toDate('2025-11-01') + number % 60, number, 1 FROM numbers(1000)
             --;;
             CREATE TABLE copies (id UInt32, placed Date, amount UInt32, version UInt32)
             ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(placed) ORDER BY id",
        );
        let job = JobFile::new(
            "name = 'copies'\n[source]\ntable = 'stored'\nfinal = true\nversion = 'version'\n[target]\ntable = 'copies'\n\
             [columns]\nid = 'source.id'\nplaced = 'source.placed'\namount = 'source.amount'\nversion = 'source.version'\n",
        );
        job.tool(&server, "run").run().expect(0);
        let folder = tempfile::tempdir().unwrap();
        let (proxy, state) = (Proxy::start(server.port()), folder.path().join("state.json"));
        Self { server, job, proxy, state, _folder: folder }
    }

    fn verify(&self) -> Binary {
        self.job.tool(&self.server, "verify").arg("--json").arg("--state").arg(&self.state)
    }

    /// Stops `verify` after it has compared the first range of the target.
    fn interrupt(&self) {
        let before = self.proxy.fired();
        self.proxy.after_request_with(b"FINAL\nWHERE _partition_id = '202512'").stall_at(
            Direction::ToClient,
            0,
            1,
        );
        let running = self.verify().env("CLICKHOUSE_URL", self.proxy.url()).spawn();
        let fired = || self.proxy.fired() > before;
        assert!(process::wait_until(Duration::from_secs(60), fired), "the second range is read");
        running.signal("INT");
        running.wait().expect(130);
        self.proxy.pass();
        assert!(self.state.exists());
    }

    /// Resumes, and gives what was said and found.
    #[track_caller]
    fn resume(&self, code: i32) -> (String, Value) {
        let output = self.verify().run().expect(code);
        (output.stderr.clone(), report(&output))
    }
}

const RESUMED: &str = "continuing after 1 chunk of the source and 1 range of the target";

#[test]
#[ignore = "slow: about 13 s"]
fn what_has_changed_since_an_interruption_is_compared_again() {
    let tables = TwoRanges::filled();
    tables.interrupt();
    tables.server.query("OPTIMIZE TABLE copies FINAL");
    let (said, found) = tables.resume(0);
    assert!(said.contains(RESUMED) && found["equal"] == true, "a merge changes no row: {said}");

    for (damage, kind) in [
        (
            "ALTER TABLE copies UPDATE amount = 7 WHERE id = 1 SETTINGS mutations_sync = 2",
            "differing",
        ),
        ("DELETE FROM copies WHERE id = 2 SETTINGS lightweight_deletes_sync = 2", "missing"),
        ("INSERT INTO copies VALUES (1000000, '2025-11-02', 1, 1)", "extra"),
        ("ALTER TABLE copies DROP PARTITION 202511", "missing"),
    ] {
        tables.interrupt();
        tables.server.query(damage);
        let (said, found) = tables.resume(4);
        assert!(
            said.contains("the interrupted comparison is not resumed: rows of ")
                && said.contains("copies have changed since"),
            "{damage}\n{said}"
        );
        assert!(found["differences"][kind].as_u64() > Some(0), "{damage}\n{found:#}");
        tables.server.query("TRUNCATE TABLE copies");
        tables.job.tool(&tables.server, "run").run().expect(0);
    }

    tables.interrupt();
    tables.server.query("INSERT INTO stored VALUES (5, '2025-11-06', 5, 2)");
    let (said, found) = tables.resume(4);
    assert!(said.contains("stored have changed since"), "{said}");
    assert_eq!(found["differences"]["stale"], 1, "{found:#}");
}

#[test]
fn a_state_ends_with_its_load_and_its_age() {
    let tables = TwoRanges::filled();
    tables.interrupt();
    tables.job.tool(&tables.server, "run").run().expect(0);
    let (said, _) = tables.resume(0);
    assert!(said.contains("not resumed: it was of run "), "{said}");

    tables.interrupt();
    let output = tables.verify().args(&["--state-max-age", "1ms"]).run().expect(0);
    assert!(output.stderr.contains("not resumed: its state is older than"), "{output}");
    assert!(!tables.state.exists());
}

/// Sums of another version of the program are other sums.
#[test]
fn a_state_of_another_format_is_begun_anew() {
    let tables = TwoRanges::filled();
    tables.interrupt();
    let text = std::fs::read_to_string(&tables.state).unwrap();
    let older = text.replace("\"format_version\":3", "\"format_version\":2");
    assert_ne!(older, text, "{text}");
    std::fs::write(&tables.state, older).unwrap();
    let (said, found) = tables.resume(0);
    let words = "note: the interrupted comparison is not resumed: its state was written by another version of the program, whose sums are others\n";
    assert!(said.contains(words) && !said.contains(RESUMED), "{said}");
    assert_eq!((&found["equal"], &found["target_rows"]), (&true.into(), &1000.into()), "{found:#}");
    assert!(!tables.state.exists());
}
