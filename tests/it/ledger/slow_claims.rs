//! Claims in a ledger that is slow: one that has been under way for long is older than another that
//! was judged without having seen it.

use std::time::Duration;

use clickhouse_backfill::internals::clickhouse::{
    Connection, Endpoint, Password, QueryPrefix, Timeouts, WireCompression,
};
use clickhouse_backfill::internals::ledger::{
    ClaimOptions, Ledger, LedgerError, LedgerLocation, LoadKey, WorkerPart,
};

use super::fixture::SOON;
use crate::support::{Server, process};

const OPTIONS: ClaimOptions =
    ClaimOptions { part: WorkerPart::WHOLE, timeout: SOON, patience: SOON };
/// On a machine that is slower than the slow claim, the race is not what is meant.
const ROUNDS: u32 = 4;

pub fn ledger(server: &Server) -> Ledger {
    let endpoint = Endpoint::new(
        server.url(),
        Some(server.user()),
        Some(Password::new(server.password())),
        server.database(),
    )
    .unwrap();
    let connection = Connection::new(
        endpoint,
        WireCompression::None,
        QueryPrefix::new(server.database()),
        Timeouts::default(),
    )
    .unwrap();
    Ledger::new(&LedgerLocation::Tables, &connection, server.database())
}

pub fn key(partition: u32) -> LoadKey {
    let [job, source_table, target_table] = ["job", "source", "target"].map(str::to_owned);
    LoadKey { job, source_table, target_table, partition_id: partition.to_string() }
}

/// Rows of claims that are written from now on get their time at once, and are there so many
/// seconds later.
pub fn delay(server: &Server, seconds: &str) {
    server.query(&format!("ALTER TABLE load_claims MODIFY COLUMN slow UInt8 DEFAULT {seconds}"));
}

#[test]
#[ignore = "slow: a claim that takes 6 s"]
fn a_claim_that_was_long_under_way_gives_way_to_one_that_has_won_meanwhile() {
    let server = Server::shared();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ledger = ledger(&server);
    runtime.block_on(ledger.create()).unwrap();
    server.query("ALTER TABLE load_claims ADD COLUMN slow UInt8");
    let raced = (0..ROUNDS).any(|round| {
        delay(&server, "sleepEachRow(3) + sleepEachRow(2.9)");
        let late = runtime.spawn({
            let ledger = ledger.clone();
            async move { ledger.claim(&key(round), "slow", OPTIONS).await }
        });
        let begun =
            "SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO%load_claims%' AND current_database = currentDatabase()";
        assert!(process::wait_until(SOON, || server.text(begun) == "1"), "the claim is not being written");
        delay(&server, "0");
        let won = runtime.block_on(ledger.claim(&key(round), "fast", OPTIONS));
        let late = runtime.block_on(late).unwrap();
        let Ok(held) = won else { return false };
        let refused = late.err().expect("another one has won");
        assert!(matches!(&refused, LedgerError::Held { claim } if claim.claim.claim_id == "fast"), "{refused}");
        let times = format!(
            "SELECT groupArray(claim_id) FROM (SELECT * FROM load_claims FINAL WHERE partition_id = '{round}' ORDER BY claimed_at LIMIT 2)"
        );
        assert_eq!(server.text(&times), "['slow','fast']", "by its time, the slow one would have won");
        runtime.block_on(held.beat()).unwrap();
        runtime.block_on(held.release()).unwrap();
        true
    });
    assert!(raced, "the other claim was too slow as well, {ROUNDS} times");
}

#[test]
fn a_slow_claim_wins_where_nobody_else_is_there() {
    let server = Server::shared();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ledger = ledger(&server);
    runtime.block_on(ledger.create()).unwrap();
    server.query("ALTER TABLE load_claims ADD COLUMN slow UInt8 DEFAULT sleepEachRow(1)");
    let began = std::time::Instant::now();
    let held =
        runtime.block_on(ledger.claim(&key(0), "slow", OPTIONS)).expect("nobody else is there");
    assert!(began.elapsed() > Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(held.id(), "slow", "the first try");
}

/// Where the ledger is slow for all, nobody can know who was first: each gives way, and tries
/// again.
#[test]
#[ignore = "slow: about 8 s"]
fn of_slow_claims_that_give_way_to_each_other_one_is_left() {
    let server = Server::shared();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ledger = ledger(&server);
    runtime.block_on(ledger.create()).unwrap();
    server.query("ALTER TABLE load_claims ADD COLUMN slow UInt8 DEFAULT sleepEachRow(0.5)");
    let left = (0..ROUNDS).any(|round| {
        let claims = ["one", "two"].map(|id| {
            let ledger = ledger.clone();
            runtime.spawn(async move { ledger.claim(&key(round), id, OPTIONS).await })
        });
        let won =
            claims.into_iter().filter_map(|claim| runtime.block_on(claim).unwrap().ok()).count();
        assert!(won < 2, "both have won");
        won == 1
    });
    assert!(left, "nobody was left, {ROUNDS} times");
}
