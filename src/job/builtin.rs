//! Built-in jobs, loading a job by name or file, and sets of jobs.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::{JobError, suggestion};
use super::file::Job;
use crate::packs::built_in;

/// The names of all built-in jobs, as `--job` takes them.
pub(crate) const BUILT_IN_JOBS: [&str; 16] = [
    "finops/aws-cur2",
    "finops/focus",
    "langfuse-events",
    "langfuse/experiment-roots",
    "langfuse/experiments",
    "langfuse-trace-roots",
    "optiinfra/cost-metrics-hourly",
    "optiinfra/performance-metrics-hourly",
    "optiinfra/quality-metrics-hourly",
    "optiinfra/resource-metrics-hourly",
    "shop/customers",
    "shop/daily-sales",
    "shop/order-items-enriched",
    "shop/order-items",
    "shop/orders",
    "shop/products",
];

/// The names of all built-in sets of jobs, as `--job` takes them.
pub(crate) const BUILT_IN_SETS: [&str; 3] =
    ["langfuse/v4", "langfuse/v4-without-experiments", "shop/month"];

/// The names of jobs that are older than their pack, with those in the pack.
const OLDER_NAMES: [(&str, &str); 2] =
    [("langfuse-events", "langfuse/events"), ("langfuse-trace-roots", "langfuse/trace-roots")];

/// The text of the built-in job of this name, or of the job `PACK/NAME` of a built-in pack.
fn built_in_text(name: &str) -> Option<&'static str> {
    let older = OLDER_NAMES.iter().find(|(older, _)| *older == name);
    let (pack, job) = older.map_or(name, |(_, name)| name).split_once('/')?;
    built_in(pack)?.file(&format!("jobs/{job}.toml"))
}

/// Reads the built-in job of this name, the job `PACK/NAME` of a built-in pack, or else the file of this
/// name. A name `DIR/NAME` is that of a job of the pack in this folder.
///
/// # Errors
/// [`JobError::NotFound`] if there is none of them, and errors in the job.
pub fn load(name: &str) -> Result<Job, JobError> {
    if let Some(set) = JobSet::find(name)? {
        return Err(JobError::IsSet { name: set.reference, jobs: set.jobs });
    }
    Job::parse(name, &job_text(name)?)
}

/// The text of the job that [`load`] reads by this name.
///
/// # Errors
/// [`JobError::NotFound`] if there is none.
pub(crate) fn job_text(name: &str) -> Result<Cow<'static, str>, JobError> {
    if let Some(text) = built_in_text(name) {
        return Ok(text.into());
    }
    std::fs::read_to_string(file_of(name)).map(Cow::Owned).map_err(|error| {
        let suggestion = suggestion(name, BUILT_IN_JOBS);
        JobError::NotFound { name: name.to_owned(), reason: error.to_string(), suggestion }
    })
}

/// The file that a name means.
fn file_of(name: &str) -> PathBuf {
    let path = Path::new(name);
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(job)) if !path.exists() && folder.join("pack.toml").exists() => {
            folder.join("jobs").join(job).with_extension("toml")
        }
        _ => path.to_owned(),
    }
}

/// Jobs that fill a partition in turn, each with a load of its own in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobSet {
    /// What `--job` names.
    pub reference: String,
    /// One line that says what it is for.
    pub description: String,
    /// The jobs in their order, as `--job` takes them.
    pub jobs: Vec<String>,
    /// Exclusions that apply to the jobs that name them.
    exclude: Vec<String>,
}

/// A file of `sets` of a pack.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetFile {
    description: String,
    /// Names of jobs of the same pack.
    jobs: Vec<String>,
    /// Exclusions that apply to the jobs that name them.
    #[serde(default)]
    exclude: Vec<String>,
}

impl JobSet {
    /// The set of this name: `PACK/NAME` of a built-in pack, a file in the folder `sets` of a pack, or
    /// `DIR/NAME` for a pack in this folder. `None` if the name is not that of a set.
    ///
    /// # Errors
    /// A file that cannot be read, or that is not a set.
    pub(crate) fn find(reference: &str) -> Result<Option<Self>, JobError> {
        let built_in = reference.split_once('/').and_then(|(pack, name)| {
            Some((pack, built_in(pack)?.file(&format!("sets/{name}.toml"))?))
        });
        if let Some((pack, text)) = built_in {
            return Self::parse(reference, text, |job| format!("{pack}/{job}")).map(Some);
        }
        let Some((folder, path)) = set_file(Path::new(reference)) else { return Ok(None) };
        let text = std::fs::read_to_string(&path).map_err(|error| JobError::NotFound {
            name: reference.to_owned(),
            reason: error.to_string(),
            suggestion: None,
        })?;
        let job = |job: &str| folder.join("jobs").join(format!("{job}.toml")).display().to_string();
        Self::parse(reference, &text, job).map(Some)
    }

