//! How the rows of a chunk get from the source into the target.

pub(crate) mod server;
pub(crate) mod stream;

use serde::Serialize;

/// What evaluates the job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Engine {
    /// Rows pass through the client, which looks their attributes up.
    #[default]
    Stream,
    /// The server joins, one chunk a statement.
    Server,
}

impl Engine {
    /// Its name on the command line.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Server => "server",
        }
    }
}
