//! The same in a real tmux, where there is one.

use std::process::Command;
use std::time::Duration;

use crate::orders::{JOB, Orders, PARTITION};
use crate::support::{Direction, Proxy, process};

const SOON: Duration = Duration::from_secs(60);

/// A tmux of the test's own, which ends with it.
struct Tmux {
    folder: tempfile::TempDir,
}

impl Tmux {
    /// `None` where tmux is not installed.
    fn start(columns: u16, command: &str) -> Option<Self> {
        Command::new("tmux").arg("-V").output().ok().filter(|output| output.status.success())?;
        let tmux = Self { folder: tempfile::tempdir().unwrap() };
        let size = columns.to_string();
        tmux.run(&["-f", "/dev/null", "new-session", "-d", "-x", &size, "-y", "24", command]);
        Some(tmux)
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> String {
        let socket = self.folder.path().join("socket");
        let output = Command::new("tmux")
            .arg("-S")
            .arg(socket)
            .args(arguments)
            .env_remove("TMUX")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the pane shows, and what has scrolled off it, wrapped lines joined.
    fn text(&self) -> String {
        self.run(&["capture-pane", "-p", "-J", "-S", "-"])
    }

    /// What the pane shows, row by row.
    fn pane(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .arg("-S")
            .arg(self.folder.path().join("socket"))
            .arg("kill-server")
            .output();
    }
}

#[test]
#[ignore = "slow: about 8 s"]
fn one_screen_in_tmux_whatever_its_size() {
    let orders = Orders::start(20_000);
    let proxy = Proxy::start(orders.server.port());
    proxy.after_request_with(b"-source-").stall_at(Direction::ToClient, 2_000_000, 1);
    // The shell that tmux starts waits, so that the last screen can be looked at.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("job.toml"), JOB).unwrap();
    let variables: Vec<_> = orders
        .server
        .environment()
        .into_iter()
        .filter(|(name, _)| *name != "CLICKHOUSE_URL")
        .map(|(name, value)| format!("{name}='{value}'"))
        .collect();
    let command = format!(
        "cd {} && env {} CLICKHOUSE_URL={} RESTART=true {} run --job job.toml --partition {PARTITION} --batch-size 2000 -v --yes; echo ended with $?; sleep 600",
        folder.path().display(),
        variables.join(" "),
        proxy.url(),
        env!("CARGO_BIN_EXE_clickhouse-backfill"),
    );
    let Some(tmux) = Tmux::start(80, &command) else { return };
    let shows = |what: &str, condition: &dyn Fn(&str) -> bool| {
        let seen = process::wait_until(SOON, || condition(&tmux.pane()));
        assert!(seen, "{what} was not seen in\n{}", tmux.pane());
    };
    shows("the reason", &|pane| pane.contains("waiting: rows of 1 chunk from the server"));
    for columns in ["60", "120", "40", "80"] {
        tmux.run(&["resize-window", "-x", columns, "-y", "24"]);
        let width = columns.parse::<usize>().unwrap();
        // The bar is drawn for the new width: to its end, but for a column, or as long as a bar may
        // be. A picture may be taken in the middle of an update; what stays torn would be seen for
        // ever.
        shows("a single screen of the new width", &|pane| {
            let bar = pane
                .lines()
                .find(|line| line.starts_with('['))
                .map_or(0, |line| line.chars().count());
            let text = tmux.text();
            let once = |words: &str| text.matches(words).count() == 1;
            bar < width
                && (bar == width - 1 || bar > 60)
                && once("shipments 202506: ")
                && once("waiting: ")
                && once("  enrich ")
        });
    }
    let title = tmux.run(&["display-message", "-p", "#{pane_title}"]);
    assert!(title.trim_end().ends_with(" % shipments 202506, waiting"), "{title}");
    proxy.pass();
    shows("the end", &|pane| pane.contains("ended with 0"));
    let text = tmux.text();
    assert!(!text.contains("shipments 202506: "), "it is taken away\n{text}");
    let names = [
        "clickhouse-backfill 0.",
        "  server ",
        "  job ",
        "DEBUG attributes are loaded",
        "completed: shipments",
        "  peak memory ",
        "next: clickhouse-backfill verify ",
    ];
    for name in names {
        assert_eq!(text.lines().filter(|line| line.contains(name)).count(), 1, "{name}\n{text}");
    }
    orders.assert_complete();
}
