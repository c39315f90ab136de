//! Text as people see it, without what differs from run to run, from machine to machine and from
//! server to server.

use super::Output;

/// Patterns and their replacements, applied in this order.
const FILTERS: &[(&str, &str)] = &[
    (r"clickhouse-backfill \d+\.\d+\.\d+", "clickhouse-backfill [VERSION]"),
    (r"\(ClickHouse [\d.]+\)", "(ClickHouse [VERSION])"),
    // Port 1 is written in tests: nothing listens there.
    (r"http://127\.0\.0\.1:\d{2,}/?", "[URL]"),
    (r"https://127\.0\.0\.1:\d{2,}/?", "[HTTPS URL]"),
    // A test's database; as wide as the other name, so that columns stay where they are.
    (r"\bdb_[a-z0-9]{4}\b", "default"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[TIME]"),
    (r"its uuid was [0-9a-f-]{36}, and is [0-9a-f-]{36}", "its uuid was [UUID], and is [UUID]"),
    (r"\b[0-9a-f]{16}\b", "[RUN]"),
    (r"\bprocess \d+ on [\w.-]+", "process [PID] on [HOST]"),
    (r"\bprocess \d+\b", "process [PID]"),
    (r"/tmp/[\w./-]+", "[PATH]"),
    (r"readers must be 1 to \d+", "readers must be 1 to [N]"),
    (r"\d+ (d \d\d h|h \d\d min|min \d\d s)|\d+\.\d s\b", "[DURATION]"),
    (r"[\d.,]+ [kM]?rows/s", "[RATE]"),
    (r"[\d.,]+ ([KMGT]iB|B\b)", "[SIZE]"),
    (r"up to \d+ (readers|inserters)", "up to [N] $1"),
    (r"and \d+ may be inserted between", "and [N] may be inserted between"),
    (r"deduplication_window = \d\d lets", "deduplication_window = [N] lets"),
    (
        r"at the end with \d+ readers? and \d+ inserters?",
        "at the end with [N] readers and [N] inserters",
    ),
    // The results of the checks and the available memory, and hence where lines break, depend on the
    // machine and on the server's recent work.
    (r"(?ms)^checks\n.*?^(ready|blocked):", "checks\n[CHECKS]\n$1:"),
    (r"would start, with \d+ warnings?", "would start, with [N] warnings"),
    (r"would start\n", "would start, with [N] warnings\n"),
    (r"(?m)^  \[SIZE\] +", "  [SIZE]  "),
    (r"host [\w.-]+, in no cluster", "host [HOST], in no cluster"),
    (r"about [\d,]+ lookup rows", "about [N] lookup rows"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "[TIME]"),
    (r"began +took +verified", "began  took  verified"),
    (r"source rows +inserted", "source rows  inserted"),
    (r"(?m)^(\d{6} +(?:completed|not started)) +[\d,]+(?: +([\d,]+))?", "$1  [N]  $2"),
    (r"(?m)^note: [a-z-]+: .*\n", ""),
    // The number of parts depends on merges.
    (r"[\d,]+ stored rows in \d+ parts?", "[N] stored rows in [N] parts"),
    (r"attributes loaded( +)([\d,]+) of [\d,]+ rows", "attributes loaded$1$2 of [N] rows"),
    // Connections break in several ways.
    (r#"failed: (?:network|client) error[^\n"]*"#, "failed: [WORDS OF THE SYSTEM]"),
    (r"\(network error: [^\n]*\)", "([WORDS OF THE SYSTEM])"),
    // The server's messages change with its version; the names of its errors do not.
    (
        r"(Code: \d+\.) DB::Exception: [^\n]*\(([A-Z][A-Z_]+)\)[^\n]*",
        "$1 [WORDS OF THE SERVER] ($2)",
    ),
    (
        r"(Code: \d+\.) DB::Exception: [^\n]*\n[^\n#]*\(([A-Z][A-Z_]+)\) \(version [^\n]*",
        "$1 [WORDS OF THE SERVER] ($2)",
    ),
    (r"(Code: \d+\.) DB::Exception: [^\n]*", "$1 [WORDS OF THE SERVER]"),
];

/// The settings for a snapshot of such a text.
pub fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    for (pattern, replacement) in FILTERS {
        settings.add_filter(pattern, *replacement);
    }
    settings
}

/// Compares a text with the snapshot that stands beside it: `assert_text_snapshot!(text, @"…")`.
macro_rules! assert_text_snapshot {
    ($text:expr, @$expected:literal) => {
        $crate::support::shown::settings().bind(|| insta::assert_snapshot!($text, @$expected))
    };
}
pub(crate) use assert_text_snapshot;

/// The text from the first line on that has these words.
#[track_caller]
pub fn from_line<'a>(text: &'a str, words: &str) -> &'a str {
    let line = text.lines().find(|line| line.contains(words));
    let line = line.unwrap_or_else(|| panic!("no line has {words:?}\n{text}"));
    &text[line.as_ptr() as usize - text.as_ptr() as usize..]
}

/// A table whose columns are two blanks apart, since their widths depend on durations.
pub fn narrowed(table: &str) -> String {
    let line = |line: &str| {
        let (indentation, rest) = line.split_at(line.len() - line.trim_start().len());
        let cells: Vec<_> =
            rest.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect();
        format!("{indentation}{}\n", cells.join("  "))
    };
    table.lines().map(line).collect()
}

/// The texts of several cases, each under its title.
pub fn titled<T: AsRef<str>>(cases: impl IntoIterator<Item = (T, String)>) -> String {
    let mut whole = String::new();
    for (title, text) in cases {
        whole.extend(["# ", title.as_ref(), "\n", text.trim_end(), "\n\n"]);
    }
    whole
}

impl Output {
    /// The exit code, and stderr from the first error on: what failed, why, what to do next.
    #[track_caller]
    pub fn failure(&self) -> String {
        let status = self.status.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
        assert!(!self.stderr.contains("panicked"), "{self}");
        let begins = |line: &&str| line.starts_with("error: ");
        let lines = self.stderr.lines().skip_while(|line| !begins(line));
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        assert!(!text.is_empty(), "no line begins with `error: `\n{self}");
        format!("exit code {status}\n{text}")
    }

    /// The exit code and everything that was printed.
    pub fn everything(&self) -> String {
        let Self { status, stdout, stderr } = self;
        let status = status.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
        let mut text = format!("exit code {status}\n");
        for (stream, lines) in [("stdout", stdout), ("stderr", stderr)] {
            if !lines.is_empty() {
                text.extend(["--- ", stream, "\n", lines]);
            }
        }
        text
    }
}
