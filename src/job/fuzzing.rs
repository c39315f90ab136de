//! Properties that hold for any text as a job file or an expression; see `fuzz/`. Not part of the
//! crate's interface.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "this is code for tests, which is to panic where something is wrong"
)]

use super::error::JobError;
use super::file::Job;
use super::lexer::{Token, check_text, tokens};

/// Any job file is parsed, or refused by a message that names one of its lines.
pub fn job_file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Job::parse("x.toml", &text) {
        Ok(job) => {
            let lines = text.lines().count();
            assert!(!job.columns.is_empty() && !job.name.trim().is_empty());
            for (_, expression) in &job.columns {
                assert!((1..=lines).contains(&expression.line), "line {}", expression.line);
                self::expression(expression.sql.as_bytes());
            }
        }
        Err(JobError::Syntax { message, .. }) => assert!(!message.is_empty()),
        Err(JobError::Invalid { line, message, .. }) => {
            assert!(
                !message.is_empty() && (1..=text.lines().count()).contains(&line),
                "line {line}: {message}"
            );
        }
        Err(other) => panic!("{other}"),
    }
}

/// The tokens of any expression occur in it in order. An accepted expression cannot leave its place:
/// in parentheses it is accepted as well, and is not a list there.
pub fn expression(data: &[u8]) {
    let sql = String::from_utf8_lossy(data);
    if let Ok(found) = tokens(&sql) {
        let mut rest: &str = &sql;
        for token in found {
            let text = match token {
                Token::Word(text) | Token::QuotedName(text) | Token::Text(text) => text.to_owned(),
                Token::Sign(sign) => sign.to_string(),
            };
            assert!(!text.is_empty());
            let at = rest.find(&text).expect("a token stands in the text");
            rest = rest.get(at + text.len()..).unwrap_or_default();
        }
    }
    if check_text(&sql).is_ok() {
        assert_eq!(check_text(&format!("f(({sql}\n), 1)")), Ok(()), "{sql:?}");
        // Text after it is not inside a string or a comment of it.
        assert!(check_text(&format!("{sql}\n, 1")).is_err(), "{sql:?}");
    }
}
