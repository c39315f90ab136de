//! One run of `scripts/clickhouse serve`: a server of a test's own, as a child process.
//!
//! The launcher ends its server when its standard input closes, so a test that is killed leaves
//! nothing behind.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::process;

/// The launcher has its own bound on a server's start; this one allows for the first download of
/// ClickHouse as well.
const START_LIMIT: Duration = Duration::from_secs(900);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The server to start: paths are absolute, port 0 is any free port.
#[derive(Debug)]
pub struct Launch<'a> {
    pub directory: &'a Path,
    pub port: u16,
    pub config: Option<&'a Path>,
    pub users: Option<&'a Path>,
    /// Size in MiB of a disk of the server's own.
    pub disk_mib: Option<u64>,
}

/// A running launcher and its report on the server.
#[derive(Debug)]
pub struct Launcher {
    child: Child,
    input: Option<ChildStdin>,
    pub http_port: u16,
    pub tcp_port: u16,
    pub server_process: u32,
}

/// Whether a server can have a disk of its own here; if not, prints so. Some containers allow no
/// mounts.
pub fn disks_are_allowed() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["-Urm", "mount", "-t", "tmpfs", "-o", "size=1m", "server"]).arg(folder.path());
    let allowed = command.output().is_ok_and(|output| output.status.success());
    if !allowed {
        eprintln!(
            "SKIPPED: this machine allows no mounts (unshare -Urm mount -t tmpfs), so that no server can have a disk of its own"
        );
    }
    allowed
}

impl Launcher {
    /// Starts a server and waits until it answers. The error has the launcher's standard error.
    pub fn start(launch: &Launch<'_>) -> Result<Self, String> {
        std::fs::create_dir_all(launch.directory).unwrap();
        let errors = launch.directory.join("serve.log");
        let mut command = match launch.disk_mib {
            None => Command::new("python3"),
            Some(mib) => {
                // The mount is visible to the server only, and ends with it.
                let mut command = Command::new("unshare");
                let mount = format!(
                    "mount -t tmpfs -o size={mib}m,nr_inodes=100k server \"$0\" && exec python3 \"$@\""
                );
                command.args(["-Urm", "sh", "-c", &mount]).arg(launch.directory);
                command
            }
        };
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/clickhouse"));
        command
            .arg("serve")
            .arg("--dir")
            .arg(launch.directory)
            .args(["--port", &launch.port.to_string()]);
        for (flag, path) in [("--config", launch.config), ("--users", launch.users)] {
            if let Some(path) = path {
                command.arg(flag).arg(path);
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&errors).unwrap());
        let mut child = command.spawn().expect("python3 can be run");
        let input = child.stdin.take();
        let output = child.stdout.take().unwrap();

        // A thread of its own, because a read of a pipe has no time limit.
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            // A failed read leaves the line empty, which is a failed start like any other.
            let _ = BufReader::new(output).read_line(&mut line);
            let _ = sender.send(line);
        });
        let line = receiver.recv_timeout(START_LIMIT).unwrap_or_default();
        let value = |key: &str| {
            line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        };
        let number = |key: &str| value(key).and_then(|text| text.parse::<u32>().ok());
        let port = |key: &str| number(key).and_then(|number| u16::try_from(number).ok());
        if let (Some(http_port), Some(tcp_port), Some(server_process)) =
            (port("http_port"), port("tcp_port"), number("server_pid"))
        {
            return Ok(Self { child, input, http_port, tcp_port, server_process });
        }
        drop(input);
        end(&mut child);
        Err(std::fs::read_to_string(&errors).unwrap_or_default())
    }

    /// The launcher's own process id.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Types a line of SQL at the server's own prompt, which works with no listener open. Where a
    /// `clickhouse` binary serves there is no such prompt.
    pub fn type_line(&mut self, sql: &str) {
        let input = self.input.as_mut().expect("the launcher runs");
        writeln!(input, "{sql}")
            .and_then(|()| input.flush())
            .expect("the launcher reads its input");
    }

    /// Waits until the launcher has ended, after its server was killed. False if it does not within
    /// the limit.
    pub fn wait(&mut self) -> bool {
        process::wait_until(STOP_LIMIT, || !matches!(self.child.try_wait(), Ok(None)))
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        self.input = None;
        end(&mut self.child);
    }
}

/// Waits for a launcher whose input was closed, and kills it if it takes too long.
fn end(child: &mut Child) {
    if !process::wait_until(STOP_LIMIT, || !matches!(child.try_wait(), Ok(None))) {
        let _ = child.kill();
        let _ = child.wait();
    }
}
