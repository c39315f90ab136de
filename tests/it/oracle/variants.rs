//! The same result however the rows are cut into blocks, network chunks and batches, and however
//! often the job runs.

use super::fixture::{
    DECEMBER, PARTITIONS, adversarial, adversarial_but_small, assert_filled, newest, number,
    oracle, run,
};
use crate::support::{Server, binary};

#[test]
fn batches_of_one_row() {
    let server = adversarial(DECEMBER);
    // The smaller partition: every batch is a part of the target.
    let (_, summary) =
        run(&server, &["--partition", "196912", "--batch-size", "1", "--inserters", "4"]);
    assert_eq!(summary["batches"], summary["inserted_rows"]);
    assert_filled(&server, "events", "196912", &oracle("196912"));
}

#[test]
#[ignore = "slow: about 11 s"]
fn batches_of_seven_rows() {
    let server = adversarial_but_small(DECEMBER);
    let batches = fill(&server, &["--batch-size", "7"]);
    assert_eq!(batches, source_rows(&server).div_ceil(7));
}

#[test]
#[ignore = "slow: about 11 s"]
fn batches_of_64_kilobytes() {
    let server = adversarial(DECEMBER);
    let batches = fill(&server, &["--batch-bytes", "64KiB", "--inserters", "1"]);
    assert!(batches > 30, "{batches} batches");
}

#[test]
#[ignore = "slow: about 7 s"]
fn small_batches_small_blocks_and_many_tasks() {
    let server = adversarial(DECEMBER);
    let batches = fill(
        &server,
        &[
            "--batch-size",
            "100",
            "--batch-bytes",
            "64KiB",
            "--readers",
            "4",
            "--inserters",
            "4",
            "--stream-block-size",
            "13",
        ],
    );
    assert!(batches > 30, "{batches} batches");
}

#[test]
fn rows_instead_of_blocks() {
    let server = adversarial_but_small(DECEMBER);
    let expected = oracle("202511");
    let (output, _) =
        run(&server, &["--partition", "202511", "--insert-format", "rowbinary", "-v"]);
    assert!(output.stderr.contains(" as RowBinary; "), "{output}");
    assert_filled(&server, "events", "202511", &expected);
}

#[test]
#[ignore = "slow: about 25 s"]
fn blocks_that_are_passed_on() {
    let server = adversarial(DECEMBER);
    let native = ["--read-format", "native"];
    // Blocks that are cut, passed on whole, several of them in a batch, and taken row by row.
    for more in [
        &[][..],
        &["--compression", "lz4"],
        &["--stream-block-size", "77", "--batch-size", "200", "--compression", "zstd"],
        &["--batch-size", "50"],
        &["--batch-bytes", "64KiB"],
    ] {
        server.query("TRUNCATE TABLE events");
        let again = [&native[..], more, &["--restart", "--chunk-rows", "300"]].concat();
        fill(&server, &again);
    }
}

/// Fills partition 202511, compares it with the oracle and gives the number of batches.
fn fill(server: &Server, arguments: &[&str]) -> u64 {
    let (_, summary) = run(server, &[&["--partition", "202511"], arguments].concat());
    assert_eq!(
        number(server, "SELECT count() FROM events"),
        source_rows(server),
        "rows that were written, versions not collapsed"
    );
    assert_filled(server, "events", "202511", &oracle("202511"));
    summary["batches"].as_u64().unwrap()
}

fn source_rows(server: &Server) -> u64 {
    number(server, &format!("SELECT count() FROM {}", newest("observations", "202511")))
}

#[test]
#[ignore = "slow: about 12 s"]
fn a_second_run_changes_nothing() {
    let server = adversarial_but_small(DECEMBER);
    for partition in PARTITIONS {
        let expected = oracle(partition);
        run(&server, &["--partition", partition]);
        run(&server, &["--partition", partition]);
        assert_filled(&server, "events", partition, &expected);
    }
}

#[test]
#[ignore = "slow: about 7 s"]
fn a_partition_without_rows_is_done_and_says_so() {
    let server = adversarial(DECEMBER);
    for extra in [
        &[][..],
        &["--dry-run"],
        &["--no-progress"],
        &["--quiet"],
        &["--job", "langfuse-trace-roots"],
    ] {
        let (output, summary) = run(&server, &[&["--partition", "202402"], extra].concat());
        let words = output.stdout + &output.stderr;
        assert!(
            words.contains("partition 202402") && words.contains("has no rows"),
            "{extra:?}\n{words}"
        );
        assert_eq!(
            (&summary["status"], &summary["inserted_rows"]),
            (&"completed".into(), &0.into()),
            "{extra:?}"
        );
    }
    assert_eq!(number(&server, "SELECT count() FROM events"), 0);
}

#[test]
fn the_environment_says_the_same_as_flags() {
    let server = adversarial(DECEMBER);
    let variables = [
        ("PARTITION", "196912"),
        ("BATCH_SIZE", "11"),
        ("STREAM_BLOCK_SIZE", "13"),
        ("DRY_RUN", "false"),
        ("TARGET_TABLE", "events"),
    ];
    binary().arg("run").envs(&server.environment()).envs(&variables).run().expect(0);
    assert_filled(&server, "events", "196912", &oracle("196912"));
}
