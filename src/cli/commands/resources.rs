//! The concurrency of a run and how its memory is divided, from the arguments, this machine and the
//! server's size.

use std::sync::Arc;

use serde::Deserialize;

use crate::allocator::return_freed_memory;
use crate::cli::args::{AtOnce, ThroughputArguments};
use crate::cli::failure::Failure;
use crate::clickhouse::Connection;
use crate::engine::stream::{Concurrency, ConcurrencyBounds, Throttle, insert_memory_bytes};
use crate::job::BoundJob;
use crate::plan::{MemoryDemand, MemoryPlan, MemoryTooSmall};
use crate::progress::available_memory_bytes;

/// The memory limit where the machine's available memory is unknown.
const MEMORY_UNKNOWN: u64 = 4 << 30;

/// Concurrent readers at the start, with `--readers auto`.
const READERS_FIRST: usize = 2;
/// The most readers with `--readers auto`: more of them would only wait for inserters.
const READERS_MOST: usize = 8;
/// The most inserters with `--inserters auto`: more of them help only with many disks.
const INSERTERS_MOST: usize = 16;

/// The concurrency and memory of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resources {
    /// Concurrent readers.
    pub readers: Concurrency,
    /// Concurrent inserters.
    pub inserters: Concurrency,
    /// How memory is divided.
    pub memory: MemoryPlan,
    /// The levels that `ctl set` may choose.
    pub levels: ConcurrencyBounds,
    /// Memory that the server's queries may still allocate, in bytes.
    pub server_memory: u64,
    /// The most chunks that the server engine fills at once.
    pub chunks_most: usize,
}

impl Resources {
    /// The same for the server engine: `--inserters` is the number of chunks that the server fills
    /// at once. Each takes a core, from the first one on.
    pub(crate) fn of_chunks(self, asked: AtOnce) -> Self {
        let inserters = match asked {
            AtOnce::Fixed(_) => self.inserters,
            AtOnce::Auto => Concurrency::Auto { first: self.chunks_most, most: self.chunks_most },
        };
        let bounds = ConcurrencyBounds::of(self.readers, inserters);
        let levels = ConcurrencyBounds {
            readers_found: self.levels.readers_found,
            inserters_found: self.chunks_most,
            ..bounds
        };
        Self { inserters, levels, ..self }
    }

    /// The throttle of a run with these resources. `replaces` says whether repeated rows collapse in
    /// the target. If the target recognizes repeated blocks instead, the inserters stay within the
    /// number that its deduplication window was checked for.
    pub(crate) fn throttle(&self, replaces: bool) -> Arc<Throttle> {
        let Self { readers, inserters, mut levels, .. } = *self;
        if !replaces {
            levels.inserters_most = inserters.most();
        }
        Throttle::within(readers, inserters, levels)
    }
}

/// Resolves the concurrency, and divides the memory limit: the one given, or half of the available
/// memory. `connection` is to the target's server.
pub(crate) async fn resources(
    arguments: &ThroughputArguments,
    connection: &Connection,
    job: &BoundJob,
) -> Result<Resources, Failure> {
    let total = arguments.memory.unwrap_or_else(|| {
        available_memory_bytes().map_or(MEMORY_UNKNOWN, |available| available / 2)
    });
    let server = ServerSize::ask(connection).await;
    let an_insert = insert_memory_bytes(arguments.batch_bytes, job.target.columns.len());
    let division = Division {
        total,
        batch_bytes: arguments.batch_bytes,
        deferred: job.has_deferred_lookup(),
        server,
        an_insert,
    };
    let (readers, inserters, memory) =
        division.settle(arguments.readers, arguments.inserters).map_err(|error| {
            Failure::usage(error.to_string())
                .hint("raise --memory, or lower --readers and --inserters")
        })?;
    return_freed_memory(total);
    let levels = ConcurrencyBounds::of(readers, inserters);
    let levels = ConcurrencyBounds {
        readers_found: division
            .settle(AtOnce::Auto, arguments.inserters)
            .map_or(levels.readers_found, |(readers, ..)| readers.most()),
        inserters_found: division
            .settle(arguments.readers, AtOnce::Auto)
            .map_or(levels.inserters_found, |(_, inserters, _)| inserters.most()),
        ..levels
    };
    Ok(Resources {
        readers,
        inserters,
        memory,
        levels,
        server_memory: server.memory,
        chunks_most: server.chunks_most(an_insert),
    })
}

