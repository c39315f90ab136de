//! The conditions that a job names, which its target's server is asked about.

use serde_json::Value;
use tokio::time::timeout;

use super::check::{Check, LIMIT};
use crate::clickhouse::{Connection, Settings};
use crate::job::{BoundJob, Condition};
use crate::units::counted;

pub(super) const JOB_CHECKS: &str = "job-checks";

/// At most this many findings of a condition are named.
const NAMED: usize = 3;
/// At most this many letters of a server's message are shown.
const LONGEST: usize = 200;

/// Asks about all conditions of the job; `None` for a job without any. A finding prevails over a question
/// without an answer.
pub(super) async fn check_job(target: &Connection, job: &BoundJob) -> Option<Check> {
    if job.checks.is_empty() {
        return None;
    }
    let asked = job.checks.iter().map(|(name, condition)| findings(target, name, condition));
    let answers = futures::future::join_all(asked).await;
    let (mut details, mut lifted_by) = (Vec::new(), Vec::new());
    let (mut is_blocked, mut unknown) = (false, None);
    for (condition, answer) in job.checks.values().zip(answers) {
        match answer {
            Ok(found) if found.is_empty() => {}
            Ok(found) => {
                details.push(format!("{}: {}", condition.finding, listed(&found)));
                lifted_by.extend(condition.lifted_by.clone());
                is_blocked |= condition.blocks;
            }
            Err(reason) => unknown = unknown.or(Some(reason)),
        }
    }
    Some(match unknown {
        _ if is_blocked => Check::refused(JOB_CHECKS, details.join("; "), lifted_by),
        _ if !details.is_empty() => {
            Check { lifted_by, ..Check::warning(JOB_CHECKS, details.join("; ")) }
        }
        Some(reason) => Check::unknown(JOB_CHECKS, reason),
        None => {
            let names: Vec<_> = job.checks.keys().map(String::as_str).collect();
            Check::ok(JOB_CHECKS, format!("nothing found: {}", names.join(", ")))
        }
    })
}

/// The first column of each row of a condition's query.
async fn findings(
    target: &Connection,
    name: &str,
    condition: &Condition,
) -> Result<Vec<String>, String> {
    let settings = Settings::read();
    let format = "JSONCompactEachRow";
    let asked = target.fetch("job-check", &condition.query, format, &settings);
    let rows = match timeout(LIMIT, asked).await {
        Ok(Ok(rows)) => rows,
        Ok(Err(error)) => {
            let words: String = error.to_string().chars().take(LONGEST).collect();
            return Err(format!("{name} cannot be checked: {words}"));
        }
        Err(_) => return Err(format!("{name} was not answered within {} s", LIMIT.as_secs())),
    };
    let lines = serde_json::Deserializer::from_slice(&rows).into_iter::<Vec<Value>>();
    let first = lines.map(|row| match row.map(|row| row.into_iter().next()) {
        Ok(Some(Value::String(text))) => Ok(text),
        Ok(other) => Ok(other.unwrap_or_default().to_string()),
        Err(error) => Err(format!("{name} cannot be checked: {error}")),
    });
    first.collect()
}

/// The first findings, and how many there are beside them.
fn listed(found: &[String]) -> String {
    let named = found.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match found.len().saturating_sub(NAMED) {
        0 => named,
        others => format!("{named} and {}", counted(others as u64, "other")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_findings_are_named() {
        let found = |count: usize| (1..=count).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(listed(&found(1)), "1");
        assert_eq!(listed(&found(3)), "1, 2, 3");
        assert_eq!(listed(&found(4)), "1, 2, 3 and 1 other");
        assert_eq!(listed(&found(1234)), "1, 2, 3 and 1,231 others");
    }
}
