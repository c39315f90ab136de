//! The one server that all tests of a run share, each in a database of its own.
//!
//! The first test that needs it starts it, under a file lock. It ends with the test runner, also
//! if that is killed: with nextest, which runs each test in a process of its own, the server's owner
//! is their parent; with `cargo test`, it is the one process of all tests.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use super::process;

/// The launcher has its own bound on a server's start; this one allows for the first download of
/// ClickHouse as well.
const START_LIMIT: Duration = Duration::from_secs(900);

/// Settings of the tests' servers that change no result: a killed server loses nothing that it did not
/// sync. Compiled expressions stay, although they take a tenth of a second each to make: they convert
/// numbers otherwise.
pub const PROFILE: &str = "<clickhouse><profiles><default>
    <fsync_metadata>0</fsync_metadata>
</default></profiles></clickhouse>";

/// Where the shared server listens, such as `http://127.0.0.1:8123`. Panics with the launcher's
/// words if it does not start, and if it has ended since.
pub fn url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| Run::current().url().unwrap_or_else(|words| panic!("{words}")))
}

/// One run of the tests.
struct Run {
    /// The test runner's process.
    owner: u32,
    /// The server's folder. The launcher removes it when the owner ends.
    folder: PathBuf,
}

impl Run {
    fn current() -> Self {
        let (owner, name) = match std::env::var("NEXTEST_RUN_ID") {
            Ok(id) => (std::os::unix::process::parent_id(), id),
            Err(_) => (std::process::id(), format!("process-{}", std::process::id())),
        };
        let folder = std::env::temp_dir().join(format!("clickhouse-shared-{name}"));
        Self { owner, folder }
    }

    fn url(&self) -> Result<String, String> {
        fs::create_dir_all(&self.folder).unwrap();
        // The lock is released with the file, and with a process that is killed.
        let lock = File::create(self.folder.join("start.lock")).unwrap();
        lock.lock().unwrap();
        let (ready, log) = (self.folder.join("ready"), self.folder.join("serve.log"));
        if !log.exists() {
            self.start(&ready, &log);
        }
        let said = fs::read_to_string(&ready).unwrap_or_default();
        let url = said.lines().find_map(|line| line.strip_prefix("url="));
        url.map(str::to_owned).ok_or_else(|| {
            let words = fs::read_to_string(&log).unwrap_or_default();
            format!("the tests' shared server did not start, or has ended:\n{words}")
        })
    }

    fn start(&self, ready: &Path, log: &Path) {
        let log = File::create(log).unwrap();
        let users = self.folder.join("users.xml");
        fs::write(&users, PROFILE).unwrap();
        let mut launcher = Command::new("python3")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/clickhouse"))
            .args(["serve", "--owner", &self.owner.to_string()])
            .arg("--dir")
            .arg(&self.folder)
            .arg("--users")
            .arg(users)
            .arg("--ready-file")
            .arg(ready)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            // A test that is ended takes its own process group with it.
            .process_group(0)
            .spawn()
            .expect("python3 can be run");
        process::wait_until(START_LIMIT, || {
            ready.exists() || !matches!(launcher.try_wait(), Ok(None))
        });
    }
}
