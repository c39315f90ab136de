//! The file for the textfile collector.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::exporter::Current;

/// A file with the figures.
pub(super) struct MetricsFile {
    pub path: PathBuf,
    current: Current,
    /// Held while it is written.
    writing: Mutex<()>,
}

impl MetricsFile {
    pub fn new(path: &Path, current: Current) -> Arc<Self> {
        Arc::new(Self { path: path.to_owned(), current, writing: Mutex::default() })
    }

    /// Writes the figures of this moment.
    pub async fn rewrite(self: &Arc<Self>) -> io::Result<()> {
        let file = self.clone();
        // Disks may take their time.
        let written = tokio::task::spawn_blocking(move || {
            let _alone = file.writing.lock().unwrap_or_else(PoisonError::into_inner);
            // Read only now: whoever writes last has the newest figures.
            replace(&file.path, &file.current.text())
        });
        written.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

/// Writes the text to a file beside it, which then takes its place: whoever reads sees the old
/// figures or the new ones. The name of the file beside does not end in `.prom`, so that the
/// collector does not read it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let replaced = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    if replaced.is_err() {
        // What failed is said; that its remains cannot be removed would add nothing.
        let _ = fs::remove_file(&beside);
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_stays_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backfill.prom");
        replace(&path, "a long first content\n").unwrap();
        replace(&path, "short\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "short\n");
        fs::create_dir(folder.path().join("taken.prom")).unwrap();
        assert!(replace(&folder.path().join("taken.prom"), "x").is_err());
        assert!(replace(&folder.path().join("missing").join("x.prom"), "x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
