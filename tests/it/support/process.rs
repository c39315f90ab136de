//! Inspecting and signalling processes by id, and waiting for a condition.

use std::process::Command;
use std::time::{Duration, Instant};

/// Sends a signal, such as `"KILL"`, `"STOP"` or `"TERM"`. A process that has ended already is not
/// an error.
pub fn signal(process: u32, name: &str) {
    let arguments = [format!("-{name}"), process.to_string()];
    Command::new("kill").args(arguments).output().expect("kill can be run");
}

/// Whether a process still runs. One that has ended and waits to be collected by its parent (a
/// zombie) does not.
pub fn is_alive(process: u32) -> bool {
    // The state is the first field behind the program's name, which is in parentheses and may
    // contain anything.
    let Ok(status) = std::fs::read_to_string(format!("/proc/{process}/stat")) else {
        return false;
    };
    let state = status.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    !matches!(state, Some('Z' | 'X'))
}

/// Waits until `condition` holds, for at most `limit`, and returns whether it does. Checks become
/// rarer with time, since a query to a server costs more than it may save.
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(2);
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
