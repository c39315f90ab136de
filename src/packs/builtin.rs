//! The packs that are built in, from the folder `packs` of the project.

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
    pack!("langfuse": "pack.toml", "jobs/events.toml", "jobs/trace-roots.toml"),
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
];

/// The built-in pack of this name.
pub(crate) fn built_in(name: &str) -> Option<&'static BuiltInPack> {
    BUILT_IN_PACKS.iter().find(|pack| pack.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

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
