//! What a check says.

use serde::Serialize;

/// What a check means for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing stands in its way.
    Ok,
    /// It can run, and a person should know this.
    Warning,
    /// It would fail, or do harm.
    Forbids,
    /// It could not be found out.
    Unknown,
}

impl Verdict {
    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Forbids => "forbids",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing that was looked at before a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, one of [`NAMES`](super::NAMES).
    pub name: &'static str,
    /// What it means.
    pub verdict: Verdict,
    /// What was found, in lower case and without a final period.
    pub detail: String,
    /// What would make it pass, each by itself; commands where there are some.
    pub lifted_by: Vec<String>,
}

impl Check {
    /// Nothing stands in the way.
    pub(super) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, detail: detail.into(), lifted_by: Vec::new() }
    }

    /// A person should know this.
    pub(super) fn warning(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warning, detail: detail.into(), lifted_by: Vec::new() }
    }

    /// The run would fail, or do harm.
    pub(super) fn forbids(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Forbids, detail: detail.into(), lifted_by: Vec::new() }
    }

    /// It could not be found out, for this reason.
    pub fn unknown(name: &'static str, reason: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Unknown, detail: reason.into(), lifted_by: Vec::new() }
    }

    /// For a check that is made elsewhere: it found this, and a person should know it where
    /// `warning` says so.
    pub fn passed(name: &'static str, detail: impl Into<String>, warning: bool) -> Self {
        if warning { Self::warning(name, detail) } else { Self::ok(name, detail) }
    }

    /// For a check that is made elsewhere: it forbids the run.
    pub fn refused(name: &'static str, detail: impl Into<String>, lifted_by: Vec<String>) -> Self {
        Self { lifted_by, ..Self::forbids(name, detail) }
    }

    /// The same with one more thing that would make it pass.
    #[must_use]
    pub(super) fn lifted_by(mut self, means: impl Into<String>) -> Self {
        self.lifted_by.push(means.into());
        self
    }

    /// The same, but for a person who knows and wants the run all the same.
    #[must_use]
    pub(super) fn overruled(mut self) -> Self {
        if self.verdict == Verdict::Forbids {
            self.verdict = Verdict::Warning;
            self.detail.push_str("; that is allowed");
            self.lifted_by.clear();
        }
        self
    }
}
