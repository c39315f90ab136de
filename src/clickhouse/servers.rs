//! The two ends of a job: the server that is read, and the one that is written.

use super::{Connection, QueryPrefix};

/// Where the source and the lookup are read, and where the target is written. Often one and the
/// same connection.
#[derive(Clone)]
pub struct Servers {
    /// For everything that reads tables of the source or the lookup: plan, source and lookup
    /// queries, counts, what a join gives.
    pub source: Connection,
    /// For everything about the target: its schema, evaluating expressions, inserts, and what is
    /// recorded beside it.
    pub target: Connection,
}

impl Servers {
    /// One server at both ends.
    pub fn one(connection: Connection) -> Self {
        Self { source: connection.clone(), target: connection }
    }

    /// The same servers with other query ids, which both ends number together.
    #[must_use]
    pub fn with_queries(self, queries: &QueryPrefix) -> Self {
        Self {
            source: self.source.with_queries(queries.clone()),
            target: self.target.with_queries(queries.clone()),
        }
    }

    /// Whether both ends are the same in everything: URL, user, password and database.
    pub fn are_one(&self) -> bool {
        self.source.endpoint() == self.target.endpoint()
    }

    /// Each connection once: what is asked of every server is asked of these.
    pub fn each(&self) -> impl Iterator<Item = &Connection> {
        std::iter::once(&self.target).chain(
            (!self.source.endpoint().is_same_account(self.target.endpoint()))
                .then_some(&self.source),
        )
    }
}
