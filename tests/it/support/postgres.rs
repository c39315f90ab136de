//! A `PostgreSQL` of a test's own.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::process;

const SOON: Duration = Duration::from_secs(60);

/// The server, which listens on a port of 127.0.0.1 and logs every statement.
pub struct Postgres {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    server: Option<Child>,
}

impl Postgres {
    pub fn start() -> Self {
        let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let folders = installed.map(|version| version.path().join("bin"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders = folders.chain(std::env::split_paths(&path));
        let programs = folders.find(|folder| folder.join("initdb").exists());
        let programs = programs.expect("PostgreSQL is not installed: initdb is not on PATH");
        let folder = TempDir::with_prefix("postgres-").unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut postgres = Self { programs, folder, port, server: None };
        let arguments = ["-D", "data", "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-locale"];
        let made = postgres.command("initdb").args(arguments).status().unwrap();
        assert!(made.success());
        postgres.listen();
        postgres
    }

    /// A program of the server. `PostgreSQL` refuses to run as root, so it sees another number.
    fn command(&self, program: &str) -> Command {
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        let program = self.programs.join(program);
        let mut command = Command::new(if is_root { Path::new("unshare") } else { &program });
        if is_root {
            command.args(["--user", "--map-user=1000", "--map-group=1000"]).arg(&program);
        }
        command.current_dir(self.folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts the server, also after [`kill`](Self::kill), at the same port.
    pub fn listen(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        let mut server = self.command("postgres");
        // Another zone than that of the values.
        let settings = ["timezone=Europe/Berlin", "log_statement=all", "fsync=off"];
        for setting in settings
            .map(str::to_owned)
            .into_iter()
            .chain(["listen_addresses=127.0.0.1".to_owned(), format!("port={}", self.port)])
        {
            server.args(["-c", &setting]);
        }
        server.args(["-D", "data", "-k"]).arg(self.folder.path()).stderr(log);
        self.server = Some(server.spawn().unwrap());
        assert!(process::wait_until(SOON, || self.psql("SELECT 1").status.success()));
    }

    /// Ends the server at once, with all connections.
    pub fn kill(&mut self) {
        let data = self.folder.path().join("data");
        let mut stopping = self.command("pg_ctl");
        let stopped = stopping.arg("stop").arg("-D").arg(data).args(["-m", "immediate"]).status();
        assert!(stopped.unwrap().success());
        self.server.take().unwrap().wait().unwrap();
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The statements that it has received so far, with other lines of its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap()
    }

    pub fn psql(&self, sql: &str) -> Output {
        let mut command = Command::new(self.programs.join("psql"));
        command.arg("-h").arg(self.folder.path()).args(["-p", &self.port.to_string()]);
        command.args(["-U", "tester", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-qAtc", sql]);
        command.output().unwrap()
    }

    #[track_caller]
    pub fn text(&self, sql: &str) -> String {
        let output = self.psql(sql);
        assert!(output.status.success(), "{sql}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
