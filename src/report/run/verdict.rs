//! What is to be said of a run before all else.

use super::figures::{Verdict, VerdictLevel, VerificationFigures};
use crate::ledger::{LoadRecord, LoadStatus};
use crate::progress::{count, counted};

/// Judges the load and the last comparison of it.
pub(super) fn verdict(
    load: &LoadRecord,
    at_work: bool,
    verifications: &[VerificationFigures],
) -> Verdict {
    let say = |level, text: String, next: &str| Verdict { level, text, next: next.to_owned() };
    if !load.is_current {
        return say(
            VerdictLevel::Open,
            "Replaced: a later version of the load counts.".to_owned(),
            "",
        );
    }
    let (done, of) = (count(load.chunks_completed), count(load.chunks));
    match load.status {
        LoadStatus::Completed => completed(verifications),
        _ if at_work => {
            say(VerdictLevel::Open, format!("Under way: {done} of {of} chunks are completed."), "")
        }
        LoadStatus::Failed => say(
            VerdictLevel::Bad,
            format!("Failed: {done} of {of} chunks are completed, and stay so."),
            "Run the same command again: it goes on with the chunks that are left.",
        ),
        LoadStatus::Interrupted => say(
            VerdictLevel::Open,
            format!("Interrupted: {done} of {of} chunks are completed, and stay so."),
            "Run the same command again: it goes on with the chunks that are left.",
        ),
        LoadStatus::Started => say(
            VerdictLevel::Bad,
            format!(
                "Killed: its process is gone without a word; {done} of {of} chunks are completed, and stay so."
            ),
            "Run the same command again: it goes on with the chunks that are left.",
        ),
    }
}

fn completed(verifications: &[VerificationFigures]) -> Verdict {
    let say = |level, text: String, next: &str| Verdict { level, text, next: next.to_owned() };
    match verifications.first() {
        None => say(
            VerdictLevel::Open,
            "Completed: every chunk is done, and an independent count of the source agrees. Not verified yet.".to_owned(),
            "`verify` compares every column of every row with the equivalent join.",
        ),
        Some(last) if !last.equal => say(
            VerdictLevel::Bad,
            format!(
                "Completed, but the verification found {} that {}.",
                counted(last.differences, "row"),
                if last.differences == 1 { "differs" } else { "differ" }
            ),
            "`repair` fills the chunks again that hold such rows.",
        ),
        Some(last) if last.sample.is_empty() => {
            say(VerdictLevel::Good, "Completed and verified: the target is what the job makes of the source.".to_owned(), "")
        }
        Some(last) => say(VerdictLevel::Good, format!("Completed, and verified in part ({}): no row differs.", last.sample), ""),
    }
}
