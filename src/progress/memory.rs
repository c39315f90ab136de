//! The memory of this process.

/// The most memory that the process has held, in bytes: `VmHWM` of
/// [`/proc/self/status`](https://man7.org/linux/man-pages/man5/proc_pid_status.5.html); `None` where there is no such file.
pub fn peak_memory_bytes() -> Option<u64> {
    field("VmHWM:")
}

/// The memory that the process holds now, in bytes.
pub(super) fn memory_bytes() -> Option<u64> {
    field("VmRSS:")
}

fn field(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn a_process_has_memory() {
        let (peak, now) = (super::peak_memory_bytes().unwrap(), super::memory_bytes().unwrap());
        assert!(peak >= 1 << 20 && now >= 1 << 20, "{peak} {now}");
    }
}
