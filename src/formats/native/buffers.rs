//! Buffers of blocks, reused once their block was sent: getting fresh pages from the kernel takes longer
//! than all the work on a block.

use std::sync::Arc;

use bytes::Bytes;

use crate::sync::Mutex;

/// Buffers that are not in use. There are never more buffers than were in use at once.
#[derive(Debug, Default)]
pub(crate) struct BlockBuffers {
    free: Mutex<FreeBuffers>,
}

#[derive(Debug, Default)]
struct FreeBuffers {
    buffers: Vec<Vec<u8>>,
    closed: bool,
}

impl BlockBuffers {
    /// Frees all buffers, and keeps none from now on. Returns whether it kept them until now.
    pub(crate) fn close(&self) -> bool {
        let mut free = self.free.lock();
        free.buffers = Vec::new();
        !std::mem::replace(&mut free.closed, true)
    }

    /// Whether buffers are no longer kept.
    pub(crate) fn is_closed(&self) -> bool {
        self.free.lock().closed
    }

    /// An empty buffer, of this capacity if it is new.
    pub(super) fn take(&self, capacity: usize) -> Vec<u8> {
        let used = self.free.lock().buffers.pop();
        used.unwrap_or_else(|| Vec::with_capacity(capacity))
    }

    /// The bytes of a buffer, which comes back when the last of them is dropped.
    pub(super) fn share(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(BlockBuffer { bytes, buffers: Arc::clone(self) })
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut free = self.free.lock();
        if !free.closed {
            free.buffers.push(buffer);
        }
    }
}

struct BlockBuffer {
    bytes: Vec<u8>,
    buffers: Arc<BlockBuffers>,
}

impl AsRef<[u8]> for BlockBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for BlockBuffer {
    fn drop(&mut self) {
        self.buffers.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_the_last_part_of_its_bytes() {
        let buffers = Arc::new(BlockBuffers::default());
        let mut buffer = buffers.take(1000);
        buffer.extend_from_slice(b"abc");
        let bytes = buffers.share(buffer);
        let part = bytes.slice(1..2);
        drop(bytes);
        assert_eq!(buffers.take(1).capacity(), 1, "it is in use");
        assert_eq!(&*part, b"b");
        drop(part);
        let again = buffers.take(1);
        assert_eq!((again.len(), again.capacity()), (0, 1000));
        assert!(buffers.close() && !buffers.close());
        drop(buffers.share(again));
        assert_eq!(buffers.take(1).capacity(), 1);
    }
}
