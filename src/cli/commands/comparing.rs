//! What `verify` and `repair` share: the recorded load, options, progress, and how they end.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::advice::blocked;
use crate::cli::config::CompareConfig;
use crate::cli::failure::Failure;
use crate::cli::output::{terminal_width, wrap_block};
use crate::clickhouse::{Error as ServerError, ErrorClass, Servers};
use crate::escape::escape_value;
use crate::job::{BoundGroup, BoundJob};
use crate::plan::Plan;
use crate::preflight::blocked_comparison;
use crate::progress::{Terminal, count, counted, duration, show_comparison};
use crate::retry::RetryPolicy;
use crate::stop::Stop;
use crate::verify::{
    DifferingRow, DifferingValue, GroupVerifier, Kind, Report, ShownValue, Tolerances, Verifier,
    VerifyError, VerifyOptions, VerifyProgress, target_partitions,
};

/// More compared chunks are not named.
const CHUNKS_NAMED: usize = 10;
/// What the first signal does.
pub(crate) const KEEPING: &str = "saving the state of the comparison; a second signal ends at once";

/// The options that both commands share.
pub(crate) fn compare_options(config: &CompareConfig, state: PathBuf) -> VerifyOptions {
    VerifyOptions {
        max_differences: config.max_differences,
        server_memory: config.server_memory,
        state_max_age: config.state_max_age,
        retry: RetryPolicy { max_retries: config.max_retries, ..RetryPolicy::default() },
        ..VerifyOptions::new(state)
    }
}

/// Makes the checks of a comparison.
///
/// # Errors
/// The checks that block it.
pub(crate) async fn require_comparable(
    command: &str,
    servers: &Servers,
    job: &BoundJob,
    plan: &Plan,
) -> Result<(), Failure> {
    let checks = blocked_comparison(servers, job, plan).await;
    if checks.is_empty() {
        return Ok(());
    }
    Err(blocked(command, &checks.iter().collect::<Vec<_>>()))
}

/// Compares the groups of the target with the direct aggregation.
pub(crate) async fn compare_groups(
    terminal: &Terminal,
    (servers, job, group, plan): (&Servers, &BoundJob, &BoundGroup, &Plan),
    options: &VerifyOptions,
    stop: Stop,
) -> Result<Report, VerifyError> {
    let progress = Arc::<VerifyProgress>::default();
    let mut partitions = target_partitions(servers, job, group, plan).await?;
    partitions.extend(options.replaced.iter().cloned());
    let verifier = GroupVerifier {
        servers,
        job,
        group,
        plan,
        target_partitions: partitions,
        options,
        progress: progress.clone(),
        stop,
    };
    let name = format!("{} {}", job.name, plan.partition);
    show_comparison(terminal, &name, &progress, Box::pin(verifier.run())).await
}

/// Says why an interrupted comparison is not resumed, if there is one.
pub(crate) fn say_if_not_resumed(terminal: &Terminal, verifier: &Verifier) {
    if let Some(reason) = verifier.not_resumed_because() {
        terminal.say(&format!("note: the interrupted comparison is not resumed: {reason}"));
    }
}

