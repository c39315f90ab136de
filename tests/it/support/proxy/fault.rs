//! What is to go wrong, and where in a stream of bytes.

use std::collections::VecDeque;

/// The way that bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client: requests, inserted rows.
    ToServer = 0,
    /// From the server: responses, selected rows.
    ToClient = 1,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Reset,
    Cut,
    /// Changes these bits of a byte.
    Flip(u8),
    Stall,
    Answer,
    /// With an answer that goes on and on.
    Endless,
}

/// An armed fault.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub action: Action,
    pub direction: Direction,
    /// Bytes of a connection, or behind the marker, that pass before it happens.
    pub offset: u64,
    /// How many times it is still to happen.
    pub times: usize,
    pub marker: Option<Vec<u8>>,
    /// What is answered in the server's place, one after the other.
    pub answers: VecDeque<Vec<u8>>,
}

/// The position of one direction of one connection.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Position {
    /// Bytes passed since the connection was accepted.
    pub passed: u64,
    /// The value of `passed` from which a fault with a marker counts; None until the marker was
    /// seen.
    pub marked: Option<u64>,
}

impl Fault {
    /// The index in the next `length` bytes at which this fault happens, if it does. A length may
    /// be an index as well: a reset, cut or stall comes as soon as the bytes before it have passed,
    /// not with the byte behind them.
    pub fn index_in(
        &self,
        direction: Direction,
        position: Position,
        length: usize,
    ) -> Option<usize> {
        if self.direction != direction || self.times == 0 {
            return None;
        }
        let start = if self.marker.is_some() { position.marked? } else { 0 };
        let at = start.checked_add(self.offset)?;
        let index = usize::try_from(at.checked_sub(position.passed)?).ok()?;
        let happens =
            if matches!(self.action, Action::Flip(_)) { index < length } else { index <= length };
        happens.then_some(index)
    }
}

/// Looks for a marker in bytes that come in pieces.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// The end of what was seen, shorter than the marker.
    tail: Vec<u8>,
}

impl Search {
    /// The index in `bytes` just behind the marker's first occurrence, which may have begun in an
    /// earlier piece.
    pub fn end_in(&mut self, marker: &[u8], bytes: &[u8]) -> Option<usize> {
        let before = self.tail.len();
        self.tail.extend_from_slice(bytes);
        let found = self.tail.windows(marker.len()).position(|window| window == marker);
        let end = found.map(|start| start + marker.len() - before);
        let keep = marker.len().saturating_sub(1).min(self.tail.len());
        self.tail.drain(..self.tail.len() - keep);
        end
    }

    pub fn clear(&mut self) {
        self.tail.clear();
    }
}
