//! Roll-ups that a view fills, on servers that are killed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::rollups::fixture::{COST, by_the_server, tool};
use crate::rollups::run::{left_behind, run};
use crate::support::{Endpoint, Output, Server, ServerOptions};

/// A writer that goes on while the server is killed. Its inserts may fail then, and are not repeated.
struct Writer {
    /// Held during each insert.
    inserting: Arc<Mutex<()>>,
    ends: Arc<AtomicBool>,
    thread: thread::JoinHandle<u64>,
}

impl Writer {
    /// Of the inserts, `percent` go into the month that is filled.
    fn start(endpoint: Endpoint, percent: u64) -> Self {
        let (inserting, ends) = <(Arc<Mutex<()>>, Arc<AtomicBool>)>::default();
        let (lock, end) = (inserting.clone(), ends.clone());
        let thread = thread::spawn(move || {
            let (mut number, mut inserts) = (0, 0);
            while !end.load(Ordering::Relaxed) {
                number += 37;
                let month = if number % 100 < percent { 10 } else { 11 };
                let sql = COST.insert_of(month, 100);
                let held = lock.lock().unwrap();
                let inserted = endpoint.anew().try_query_with(sql.as_bytes(), &[]);
                drop(held);
                inserts += u64::from(inserted.is_ok());
                thread::sleep(Duration::from_millis(15));
            }
            inserts
        });
        Self { inserting, ends, thread }
    }

    /// Returns the number of its inserts.
    fn end(self) -> u64 {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn prepared(is_by_day: bool) -> Server {
    let server =
        Server::isolated_with(ServerOptions { fixed_port: true, ..ServerOptions::default() });
    COST.create_raw(&server);
    if is_by_day {
        COST.create_hourly_by_day(&server);
    } else {
        COST.create_hourly(&server);
    }
    COST.insert(&server, 3, 1_000);
    COST.create_view(&server);
    server
}

#[derive(Clone, Copy, Debug)]
enum Killed {
    Client,
    Server,
    Query,
}

/// Kills something of a run after a while, and runs again until the load is complete.
fn kill(server: &mut Server, writer: &Writer, killed: Killed, after: Duration) -> Output {
    let version = by_the_server(tool(server, "run", &COST.job_file())).arg("--restart");
    let mut running = version.limit(Duration::from_secs(120)).spawn();
    let began = Instant::now();
    while began.elapsed() < after && running.is_running() {
        thread::sleep(Duration::from_millis(5));
    }
    match killed {
        Killed::Client => running.signal("KILL"),
        Killed::Server => {
            // Between two inserts: raw rows and those that the view makes of them are not stored at once.
            let held = writer.inserting.lock().unwrap();
            server.kill9();
            server.restart();
            drop(held);
        }
        Killed::Query => {
            let sql = "KILL QUERY WHERE query_id LIKE 'clickhouse-backfill-%' ASYNC";
            let _ = server.try_query(sql);
        }
    }
    running.wait();
    let mut again = run(server, &COST).run();
    if matches!(killed, Killed::Server) && again.stderr.contains("there is nothing to do") {
        // The server may have been killed within an insert, when the load was complete.
        again = run(server, &COST).arg("--restart").run();
    }
    for _ in 0..3 {
        if again.status == Some(0) {
            break;
        }
        again = run(server, &COST).run();
    }
    again
}

/// Kills client, server and queries at random while writers write.
fn kill_at_random(kills: u32, percent: u64, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    // The roll-up has a partition for each day or for the month.
    let mut server = prepared(seed.is_multiple_of(2));
    let writer = Writer::start(server.as_user(server.user(), server.password()), percent);
    for number in 0..kills {
        let killed = [Killed::Client, Killed::Server, Killed::Query][random.random_range(0..3)];
        let after = Duration::from_millis(random.random_range(100..3_000));
        let output = kill(&mut server, &writer, killed, after);
        let state = format!("seed {seed}, kill {number}: {killed:?} after {after:?}\n{output}");
        assert_eq!(output.status, Some(0), "{state}");
        let held = writer.inserting.lock().unwrap();
        assert_eq!(COST.differences(&server), [0; 3], "{state}");
        assert_eq!(left_behind(&server, &COST), "[]", "{state}");
        drop(held);
    }
    assert!(writer.end() > 0);
}

/// `ROLLUP_KILLS` says how many kills there are for each share of late rows, `ROLLUP_SEED` which ones.
#[test]
#[ignore = "slow: about 25 s"]
fn rows_are_published_once_whatever_is_killed() {
    let kills = std::env::var("ROLLUP_KILLS").ok().and_then(|kills| kills.parse().ok());
    let seed = std::env::var("ROLLUP_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    for (number, percent) in (0..).zip([0, 10, 30]) {
        kill_at_random(kills.unwrap_or(1), percent, seed.wrapping_add(number));
    }
}
