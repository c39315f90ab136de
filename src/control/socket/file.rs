//! The file of a socket: its name, who holds it, and taking the place of one whose process is gone.

use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, os::unix::fs::PermissionsExt};

/// What names of files begin and end with that were not chosen by a person; the process id lies
/// between.
const BEGINNING: &str = "clickhouse-backfill-";
const END: &str = ".sock";
/// A file that is younger may be of a process that is about to listen.
const YOUNG: Duration = Duration::from_secs(10);

/// A socket that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process listens there.
    #[error("another run listens on the control socket {}", path.display())]
    Busy {
        /// Where.
        path: PathBuf,
    },
    /// Something else is there.
    #[error("{} is there already, and is no socket", path.display())]
    NoSocket {
        /// Where.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("the control socket {} cannot be made", path.display())]
    System {
        /// Where.
        path: PathBuf,
        /// Its words.
        source: io::Error,
    },
}

/// The file for this process in this folder.
pub fn default_path(folder: &Path) -> PathBuf {
    folder.join(format!("{BEGINNING}{}{END}", std::process::id()))
}

/// The sockets of runs under way in these folders, under names that were not chosen by a person.
pub fn find_live(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<_> = folders
        .iter()
        .flat_map(|folder| named(folder))
        .filter(|path| UnixStream::connect(path).is_ok())
        .collect();
    found.sort();
    found.dedup();
    found
}

fn named(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_named = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let between = name
            .strip_prefix(BEGINNING)
            .and_then(|rest| rest.strip_suffix(END))
            .unwrap_or_default();
        !between.is_empty() && between.bytes().all(|byte| byte.is_ascii_digit())
    };
    entries.flatten().map(|entry| entry.path()).filter(is_named).collect()
}

/// Removes what runs that were killed have left in this folder.
pub(super) fn remove_stale(folder: &Path) {
    for path in named(folder) {
        let is_young = fs::symlink_metadata(&path)
            .and_then(|file| file.modified())
            .is_ok_and(|made| made.elapsed().unwrap_or_default() < YOUNG);
        if !is_young && is_stale(&path) {
            // Another run may do so at the same moment.
            let _ = fs::remove_file(&path);
        }
    }
}

/// Whether nobody listens any more.
fn is_stale(path: &Path) -> bool {
    UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Listens at this place, instead of a process that is gone.
pub(super) fn bind(path: &Path) -> Result<UnixListener, SocketError> {
    let failed = |source| SocketError::System { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => {
            return Err(SocketError::NoSocket { path: path.to_owned() });
        }
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => return Err(SocketError::Busy { path: path.to_owned() }),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}
