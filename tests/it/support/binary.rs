//! Runs of the tool's own binary: known environment, a folder of its own, a time limit.

use std::ffi::OsStr;
use std::fmt;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;

use super::process;

const LIMIT: Duration = Duration::from_secs(240);

/// Runs the tool with arguments and environment variables and waits for its end.
pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    binary().args(arguments).envs(environment).run()
}

/// The tool without arguments. Its environment has only PATH, HOME, the engine of `TEST_ENGINE` and the
/// format of `TEST_READ_FORMAT`, so that a developer's `CLICKHOUSE_URL` or `.env` does not change a test.
pub fn binary() -> Binary {
    let folder = TempDir::with_prefix("clickhouse-backfill-").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_clickhouse-backfill"));
    command.env_clear().current_dir(folder.path()).stdin(Stdio::null());
    for name in ["PATH", "HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    for (test, name) in [("TEST_ENGINE", "ENGINE"), ("TEST_READ_FORMAT", "READ_FORMAT")] {
        if let Some(value) = std::env::var_os(test) {
            command.env(name, value);
        }
    }
    Binary { command, folder, limit: LIMIT }
}

/// A run that has not started.
#[derive(Debug)]
pub struct Binary {
    command: Command,
    folder: TempDir,
    limit: Duration,
}

impl Binary {
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub fn envs(mut self, variables: &[(&str, &str)]) -> Self {
        self.command.envs(variables.iter().copied());
        self
    }

    /// The working folder of the run, empty unless the test writes files into it; removed after the
    /// run.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into the working folder, such as `.env`.
    pub fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    /// The time after which the run is killed and the test fails; by default 240 s.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Limits the number of files and connections that the run has open at once.
    pub fn open_files(self, limit: u32) -> Self {
        self.after(&format!("ulimit -n {limit}"))
    }

    /// A shell runs these commands in the working folder and then becomes the run, so that `$$` is
    /// the run's process.
    pub fn after(self, commands: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{commands} && exec \"$0\" \"$@\"")]);
        command.arg(self.command.get_program()).args(self.command.get_args());
        command.env_clear().current_dir(self.folder.path()).stdin(Stdio::null());
        command.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self { command, ..self }
    }

    /// Starts the run and waits for its end.
    pub fn run(self) -> Output {
        self.spawn().wait()
    }

    /// Starts the run, for tests that act on it while it runs.
    pub fn spawn(mut self) -> Running {
        let mut child = self
            .command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool can be run");
        let stdout = Collected::of(child.stdout.take().unwrap());
        let stderr = Collected::of(child.stderr.take().unwrap());
        Running { child, stdout, stderr, limit: self.limit, folder: self.folder }
    }
}

/// A run in progress. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Collected,
    stderr: Collected,
    limit: Duration,
    folder: TempDir,
}

impl Running {
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal, such as `"INT"`.
    pub fn signal(&self, name: &str) {
        process::signal(self.process(), name);
    }

    /// Waits until the run's log has these words; the run needs `--log-file run.log`. Panics with
    /// the log if they do not appear.
    #[track_caller]
    pub fn wait_for_log(&self, words: &str) {
        let path = self.folder().join("run.log");
        let read = || std::fs::read_to_string(&path).unwrap_or_default();
        let logged = process::wait_until(LIMIT / 2, || read().contains(words));
        assert!(logged, "{words:?} is not in the log\n{}", read());
    }

    /// Waits until these words are on stderr. Panics with what is there if they do not appear.
    #[track_caller]
    pub fn wait_for_stderr(&self, words: &str) {
        let printed = process::wait_until(LIMIT / 2, || self.stderr.text().contains(words));
        assert!(printed, "{words:?} is not on stderr\n{}", self.stderr.text());
    }

    /// Waits for the end. Panics, with what was printed so far, if it takes longer than the limit.
    pub fn wait(mut self) -> Output {
        let child = &mut self.child;
        let in_time = process::wait_until(self.limit, || !matches!(child.try_wait(), Ok(None)));
        if !in_time {
            child.kill().unwrap();
        }
        let status = child.wait().unwrap().code();
        let output = Output { status, stdout: self.stdout.all(), stderr: self.stderr.all() };
        assert!(in_time, "the run did not end within {:?}\n{output}", self.limit);
        output
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The exit code of a run and its output.
#[derive(Debug)]
pub struct Output {
    /// The exit code; None if a signal ended it.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// The output itself if the exit code is this one; panics with the output otherwise.
    #[track_caller]
    pub fn expect(self, status: i32) -> Self {
        assert!(self.status == Some(status), "expected exit code {status}\n{self}");
        self
    }
}

impl fmt::Display for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, stdout, stderr } = self;
        write!(
            formatter,
            "exit code {status:?}\n--- stdout ---\n{stdout}\n--- stderr ---\n{stderr}"
        )
    }
}

/// What comes out of a pipe. It is read to its end in a thread, because a full pipe would block the run.
#[derive(Debug)]
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Collected {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let collected = Arc::clone(&bytes);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            loop {
                match pipe.read(&mut buffer) {
                    Ok(count @ 1..) => {
                        collected.lock().unwrap().extend_from_slice(&buffer[..count]);
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    // The part that was read before a failure is shown.
                    Ok(0) | Err(_) => return,
                }
            }
        });
        Self { bytes, thread: Some(thread) }
    }

    /// What has come so far.
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// Everything, once the pipe is closed.
    fn all(&mut self) -> String {
        self.thread.take().unwrap().join().unwrap();
        self.text()
    }
}
