//! Chunks that are rebuilt from the bounds of an earlier plan: the very same, whatever has become
//! of the parts since.

use clickhouse_backfill::internals::clickhouse::{
    Connection, Endpoint, Password, QueryPrefix, Servers, Timeouts, WireCompression,
};
use clickhouse_backfill::internals::job::{BindOptions, bind, load};
use clickhouse_backfill::internals::plan::{
    ChunkBounds, MemoryDemand, MemoryPlan, Partition, Plan, PlanError, PlanOptions, plan,
};

use super::fixture::JobFile;
use crate::support::Server;

const JOB: &str = "name = 'copies'\n[source]\ntable = 'stored'\n[target]\ntable = 'copies'\n[columns]\nkey = 'source.key'\nid = 'source.id'\n";

/// Plans the copying of `stored`.
fn planned(server: &Server, job: &JobFile, bounds: Option<ChunkBounds>) -> Result<Plan, PlanError> {
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
    let servers = Servers::one(connection);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let job = load(job.path().to_str().unwrap()).unwrap();
        let job = bind(&servers, &job, &BindOptions::default()).await.unwrap();
        let demand = MemoryDemand {
            total: 1 << 30,
            readers: 1,
            inserters: 1,
            batch_bytes: 1 << 20,
            deferred: false,
        };
        let options = PlanOptions {
            chunk_rows: 1000,
            bounds,
            ..PlanOptions::new(MemoryPlan::divide(demand).unwrap())
        };
        plan(&servers.source, &job, &Partition::Id("all".to_owned()), options).await
    })
}

fn ranges(plan: &Plan) -> Vec<Option<String>> {
    plan.chunks.iter().map(|chunk| chunk.range.clone()).collect()
}

#[test]
fn merges_and_new_rows_do_not_move_them() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE stored (key String, id UInt32) ENGINE = MergeTree ORDER BY (key, id)
         --;;
         CREATE TABLE copies (key String, id UInt32) ENGINE = ReplacingMergeTree ORDER BY (key, id)",
    );
    // Keys that are hard to quote, and are no UTF-8.
    let fill = |from: u32| {
        server.query(&format!(
            "INSERT INTO stored SELECT ['', '\\'', '\\\\', '\\0', '\\xFF\\xFE', 'a\\n', 'ä'][1 + number % 7], {from} + number FROM numbers(400000)
             SETTINGS max_block_size = 400000, min_insert_block_size_rows = 400000"
        ));
    };
    fill(0);
    let job = JobFile::new(JOB);
    let first = planned(&server, &job, None).unwrap();
    assert!(first.chunks.len() >= 3, "{:?}", ranges(&first));
    fill(1_000_000);
    server.query("OPTIMIZE TABLE stored FINAL");
    assert_ne!(
        ranges(&planned(&server, &job, None).unwrap()),
        ranges(&first),
        "other chunks would be made now"
    );
    // As a record of the run keeps them.
    let kept = serde_json::to_string(&first.bounds).unwrap();
    let again = planned(&server, &job, Some(serde_json::from_str(&kept).unwrap())).unwrap();
    assert_eq!(ranges(&again), ranges(&first));
    // Every row lies in exactly one of them.
    let predicates: Vec<_> =
        ranges(&again).into_iter().map(|range| format!("toUInt8({})", range.unwrap())).collect();
    assert_eq!(
        server.text(&format!("SELECT count() FROM stored WHERE {} != 1", predicates.join(" + "))),
        "0"
    );
    // They stay even where the partition has no rows any more.
    server.query("TRUNCATE TABLE stored");
    assert_eq!(
        ranges(&planned(&server, &job, Some(first.bounds.clone())).unwrap()),
        ranges(&first)
    );

    // Another table under the same name has other keys.
    server.query("CREATE OR REPLACE TABLE stored (key UInt32, id UInt32) ENGINE = MergeTree ORDER BY (key, id)");
    server.query("INSERT INTO stored VALUES (1, 1)");
    let error = planned(&server, &job, Some(first.bounds.clone())).unwrap_err();
    assert!(matches!(error, PlanError::OtherKey { .. }), "{error}");
    assert!(error.to_string().contains("`key` String, `id` UInt32"), "{error}");
    let mut torn = first.bounds;
    torn.bounds[0].pop();
    assert!(matches!(planned(&server, &job, Some(torn)), Err(PlanError::OtherKey { .. })));
}
