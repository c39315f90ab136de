//! The allocator's settings for a process that has a memory limit.

/// Makes the allocator return freed memory to the system, for a process with this limit in bytes.
///
/// By default glibc raises the size from which a block of memory is returned at once to that of
/// freed blocks, up to 32 MiB, and keeps twice as much at the end of each arena. Rows of megabytes
/// would stay allocated once for each thread that ever held one.
pub(crate) fn return_freed_memory(limit: u64) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// Above the pieces of which batches consist, so that those are used again.
        const RETURNED_AT_ONCE: libc::c_int = 2 << 20;
        let kept = (limit / 16).clamp(8 << 20, 64 << 20);
        let kept = libc::c_int::try_from(kept).unwrap_or(RETURNED_AT_ONCE);
        // SAFETY: mallopt takes numbers only, locks the allocator itself, and may be called at any
        // time. It refuses a value by its result, which leaves everything as it was.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, RETURNED_AT_ONCE);
            libc::mallopt(libc::M_TRIM_THRESHOLD, kept);
        }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = limit;
}
