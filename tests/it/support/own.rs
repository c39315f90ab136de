//! A server that a test started itself: killing it and starting it again.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::launcher::{Launch, Launcher};

/// Another process can take a free port before the server listens on it.
const PORT_ATTEMPTS: u32 = 5;

/// The parts that only a server of the test's own has.
#[derive(Debug)]
pub struct Own {
    /// None between `kill9` and `restart`.
    pub launcher: Option<Launcher>,
    pub port: u16,
    pub fixed_port: bool,
    pub config: Option<PathBuf>,
    pub users: Option<PathBuf>,
    pub disk_mib: Option<u64>,
    pub folder: TempDir,
}

impl Own {
    /// Starts the launcher, on the same port as before if there was one, and remembers the port.
    pub fn launch(&mut self) -> Result<(), String> {
        let first = self.port == 0;
        let mut attempt = 1;
        let launcher = loop {
            let port = if first && self.fixed_port { free_port() } else { self.port };
            let directory = self.directory();
            let (config, users) = (self.config.as_deref(), self.users.as_deref());
            match Launcher::start(&Launch {
                directory: &directory,
                port,
                config,
                users,
                disk_mib: self.disk_mib,
            }) {
                Err(words)
                    if port != 0
                        && words.contains("Address already in use")
                        && attempt < PORT_ATTEMPTS =>
                {
                    attempt += 1;
                    std::thread::sleep(Duration::from_millis(200));
                }
                other => break other?,
            }
        };
        self.fixed_port |= !first;
        self.port = launcher.http_port;
        self.launcher = Some(launcher);
        Ok(())
    }

    pub fn launcher(&self) -> &Launcher {
        self.launcher.as_ref().expect("the server runs")
    }

    pub fn directory(&self) -> PathBuf {
        self.folder.path().join("server")
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