/// What memory is divided among.
struct Division {
    /// The memory limit.
    total: u64,
    batch_bytes: u64,
    /// Whether rows may wait for a lookup of their own.
    deferred: bool,
    server: ServerSize,
    /// The server's memory that one insert takes.
    an_insert: u64,
}

impl Division {
    /// The concurrency that was asked for, and the memory that it leaves to each use.
    fn settle(
        &self,
        asked_readers: AtOnce,
        asked_inserters: AtOnce,
    ) -> Result<(Concurrency, Concurrency, MemoryPlan), MemoryTooSmall> {
        let generous = self.divide(
            readers(asked_readers, self.server.readers_most()),
            inserters(asked_inserters, self.server.inserters_most(self.an_insert)),
        );
        match generous {
            Ok(generous) if generous.2.batch_bytes == self.batch_bytes => Ok(generous),
            // More concurrency is not worth smaller batches.
            _ => self.divide(
                readers(asked_readers, READERS_FIRST),
                inserters(asked_inserters, self.server.inserters_first()),
            ),
        }
    }

    fn divide(
        &self,
        readers: Concurrency,
        inserters: Concurrency,
    ) -> Result<(Concurrency, Concurrency, MemoryPlan), MemoryTooSmall> {
        let demand = MemoryDemand {
            total: self.total,
            readers: readers.most() as u64,
            inserters: inserters.most() as u64,
            batch_bytes: self.batch_bytes,
            deferred: self.deferred,
        };
        MemoryPlan::divide(demand).map(|memory| (readers, inserters, memory))
    }
}

fn readers(asked: AtOnce, most: usize) -> Concurrency {
    match asked {
        AtOnce::Fixed(number) => Concurrency::Fixed(usize::from(number)),
        AtOnce::Auto => Concurrency::Auto { first: READERS_FIRST, most },
    }
}

fn inserters(asked: AtOnce, most: usize) -> Concurrency {
    match asked {
        AtOnce::Fixed(number) => Concurrency::Fixed(usize::from(number)),
        AtOnce::Auto => Concurrency::Auto { first: most.div_ceil(2), most },
    }
}

/// The server's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ServerSize {
    cores: usize,
    /// Memory that its queries may still allocate, in bytes.
    memory: u64,
}

impl Default for ServerSize {
    fn default() -> Self {
        Self { cores: 2, memory: 8 << 30 }
    }
}

/// The size that the server reports; 0 where a figure is unknown.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct ServerFigures {
    cores: usize,
    /// Memory that the machine has free.
    free: u64,
    /// `max_server_memory_usage`; 0 means no limit.
    allowed: u64,
    used: u64,
}

impl From<ServerFigures> for ServerSize {
    fn from(figures: ServerFigures) -> Self {
        let ServerFigures { cores, free, allowed, used } = figures;
        let unknown = Self::default();
        let left = (allowed > 0).then(|| allowed.saturating_sub(used));
        let free = (free > 0).then_some(free);
        let memory = left.into_iter().chain(free).min().unwrap_or(unknown.memory);
        Self { cores: if cores == 0 { unknown.cores } else { cores }, memory }
    }
}

impl ServerSize {
    /// Asks the server; assumes a small one if it does not answer.
    async fn ask(connection: &Connection) -> Self {
        // Not every server has this table, and not every user may read it.
        let free = "(SELECT toUInt64(sum(toFloat64(value))) FROM system.asynchronous_metrics WHERE metric = 'OSMemoryAvailable')";
        let asked = match connection.row::<ServerFigures>("size", &Self::question(free)).await {
            Err(_) => connection.row("size", &Self::question("toUInt64(0)")).await,
            asked => asked,
        };
        let unknown = |error| {
            tracing::debug!(%error, "the size of the server is unknown");
            Self::default()
        };
        asked.map_or_else(unknown, Self::from)
    }

