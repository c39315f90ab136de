//! The other process's end of the socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::protocol::{Answer, Request};

/// A run that does not answer for so long does nothing else either.
const PATIENCE: Duration = Duration::from_secs(10);

/// A question that was not answered.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no run listens on {}", path.display())]
    Nobody {
        /// Where.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// It does not answer.
    #[error("the run that listens on {} does not answer", path.display())]
    Silent {
        /// Where.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// What it answers is not understood.
    #[error("what the run says that listens on {} is not understood; it may be of another version", path.display())]
    Garbled {
        /// Where.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// It was refused.
    #[error("{0}")]
    Refused(String),
}

/// Asks the run that listens at this place.
///
/// # Errors
/// [`ClientError`], with the run's own words where it refuses.
pub fn ask(path: &Path, request: &Request) -> Result<Answer, ClientError> {
    let nobody = |source| ClientError::Nobody { path: path.to_owned(), source };
    let silent = |source| ClientError::Silent { path: path.to_owned(), source };
    let garbled = |source| ClientError::Garbled { path: path.to_owned(), source };
    let mut stream = UnixStream::connect(path).map_err(nobody)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(silent)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(silent)?;
    let mut line = serde_json::to_vec(request).map_err(garbled)?;
    line.push(b'\n');
    stream.write_all(&line).map_err(silent)?;
    let mut words = String::new();
    if BufReader::new(stream).read_line(&mut words).map_err(silent)? == 0 {
        return Err(silent(io::ErrorKind::UnexpectedEof.into()));
    }
    let answer: Answer = serde_json::from_str(&words).map_err(garbled)?;
    if answer.ok { Ok(answer) } else { Err(ClientError::Refused(answer.error.unwrap_or_default())) }
}
