//! Running hooks: in time, without passwords, and without a say in how the run ends.

use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::cli::args::{Event, Hook, HookArguments};

/// So much of what a hook prints is shown.
const SHOWN_BYTES: u64 = 4096;
/// What a hook has left running may hold its output open; that is not waited for.
const OUTPUT_WITHIN: Duration = Duration::from_secs(1);

/// What hooks are told, beside the JSON: `CLICKHOUSE_BACKFILL_STATUS` and so on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// `started`, `completed`, `failed`, `interrupted` or `refused`.
    pub status: String,
    pub job: String,
    pub partition: String,
    /// Empty where it is not known.
    pub run_id: String,
    /// `None` until the run has ended.
    pub exit_code: Option<u8>,
    /// One object.
    pub json: String,
}

/// Runs the hooks of an event, one after the other. That one fails is said, and changes nothing.
pub(crate) async fn run_hooks(arguments: &HookArguments, event: Event, told: &Told) {
    for hook in arguments.hook.iter().filter(|hook| hook.event == event) {
        let Ended { problem, output } = run(hook, told, arguments.hook_timeout).await;
        let output = output.trim_end();
        match problem {
            None => tracing::info!(output, "the hook {event} was run"),
            Some(problem) => {
                tracing::warn!(output, "the hook {event} {problem}; the run is not affected");
            }
        }
    }
}

struct Ended {
    problem: Option<String>,
    output: String,
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        Self { problem: Some(format!("cannot be run: {error}")), output: String::new() }
    }
}

async fn run(hook: &Hook, told: &Told, limit: Duration) -> Ended {
    let mut child = match command(hook, told).spawn() {
        Ok(child) => child,
        Err(error) => return error.into(),
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // Whoever writes more than fits is read to the end all the same, or it would wait for ever.
    let output = tokio::spawn(async move { tokio::join!(beginning(stdout), beginning(stderr)) });
    let waiting = async {
        give(&mut child, &told.json).await;
        child.wait().await
    };
    let ended = timeout(limit, waiting).await;
    let problem = match ended {
        Ok(Ok(status)) => problem(status),
        Ok(Err(error)) => Some(format!("cannot be waited for: {error}")),
        Err(_) => {
            kill(&mut child).await;
            Some(format!("took longer than {} s and was killed", limit.as_secs_f64()))
        }
    };
    let printed = timeout(OUTPUT_WITHIN, output).await;
    let output = printed
        .ok()
        .and_then(Result::ok)
        .map(|(stdout, stderr)| stdout + &stderr)
        .unwrap_or_default();
    Ended { problem, output }
}

/// A process group of its own, so that Ctrl-C on the terminal does not end it, and all that it
/// starts can be killed.
fn command(hook: &Hook, told: &Told) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(&hook.command).process_group(0).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in secrets() {
        command.env_remove(name);
    }
    let exit_code = told.exit_code.map(|code| code.to_string()).unwrap_or_default();
    let variables = [
        ("EVENT", &hook.event.to_string()),
        ("STATUS", &told.status),
        ("JOB", &told.job),
        ("PARTITION", &told.partition),
        ("RUN_ID", &told.run_id),
        ("EXIT_CODE", &exit_code),
    ];
    for (name, value) in variables {
        command.env(format!("CLICKHOUSE_BACKFILL_{name}"), value);
    }
    command
}

/// Variables that hold a password, of this program: a hook talks to others. Those of `.env` are in
/// the environment by now.
fn secrets() -> impl Iterator<Item = OsString> {
    let with_password = |name: &&str| {
        let value = std::env::var_os(name).unwrap_or_default();
        name.ends_with("_PASSWORD") || value.to_string_lossy().contains('@')
    };
    let names = ["CLICKHOUSE_PASSWORD", "SOURCE_PASSWORD", "CLICKHOUSE_URL", "SOURCE_URL"];
    names.into_iter().filter(with_password).map(OsString::from).collect::<Vec<_>>().into_iter()
}

/// A hook that does not read is no error.
async fn give(child: &mut Child, json: &str) {
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(json.as_bytes()).await;
        let _ = stdin.shutdown().await;
    }
}

/// The first bytes; the rest is read and forgotten.
async fn beginning(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut pipe) = pipe else { return String::new() };
    let mut bytes = Vec::new();
    // What was read before a failure is still worth showing.
    let _ = (&mut pipe).take(SHOWN_BYTES).read_to_end(&mut bytes).await;
    let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

fn problem(status: ExitStatus) -> Option<String> {
    if status.success() { None } else { Some(format!("failed: {status}")) }
}

/// Kills the whole group; a shell can do that everywhere.
async fn kill(child: &mut Child) {
    if let Some(id) = child.id() {
        let mut killing = Command::new("sh");
        killing
            .args(["-c", r#"kill -s KILL -- "-$0""#, &id.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let _ = killing.status().await;
    }
    // Of the shell itself, in case that was all there is; and so that no zombie stays.
    let _ = child.kill().await;
}
