//! What differs from run to run, from machine to machine and from server to server.

use crate::support::Output;

/// Patterns, and what stands in their place; in this order.
const FILTERS: &[(&str, &str)] = &[
    (r"clickhouse-backfill \d+\.\d+\.\d+", "clickhouse-backfill [VERSION]"),
    (r"\(ClickHouse [\d.]+\)", "(ClickHouse [VERSION])"),
    (r"http://127\.0\.0\.1:\d+/?", "[URL]"),
    // The database of a test; as wide as the other name, so that columns stay where they are.
    (r"\bdb_[a-z0-9]{4}\b", "default"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[TIME]"),
    (r"\b[0-9a-f]{16}\b", "[RUN]"),
    (r"/tmp/[\w./-]+", "[PATH]"),
    (r"\d+ (d \d\d h|h \d\d min|min \d\d s)|\d+\.\d s\b", "[DURATION]"),
    (r"[\d.,]+ [kM]?rows/s", "[RATE]"),
    (r"[\d.,]+ ([KMGT]iB|B\b)", "[SIZE]"),
    (r"up to \d+ (readers|inserters)", "up to [N] $1"),
    (
        r"at the end with \d+ readers? and \d+ inserters?",
        "at the end with [N] readers and [N] inserters",
    ),
    // What checks find, what memory there is and how lines break for it depends on the machine, and
    // on what the server has just done.
    (r"(?ms)^checks\n.*", "checks\n[CHECKS]"),
    (r"(?m)^  \[SIZE\] +", "  [SIZE]  "),
    (r"host [\w.-]+, in no cluster", "host [HOST], in no cluster"),
    (r"about [\d,]+ lookup rows", "about [N] lookup rows"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "[TIME]"),
    (r"began +took +run", "began  took  run"),
    (r"source rows +inserted", "source rows  inserted"),
    (r"(?m)^(\d{6} +(?:completed|not started)) +[\d,]+(?: +([\d,]+))?", "$1  [N]  $2"),
    (r"(?m)^note: [a-z-]+: .*\n", ""),
    // Merges go on as they like.
    (r"[\d,]+ stored rows in \d+ parts?", "[N] stored rows in [N] parts"),
    (r"attributes loaded( +)([\d,]+) of [\d,]+ rows", "attributes loaded$1$2 of [N] rows"),
    // Connections break in more than one way.
    (r#"failed: (?:network|client) error[^\n"]*"#, "failed: [WORDS OF THE SYSTEM]"),
    // The words of the server are its own, and change with its version.
    (r"(Code: \d+\.) DB::Exception: [^\n]*", "$1 [WORDS OF THE SERVER]"),
];

/// Holds a text against the snapshot of this name.
#[track_caller]
pub fn assert_shows(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("expected");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (pattern, replacement) in FILTERS {
        settings.add_filter(pattern, *replacement);
    }
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// The same with all that a command gave.
#[track_caller]
pub fn assert_gives(name: &str, output: &Output) {
    let Output { status, stdout, stderr } = output;
    let status = status.map_or_else(|| "a signal".to_owned(), |status| status.to_string());
    let mut text = format!("exit code {status}\n");
    for (stream, lines) in [("stdout", stdout), ("stderr", stderr)] {
        if !lines.is_empty() {
            text.extend(["--- ", stream, "\n", lines]);
        }
    }
    assert_shows(name, &text);
}
