//! `--sample`: a share of the keys, on both sides.

use super::fixture::{corrupt, filled, report, tool};
use crate::support::assert_text_snapshot;

#[test]
fn a_sample_compares_its_share_and_says_so() {
    let orders = filled(4_000);
    let sample = |share: &str, code: i32| {
        report(&tool(&orders, "verify").args(&["--json", "--sample", share]).run().expect(code))
    };
    let all = sample("1/1", 0)["expected_rows"].as_u64().unwrap();
    let quarter = sample("1/4", 0);
    let rows = quarter["expected_rows"].as_u64().unwrap();
    assert_eq!(
        (quarter["sample"].as_str(), quarter["target_rows"].as_u64()),
        (Some("1/4"), Some(rows)),
        "{quarter:#}"
    );
    assert!(rows > all / 8 && rows < all / 2, "{rows} of {all}");
    let text = tool(&orders, "verify").env("VERIFY_SAMPLE", "1/4").run().expect(0);
    assert_text_snapshot!(text.stdout, @"
    target                              default.shipments
    source                              default.orders, partition 202506, by shipments
    chunks                              1, those of run [RUN]
    sample                              1/4 of the keys
    expected rows                       1,017
    target rows                         1,017
    differing rows                      0

    equal within the sample ([DURATION])
    ");

    corrupt(&orders, "letter = 'x' WHERE 1");
    let found = sample("1/4", 4);
    assert_eq!(found["differences"]["differing"].as_u64(), Some(rows), "{found:#}");
    let wrong = tool(&orders, "verify").args(&["--sample", "2/1"]).run();
    assert_text_snapshot!(wrong.failure(), @"
    exit code 2
    error: invalid value '2/1' for '--sample <PARTS/OF>': it must be a share such as 1/100 or 1%
    hint: `--help` behind the command explains its flags
    ");
}
