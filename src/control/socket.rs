//! The control socket: a Unix socket through which other processes reach the handle of a run.
//!
//! The file has the mode 0600, and only processes of the same user or of root are served. It is
//! removed when the run ends. After a run was killed, the next one takes its place. The caller
//! chooses where the file lies.

use std::fs;
use std::io::{self, BufRead, BufReader as StdBufReader, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::handle::Control;
use super::protocol::{ControlRequest, ControlResponse, respond};

/// The prefix and the suffix of default names; the process id lies between them.
const PREFIX: &str = "clickhouse-backfill-";
const SUFFIX: &str = ".sock";
/// A file that is younger may belong to a process that is about to listen.
const YOUNG: Duration = Duration::from_secs(10);

/// The longest line.
const MAX_LINE_BYTES: u64 = 64 * 1024;
/// A client that sends nothing for this time is disconnected.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// The most clients at once.
const MAX_CLIENTS: usize = 16;
/// How long a run may take to respond.
const RESPONSE_LIMIT: Duration = Duration::from_secs(10);

/// A socket that cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    /// Another process listens there.
    #[error("another run listens on the control socket {}", path.display())]
    Busy {
        /// The path.
        path: PathBuf,
    },
    /// Another file is there.
    #[error("{} is there already, and is no socket", path.display())]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// The system reports an error.
    #[error("the control socket {} cannot be made", path.display())]
    System {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The default path for this process in this folder.
pub(crate) fn default_path(folder: &Path) -> PathBuf {
    folder.join(format!("{PREFIX}{}{SUFFIX}", std::process::id()))
}

/// The sockets with default names in these folders on which runs listen.
pub(crate) fn find_live(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<_> = folders
        .iter()
        .flat_map(|folder| default_names(folder))
        .filter(|path| StdStream::connect(path).is_ok())
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The files with default names in this folder.
fn default_names(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_default = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let process = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_suffix(SUFFIX))
            .unwrap_or_default();
        !process.is_empty() && process.bytes().all(|byte| byte.is_ascii_digit())
    };
    entries.flatten().map(|entry| entry.path()).filter(is_default).collect()
}

/// Removes the files of runs that were killed from this folder.
fn remove_stale(folder: &Path) {
    for path in default_names(folder) {
        let is_young = fs::symlink_metadata(&path)
            .and_then(|file| file.modified())
            .is_ok_and(|made| made.elapsed().unwrap_or_default() < YOUNG);
        if !is_young && is_stale(&path) {
            // Another run may remove it at the same moment.
            let _ = fs::remove_file(&path);
        }
    }
}

/// Whether no process listens there.
fn is_stale(path: &Path) -> bool {
    StdStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Listens at this path. A socket on which no process listens is replaced.
fn bind(path: &Path) -> Result<StdListener, SocketError> {
    let failed = |source| SocketError::System { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => {
            return Err(SocketError::NoSocket { path: path.to_owned() });
        }
        Ok(_) => match StdStream::connect(path) {
            Ok(_) => return Err(SocketError::Busy { path: path.to_owned() }),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = StdListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// The socket of a run. It is closed and its file removed when this is dropped.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    path: PathBuf,
    /// The file's device and inode, so that no other file is removed.
    file: (u64, u64),
    task: JoinHandle<()>,
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.task.abort();
        let is_own = |file: fs::Metadata| (file.dev(), file.ino()) == self.file;
        if fs::symlink_metadata(&self.path).is_ok_and(is_own) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Serves other processes of this user at this path.
///
/// # Errors
/// [`SocketError`].
pub(crate) fn listen(control: Arc<Control>, path: &Path) -> Result<ControlSocket, SocketError> {
    let failed = |source| SocketError::System { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        remove_stale(folder);
    }
    let listener = UnixListener::from_std(bind(path)?).map_err(failed)?;
    let file = fs::symlink_metadata(path).map_err(failed)?;
    tracing::debug!(path = %path.display(), "ctl is listened to");
    let task = tokio::spawn(accept(listener, control, file.uid()));
    Ok(ControlSocket { path: path.to_owned(), file: (file.dev(), file.ino()), task })
}

async fn accept(listener: UnixListener, control: Arc<Control>, user: u32) {
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Too many open files, for example, which passes.
                tracing::debug!(%error, "the control socket cannot accept");
                sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        // Another user may have connected before the file got its mode.
        if !stream.peer_cred().is_ok_and(|peer| peer.uid() == user || peer.uid() == 0) {
            continue;
        }
        let control = control.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(stream, &control).await {
                tracing::debug!(%error, "a conversation through the control socket broke off");
            }
            drop(place);
        });
    }
}

async fn serve(stream: UnixStream, control: &Control) -> io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut reading = BufReader::new(reading);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut reading).take(MAX_LINE_BYTES);
        let Ok(read) = timeout(IDLE_LIMIT, bounded.read_until(b'\n', &mut line)).await else {
            return Ok(());
        };
        if read? == 0 {
            return Ok(());
        }
        let is_too_long = !line.ends_with(b"\n") && line.len() as u64 >= MAX_LINE_BYTES;
        let response = if is_too_long {
            ControlResponse::refusal(format!("a line has at most {MAX_LINE_BYTES} bytes"))
        } else {
            respond(control, &line)
        };
        match timeout(IDLE_LIMIT, writing.write_all(&response.to_line()?)).await {
            Ok(written) => written?,
            Err(_) => return Ok(()),
        }
        if is_too_long {
            return Ok(());
        }
    }
}

