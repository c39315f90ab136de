//! A query of the user's own that says whether to wait.

use std::time::Duration;

use tokio::time::timeout;

use crate::clickhouse::{Connection, Error, Settings};

/// A query that takes longer than this is of no use for deciding.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of a long answer, so many characters are shown.
const SHOWN: usize = 200;

/// A query that answers nothing, an empty text or 0 as long as the run may go on, and else why not.
#[derive(Clone)]
pub struct ThrottleQuery {
    connection: Connection,
    sql: String,
}

impl ThrottleQuery {
    /// Asks this server.
    pub fn new(connection: Connection, sql: &str) -> Self {
        // The format is written behind it, which must not be in a comment.
        let sql = format!("{}\n", sql.trim().trim_end_matches(';'));
        Self { connection, sql }
    }

    /// Why to wait.
    ///
    /// # Errors
    /// The server's words.
    pub async fn ask(&self) -> Result<Option<String>, Error> {
        let settings = Settings::read();
        let asked = self.connection.fetch("throttle", &self.sql, "TabSeparatedRaw", &settings);
        let answer = timeout(PATIENCE, asked).await.map_err(|_| Error::Timeout {
            what: "the answer of the throttle query",
            after: PATIENCE,
        })??;
        Ok(reason(&String::from_utf8_lossy(&answer)))
    }
}

/// The first line that says something, without characters that would move a terminal's cursor.
fn reason(answer: &str) -> Option<String> {
    let line = answer.lines().map(str::trim).find(|line| !line.is_empty())?;
    let text: String =
        line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    // NULL is nothing as well.
    (text != "0" && text != "\\N").then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_and_zero_mean_to_go_on() {
        for answer in ["", "\n", "0\n", " 0 ", "\n\n", "\\N\n"] {
            assert_eq!(reason(answer), None, "{answer:?}");
        }
        assert_eq!(reason("replicas are behind\n").as_deref(), Some("replicas are behind"));
        assert_eq!(reason("1\t\x1b[2J\n").as_deref(), Some("1  [2J"));
        assert_eq!(reason("0.5\n").as_deref(), Some("0.5"));
        assert_eq!(reason(&"x".repeat(1000)).map(|text| text.len()), Some(SHOWN));
    }
}
