//! Running a command: the runtime, the signals that stop it, and panics.

use std::any::Any;
use std::panic;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::{Failure, INTERRUPTED};
use crate::engine::stream::Counters;
use crate::progress::{Terminal, TerminalOptions, counted};
use crate::stop::Stop;
use crate::sync::Mutex;

/// What a command says when it is asked to stop.
pub(crate) struct Stopping<'a> {
    /// What happens after the first signal.
    pub first: &'a str,
    /// What is safe when the second has ended it, and how it is continued.
    pub second: &'a dyn Fn() -> String,
}

/// How most commands are continued.
pub(crate) fn run_again() -> String {
    "run the same command again to continue".to_owned()
}

/// The counters of what a command does now.
#[derive(Debug, Default)]
pub(crate) struct Underway(Mutex<Option<Arc<Counters>>>);

impl Underway {
    /// Sets the counters of a partition that begins.
    pub(crate) fn begin(&self, counters: Arc<Counters>) {
        *self.0.lock() = Some(counters);
    }

    /// What is safe of the partition.
    pub(crate) fn safe(&self) -> String {
        let numbers =
            self.0.lock().as_ref().map(|counters| counters.snapshot()).unwrap_or_default();
        match numbers.chunks_done {
            0 => {
                "no chunk was done; rows that were inserted stay, and are inserted again".to_owned()
            }
            chunks => format!(
                "safe: {} in {} done; chunks of the last seconds may be read again",
                counted(numbers.rows_done, "row"),
                counted(chunks, "chunk")
            ),
        }
    }
}

/// Runs `work` until it ends or the second signal arrives. The first signal asks it to stop.
pub(crate) fn run_until_signalled<Work>(
    terminal: &Terminal,
    stopping: &Stopping<'_>,
    work: impl FnOnce(Stop) -> Work,
) -> Result<ExitCode, Failure>
where
    Work: Future<Output = Result<ExitCode, Failure>>,
{
    let runtime = Runtime::new().map_err(|error| Failure::stopped(&error))?;
    let code = runtime.block_on(async {
        let stop = Stop::new();
        tokio::select! {
            code = work(stop.clone()) => code,
            signalled = second_signal(stop, terminal, stopping) => match signalled {
                Ok(()) => Ok(ExitCode::from(INTERRUPTED)),
                Err(error) => Err(Failure::stopped(&error)),
            },
        }
    });
    // Tasks that are busy at the second signal are abandoned.
    runtime.shutdown_timeout(Duration::from_millis(100));
    match code {
        Err(failure) if terminal.is_json() => {
            failure.log();
            Ok(failure.exit_code())
        }
        code => code,
    }
}

/// Runs `work` to its end. What is still in flight then, such as a query that has timed out, is
/// abandoned.
pub(crate) fn run_to_end<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = Runtime::new().map_err(|error| Failure::stopped(&error))?;
    let ended = runtime.block_on(work);
    runtime.shutdown_background();
    ended
}

/// The signals that ask a process to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}

/// Requests the stop at the first signal; returns at the second.
async fn second_signal(
    stop: Stop,
    terminal: &Terminal,
    stopping: &Stopping<'_>,
) -> std::io::Result<()> {
    let mut signals = Signals::listen()?;
    let name = signals.next().await;
    terminal.insist(&format!("{name}: {}", stopping.first));
    stop.request();
    let name = signals.next().await;
    terminal.insist(&format!("{name}: ended at once; {}", (stopping.second)()));
    Ok(())
}

/// Replaces the standard panic message, which names neither the program nor what is safe.
pub(super) fn install_panic_hook() {
    panic::set_hook(Box::new(|panic| {
        let message = panic_message(panic.payload(), panic.location());
        // The log has a format of its own, and may go to a file as well.
        if tracing::dispatcher::has_been_set() {
            tracing::error!("{message}");
        } else {
            Terminal::new(TerminalOptions::default()).insist(&format!("error: {message}"));
        }
    }));
}

/// The message and the place, and no values the program was working with.
fn panic_message(payload: &(dyn Any + Send), location: Option<&panic::Location<'_>>) -> String {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = location.map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    format!(
        "internal error of {} {}: {} ({place}); inserted rows stay, and the same command can be run again",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION"),
        message.unwrap_or("no message")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_message_has_no_values_of_the_program() {
        let messages = Arc::new(Mutex::new(Vec::new()));
        let kept = messages.clone();
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |fault| {
            kept.lock().push(panic_message(fault.payload(), fault.location()));
        }));
        let secret = crate::clickhouse::Password::new("Tangerine-Submarine");
        let faults: [&(dyn Fn() + panic::RefUnwindSafe); 3] =
            [&|| panic!("a plain one"), &|| panic!("with {secret:?}"), &|| panic::panic_any(7)];
        for fault in faults {
            panic::catch_unwind(fault).unwrap_err();
        }
        panic::set_hook(before);
        let messages = messages.lock();
        for (message, part) in messages.iter().zip(["a plain one", "with (hidden)", "no message"]) {
            assert!(
                message.contains(part)
                    && message.contains("runtime.rs:")
                    && !message.contains("Submarine"),
                "{message}"
            );
        }
        assert_eq!(messages.len(), 3);
    }
}
