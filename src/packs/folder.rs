//! Reading a pack: from the program, which has the folder `packs` of the project, or from a folder.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::PackError;

/// A pack with the texts of its files.
#[derive(Clone, Debug)]
pub(crate) struct Pack {
    /// Its name, which leads the names of its jobs and queries.
    pub name: String,
    /// One line that says what it is for.
    pub description: String,
    /// `schema.sql`, if it has tables of its own.
    pub schema: Option<PackFile>,
    /// `jobs/*.toml`, by name.
    pub jobs: Vec<PackFile>,
    /// `sets/*.toml`, by name: jobs that fill a partition in turn.
    pub sets: Vec<PackFile>,
    /// `queries/*.sql`, by name.
    pub queries: Vec<PackFile>,
}

/// A file of a pack.
#[derive(Clone, Debug)]
pub(crate) struct PackFile {
    /// The file's name without its extension.
    pub name: String,
    /// Where it is, for messages.
    pub path: String,
    /// Its text.
    pub text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    name: String,
    description: String,
}

impl Pack {
    /// The query of this name.
    pub(crate) fn query(&self, name: &str) -> Result<&PackFile, PackError> {
        self.queries.iter().find(|query| query.name == name).ok_or_else(|| {
            PackError::UnknownQuery {
                pack: self.name.clone(),
                name: name.to_owned(),
                known: self.queries.iter().map(|query| query.name.clone()).collect(),
            }
        })
    }

    /// A pack of these files, whose paths are within its folder.
    fn new(head: &PackFile, files: Vec<(PathBuf, PackFile)>) -> Result<Self, PackError> {
        let Head { name, description } = toml::from_str(&head.text).map_err(|error| {
            PackError::Syntax { path: head.path.clone(), message: error.to_string() }
        })?;
        let (jobs, sets, queries) = (Vec::new(), Vec::new(), Vec::new());
        let mut pack = Self { name, description, schema: None, jobs, sets, queries };
        for (path, file) in files {
            let folder = path.parent().and_then(Path::to_str).unwrap_or_default();
            let extension = path.extension().and_then(|extension| extension.to_str());
            match (folder, extension) {
                ("", Some("sql")) if file.name == "schema" => pack.schema = Some(file),
                ("jobs", Some("toml")) => pack.jobs.push(file),
                ("sets", Some("toml")) => pack.sets.push(file),
                ("queries", Some("sql")) => pack.queries.push(file),
                _ => {}
            }
        }
        pack.jobs.sort_by(|a, b| a.name.cmp(&b.name));
        pack.sets.sort_by(|a, b| a.name.cmp(&b.name));
        pack.queries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(pack)
    }

    /// A pack of the program.
    fn built_in(built_in: &BuiltInPack) -> Result<Self, PackError> {
        let read = |path: &str, text: &str| {
            let shown = format!("{}/{path}", built_in.name);
            pack_file(Path::new(path), shown, text.to_owned())
        };
        let files = built_in.files.iter().map(|(path, text)| (path.into(), read(path, text)));
        let head = read(HEAD, built_in.file(HEAD).unwrap_or_default());
        Self::new(&head, files.collect())
    }

    /// The pack in a folder.
    pub(crate) fn read(folder: &Path) -> Result<Self, PackError> {
        let read = |path: PathBuf| {
            let full = folder.join(&path);
            let shown = full.display().to_string();
            match fs::read_to_string(&full) {
                Ok(text) => Ok((path.clone(), pack_file(&path, shown, text))),
                Err(source) => Err(PackError::Unreadable { path: shown, source }),
            }
        };
        let (_, head) = read(PathBuf::from(HEAD))?;
        let schema = PathBuf::from("schema.sql");
        let mut files = Vec::new();
        if folder.join(&schema).exists() {
            files.push(read(schema)?);
        }
        for inside in ["jobs", "sets", "queries"] {
            for path in files_of(folder, inside)? {
                files.push(read(path)?);
            }
        }
        Self::new(&head, files)
    }
}

/// The file that makes a folder a pack.
const HEAD: &str = "pack.toml";

fn pack_file(path: &Path, shown: String, text: String) -> PackFile {
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    PackFile { name, path: shown, text }
}

/// The paths of the job files, sets or queries in a folder of a pack; none if it does not exist.
fn files_of(folder: &Path, inside: &str) -> Result<Vec<PathBuf>, PackError> {
    let path = folder.join(inside);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let failed = |source| PackError::Unreadable { path: path.display().to_string(), source };
    let wanted = if inside == "queries" { "sql" } else { "toml" };
    let mut found = Vec::new();
    for entry in fs::read_dir(&path).map_err(failed)? {
        let name = PathBuf::from(entry.map_err(failed)?.file_name());
        if name.extension().is_some_and(|extension| extension == wanted) {
            found.push(Path::new(inside).join(name));
        }
    }
    Ok(found)
}

