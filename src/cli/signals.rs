//! Signals: the first asks to finish what is in flight, the second ends the process at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::progress::Terminal;
use crate::stop::Stop;

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

/// Asks the work to stop at the first signal, and says in these words what that does; returns at
/// the second.
///
/// # Errors
/// Where the system does not let signals be listened to.
pub(crate) async fn second_signal(
    stop: Stop,
    terminal: Terminal,
    words: &str,
) -> std::io::Result<()> {
    let mut signals = Signals::listen()?;
    let name = signals.next().await;
    terminal.insist(&format!("{name}: {words}"));
    stop.request();
    signals.next().await;
    Ok(())
}
