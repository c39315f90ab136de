//! Hooks: what they receive, and running them with a time limit and without passwords.

use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::cli::args::{Event, Hook, HookArguments};
use crate::cli::failure::{Failure, INTERRUPTED};
use crate::metrics::ObservedRun;
use crate::progress::Summary;
use crate::state::LoadState;

/// How much of a hook's output is logged.
const SHOWN_BYTES: u64 = 4096;
/// How long the output is waited for after the hook has ended: processes that it started may keep it
/// open.
const OUTPUT_WITHIN: Duration = Duration::from_secs(1);

/// What hooks receive: `CLICKHOUSE_BACKFILL_STATUS` and other variables, and a JSON object on stdin.
#[derive(Clone, Debug, Default)]
pub(crate) struct HookEvent {
    /// `started`, `completed`, `failed`, `interrupted` or `refused`.
    pub status: String,
    pub job: String,
    pub partition: String,
    /// Empty if it is unknown.
    pub run_id: String,
    /// `None` until the end of the run.
    pub exit_code: Option<u8>,
    /// One JSON object.
    pub json: String,
}

impl HookEvent {
    /// The event of a run whose rows begin to move.
    pub(super) fn started(run: &ObservedRun, partition: &str) -> Self {
        let subject = run.control().subject();
        let run_id = run.control().run_id().unwrap_or_default();
        let json = json!({
            "status": LoadState::Started,
            "job": subject.job,
            "partition": subject.partition,
            "run_id": run_id,
            "dry_run": subject.dry_run,
            "source": subject.source,
            "target": subject.target,
            "worker": run.info().worker,
        });
        Self {
            status: LoadState::Started.name().to_owned(),
            job: subject.job.clone(),
            partition: partition.to_owned(),
            run_id,
            exit_code: None,
            json: json.to_string(),
        }
    }

    /// The event of a run that has a summary.
    pub(super) fn ended(summary: &Summary, failure: Option<&Failure>, partition: &str) -> Self {
        let (status, code) = match (failure, summary.status) {
            (Some(failure), _) => (status_of(failure), failure.code()),
            (None, LoadState::Interrupted) => (LoadState::Interrupted.name(), INTERRUPTED),
            (None, state) => (state.name(), 0),
        };
        Self {
            status: status.to_owned(),
            job: summary.job.clone(),
            partition: partition.to_owned(),
            run_id: summary.run_id.clone(),
            exit_code: Some(code),
            json: serde_json::to_string(summary).unwrap_or_default(),
        }
    }

    /// The event of a run that failed before it had a summary.
    pub(super) fn failed(failure: &Failure, job: &str, partition: &str) -> Self {
        let (status, code) = (status_of(failure), failure.code());
        let json = json!({
            "status": status,
            "job": job,
            "partition": partition,
            "error": failure.one_line(),
            "exit_code": code,
        });
        Self {
            status: status.to_owned(),
            job: job.to_owned(),
            partition: partition.to_owned(),
            run_id: String::new(),
            exit_code: Some(code),
            json: json.to_string(),
        }
    }
}

/// The status of a failed run in events.
fn status_of(failure: &Failure) -> &'static str {
    if failure.is_refusal() { "refused" } else { LoadState::Failed.name() }
}

/// Runs the hooks of an event, one after the other. Failures are logged and do not affect the run.
pub(crate) async fn run_hooks(arguments: &HookArguments, when: Event, event: &HookEvent) {
    for hook in arguments.hook.iter().filter(|hook| hook.event == when) {
        let HookResult { problem, output } = run(hook, event, arguments.hook_timeout).await;
        let output = output.trim_end();
        match problem {
            None => tracing::info!(output, "hook {when} ran"),
            Some(problem) => {
                tracing::warn!(output, "hook {when} {problem}; the run is not affected");
            }
        }
    }
}

struct HookResult {
    problem: Option<String>,
    output: String,
}

impl From<std::io::Error> for HookResult {
    fn from(error: std::io::Error) -> Self {
        Self { problem: Some(format!("cannot be run: {error}")), output: String::new() }
    }
}

async fn run(hook: &Hook, event: &HookEvent, limit: Duration) -> HookResult {
    let mut child = match command(hook, event).spawn() {
        Ok(child) => child,
        Err(error) => return error.into(),
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // Output beyond the limit is read and dropped: a hook with a full pipe would never end.
    let output = tokio::spawn(async move { tokio::join!(read_start(stdout), read_start(stderr)) });
    let waiting = async {
        write_stdin(&mut child, &event.json).await;
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
    HookResult { problem, output }
}

/// The hook gets a process group of its own, so that Ctrl-C on the terminal does not end it and
/// everything it starts can be killed.
fn command(hook: &Hook, event: &HookEvent) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(&hook.command).process_group(0).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in secrets() {
        command.env_remove(name);
    }
    let exit_code = event.exit_code.map(|code| code.to_string()).unwrap_or_default();
    let variables = [
        ("EVENT", &hook.event.to_string()),
        ("STATUS", &event.status),
        ("JOB", &event.job),
        ("PARTITION", &event.partition),
        ("RUN_ID", &event.run_id),
        ("EXIT_CODE", &exit_code),
    ];
    for (name, value) in variables {
        command.env(format!("CLICKHOUSE_BACKFILL_{name}"), value);
    }
    command
}

/// This program's variables that hold a password, which hooks do not get. Those of `.env` are in the
/// environment by now.
fn secrets() -> impl Iterator<Item = OsString> {
    let with_password = |name: &&str| {
        let value = std::env::var_os(name).unwrap_or_default();
        name.ends_with("_PASSWORD") || value.to_string_lossy().contains('@')
    };
    let names = ["CLICKHOUSE_PASSWORD", "SOURCE_PASSWORD", "CLICKHOUSE_URL", "SOURCE_URL"];
    names.into_iter().filter(with_password).map(OsString::from).collect::<Vec<_>>().into_iter()
}

/// Writes the JSON to the hook's stdin; a hook may ignore it.
async fn write_stdin(child: &mut Child, json: &str) {
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(json.as_bytes()).await;
        let _ = stdin.shutdown().await;
    }
}

/// Reads the first bytes and drops the rest.
async fn read_start(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut pipe) = pipe else { return String::new() };
    let mut bytes = Vec::new();
    // Output before a read error is still useful.
    let _ = (&mut pipe).take(SHOWN_BYTES).read_to_end(&mut bytes).await;
    let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

fn problem(status: ExitStatus) -> Option<String> {
    if status.success() { None } else { Some(format!("failed: {status}")) }
}

/// Kills the process group; a shell can do that on every system.
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
    // Also reaps the shell.
    let _ = child.kill().await;
}