    fn parse(reference: &str, text: &str, job: impl Fn(&str) -> String) -> Result<Self, JobError> {
        let wrong = |message: String| JobError::Syntax {
            origin: reference.to_owned(),
            message,
            suggestion: None,
        };
        let SetFile { description, jobs, exclude } =
            toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if jobs.is_empty() {
            return Err(wrong("the set has no jobs".to_owned()));
        }
        let jobs = jobs.iter().map(|name| job(name)).collect();
        Ok(Self { reference: reference.to_owned(), description, jobs, exclude })
    }

    /// The exclusions of the set that a job of it names.
    ///
    /// # Errors
    /// See [`load`].
    pub(crate) fn exclusions_of(&self, job: &str) -> Result<Vec<String>, JobError> {
        if self.exclude.is_empty() {
            return Ok(Vec::new());
        }
        let known = load(job)?.source.exclusions;
        Ok(self.exclude.iter().filter(|name| known.contains_key(*name)).cloned().collect())
    }
}

/// The folder of a pack and the file of its set that a path names.
fn set_file(path: &Path) -> Option<(&Path, PathBuf)> {
    let parent = path.parent()?;
    let is_pack = |folder: &Path| folder.join("pack.toml").exists();
    if parent.file_name().is_some_and(|name| name == "sets") && path.exists() {
        let folder = parent.parent().unwrap_or(Path::new("."));
        return is_pack(folder).then(|| (folder, path.to_owned()));
    }
    let file = parent.join("sets").join(path.file_name()?).with_extension("toml");
    let is_named = !path.exists() && is_pack(parent) && !file_of(&path.to_string_lossy()).exists();
    (is_named && file.exists()).then_some((parent, file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packs::BUILT_IN_PACKS;

    #[test]
    fn every_job_of_a_built_in_pack_is_listed_and_has_two_names_at_most() {
        let texts = BUILT_IN_JOBS.map(|name| built_in_text(name).unwrap());
        for pack in BUILT_IN_PACKS {
            for (path, text) in pack.files.iter().filter(|(path, _)| path.starts_with("jobs/")) {
                assert!(texts.contains(text), "{}/{path}", pack.name);
                let name = path.trim_start_matches("jobs/").trim_end_matches(".toml");
                assert_eq!(built_in_text(&format!("{}/{name}", pack.name)), Some(*text));
            }
        }
    }

    #[test]
    fn every_built_in_set_is_listed_and_names_jobs() {
        for pack in BUILT_IN_PACKS {
            for (path, _) in pack.files.iter().filter(|(path, _)| path.starts_with("sets/")) {
                let name = path.trim_start_matches("sets/").trim_end_matches(".toml");
                let reference = format!("{}/{name}", pack.name);
                assert!(BUILT_IN_SETS.contains(&&*reference), "{reference}");
                let set = JobSet::find(&reference).unwrap().unwrap();
                assert!(!set.description.is_empty() && set.jobs.len() > 1, "{reference}");
                for job in &set.jobs {
                    assert!(set.exclusions_of(job).is_ok(), "{job}");
                }
                assert!(matches!(load(&reference), Err(JobError::IsSet { .. })));
            }
        }
        assert_eq!(JobSet::find("langfuse/events").unwrap(), None);
        assert_eq!(JobSet::find("langfuse-events").unwrap(), None);
    }

    #[test]
    fn sets_of_a_folder_name_its_jobs() {
        let folder = tempfile::TempDir::with_prefix("pack-").unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("pack.toml", "");
        write("sets/all.toml", "description = 'd'\njobs = ['b', 'a']\n");
        write("sets/none.toml", "description = 'd'\njobs = []\n");
        write("jobs/b.toml", "");
        let root = folder.path().display().to_string();
        let find = |name: &str| JobSet::find(&format!("{root}/{name}"));
        let jobs = [format!("{root}/jobs/b.toml"), format!("{root}/jobs/a.toml")];
        for name in ["all", "sets/all.toml"] {
            assert_eq!(find(name).unwrap().unwrap().jobs, jobs, "{name}");
        }
        assert_eq!(find("b").unwrap(), None);
        assert_eq!(find("missing").unwrap(), None);
        assert!(matches!(find("none"), Err(JobError::Syntax { .. })));
    }

    #[test]
    fn every_built_in_job_reads_and_has_its_own_name() {
        for listed in BUILT_IN_JOBS {
            let read = load(listed).unwrap();
            // In a pack, the name of the pack comes first.
            let name = listed.rsplit_once('/').map_or(listed, |(_, name)| name);
            assert!(read.name == name || read.name == format!("langfuse-{name}"), "{}", read.name);
            assert!(!read.description.is_empty(), "{listed}");
        }
    }
}
