//! Splitting a file of SQL into statements, and finding what they create.

use super::error::PackError;
use super::folder::PackFile;
use crate::clickhouse::quoted_prefix;

/// A statement that creates one table, view or dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// The object's name.
    pub object: String,
    /// Its SQL, without the semicolon.
    pub sql: String,
    /// The line of the file in which it begins, counted from 1.
    pub line: usize,
}

/// What the bytes of SQL are, each in one byte: code as it is, blanks for comments, [`QUOTED`] for
/// everything in quotes.
pub(super) fn mask(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut mask = Vec::with_capacity(bytes.len());
    let at = |position: usize| bytes.get(position).copied().unwrap_or_default();
    while let Some(&byte) = bytes.get(mask.len()) {
        let begin = mask.len();
        let (length, filler) = match (byte, at(begin + 1)) {
            (b'-', b'-') => (find(bytes, begin, b"\n"), b' '),
            (b'/', b'*') => (find(bytes, begin + 2, b"*/") + 4, b' '),
            (b'\'' | b'"' | b'`', _) => (quoted_length(bytes, begin, byte), QUOTED),
            _ => (1, byte),
        };
        mask.resize((begin + length).min(bytes.len()), filler);
    }
    mask
}

/// Stands for each byte within quotes.
pub(super) const QUOTED: u8 = 1;

/// The number of bytes before the pattern, or to the end.
fn find(bytes: &[u8], begin: usize, pattern: &[u8]) -> usize {
    let rest = bytes.get(begin..).unwrap_or_default();
    rest.windows(pattern.len()).position(|window| window == pattern).unwrap_or(rest.len())
}

/// The length of a quoted piece with both of its quotes. A doubled quote within it begins another piece.
fn quoted_length(bytes: &[u8], begin: usize, quote: u8) -> usize {
    let mut rest = bytes.iter().enumerate().skip(begin + 1);
    while let Some((position, &byte)) = rest.next() {
        match byte {
            b'\\' => drop(rest.next()),
            _ if byte == quote => return position + 1 - begin,
            _ => {}
        }
    }
    bytes.len() - begin
}

/// The statements of a file. Each must create one object, in the database of the connection.
pub(super) fn statements(file: &PackFile) -> Result<Vec<Statement>, PackError> {
    let mask = mask(&file.text);
    let mut found = Vec::new();
    let mut begin = 0;
    for part in mask.split(|&byte| byte == b';') {
        let end = begin + part.len();
        let code = |byte: &u8| !byte.is_ascii_whitespace();
        if let Some(first) = part.iter().position(code) {
            let first = begin + first;
            let line = 1 + file.text.bytes().take(first).filter(|&byte| byte == b'\n').count();
            let sql = file.text.get(first..end).unwrap_or_default().trim_end().to_owned();
            let object = created_object(&sql).map_err(|message| PackError::Statement {
                path: file.path.clone(),
                line,
                message,
            })?;
            found.push(Statement { object, sql, line });
        }
        begin = end + 1;
    }
    Ok(found)
}

/// The names of the objects that a schema creates.
pub(crate) fn object_names(schema: &PackFile) -> Result<Vec<String>, PackError> {
    Ok(statements(schema)?.into_iter().map(|statement| statement.object).collect())
}

/// The name of the object that a statement creates.
fn created_object(sql: &str) -> Result<String, String> {
    let without_comments: String = String::from_utf8_lossy(
        &mask(sql)
            .iter()
            .zip(sql.bytes())
            .map(|(&mask, byte)| if mask == b' ' { b' ' } else { byte })
            .collect::<Vec<_>>(),
    )
    .into_owned();
    let mut rest = without_comments.as_str();
    let mut is_next = |word: &str| {
        let trimmed = rest.trim_start();
        let found = trimmed.get(..word.len()).filter(|found| found.eq_ignore_ascii_case(word));
        let after = trimmed.get(word.len()..).unwrap_or_default();
        let ends = !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if found.is_some() && ends {
            rest = after;
        }
        found.is_some() && ends
    };
    let creates = is_next("CREATE")
        && (is_next("TABLE")
            || is_next("DICTIONARY")
            || (is_next("MATERIALIZED") && is_next("VIEW"))
            || is_next("VIEW"));
    if !creates {
        return Err(
            "a pack's schema has CREATE TABLE, VIEW, MATERIALIZED VIEW and DICTIONARY only: \
            nothing of a pack drops or alters"
                .to_owned(),
        );
    }
    if is_next("IF") {
        let _ = is_next("NOT") && is_next("EXISTS");
    }
    let rest = rest.trim_start();
    let quoted = ['`', '"'].into_iter().find_map(|quote| quoted_prefix(rest, quote));
    let (name, after) = quoted.unwrap_or_else(|| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        (name.to_owned(), after)
    });
    if name.is_empty() {
        return Err("the statement names no table or view".to_owned());
    }
    if after.trim_start().starts_with('.') {
        return Err(format!(
            "{name} is a database: tables of a pack have no database, --clickhouse-db says where they are"
        ));
    }
    let populates = words(&without_comments).any(|word| word.eq_ignore_ascii_case("POPULATE"));
    if populates {
        return Err(format!(
            "POPULATE of {name} loses rows that are inserted meanwhile: use TO and fill the target by a job"
        ));
    }
    Ok(name)
}

/// The words of SQL outside of quotes.
fn words(sql: &str) -> impl Iterator<Item = String> {
    let text: String = mask(sql).into_iter().map(char::from).collect();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: Vec<_> =
        text.split(|c| !is_word(c)).filter(|word| !word.is_empty()).map(str::to_owned).collect();
    words.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Result<Vec<(String, usize)>, String> {
        let file = PackFile { name: "schema".into(), path: "x.sql".into(), text: text.into() };
        let found = statements(&file).map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(|statement| (statement.object, statement.line)).collect())
    }

    #[test]
    fn statements_end_at_semicolons_of_code_alone() {
        let text = "-- one; two\ncreate table if not exists `a;b` (x String DEFAULT 'it''s; \\'') ENGINE = Memory;\n\n\
            /* a ; comment\n */ CREATE MATERIALIZED VIEW v TO t AS SELECT 1 -- end;\n;;\n";
        let expected = vec![("a;b".to_owned(), 2), ("v".to_owned(), 5)];
        assert_eq!(split(text), Ok(expected));
        assert_eq!(split("-- nothing\n;"), Ok(Vec::new()));
    }

    #[test]
    fn nothing_but_one_object_of_the_database_is_created() {
        for (text, words) in [
            ("\nDROP TABLE a", "x.sql, line 2: a pack's schema has CREATE TABLE"),
            ("CREATE OR REPLACE TABLE a (x Int8) ENGINE = Memory", "CREATE TABLE, VIEW"),
            ("CREATE TABLE d.a (x Int8) ENGINE = Memory", "d is a database"),
            ("CREATE TABLE `d`.a (x Int8) ENGINE = Memory", "d is a database"),
            ("CREATE MATERIALIZED VIEW v ENGINE = Memory POPULATE AS SELECT 1", "POPULATE of v"),
            ("CREATE TABLE", "names no table"),
        ] {
            let error = split(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        let quoted = "CREATE VIEW v AS SELECT 'POPULATE' /* POPULATE */";
        assert_eq!(split(quoted), Ok(vec![("v".to_owned(), 1)]));
    }
}
