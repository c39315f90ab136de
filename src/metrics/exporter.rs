//! What serves and writes the figures for as long as the process runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::families;
use super::file::MetricsFile;
use super::observed::Observed;
use super::server;

/// Between two versions of the file; collectors are usually scraped every 15 s.
const EVERY: Duration = Duration::from_secs(10);

/// The run that is observed, once there is one.
#[derive(Clone, Default)]
pub(super) struct Current(Arc<Mutex<Option<Arc<Observed>>>>);

impl Current {
    /// The figures of this moment.
    pub fn text(&self) -> String {
        let run = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        families::text(run.as_deref())
    }
}

/// Serves and writes the figures until it is dropped.
pub struct Exporter {
    current: Current,
    address: Option<SocketAddr>,
    file: Option<Arc<MetricsFile>>,
    tasks: Vec<JoinHandle<()>>,
}

/// Figures that cannot be exported as was asked for.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The port is taken, or the address is not this machine's.
    #[error("metrics cannot be served on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("metrics cannot be written to {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
}

impl Exporter {
    /// Begins to listen and writes the file for the first time, so that what cannot be done is
    /// known before anything else is.
    ///
    /// # Errors
    /// [`MetricsError`].
    pub async fn start(
        listen: Option<SocketAddr>,
        file: Option<&Path>,
    ) -> Result<Self, MetricsError> {
        let current = Current::default();
        let file = file.map(|path| MetricsFile::new(path, current.clone()));
        let mut exporter =
            Self { current: current.clone(), address: None, file, tasks: Vec::new() };
        if let Some(address) = listen {
            let listener = server::listen(address)
                .await
                .map_err(|source| MetricsError::Listen { address, source })?;
            exporter.address = listener.local_addr().ok();
            exporter.tasks.push(tokio::spawn(server::serve(listener, current)));
        }
        exporter.write().await?;
        if let Some(file) = &exporter.file {
            exporter.tasks.push(tokio::spawn(rewrite(file.clone())));
        }
        Ok(exporter)
    }

    /// Where it is listened, with the port that the system chose where none was given.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// From now on the figures are this run's.
    pub fn observe(&self, run: Arc<Observed>) {
        *self.current.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(run);
    }

    /// Writes the file now, as at the end of a run, if there is one.
    ///
    /// # Errors
    /// [`MetricsError::File`].
    pub async fn write(&self) -> Result<(), MetricsError> {
        let Some(file) = &self.file else { return Ok(()) };
        file.rewrite()
            .await
            .map_err(|source| MetricsError::File { path: file.path.clone(), source })
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn rewrite(file: Arc<MetricsFile>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    let mut failing = false;
    loop {
        ticks.tick().await;
        match file.rewrite().await {
            Ok(()) => failing = false,
            // A full disk is said once, and the run goes on.
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(path = %file.path.display(), %error, "metrics cannot be written; the run is not affected");
            }
            Err(_) => {}
        }
    }
}
