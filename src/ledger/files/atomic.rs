//! Writing a file whole or not at all, and for good.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes to a file beside it, which takes its place only when it is safe on the disk; a crash
/// leaves the old content or the new.
///
/// The folder is synced as well, or else the new name might not survive: see
/// [fsync(2)](https://man7.org/linux/man-pages/man2/fsync.2.html).
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let beside = folder.join(name);
    let written = write_and_sync(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // What failed is said; that its remains cannot be removed would add nothing.
        let _ = fs::remove_file(&beside);
    }
    written.and_then(|()| File::open(folder)?.sync_all())
}

fn write_and_sync(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_stays_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        write(&path, b"a long first content").unwrap();
        let before = folder.path().join("before");
        fs::hard_link(&path, &before).unwrap();
        write(&path, b"short").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        assert_eq!(
            fs::read(&before).unwrap(),
            b"a long first content",
            "who has it open reads the old content to its end"
        );
        fs::remove_file(&before).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write(&folder.path().join("missing").join("record.json"), b"x").is_err());
        fs::create_dir(folder.path().join("taken.json")).unwrap();
        assert!(write(&folder.path().join("taken.json"), b"x").is_err());
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            2,
            "what was written beside it is gone"
        );
    }
}
