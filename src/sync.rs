//! A mutex without poisoning.

#![expect(clippy::disallowed_types, reason = "the mutex that all others use")]

use std::sync::PoisonError;

pub(crate) use std::sync::MutexGuard;

/// A mutex that stays usable after a thread panicked while it held the lock.
///
/// Every critical section leaves its data consistent at any point where it could panic, so there is
/// nothing that a poisoned lock would protect.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    /// Waits for the lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_panic_with_the_lock_held_leaves_it_usable() {
        let mutex = Arc::new(Mutex::new(1));
        let held = Arc::clone(&mutex);
        let panicked = std::thread::spawn(move || {
            let mut value = held.lock();
            *value = 2;
            panic!("with the lock held");
        });
        assert!(panicked.join().is_err());
        assert_eq!(*mutex.lock(), 2);
    }
}
