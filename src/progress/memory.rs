//! Memory of this process and of the machine.

/// The peak memory of the process in bytes: `VmHWM` of
/// [`/proc/self/status`](https://man7.org/linux/man-pages/man5/proc_pid_status.5.html); `None` where
/// that file does not exist.
pub(crate) fn peak_memory_bytes() -> Option<u64> {
    field("VmHWM:")
}

/// The current memory of the process, in bytes.
pub(crate) fn memory_bytes() -> Option<u64> {
    field("VmRSS:")
}

/// The memory that this process may still allocate, in bytes: the machine's available memory, or
/// what is left of the control group's limit if that is less.
pub(crate) fn available_memory_bytes() -> Option<u64> {
    let machine = fields("/proc/meminfo", "MemAvailable:")?;
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    // cgroup v2, as containers and systemd set it; "max" is not a number and means no limit.
    let group = number("/sys/fs/cgroup/memory.max").map(|limit| {
        limit.saturating_sub(number("/sys/fs/cgroup/memory.current").unwrap_or_default())
    });
    Some(group.map_or(machine, |group| group.min(machine)))
}

fn field(name: &str) -> Option<u64> {
    fields("/proc/self/status", name)
}

fn fields(path: &str, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(path).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn a_process_has_memory() {
        let (peak, now) = (super::peak_memory_bytes().unwrap(), super::memory_bytes().unwrap());
        assert!(super::available_memory_bytes().unwrap() > 0);
        assert!(peak >= 1 << 20 && now >= 1 << 20, "{peak} {now}");
    }
}
