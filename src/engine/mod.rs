//! How the rows of a chunk get from the source into the target.

pub(crate) mod stream;
