//! A headless Chromium, where there is one.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program. Nothing is installed here: `scripts/chromium fetch` does that, as `.ci/run` has it.
/// Where it must be there (`REQUIRE_CHROMIUM`), its absence is a failure.
#[expect(clippy::print_stderr, reason = "a test that did not run must say so")]
pub fn chromium() -> Option<String> {
    let found =
        Command::new("python3").arg(root().join("scripts/chromium")).arg("find").output().unwrap();
    if found.status.success() {
        return Some(String::from_utf8(found.stdout).unwrap().trim().to_owned());
    }
    let words = String::from_utf8_lossy(&found.stderr).into_owned();
    assert!(std::env::var_os("REQUIRE_CHROMIUM").is_none(), "{words}");
    eprintln!("NOT RUN: the page was not looked at in a browser: {words}");
    None
}

/// What is to be seen of the page.
pub fn look(chromium: &str, html: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    std::fs::write(&page, html).unwrap();
    let script = root().join("tests/it/report/browser.py");
    let seen = Command::new("python3")
        .arg(script)
        .arg(chromium)
        .arg(&page)
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(seen.status.success(), "{}", String::from_utf8_lossy(&seen.stderr));
    for picture in ["light.png", "dark.png", "print.png", "narrow.png", "page.pdf"] {
        assert!(folder.path().join(picture).metadata().unwrap().len() > 5000, "{picture} is empty");
    }
    serde_json::from_slice(&seen.stdout).unwrap()
}