/// The built-in packs and those of these folders. A folder's pack replaces a built-in one of its name.
pub(crate) fn open(folders: &[PathBuf]) -> Result<Vec<Pack>, PackError> {
    let own = folders.iter().map(|folder| Pack::read(folder)).collect::<Result<Vec<_>, _>>()?;
    let mut packs = Vec::new();
    for known in BUILT_IN_PACKS {
        if !own.iter().any(|pack| pack.name == known.name) {
            packs.push(Pack::built_in(known)?);
        }
    }
    packs.extend(own);
    Ok(packs)
}

/// The path of a job or of a set of jobs that is named `PACK/NAME` in one of these folders.
pub(crate) fn job_file(reference: &str, folders: &[PathBuf]) -> Result<Option<PathBuf>, PackError> {
    let Some((name, job)) = reference.split_once('/') else { return Ok(None) };
    for folder in folders {
        if Pack::read(folder)?.name == name {
            let file = |kind: &str| folder.join(kind).join(format!("{job}.toml"));
            let (job, set) = (file("jobs"), file("sets"));
            return Ok(Some(if !job.exists() && set.exists() { set } else { job }));
        }
    }
    Ok(None)
}

/// A pack within the program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BuiltInPack {
    /// The name of its folder.
    pub name: &'static str,
    /// Its files: path within the folder, and text.
    pub files: &'static [(&'static str, &'static str)],
}

impl BuiltInPack {
    /// The text of a file.
    pub(crate) fn file(&self, path: &str) -> Option<&'static str> {
        self.files.iter().find(|(known, _)| *known == path).map(|(_, text)| *text)
    }
}

macro_rules! pack {
    ($name:literal: $($file:literal),* $(,)?) => {
        BuiltInPack {
            name: $name,
            files: &[$(($file, include_str!(concat!("../../packs/", $name, "/", $file)))),*],
        }
    };
}

/// All of them.
pub(crate) const BUILT_IN_PACKS: &[BuiltInPack] = &[
    pack!("finops":
        "pack.toml",
        "schema.sql",
        "jobs/aws-cur2.toml",
        "jobs/focus.toml",
        "queries/cost-by-account.sql",
        "queries/cost-by-day.sql",
        "queries/cost-by-service.sql",
        "queries/cost-by-tag.sql",
        "queries/loads.sql",
        "queries/month-over-month.sql",
        "queries/top-movers.sql",
    ),
    pack!("langfuse":
        "pack.toml",
        "jobs/events.toml",
        "jobs/experiment-roots.toml",
        "jobs/experiments.toml",
        "jobs/trace-roots.toml",
        "queries/experiments.sql",
        "queries/finish.sql",
        "queries/repeated.sql",
        "queries/undo.sql",
        "sets/v4-without-experiments.toml",
        "sets/v4.toml",
    ),
    pack!("optiinfra":
        "pack.toml",
        "schema.sql",
        "jobs/cost-metrics-hourly.toml",
        "jobs/performance-metrics-hourly.toml",
        "jobs/quality-metrics-hourly.toml",
        "jobs/resource-metrics-hourly.toml",
        "queries/cost-hourly.sql",
        "queries/freshness.sql",
        "queries/partitions.sql",
        "queries/performance-p95.sql",
        "queries/quality-trends.sql",
        "queries/resource-utilization.sql",
        "queries/table-sizes.sql",
    ),
    pack!("shop":
        "pack.toml",
        "schema.sql",
        "jobs/customers.toml",
        "jobs/daily-sales.toml",
        "jobs/order-items-enriched.toml",
        "jobs/order-items.toml",
        "jobs/orders.toml",
        "jobs/products.toml",
        "queries/daily-sales.sql",
        "sets/month.toml",
    ),
];

/// The built-in pack of this name.
pub(crate) fn built_in(name: &str) -> Option<&'static BuiltInPack> {
    BUILT_IN_PACKS.iter().find(|pack| pack.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_built_in_pack_reads_and_has_the_name_of_its_folder() {
        let packs = open(&[]).unwrap();
        let names: Vec<_> = packs.iter().map(|pack| pack.name.as_str()).collect();
        assert_eq!(names, ["finops", "langfuse", "optiinfra", "shop"]);
        for (pack, built_in) in packs.iter().zip(BUILT_IN_PACKS) {
            let files = 1
                + usize::from(pack.schema.is_some())
                + pack.jobs.len()
                + pack.sets.len()
                + pack.queries.len();
            assert_eq!((built_in.name, built_in.files.len()), (&*pack.name, files));
        }
    }

    #[test]
    fn every_file_of_every_pack_is_built_in() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("packs");
        let mut found = BTreeSet::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name().is_some_and(|name| name != "README.md") {
                    found.insert(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        let known: BTreeSet<_> = BUILT_IN_PACKS
            .iter()
            .flat_map(|pack| pack.files.iter().map(|(path, _)| format!("{}/{path}", pack.name)))
            .collect();
        assert_eq!(known, found);
    }
}
