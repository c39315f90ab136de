//! Keeping the first few rows as they are sent to the server, for a person to look at.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;

/// The most bytes that a sample keeps: it becomes part of a statement.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// Collects rows until it has enough.
#[derive(Debug)]
pub struct Sampler {
    wanted: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rows_left: usize,
    rows: Vec<u8>,
    full: Option<oneshot::Sender<Vec<u8>>>,
}

impl Sampler {
    /// Collects so many rows. The receiver gets them, in RowBinary, as soon as they are there;
    /// fewer when [`Self::close`] is called before.
    pub fn new(rows: usize) -> (Self, oneshot::Receiver<Vec<u8>>) {
        let (sender, receiver) = oneshot::channel();
        let state = State { rows_left: rows, rows: Vec::new(), full: Some(sender) };
        (Self { wanted: AtomicBool::new(rows > 0), state: Mutex::new(state) }, receiver)
    }

    /// Whether more rows are wanted. Costs next to nothing.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Offers a row in two parts.
    pub(super) fn offer(&self, parts: [&[u8]; 2]) {
        let length = parts.iter().map(|part| part.len()).sum();
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if state.rows_left == 0 || state.rows.len().saturating_add(length) > MAX_BYTES {
            return;
        }
        for part in parts {
            state.rows.extend_from_slice(part);
        }
        state.rows_left -= 1;
        if state.rows_left == 0 {
            self.finish(&mut state);
        }
    }

    /// Hands out what there is; nothing more will come.
    pub fn close(&self) {
        self.finish(&mut self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    fn finish(&self, state: &mut State) {
        self.wanted.store(false, Ordering::Relaxed);
        if let Some(sender) = state.full.take() {
            // Nobody may be listening any more.
            let _ = sender.send(std::mem::take(&mut state.rows));
        }
    }
}
