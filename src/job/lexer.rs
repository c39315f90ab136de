//! The little of ClickHouse's lexical structure that is needed to look at an expression without
//! evaluating it: where strings, quoted names and comments end, and what stands outside of them.
//!
//! See <https://clickhouse.com/docs/sql-reference/syntax>. Whether an expression is valid, the
//! server says.

/// What stands at one place of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A bare word or number: letters, digits, underscores, dollar signs.
    Word(&'a str),
    /// A name in backticks or double quotes, with its quotes.
    QuotedName(&'a str),
    /// A string or a heredoc.
    Text(&'a str),
    /// One character of punctuation.
    Sign(char),
}

/// A string, a quoted name or a comment that does not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("has {what} that does not end")]
pub struct Unterminated {
    what: &'static str,
}

/// Splits an expression into tokens; white space and comments are left out.
///
/// # Errors
/// [`Unterminated`] where a string, a quoted name or a comment has no end.
pub fn tokens(sql: &str) -> Result<Vec<Token<'_>>, Unterminated> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let (token, length) = match c {
            c if c.is_whitespace() => (None, c.len_utf8()),
            '-' if rest.starts_with("--") => (None, line_length(rest)),
            '#' if rest.starts_with("# ") || rest.starts_with("#!") => (None, line_length(rest)),
            '/' if rest.starts_with("/*") => (None, comment_length(rest)?),
            '\'' => {
                let length = quoted_length(rest, c, "a string")?;
                (rest.get(..length).map(Token::Text), length)
            }
            '`' | '"' => {
                let length = quoted_length(rest, c, "a quoted name")?;
                (rest.get(..length).map(Token::QuotedName), length)
            }
            '$' if heredoc_length(rest).is_some() => {
                let length = heredoc_length(rest).unwrap_or(1);
                (rest.get(..length).map(Token::Text), length)
            }
            c if is_word(c) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (rest.get(..length).map(Token::Word), length)
            }
            c => (Some(Token::Sign(c)), c.len_utf8()),
        };
        tokens.extend(token);
        rest = rest.get(length.max(1)..).unwrap_or_default();
    }
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

fn line_length(rest: &str) -> usize {
    rest.find('\n').unwrap_or(rest.len())
}

/// Comments between slashes and stars nest.
fn comment_length(rest: &str) -> Result<usize, Unterminated> {
    let (mut depth, mut at) = (0_usize, 0_usize);
    while let Some(here) = rest.get(at..).filter(|here| !here.is_empty()) {
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Ok(at);
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    Err(Unterminated { what: "a comment" })
}

/// A quote is escaped by a backslash or by being doubled.
fn quoted_length(rest: &str, quote: char, what: &'static str) -> Result<usize, Unterminated> {
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c == '\\' {
            characters.next();
        } else if c == quote {
            if characters.peek().is_some_and(|(_, next)| *next == quote) {
                characters.next();
            } else {
                return Ok(at + quote.len_utf8());
            }
        }
    }
    Err(Unterminated { what })
}

/// `$tag$ … $tag$`
fn heredoc_length(rest: &str) -> Option<usize> {
    let end_of_tag = rest.get(1..)?.find('$')? + 2;
    let tag = rest.get(..end_of_tag)?;
    if !tag.trim_matches('$').chars().all(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    Some(rest.get(end_of_tag..)?.find(tag)? + end_of_tag * 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_names_and_comments_hide_what_is_in_them() {
        let sql =
            "concat('a, ''b'' \\' ;', `x``,y`, \"z\\\"\") -- , ;\n /* /* , */ ; */ + $t$ ; $t$ # ;";
        let signs: String = tokens(sql)
            .unwrap()
            .iter()
            .filter_map(|token| if let Token::Sign(c) = token { Some(*c) } else { None })
            .collect();
        assert_eq!(signs, "(,,)+");
    }

    #[test]
    fn what_does_not_end_is_said() {
        assert_eq!(tokens("'a").unwrap_err().to_string(), "has a string that does not end");
        assert_eq!(tokens("`a").unwrap_err().to_string(), "has a quoted name that does not end");
        assert_eq!(tokens("/* /* */").unwrap_err().to_string(), "has a comment that does not end");
    }
}
