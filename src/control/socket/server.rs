//! The run's end of the socket.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::file::{SocketError, bind, remove_stale};
use super::protocol::{Answer, answer};
use crate::control::Control;

/// A longer line is no request.
const LONGEST_LINE: u64 = 64 * 1024;
/// Who says nothing for so long is not listened to any more.
const PATIENCE: Duration = Duration::from_secs(30);
/// So many are listened to at once.
const CONNECTIONS: usize = 16;

/// Listens until it is dropped, and removes its file then.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    /// The file's device and number, so that no other one is removed.
    file: (u64, u64),
    task: JoinHandle<()>,
}

impl ControlSocket {
    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.task.abort();
        if fs::symlink_metadata(&self.path).is_ok_and(|file| (file.dev(), file.ino()) == self.file)
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Lets other processes of this user ask at this place.
///
/// # Errors
/// [`SocketError`]: somebody is there, or the system refuses.
pub fn listen(control: Arc<Control>, path: &Path) -> Result<ControlSocket, SocketError> {
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
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Such as too many open files, which passes.
                tracing::debug!(%error, "the control socket cannot accept");
                sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        // Between the file's making and its mode, others might have come.
        if !stream.peer_cred().is_ok_and(|peer| peer.uid() == user || peer.uid() == 0) {
            continue;
        }
        let control = control.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &control).await {
                tracing::debug!(%error, "a conversation through the control socket broke off");
            }
            drop(place);
        });
    }
}

async fn converse(stream: UnixStream, control: &Control) -> std::io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut reading = BufReader::new(reading);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut reading).take(LONGEST_LINE);
        let Ok(read) = timeout(PATIENCE, bounded.read_until(b'\n', &mut line)).await else {
            return Ok(());
        };
        if read? == 0 {
            return Ok(());
        }
        let is_too_long = !line.ends_with(b"\n") && line.len() as u64 >= LONGEST_LINE;
        let answer = if is_too_long {
            Answer::refusal(format!("a line has at most {LONGEST_LINE} bytes"))
        } else {
            answer(control, &line)
        };
        let mut text = serde_json::to_vec(&answer)?;
        text.push(b'\n');
        match timeout(PATIENCE, writing.write_all(&text)).await {
            Ok(written) => written?,
            Err(_) => return Ok(()),
        }
        if is_too_long {
            return Ok(());
        }
    }
}
