//! Which process holds a claim, and whether it is gone.
//!
//! From [proc(5)](https://man7.org/linux/man-pages/man5/proc.5.html). Where the system does not
//! tell, nothing is ever taken for gone, and claims end by their age alone.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::columns::{Sql, record};

record! {
    /// The identity of a process: no other one, before or after, on this machine or another, has the
    /// same.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct ProcessIdentity {
        host: String => Sql::of("String"), "The name of its machine";
        machine: String => Sql::of("String"), "The boot of the machine and the namespace of its process ids; empty if the system does not report them";
        pid: u32 => Sql::of("UInt32"), "The process id";
        process_started: u64 => Sql::of("UInt64"), "Start of the process in clock ticks since the boot";
    }
}

impl ProcessIdentity {
    /// This process.
    pub fn current() -> Self {
        let pid = std::process::id();
        let host = read("/proc/sys/kernel/hostname")
            .or_else(|| std::env::var("HOSTNAME").ok())
            .unwrap_or_else(|| "unknown".to_owned());
        let boot = read("/proc/sys/kernel/random/boot_id");
        // Containers may share the machine's name and yet number their processes each for itself.
        let namespace =
            fs::read_link("/proc/self/ns/pid").ok().map(|link| link.display().to_string());
        let machine = boot
            .zip(namespace)
            .map(|(boot, namespace)| format!("{boot} {namespace}"))
            .unwrap_or_default();
        let started = match start_of(pid) {
            Found::Started(ticks) => ticks,
            Found::Gone | Found::Unknown => 0,
        };
        Self { host, machine, pid, process_started: started }
    }

    /// Whether this process has certainly ended, seen from the machine of `here`. Of a process
    /// elsewhere nothing is certain.
    pub fn is_gone(&self, here: &Self) -> bool {
        if self.machine.is_empty()
            || self.process_started == 0
            || self.machine != here.machine
            || self.host != here.host
        {
            return false;
        }
        match start_of(self.pid) {
            Found::Gone => true,
            Found::Started(ticks) => ticks != self.process_started,
            Found::Unknown => false,
        }
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

enum Found {
    Started(u64),
    Gone,
    Unknown,
}

/// The start of a process: field 22 of its `stat`, behind the program's name in parentheses, which
/// may contain anything.
fn start_of(pid: u32) -> Found {
    let text = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        // Processes of others may be hidden (hidepid); then the first one is hidden as well.
        Err(error) if error.kind() == ErrorKind::NotFound && Path::new("/proc/1/stat").exists() => {
            return Found::Gone;
        }
        Err(_) => return Found::Unknown,
    };
    let mut fields =
        text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).into_iter().flatten();
    // A zombie has ended; it only waits for its parent to look.
    if matches!(fields.next(), Some("Z" | "X")) {
        return Found::Gone;
    }
    fields.nth(18).and_then(|ticks| ticks.parse().ok()).map_or(Found::Unknown, Found::Started)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_not_gone_and_an_ended_one_is() {
        let here = ProcessIdentity::current();
        assert!(
            here.process_started > 0 && !here.host.is_empty() && !here.machine.is_empty(),
            "{here:?}"
        );
        assert!(!here.is_gone(&here));
        let given_out_again =
            ProcessIdentity { process_started: here.process_started - 1, ..here.clone() };
        assert!(given_out_again.is_gone(&here));

        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let Found::Started(started) = start_of(child.id()) else { panic!("the child runs") };
        let other = ProcessIdentity { pid: child.id(), process_started: started, ..here.clone() };
        assert!(!other.is_gone(&here));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(other.is_gone(&here));
        let elsewhere = ProcessIdentity { machine: "another".to_owned(), ..other.clone() };
        assert!(!elsewhere.is_gone(&here));
        assert!(!ProcessIdentity { host: "another".to_owned(), ..other }.is_gone(&here));
    }
}