/// A request without a successful response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No process listens there.
    #[error("no run listens on {}", path.display())]
    NotListening {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The run does not respond.
    #[error("the run that listens on {} does not answer", path.display())]
    NoResponse {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The response is not understood.
    #[error("what the run says that listens on {} is not understood; it may be of another version", path.display())]
    Garbled {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The run refuses the request.
    #[error("{0}")]
    Refused(String),
}

/// Sends a request to the run that listens at this path.
///
/// # Errors
/// [`ClientError`], with the run's own words where it refuses.
pub(crate) fn send_request(
    path: &Path,
    request: &ControlRequest,
) -> Result<ControlResponse, ClientError> {
    let garbled = |source| ClientError::Garbled { path: path.to_owned(), source };
    let mut response = exchange(path, &request.to_line().map_err(garbled)?)?;
    if !response.ok && response.format_version.is_none() {
        // Version 0.1 of the program refuses the field.
        response = exchange(path, &request.to_unversioned_line().map_err(garbled)?)?;
    }
    if response.ok {
        Ok(response)
    } else {
        Err(ClientError::Refused(response.error.unwrap_or_default()))
    }
}

fn exchange(path: &Path, line: &[u8]) -> Result<ControlResponse, ClientError> {
    let not_listening = |source| ClientError::NotListening { path: path.to_owned(), source };
    let no_response = |source| ClientError::NoResponse { path: path.to_owned(), source };
    let mut stream = StdStream::connect(path).map_err(not_listening)?;
    stream.set_read_timeout(Some(RESPONSE_LIMIT)).map_err(no_response)?;
    stream.set_write_timeout(Some(RESPONSE_LIMIT)).map_err(no_response)?;
    stream.write_all(line).map_err(no_response)?;
    let mut response = String::new();
    if StdBufReader::new(stream).read_line(&mut response).map_err(no_response)? == 0 {
        return Err(no_response(ErrorKind::UnexpectedEof.into()));
    }
    serde_json::from_str(&response)
        .map_err(|source| ClientError::Garbled { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of version 0.1: it refuses requests with a field that it does not know.
    fn run_of_0_1(path: &Path) -> std::thread::JoinHandle<Vec<String>> {
        let listener = StdListener::bind(path).unwrap();
        std::thread::spawn(move || {
            let mut lines = Vec::new();
            for stream in listener.incoming().take(2) {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                StdBufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
                let response = if line.contains("format_version") {
                    r#"{"ok":false,"error":"this is no request (unknown field `format_version`)"}"#
                } else {
                    r#"{"ok":true,"status":{"paused":true}}"#
                };
                writeln!(stream, "{response}").unwrap();
                lines.push(line);
            }
            lines
        })
    }

    #[test]
    fn a_run_of_0_1_is_asked_in_its_own_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.sock");
        let run = run_of_0_1(&path);
        let response = send_request(&path, &ControlRequest::Pause {}).unwrap();
        assert_eq!(response.status.unwrap()["paused"], true);
        let lines = run.join().unwrap();
        assert_eq!(lines.last().unwrap(), "{\"command\":\"pause\"}\n", "{lines:?}");
    }
}
