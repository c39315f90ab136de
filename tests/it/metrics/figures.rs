//! Figures against the server's own, and against the summary.

use super::fixture::{SOON, free_address, page, scraped, written};
use crate::faults::fixture::{Behind, INSERT, SOURCE};
use crate::orders::PARTITION;
use crate::support::{Direction, process};

#[test]
fn a_run_under_way_is_scraped_and_the_file_has_its_end() {
    let behind = Behind::start();
    let (address, folder) = (free_address(), tempfile::tempdir().unwrap());
    let file = folder.path().join("backfill.prom");
    let tool = behind
        .tool()
        .args(&["--metrics-listen", &address.to_string(), "--metrics-file"])
        .arg(&file);
    let running = behind.half_way_with(tool);
    let server = &behind.orders.server;
    // Of the last insert, the answer may be under way.
    let mut now = scraped(address);
    let settled = process::wait_until(SOON, || {
        now = scraped(address);
        now.value("inserted_rows_total", &[]) >= 2000.0
            && now.value("inserts_in_flight", &[]) == 0.0
    });
    assert!(settled, "{now:?}");
    assert_eq!(now.value("inserted_rows_total", &[]), behind.orders.target_rows() as f64);
    let labels = [("backfill", "shipments"), ("partition", PARTITION), ("worker", "1/1")];
    assert_eq!(now.value("status", &[&labels[..], &[("status", "started")]].concat()), 1.0);
    assert!(
        now.value("phase", &[("phase", "stream")]) == 1.0
            && now.sum("phase") == 1.0
            && now.sum("status") == 1.0
    );
    assert!(
        now.value("source_rows_total", &[]) >= now.value("inserted_rows_total", &[]),
        "{now:?}"
    );
    assert!(
        now.value("progress_ratio", &[]) > 0.0 && now.value("progress_ratio", &[]) < 1.0,
        "{now:?}"
    );
    assert_eq!(now.value("build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    for name in [
        "memory_bytes",
        "memory_limit_bytes",
        "lookup_memory_bytes",
        "lookup_rows_total",
        "lookup_bytes_total",
        "source_bytes_total",
    ] {
        assert!(now.value(name, &[]) > 0.0, "{name}");
    }
    assert!(page(address, "/").unwrap().2.contains("href=\"metrics\""));
    assert_eq!(page(address, "/other").unwrap().0, 404);
    let parts = || {
        server
            .text("SELECT count() FROM system.parts WHERE active AND database = currentDatabase() AND table = 'shipments'")
            .parse::<f64>()
            .ok()
    };
    assert!(
        process::wait_until(SOON, || scraped(address)
            .known("server_parts", &[("target_partition", "tuple()")])
            == parts()),
        "{now:?}"
    );
    let early = written(&file);
    assert!(early.value("build_info", &[]) == 1.0, "the file is there from the beginning");

    behind.proxy.pass();
    let output = running.wait().expect(0);
    assert!(
        output
            .stderr
            .contains(&format!("live page: http://{address}/, metrics: http://{address}/metrics")),
        "{output}"
    );
    let (end, summary) = (written(&file), behind.orders.summary());
    let target: f64 = server.text("SELECT count() FROM shipments FINAL").parse().unwrap();
    assert_eq!(
        end.value("inserted_rows_total", &[]) - end.value("repeated_rows_total", &[]),
        target,
        "{end:?}"
    );
    assert_eq!(end.value("expected_rows", &[]), target);
    assert_eq!(
        end.value("insert_duration_seconds_count", &[]),
        summary["batches"].as_f64().unwrap()
    );
    assert_eq!(end.sum("attribute_rows"), target);
    assert_eq!(end.value("inserted_bytes_total", &[]), summary["bytes_written"].as_f64().unwrap());
    assert_eq!(
        (end.value("progress_ratio", &[]), end.value("status", &[("status", "completed")])),
        (1.0, 1.0)
    );
    assert_eq!(
        (
            end.value("chunks", &[("state", "completed")]),
            end.value("chunks", &[("state", "pending")])
        ),
        (1.0, 0.0)
    );
    assert_eq!(end.value("queue_bytes", &[]), 0.0);
    let run_id = summary["run_id"].as_str().unwrap();
    let table = |name: &str| format!("{}.{name}", server.database());
    let target_table = [
        ("run_id", run_id),
        ("target", &table("shipments")),
        ("source", &table("orders")),
        ("dry_run", "false"),
    ];
    assert_eq!(end.value("run_info", &target_table), 1.0);
    for stage in ["read", "enrich", "insert"] {
        assert!(end.value("stage_seconds_total", &[("stage", stage)]) > 0.0, "{stage}");
    }
    // All inserts together took as long as the histogram says, and the pauses between attempts and
    // tasks.
    assert!(
        end.value("insert_duration_seconds_sum", &[])
            <= end.value("stage_seconds_total", &[("stage", "insert")]) + 0.001
    );
    assert_eq!(end.sum("stage_tasks"), 0.0);
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing is left beside the file"
    );
    assert!(page(address, "/metrics").is_err(), "the page ends with the run");
}

#[test]
fn retries_are_counted_by_their_class() {
    let behind = Behind::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backfill.prom");
    let run = |code: i32| {
        behind.tool().arg("--metrics-file").arg(&file).run().expect(code);
        written(&file)
    };
    behind.proxy.after_request_with(INSERT).reset_at(Direction::ToClient, 0, 1);
    let ambiguous = run(0);
    assert!(ambiguous.value("retries_total", &[("class", "ambiguous")]) >= 1.0, "{ambiguous:?}");
    assert_eq!(ambiguous.sum("retries_total"), behind.orders.figure("retries") as f64);

    behind.begin_again();
    behind
        .proxy
        .after_request_with(INSERT)
        .answer([crate::faults::fixture::exception(252, "TOO_MANY_PARTS")]);
    let refused = run(0);
    assert!(refused.value("retries_total", &[("class", "refused")]) >= 1.0, "{refused:?}");
    assert_eq!(refused.sum("retries_total"), behind.orders.figure("retries") as f64);

    // Rows that are read and inserted again: counters never go back, and the difference is what is
    // in the target.
    behind.begin_again();
    behind.proxy.after_request_with(SOURCE).cut_at(Direction::ToClient, 3_000_000, 1);
    let again = run(0);
    let target: f64 =
        behind.orders.server.text("SELECT count() FROM shipments FINAL").parse().unwrap();
    assert_eq!(
        again.value("repeated_rows_total", &[]),
        behind.orders.figure("repeated_rows") as f64
    );
    assert!(again.value("repeated_rows_total", &[]) > 0.0, "{again:?}");
    assert_eq!(
        again.value("inserted_rows_total", &[]) - again.value("repeated_rows_total", &[]),
        target
    );
    assert!(
        again.value("source_rows_total", &[]) > target,
        "what was read twice counts twice\n{again:?}"
    );
}

#[test]
fn a_run_that_fails_says_so_in_the_file() {
    let behind = Behind::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backfill.prom");
    behind.orders.server.query("ALTER TABLE shipments ADD CONSTRAINT none CHECK order_id != 17");
    behind.tool().arg("--metrics-file").arg(&file).run().expect(1);
    let end = written(&file);
    assert!(
        end.value("status", &[("status", "failed")]) == 1.0
            && end.value("errors_total", &[]) >= 1.0,
        "{end:?}"
    );
    assert!(
        end.value("chunks", &[("state", "failed")]) == 1.0
            && end.value("progress_ratio", &[]) < 1.0,
        "{end:?}"
    );
}
