//! Asks the processor for memory that will be read soon.

/// Asks for the first bytes of `bytes`, about as many as a record has.
#[inline]
pub(super) fn prefetch(bytes: &[u8]) {
    let start = bytes.as_ptr();
    prefetch_line(start);
    // A record of this length may begin shortly before the end of a line.
    if start.addr() % 64 > 24 {
        prefetch_line(start.wrapping_add(64));
    }
}

/// Asks for the cache line of an address, which need not be one that may be read.
#[inline]
pub(super) fn prefetch_line<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing that the program sees and never faults, whatever the
        // address is; every x86_64 processor has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
