//! What a run reports to others: metrics, hooks, and with `--json` one line on stdout. Hooks run with
//! a time limit and without passwords.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::cli::args::{Event, Given, Hook, HookArguments, RunArguments};
use crate::cli::config::RunConfig;
use crate::cli::failure::{Failure, INTERRUPTED};
use crate::cli::output::print;
use crate::cli::runtime::Underway;
use crate::control::RuntimeOverrides;
use crate::escape::escape;
use crate::metrics::{Exporter, MetricsError, ObservedRun};
use crate::progress::{Summary, Terminal};
use crate::state::LoadState;
use crate::stop::Stop;

/// Reports the events of one process, which may fill several partitions.
pub(crate) struct Notifier<'a> {
    arguments: &'a RunArguments,
    terminal: &'a Terminal,
    exporter: Option<Exporter>,
    /// What `--json` prints at the end.
    last_line: RefCell<Option<String>>,
    /// Whether hooks have received the end of a run.
    has_reported_end: Cell<bool>,
}

impl<'a> Notifier<'a> {
    pub(super) fn new(arguments: &'a RunArguments, terminal: &'a Terminal) -> Self {
        Self {
            arguments,
            terminal,
            exporter: None,
            last_line: RefCell::default(),
            has_reported_end: Cell::default(),
        }
    }

    /// Starts to export metrics, if the arguments ask for it.
    pub(super) async fn start(&mut self) -> Result<(), Failure> {
        let metrics = &self.arguments.metrics;
        let file = metrics.metrics_file.as_deref().filter(|path| *path != Path::new(""));
        let exporter = Exporter::start(metrics.metrics_listen, file).await.map_err(|error| {
            let hint = match error {
                MetricsError::Listen { .. } => {
                    "set --metrics-listen to another port; 0 lets the system choose one"
                }
                MetricsError::File { .. } => {
                    "set --metrics-file to a file in a directory that this user can write to"
                }
            };
            Failure::misuse(&error).hint(hint)
        })?;
        if let Some(address) = exporter.address() {
            self.terminal
                .say(&format!("live page: http://{address}/, metrics: http://{address}/metrics"));
        }
        self.exporter = Some(exporter);
        Ok(())
    }

    /// Reports that rows begin to move. The hooks run beside them.
    pub(super) fn partition_started(
        &self,
        run: Arc<ObservedRun>,
        partition: &str,
    ) -> JoinHandle<()> {
        let event = HookEvent::started(&run, partition);
        if let Some(exporter) = &self.exporter {
            exporter.observe(run);
        }
        let hooks = self.arguments.hooks.clone();
        tokio::spawn(async move { run_hooks(&hooks, Event::Start, &event).await })
    }

    /// Reports the end of a partition, after the hooks of its start have ended.
    pub(super) async fn partition_ended(
        &self,
        start_hooks: Option<JoinHandle<()>>,
        summary: Option<&Summary>,
        failure: Option<&Failure>,
        partition: &str,
    ) {
        if let Some(exporter) = &self.exporter
            && let Err(error) = exporter.write().await
        {
            tracing::warn!(%error, "the last metrics are missing; the run is not affected");
        }
        if let Some(start_hooks) = start_hooks {
            // Hooks have a time limit of their own.
            let _ = start_hooks.await;
        }
        let event = match (summary, failure) {
            (Some(summary), failure) => HookEvent::ended(summary, failure, partition),
            (None, Some(failure)) => {
                HookEvent::failed(failure, &self.arguments.what.job, partition)
            }
            (None, None) => {
                HookEvent::failed(&Failure::interrupted(), &self.arguments.what.job, partition)
            }
        };
        self.run_end_hooks(&event, failure.is_some()).await;
        self.set_last_line(event.json);
    }

    /// Sets the line that `--json` prints at the end.
    pub(super) fn set_last_line(&self, line: String) {
        *self.last_line.borrow_mut() = Some(line);
    }

    /// Ends the reports of the process: a failure before the first partition is reported now.
    pub(super) async fn end(self, result: Result<ExitCode, Failure>) -> Result<ExitCode, Failure> {
        let failure = result.as_ref().err();
        let failed = failure.map(|failure| self.process_failed(failure));
        if let Some(event) = failed.as_ref().filter(|_| !self.has_reported_end.get()) {
            let is_failure = failure.is_some_and(|failure| !failure.is_interruption());
            self.run_end_hooks(event, is_failure).await;
        }
        if let Some(exporter) = &self.exporter {
            exporter.end().await;
        }
        let line = self.last_line.take().or(failed.map(|event| event.json));
        let Some(line) = line.filter(|_| self.arguments.format.is_json()) else { return result };
        let printed = self.terminal.suspended(|| print(&format!("{line}\n")));
        // The failure of the run is more important than a failure to print.
        result.and_then(|code| printed.map(|()| code))
    }

    async fn run_end_hooks(&self, event: &HookEvent, is_failure: bool) {
        self.has_reported_end.set(true);
        if is_failure {
            run_hooks(&self.arguments.hooks, Event::Failure, event).await;
        }
        run_hooks(&self.arguments.hooks, Event::Finish, event).await;
    }

    fn process_failed(&self, failure: &Failure) -> HookEvent {
        let which = &self.arguments.which;
        let one = which.partition.as_ref().map(ToString::to_string);
        let several = which.partitions.as_ref().map(ToString::to_string);
        let partition = one.or(several).unwrap_or_default();
        HookEvent::failed(failure, &self.arguments.what.job, &partition)
    }
}

/// How much of a hook's output is logged.
const SHOWN_BYTES: u64 = 4096;
/// How long the output is waited for after the hook has ended: processes that it started may keep it
/// open.
const OUTPUT_WITHIN: Duration = Duration::from_secs(1);

/// What hooks receive: `CLICKHOUSE_BACKFILL_STATUS` and other variables, and a JSON object on stdin.
#[derive(Clone, Debug)]
struct HookEvent {
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

/// The status of a run in events that ended with this failure.
fn status_of(failure: &Failure) -> &'static str {
    if failure.is_refusal() {
        "refused"
    } else if failure.is_interruption() {
        LoadState::Interrupted.name()
    } else {
        LoadState::Failed.name()
    }
}

/// Runs the hooks of an event, one after the other. Failures are logged and do not affect the run.
async fn run_hooks(arguments: &HookArguments, when: Event, event: &HookEvent) {
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
        // A hook may show it at a terminal.
        write_stdin(&mut child, &escape(&event.json)).await;
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
        name.ends_with("_PASSWORD")
            || name.ends_with("_HEADERS")
            || value.to_string_lossy().contains('@')
    };
    let names = [
        "CLICKHOUSE_PASSWORD",
        "SOURCE_PASSWORD",
        "CLICKHOUSE_URL",
        "SOURCE_URL",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    ];
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

/// The context of one process, which may fill several partitions.
pub(crate) struct RunContext<'a> {
    pub config: &'a RunConfig,
    /// Whether it is one of several runs of this call, which are asked about and reported together.
    pub is_one_of_several: bool,
    /// The flags of this call.
    pub given: &'a Given,
    /// What is done now.
    pub underway: &'a Underway,
    pub terminal: &'a Terminal,
    pub notifier: &'a Notifier<'a>,
    pub stop: Stop,
    /// Limits, which `ctl set` may change for all partitions.
    pub overrides: Arc<RuntimeOverrides>,
    pub began: Instant,
}
