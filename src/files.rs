//! Writing files: atomically, and never through a symbolic link that another user has placed.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Replaces a file atomically: readers see the old content or the new. A symbolic link at `path` is
/// replaced, not followed.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = Temporary::create(path)?;
    temporary.file().write_all(bytes)?;
    temporary.persist(path)
}

/// Replaces a file atomically and durably: after a crash of the machine it has the old content or
/// the new.
///
/// The directory is synced as well, or the new name might not survive: see
/// [fsync(2)](https://man7.org/linux/man-pages/man2/fsync.2.html).
pub(crate) fn replace_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = Temporary::create(path)?;
    temporary.file().write_all(bytes)?;
    temporary.file().sync_all()?;
    temporary.persist(path)?;
    File::open(directory(path))?.sync_all()
}

/// Checks whether [`replace`] can create its temporary file.
pub(crate) fn check_replaceable(path: &Path) -> io::Result<()> {
    Temporary::create(path).map(drop)
}

/// Opens a file for appending and creates it if it does not exist. A symbolic link is refused,
/// except in `/dev`.
pub(crate) fn open_for_append(path: &Path) -> io::Result<File> {
    // This never follows a link, not even one that points nowhere.
    match OpenOptions::new().append(true).create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        opened => return opened,
    }
    let is_link = || io::Error::new(io::ErrorKind::InvalidInput, "it is a symbolic link");
    let opened =
        OpenOptions::new().append(true).open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => is_link(),
            _ => error,
        })?;
    let (named, found) = (fs::symlink_metadata(path)?, opened.metadata()?);
    // The file that was opened is compared with the name, which may have changed in between.
    if (named.dev(), named.ino()) == (found.dev(), found.ino()) || path.starts_with("/dev") {
        Ok(opened)
    } else {
        Err(is_link())
    }
}

/// A temporary file beside the one that it is to replace. Its name is random and it is created
/// exclusively, so it cannot be a link that was placed before.
struct Temporary {
    path: PathBuf,
    file: File,
    is_persisted: bool,
}

impl Temporary {
    fn create(path: &Path) -> io::Result<Self> {
        loop {
            let mut name = OsString::from(path.file_name().unwrap_or_default());
            name.push(format!(".{:016x}.tmp", rand::random::<u64>()));
            let path = directory(path).join(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { path, file, is_persisted: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn file(&self) -> &File {
        &self.file
    }

    fn persist(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.is_persisted = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_persisted {
            // The failure before is the one to report.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_file_is_replaced_whole_and_leaves_no_temporary_file() {
        for replace in [replace, replace_durably] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("record.json");
            replace(&path, b"a long first content").unwrap();
            let before = folder.path().join("before");
            fs::hard_link(&path, &before).unwrap();
            replace(&path, b"short").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"short");
            assert_eq!(
                fs::read(&before).unwrap(),
                b"a long first content",
                "a reader that has it open reads the old content to its end"
            );
            fs::remove_file(&before).unwrap();
            assert_eq!(entries(folder.path()), 1);
            check_replaceable(&path).unwrap();
            assert_eq!(entries(folder.path()), 1);
            let missing = folder.path().join("missing").join("record.json");
            assert!(replace(&missing, b"x").is_err() && check_replaceable(&missing).is_err());
            fs::create_dir(folder.path().join("taken.json")).unwrap();
            assert!(replace(&folder.path().join("taken.json"), b"x").is_err());
            assert_eq!(entries(folder.path()), 2, "the temporary file is removed");
        }
    }

    #[test]
    fn links_are_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, link) = (folder.path().join("victim"), folder.path().join("link"));
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, &link).unwrap();
        let refused = open_for_append(&link).unwrap_err();
        assert_eq!(refused.to_string(), "it is a symbolic link");
        replace(&link, b"new").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(fs::read_to_string(&link).unwrap(), "new");
        assert!(!fs::symlink_metadata(&link).unwrap().is_symlink());
        let (nowhere, dangling) = (folder.path().join("nowhere"), folder.path().join("dangling"));
        symlink(&nowhere, &dangling).unwrap();
        let refused = open_for_append(&dangling).unwrap_err();
        assert_eq!(refused.to_string(), "it is a symbolic link");
        assert!(!nowhere.exists());
    }

    #[test]
    fn a_file_is_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        open_for_append(&path).unwrap().write_all(b"one\n").unwrap();
        open_for_append(&path).unwrap().write_all(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert!(
            open_for_append(Path::new("/dev/stderr")).is_ok() || !Path::new("/dev/stderr").exists()
        );
    }
}
