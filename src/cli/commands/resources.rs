//! How much a run may do at once, and what memory that leaves for attributes.

use std::sync::Arc;

use serde::Deserialize;

use crate::cli::args::{AtOnce, ThroughputArguments};
use crate::cli::failure::Failure;
use crate::clickhouse::Connection;
use crate::engine::stream::{Concurrency, Levels, Throttle, insert_memory_bytes};
use crate::job::BoundJob;
use crate::plan::{MemoryDemand, MemoryPlan};
use crate::progress::available_memory_bytes;

/// Where the machine does not say how much memory is free.
const MEMORY_UNKNOWN: u64 = 4 << 30;

/// Chunks read at once to begin with, where that was left to the program.
const READERS_FIRST: usize = 2;
/// More readers than this only wait for inserters, of which there are not more either.
const READERS_MOST: usize = 8;
/// More inserters than this help only against many disks; they can be asked for.
const INSERTERS_MOST: usize = 16;

/// What a run may use at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resources {
    /// Chunks read at once.
    pub readers: Concurrency,
    /// Batches inserted at once.
    pub inserters: Concurrency,
    /// How the memory is divided.
    pub memory: MemoryPlan,
    /// What the run may come to when it is told so with `ctl`.
    pub levels: Levels,
}

impl Resources {
    /// What holds a run back that has these. `replaces` says whether repeated rows of the target
    /// collapse: where its blocks have to be recognized, no more of them may be under way than its
    /// window was held against.
    pub fn throttle(&self, replaces: bool) -> Arc<Throttle> {
        let Self { readers, inserters, mut levels, .. } = *self;
        if !replaces {
            levels.inserters_most = inserters.most();
        }
        Throttle::within(readers, inserters, levels)
    }
}

/// Settles how much may be done at once, and divides the memory that was given, or half of what is
/// free. `connection` is to the target's server.
pub(crate) async fn resources(
    arguments: &ThroughputArguments,
    connection: &Connection,
    job: &BoundJob,
) -> Result<Resources, Failure> {
    let total = arguments.memory.unwrap_or_else(|| {
        available_memory_bytes().map_or(MEMORY_UNKNOWN, |available| available / 2)
    });
    let server = ServerSize::ask(connection).await;
    let (late, an_insert) =
        (job.looks_up_late(), insert_memory_bytes(arguments.batch_bytes, job.target.columns.len()));
    let settle = |asked_readers: AtOnce, asked_inserters: AtOnce| {
        let divide = |readers: Concurrency, inserters: Concurrency| {
            let (most_readers, most_inserters) = (readers.most() as u64, inserters.most() as u64);
            let demand = MemoryDemand {
                total,
                readers: most_readers,
                inserters: most_inserters,
                batch_bytes: arguments.batch_bytes,
                late,
            };
            MemoryPlan::divide(demand).map(|memory| (readers, inserters, memory))
        };
        let most_inserters = server.inserters_most(an_insert);
        // More at once is not worth smaller batches.
        match divide(
            readers(asked_readers, server.readers_most()),
            inserters(asked_inserters, most_inserters),
        ) {
            Ok(generous) if generous.2.batch_bytes == arguments.batch_bytes => Ok(generous),
            _ => divide(
                readers(asked_readers, READERS_FIRST),
                inserters(asked_inserters, server.inserters_first()),
            ),
        }
    };
    let (readers, inserters, memory) =
        settle(arguments.readers, arguments.inserters).map_err(|error| {
            Failure::usage(error.to_string())
                .hint("raise --memory, or lower --readers and --inserters")
        })?;
    let levels = Levels::of(readers, inserters);
    let levels = Levels {
        readers_found: settle(AtOnce::Auto, arguments.inserters)
            .map_or(levels.readers_found, |(readers, ..)| readers.most()),
        inserters_found: settle(arguments.readers, AtOnce::Auto)
            .map_or(levels.inserters_found, |(_, inserters, _)| inserters.most()),
        ..levels
    };
    Ok(Resources { readers, inserters, memory, levels })
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

/// What the server has.
#[derive(Clone, Copy, Debug, Deserialize)]
struct ServerSize {
    cores: usize,
    /// Memory that its queries may still take together, in bytes.
    memory: u64,
}

impl Default for ServerSize {
    fn default() -> Self {
        Self { cores: 2, memory: 8 << 30 }
    }
}

impl ServerSize {
    /// Where the server does not tell, a small one is assumed.
    async fn ask(connection: &Connection) -> Self {
        // `max_threads` is by default the number of cores. A limit of 0 means none but the
        // machine's.
        let sql = "SELECT toUInt64(getSetting('max_threads')) AS cores, \
            (SELECT toUInt64(sum(toFloat64(value))) FROM system.asynchronous_metrics WHERE metric = 'OSMemoryAvailable') AS free, \
            (SELECT toUInt64(sum(toFloat64(value))) FROM system.server_settings WHERE name = 'max_server_memory_usage') AS allowed, \
            (SELECT toUInt64(greatest(sum(value), 0)) FROM system.metrics WHERE metric = 'MemoryTracking') AS used, \
            toUInt64(if(allowed = 0, free, least(free, if(allowed > used, allowed - used, 0)))) AS memory";
        connection.row("size", sql).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "the server does not say how large it is");
            Self::default()
        })
    }

    /// A stream is read by one thread, which takes a quarter of the time that inserting its rows
    /// does.
    fn readers_most(self) -> usize {
        self.cores.div_ceil(3).clamp(READERS_FIRST, READERS_MOST)
    }

    /// As many as have cores to work on.
    fn inserters_first(self) -> usize {
        self.cores.clamp(1, INSERTERS_MOST)
    }

    /// Half as many more, which work while others wait for the network, unless the server has no
    /// memory for so many: a quarter of what it has may go to inserts, each of which takes so many
    /// bytes.
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
    fn where_blocks_have_to_be_recognized_no_more_are_under_way_than_the_window_was_held_against() {
        let (readers, inserters) = (Concurrency::Fixed(2), Concurrency::Fixed(3));
        let demand = MemoryDemand {
            total: 4 << 30,
            readers: 2,
            inserters: 3,
            batch_bytes: 16 << 20,
            late: false,
        };
        let levels = Levels { inserters_found: 8, ..Levels::of(readers, inserters) };
        let resources =
            Resources { readers, inserters, memory: MemoryPlan::divide(demand).unwrap(), levels };
        let most = |replaces: bool| resources.throttle(replaces).limits().inserters_most;
        assert_eq!((most(false), most(true)), (3, 64));
        assert!(
            resources.throttle(false).set_inserters(4).is_err()
                && resources.throttle(true).set_inserters(4).is_ok()
        );
    }
}
