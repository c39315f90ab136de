//! A machine that gives the run too little.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::fixture::Behind;

/// With so few, it cannot start, cannot connect, or can connect only now and then. Whichever it is,
/// it ends and says why, or it does its work.
#[test]
#[ignore = "slow: a run for each limit, some of which wait"]
fn a_run_that_has_too_few_file_descriptors_says_so() {
    let behind = Behind::start();
    let mut failed = 0;
    // A run that cannot open a file may neither give its claim back nor know its host's name, so
    // that the next one cannot tell that it is dead.
    let forget = || behind.orders.server.query("DROP TABLE IF EXISTS load_claims SYNC");
    for files in [6, 8, 10, 11, 12, 13, 14, 15, 17, 20] {
        forget();
        let output =
            behind.tool().args(&["--inserters", "4", "--max-retries", "2"]).open_files(files).run();
        assert!(!output.stderr.contains("panicked"), "{files} files\n{output}");
        assert!(
            !output.stderr.contains("cannot be reached"),
            "the server is there, {files} files\n{output}"
        );
        match output.status {
            Some(0) => behind.orders.assert_complete(),
            Some(1 | 2) => {
                failed += 1;
                assert!(output.stderr.contains("open files"), "{files} files\n{output}");
            }
            _ => panic!("{files} files\n{output}"),
        }
    }
    assert!(failed > 0, "some number is too small");
    forget();
    behind.tool().run().expect(0);
    behind.orders.assert_complete();
}
