//! A finished block: large pieces as they are, with the small ones between them put together.

use bytes::Bytes;

/// Pieces up to this size are copied to one another: sending each would cost more.
const SMALL: usize = 32 * 1024;

/// The bytes of a block as they come together.
#[derive(Debug, Default)]
pub(super) struct Output {
    pieces: Vec<Bytes>,
    small: Vec<u8>,
}

impl Output {
    /// Appends a copy of few bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.small.extend_from_slice(bytes);
    }

    /// Appends a piece, without copying it if it is large.
    pub(super) fn push_piece(&mut self, piece: Vec<u8>) {
        if piece.len() <= SMALL {
            self.small.extend_from_slice(&piece);
        } else {
            self.flush();
            self.pieces.push(Bytes::from(piece));
        }
    }

    /// What has been appended, in order.
    pub(super) fn finish(mut self) -> Vec<Bytes> {
        self.flush();
        self.pieces
    }

    fn flush(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push(Bytes::from(std::mem::take(&mut self.small)));
        }
    }
}

/// Appends a number as it is in both formats: seven bits in each byte, the lowest first; the top
/// bit says that more follow.
pub(super) fn write_number(mut number: u64, out: &mut Vec<u8>) {
    loop {
        let [lowest, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(lowest);
            return;
        }
        out.push(lowest | 0x80);
    }
}

/// Appends a text with its length in front.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    write_number(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}
