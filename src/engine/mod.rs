//! How the rows of a chunk get from the source into the target.

mod server;
pub(crate) mod stream;

/// What evaluates the job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Rows pass through the client, which looks their attributes up.
    #[default]
    Stream,
    /// The server joins, one chunk a statement.
    Server,
}
