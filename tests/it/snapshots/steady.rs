//! Snapshots in files, under the filters of [`shown`].

use crate::support::{Output, shown};

/// Compares a text with the snapshot of this name.
#[track_caller]
pub fn assert_shows(name: &str, text: &str) {
    let mut settings = shown::settings();
    settings.set_snapshot_path("expected");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// The same with everything that a command printed.
#[track_caller]
pub fn assert_gives(name: &str, output: &Output) {
    assert_shows(name, &output.everything());
}