/// The file that keeps the state of an interrupted comparison.
pub(crate) fn state_file(
    given: Option<&Path>,
    command: &str,
    job: &BoundJob,
    plan: &Plan,
) -> PathBuf {
    let name = |text: &str| {
        text.replace(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.' | '-'), "_")
    };
    let (target, partition) = (name(&job.target.name.to_string()), name(plan.partition.id()));
    let default = || format!("{command}-{}-{target}-{partition}.json", name(&job.name)).into();
    given.map_or_else(default, Path::to_path_buf)
}

/// The report; `None` after an interruption, which is reported.
pub(crate) fn report_unless_stopped(
    ran: Result<Report, VerifyError>,
    terminal: &Terminal,
    state: &Path,
) -> Result<Option<Report>, Failure> {
    match ran {
        Ok(report) => Ok(Some(report)),
        Err(VerifyError::Stopped) => {
            let kept = if state.exists() {
                format!("; its state is saved in {}", state.display())
            } else {
                String::new()
            };
            terminal.insist(&format!("interrupted before the end of the comparison{kept}\nhint: run the same command again to continue"));
            Ok(None)
        }
        Err(error) => {
            let permanent = is_permanent(&error);
            let failure = verify_failure(error);
            if !failure.is_stop() {
                return Err(failure);
            }
            Err(failure.hint(if permanent {
                "correct what the server names first, a retry would fail again; nothing was changed"
            } else {
                "nothing was changed; run the same command again to continue"
            }))
        }
    }
}

/// Whether the server would refuse the comparison again.
fn is_permanent(error: &VerifyError) -> bool {
    let class = ServerError::within(error).map(ServerError::class);
    matches!(class, Some(ErrorClass::Fatal | ErrorClass::Rows))
}

pub(crate) fn verify_failure(error: VerifyError) -> Failure {
    if let Some(table) = error.table()
        && ServerError::within(&error).is_some_and(ServerError::is_access_denied)
    {
        let hint = format!("the user needs SELECT ON {table}");
        return Failure::refusal(&error).hint(hint);
    }
    match error {
        VerifyError::Plan(error) => (*error).into(),
        VerifyError::State { .. } => Failure::usage(error.to_string())
            .hint("--state names another file; without a state, the comparison starts over"),
        other => Failure::stopped(&other),
    }
}

/// A figure of the comparison.
fn figure(text: &mut String, name: &str, value: &str) {
    text.push_str(&wrap_block(&format!("{name:<36}{value}"), 36, terminal_width()));
}

/// The comparison as text.
pub(crate) fn comparison_text(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| figure(&mut text, name, value);
    line("target", &report.target);
    line(
        "source",
        &format!("{}, partition {}, by {}", report.source, report.partition, report.job),
    );
    if let Some(run_id) = &report.run_id {
        let chunks = match &report.compared_chunks {
            None => count(report.chunks),
            Some(numbers) if numbers.len() > CHUNKS_NAMED => format!("{} of them", numbers.len()),
            Some(numbers) => {
                let numbers: Vec<_> = numbers.iter().map(|number| count(*number as u64)).collect();
                numbers.join(", ")
            }
        };
        line("chunks", &format!("{chunks}, those of run {run_id}"));
    }
    if let Some(sample) = &report.sample {
        line("sample", &format!("{sample} of the keys"));
    }
    let what = if report.tolerances.is_some() { "groups" } else { "rows" };
    line(&format!("expected {what}"), &count(report.expected_rows));
    line(&format!("target {what}"), &count(report.target_rows));
    if let Some(tolerances) = report.tolerances {
        line("compared", &tolerances_words(tolerances));
    }
    if report.expired_rows > 0 {
        line("past the target's TTL", &format!("{} (not compared)", count(report.expired_rows)));
    }
    if !report.columns_not_compared.is_empty() {
        line("columns not compared", &report.columns_not_compared.join(", "));
    }
    text.push_str(&differences(report, what));
    text.push_str(&rows(report));
    let verdict = match (report.equal, &report.sample) {
        (true, None) if report.tolerances.is_some() => {
            "equal: the target has the groups that the job makes"
        }
        (true, None) if report.compared_chunks.is_some() => {
            "equal: the target has the rows that the job makes of these chunks"
        }
        (true, None) => "equal: the target has the rows that the job makes",
        (true, Some(_)) => "equal within the sample",
        (false, _) => "different",
    };
    let took = duration(std::time::Duration::from_secs_f64(report.seconds));
    let _ = writeln!(text, "\n{verdict} ({took})");
    text
}

/// How many rows, or groups, differ, by kind. `what` is the noun.
fn differences(report: &Report, what: &str) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| figure(&mut text, name, value);
    for (kind, rows) in &report.live {
        line(kind_words(*kind), &format!("{} (no difference)", count(*rows)));
    }
    for (kind, rows) in &report.tolerated {
        line(kind_words(*kind), &format!("{} (not compared)", count(*rows)));
    }
    line(&format!("differing {what}"), &count(report.difference_count()));
    for (kind, rows) in &report.differences {
        line(&format!("  {}", kind_words(*kind)), &count(*rows));
    }
    if report.not_examined_rows > 0 {
        line(
            "not examined",
            &format!("up to {} in groups that differ", counted(report.not_examined_rows, "row")),
        );
    }
    if !report.columns.is_empty() {
        let names: Vec<_> = report.columns.iter().map(|column| column.name.as_str()).collect();
        line("columns that differ", &names.join(", "));
    }
    text
}

