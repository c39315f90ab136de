//! The memory that a map takes, shown for as long as it lives.

use std::sync::Arc;

use super::Counters;

/// Adds its bytes to the counter, and takes them away when it is dropped.
#[derive(Debug)]
pub(super) struct MapMemory {
    counters: Arc<Counters>,
    bytes: u64,
}

impl MapMemory {
    pub fn new(counters: Arc<Counters>) -> Self {
        Self { counters, bytes: 0 }
    }

    /// Notes what the map takes now.
    pub fn set(&mut self, bytes: u64) {
        self.counters.lookup_memory_bytes.add(bytes);
        self.counters.lookup_memory_bytes.take(self.bytes);
        self.bytes = bytes;
        self.counters.lookup_memory_peak_bytes.raise(self.counters.lookup_memory_bytes.get());
    }
}

impl Drop for MapMemory {
    fn drop(&mut self) {
        self.counters.lookup_memory_bytes.take(self.bytes);
    }
}

/// What one attempt to load a wave has counted so far.
#[derive(Debug)]
pub(super) struct LoadTally {
    counters: Arc<Counters>,
    rows: u64,
    bytes: u64,
    keys: u64,
}

impl LoadTally {
    pub fn new(counters: Arc<Counters>) -> Self {
        Self { counters, rows: 0, bytes: 0, keys: 0 }
    }

    /// More rows came, and the map has so many keys now.
    pub fn add(&mut self, rows: u64, bytes: u64, keys: u64) {
        self.rows += rows;
        self.bytes += bytes;
        self.counters.lookup_rows.add(rows);
        self.counters.lookup_bytes.add(bytes);
        self.set_keys(keys);
    }

    /// The map has so many keys now.
    pub fn set_keys(&mut self, keys: u64) {
        self.counters.lookup_keys.add(keys);
        self.counters.lookup_keys.take(self.keys);
        self.keys = keys;
    }

    /// The attempt does not count.
    pub fn take_back(&mut self) {
        self.counters.lookup_rows.take(self.rows);
        self.counters.lookup_bytes.take(self.bytes);
        self.counters.lookup_rows_given_up.add(self.rows);
        self.counters.lookup_bytes_given_up.add(self.bytes);
        self.set_keys(0);
        (self.rows, self.bytes) = (0, 0);
    }
}