    /// `free` is SQL for the memory that the machine has free.
    fn question(free: &str) -> String {
        // `max_threads` defaults to the number of cores.
        format!(
            "SELECT toUInt64(getSetting('max_threads')) AS cores, {free} AS free, \
            (SELECT toUInt64(sum(toFloat64(value))) FROM system.server_settings WHERE name = 'max_server_memory_usage') AS allowed, \
            (SELECT toUInt64(greatest(sum(value), 0)) FROM system.metrics WHERE metric = 'MemoryTracking') AS used"
        )
    }

    /// One thread reads a stream, in about a quarter of the time that inserting its rows takes.
    fn readers_most(self) -> usize {
        self.cores.div_ceil(3).clamp(READERS_FIRST, READERS_MOST)
    }

    /// One inserter per core.
    fn inserters_first(self) -> usize {
        self.cores.clamp(1, INSERTERS_MOST)
    }

    /// One chunk per core, whose insert takes about as much memory as that of a batch. More of them
    /// at once only take more memory.
    fn chunks_most(self, an_insert: u64) -> usize {
        let fit = self.memory / 2 / an_insert.max(1);
        self.inserters_first().min(usize::try_from(fit).unwrap_or(usize::MAX)).max(1)
    }

    /// Half as many more, which work while others wait for the network. A quarter of the server's
    /// memory may go to inserts, each of which takes `an_insert` bytes.
    fn inserters_most(self, an_insert: u64) -> usize {
        let fit = self.memory / 4 / an_insert.max(1);
        (self.cores + self.cores.div_ceil(2))
            .clamp(1, INSERTERS_MOST)
            .min(usize::try_from(fit).unwrap_or(usize::MAX))
            .max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_fills_one_chunk_per_core_at_once() {
        let most = |cores, memory| ServerSize { cores, memory }.chunks_most(1 << 30);
        assert_eq!((most(2, 64 << 30), most(12, 64 << 30)), (2, 12));
        assert_eq!(most(12, 8 << 30), 4, "by half of its memory");
        assert_eq!(most(12, 0), 1);
    }

    #[test]
    fn a_server_has_the_memory_that_both_its_limit_and_its_machine_leave() {
        let size = |free, allowed, used| {
            ServerSize::from(ServerFigures { cores: 16, free, allowed, used }).memory
        };
        assert_eq!(size(100, 80, 30), 50);
        assert_eq!(size(40, 80, 30), 40);
        assert_eq!(size(40, 0, 30), 40, "without a limit");
        assert_eq!(size(0, 80, 30), 50, "the machine is unknown");
        assert_eq!(size(100, 80, 90), 0);
        assert_eq!(size(0, 0, 30), 8 << 30);
        assert_eq!(ServerSize::from(ServerFigures::default()), ServerSize::default());
    }

    #[test]
    fn a_deduplication_window_bounds_the_inserters() {
        let (readers, inserters) = (Concurrency::Fixed(2), Concurrency::Fixed(3));
        let demand = MemoryDemand {
            total: 4 << 30,
            readers: 2,
            inserters: 3,
            batch_bytes: 16 << 20,
            deferred: false,
        };
        let levels =
            ConcurrencyBounds { inserters_found: 8, ..ConcurrencyBounds::of(readers, inserters) };
        let memory = MemoryPlan::divide(demand).unwrap();
        let resources =
            Resources { readers, inserters, memory, levels, server_memory: 0, chunks_most: 5 };
        let most = |replaces: bool| resources.throttle(replaces).limits().inserters_most;
        assert_eq!((most(false), most(true)), (3, 64));
        assert!(
            resources.throttle(false).set_inserters(4).is_err()
                && resources.throttle(true).set_inserters(4).is_ok()
        );
    }
}
