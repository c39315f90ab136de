//! A run in a terminal of its own.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::screen::Screen;
use crate::orders::{JOB, Orders, PARTITION};
use crate::support::process;

const SOON: Duration = Duration::from_secs(60);

/// Rows of the terminal.
pub const ROWS: usize = 24;

/// The run, and what it has written to its terminal.
pub struct InTerminal {
    child: Child,
    columns: usize,
    written: Arc<Mutex<Vec<u8>>>,
    reader: Option<std::thread::JoinHandle<()>>,
    // Removed with this.
    _folder: tempfile::TempDir,
}

impl InTerminal {
    pub fn start(
        orders: &Orders,
        columns: usize,
        url: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let arguments = [arguments, &["--yes"]].concat();
        Self::start_asking(orders, columns, url, &arguments, environment)
    }

    /// The same without `--yes`.
    pub fn start_asking(
        orders: &Orders,
        columns: usize,
        url: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let run = ["run", "--job", "job.toml", "--partition", PARTITION, "--batch-size", "2000"];
        let environment = [environment, &[("RESTART", "true"), ("CLICKHOUSE_URL", url)]].concat();
        Self::start_command(orders, columns, &[&run, arguments].concat(), &environment)
    }

    /// A command that is not a run.
    pub fn start_command(
        orders: &Orders,
        columns: usize,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("job.toml"), JOB).unwrap();
        let mut command = Command::new("python3");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/screen/in_terminal.py"));
        command.args([
            columns.to_string(),
            ROWS.to_string(),
            env!("CARGO_BIN_EXE_clickhouse-backfill").to_owned(),
        ]);
        command.args(arguments);
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("TERM", "xterm-256color");
        command.envs(orders.server.environment()).envs(environment.iter().copied());
        command.current_dir(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 can be run");
        let mut output = child.stdout.take().unwrap();
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let writer = written.clone();
        let reader = std::thread::spawn(move || {
            let mut bytes = vec![0; 65536];
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                writer.lock().unwrap().extend_from_slice(&bytes[..length]);
            }
        });
        Self { child, columns, written, reader: Some(reader), _folder: folder }
    }

    /// Makes the terminal as wide as this.
    pub fn resize(&self, columns: usize) {
        self.child
            .stdin
            .as_ref()
            .unwrap()
            .write_all(format!("{columns} {ROWS}\n").as_bytes())
            .unwrap();
    }

    /// Types a line.
    pub fn answer(&self, line: &str) {
        self.child.stdin.as_ref().unwrap().write_all(format!("> {line}\n").as_bytes()).unwrap();
    }

    /// Waits until the terminal got these words.
    #[track_caller]
    pub fn wait_for_words(&self, words: &str) {
        let text = || String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned();
        assert!(process::wait_until(SOON, || text().contains(words)), "{words}\n{}", text());
    }

    /// Waits until the screen, as it is after an update, is like this.
    #[track_caller]
    pub fn wait_for(&self, what: &str, condition: impl Fn(&Screen) -> bool) {
        let screen = || {
            let written = self.written.lock().unwrap();
            let updates =
                written.windows(END_OF_UPDATE.len()).rposition(|bytes| bytes == END_OF_UPDATE);
            Screen::after(
                &written[..updates.map_or(0, |at| at + END_OF_UPDATE.len())],
                self.columns,
                ROWS,
            )
        };
        assert!(
            process::wait_until(SOON, || condition(&screen())),
            "{what} was not seen\n{}",
            screen().all_rows().join("\n")
        );
    }

    /// Waits for the end; gives all bytes that the terminal got.
    pub fn wait(self) -> Vec<u8> {
        let (status, bytes) = self.wait_for_end();
        assert!(status.success(), "{status}\n{}", String::from_utf8_lossy(&bytes));
        bytes
    }

    /// Waits for the end, whatever it is.
    pub fn wait_for_end(mut self) -> (ExitStatus, Vec<u8>) {
        let ended = process::wait_until(SOON, || self.child.try_wait().unwrap().is_some());
        assert!(ended, "the run did not end");
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        let bytes = std::mem::take(&mut *self.written.lock().unwrap());
        (status, bytes)
    }
}

impl Drop for InTerminal {
    fn drop(&mut self) {
        // Ends the run as well, where a test has failed before.
        process::signal(self.child.id(), "TERM");
        let _ = self.child.wait();
    }
}

const END_OF_UPDATE: &[u8] = b"\x1b[?2026l";

/// The screens that a person saw: as they were after each update.
pub fn screens(bytes: &[u8], columns: usize) -> Vec<Screen> {
    let mut screen = Screen::new(columns, ROWS);
    let (mut screens, mut rest) = (Vec::new(), bytes);
    while let Some(at) = rest.windows(END_OF_UPDATE.len()).position(|bytes| bytes == END_OF_UPDATE)
    {
        let (update, behind) = rest.split_at(at + END_OF_UPDATE.len());
        screen.feed(update);
        screens.push(screen.clone());
        rest = behind;
    }
    screens
}
