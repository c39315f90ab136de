//! Whether the servers' versions are those that the program was tested with, and what older ones do
//! otherwise.

use super::Check;

pub(super) const NAME: &str = "version";

/// The version that the tests run against.
const TESTED: &str = "26.7";

/// From this version on, an error in the middle of an answer carries
/// [a mark of its own](https://clickhouse.com/docs/interfaces/http#response-buffering).
const MARKS_ERRORS: (u32, u32) = (25, 11);

/// Judges the target's version and the source's.
pub(super) fn check(target: &str, source: &str) -> Check {
    let found = if target == source {
        format!("ClickHouse {target}")
    } else {
        format!("ClickHouse {source} to {target}")
    };
    let old = [target, source]
        .into_iter()
        .find(|version| parse(version).is_some_and(|version| version < MARKS_ERRORS));
    match (old, parse(target)) {
        (Some(old), _) => Check::warning(
            NAME,
            format!(
                "{found}; tested with {TESTED}. Before 25.11, as {old} is, an error in the middle of an answer is not marked reliably: \
                 the end of what was received is held back until more has come, and the rows are counted afterwards"
            ),
        )
        .lifted_by("ClickHouse 25.11 or newer"),
        (None, Some(_)) => Check::ok(NAME, format!("{found}; tested with {TESTED}")),
        (None, None) => Check::unknown(NAME, format!("the server calls its version {target}; tested with ClickHouse {TESTED}")),
    }
}

fn parse(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Verdict;

    #[test]
    fn versions_before_marks_are_said() {
        for (target, source, verdict) in [
            ("26.7.2.1", "26.7.2.1", Verdict::Ok),
            ("25.11.1.1", "26.5.1.1", Verdict::Ok),
            ("25.10.9.1", "25.10.9.1", Verdict::Warning),
            ("26.7.2.1", "24.8.1.1", Verdict::Warning),
            ("of somebody's own", "of somebody's own", Verdict::Unknown),
        ] {
            assert_eq!(check(target, source).verdict, verdict, "{target} {source}");
        }
    }
}