/// How the values of groups were compared.
fn tolerances_words(tolerances: Tolerances) -> String {
    let Tolerances { floats, estimates } = tolerances;
    format!(
        "counts, integers and texts exactly, floats within {floats:e}, estimates such as quantiles within {estimates} (relative)"
    )
}

/// The rows that are named.
fn rows(report: &Report) -> String {
    if report.rows.is_empty() {
        return String::new();
    }
    let mut text = "\n".to_owned();
    let widths = report.rows.iter().map(|row| kind_words(row.kind).chars().count());
    let width = widths.max().unwrap_or_default();
    for row in &report.rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<width$}  {}", kind_words(row.kind), named(row));
        text.extend(row.values.iter().map(both));
    }
    let other = report.live.values().chain(report.tolerated.values());
    let all = report.difference_count() + other.sum::<u64>();
    if all > report.rows.len() as u64 {
        let more = count(all - report.rows.len() as u64);
        let _ = writeln!(text, "… and {more} more; raise --max-differences to see them");
    }
    text
}

/// The key, and the columns that differ.
fn named(row: &DifferingRow) -> String {
    let key: Vec<_> =
        row.key.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
    let columns = if row.columns.is_empty() {
        String::new()
    } else {
        format!("  in {}", row.columns.join(", "))
    };
    let chunk = row.chunk.map_or_else(String::new, |chunk| format!("  (chunk {chunk})"));
    format!("{}{columns}{chunk}", key.join(" "))
}

/// The values of a column on both sides.
fn both(value: &DifferingValue) -> String {
    let DifferingValue { column, expected, found, first_differing_byte } = value;
    let place = first_differing_byte
        .map_or_else(String::new, |byte| format!("; first difference at byte {}", count(byte)));
    format!(
        "    {column}\n      target    {}\n      expected  {}{place}\n",
        excerpt(found),
        excerpt(expected)
    )
}

fn excerpt(value: &ShownValue) -> String {
    let ShownValue { text: Some(text), from_byte, to_byte, bytes } = value else {
        return "NULL".to_owned();
    };
    let (before, from) = if *from_byte > 1 {
        ("…", format!(", from byte {}", count(*from_byte)))
    } else {
        ("", String::new())
    };
    let behind = if to_byte < bytes { "…" } else { "" };
    format!("'{before}{}{behind}' ({}{from})", escape_value(text), counted(*bytes, "byte"))
}

/// The beginning of a value, in one line.
fn shown(value: &str) -> String {
    let text = escape_value(&value.chars().take(100).collect::<String>());
    let quoted = value.is_empty() || value.contains([' ', '=', '\'']);
    if quoted { format!("'{text}'") } else { text }
}

/// The name of a kind of difference.
pub(crate) fn kind_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Missing => "missing in the target",
        Kind::Differing => "differs",
        Kind::Stale => "stale: the source is newer",
        Kind::Repeated => "repeated in the target",
        Kind::DeletedInSource => "deleted in the source, live in the target",
        Kind::NotMadeAnyMore => "no longer made by the job",
        Kind::Extra => "extra in the target",
        Kind::WrittenSince => "written since by a live writer",
        Kind::DeletedSince => "deleted since by a live writer",
        Kind::AddedSince => "added since by a live writer",
        Kind::SharedKey => "also made by another partition",
        Kind::Unattributed => "of an unknown source partition",
    }
}
