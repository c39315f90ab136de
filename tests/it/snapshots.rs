//! Every screen and message as it stands in `snapshots/expected`, with what differs from run to run
//! replaced: whoever changes a word sees it.
//!
//! `INSTA_UPDATE=always scripts/test snapshots` writes them anew; then look at the difference.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod comparisons;
mod failures;
mod help;
mod looks;
mod runs;
mod steady;

use std::collections::BTreeSet;
use std::path::Path;

/// A snapshot that no test asks for any more is a screen that nobody looks at.
#[test]
fn every_snapshot_is_asked_for() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = String::new();
    for place in ["tests/it/snapshots", "src/progress"] {
        for entry in std::fs::read_dir(folder.join(place)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut asked_for: BTreeSet<String> = sources.split('"').map(str::to_owned).collect();
    asked_for.extend(help::names());
    let expected = std::fs::read_dir(folder.join("tests/it/snapshots/expected")).unwrap();
    let forgotten: Vec<_> = expected
        .map(|entry| entry.unwrap().path())
        .filter(|path| !asked_for.contains(path.file_stem().unwrap().to_str().unwrap()))
        .collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}
