//! The lexical part of ClickHouse's SQL: strings, quoted names and comments, and the tokens between
//! them. It is enough to reject expressions that could leave their place in a statement.
//!
//! See <https://clickhouse.com/docs/sql-reference/syntax>. The server decides whether an expression
//! is valid.

/// A token of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
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
pub(crate) struct Unterminated {
    what: &'static str,
}

/// Splits an expression into tokens, without white space and comments.
///
/// # Errors
/// [`Unterminated`] if a string, a quoted name or a comment does not end.
pub(crate) fn tokens(sql: &str) -> Result<Vec<Token<'_>>, Unterminated> {
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

/// A quote is escaped by a backslash or by doubling.
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

/// Rejects an expression that could leave its place in a statement or contains a query.
///
/// # Errors
/// The message that follows "the expression of column x".
pub(super) fn check_text(sql: &str) -> Result<(), String> {
    let tokens = tokens(sql).map_err(|error| error.to_string())?;
    if tokens.is_empty() {
        return Err("is empty".to_owned());
    }
    let mut open = Vec::new();
    let mut previous = None;
    for (position, token) in tokens.iter().enumerate() {
        let next = tokens.get(position + 1);
        match token {
            Token::Sign(sign @ ('(' | '[' | '{')) => open.push(*sign),
            Token::Sign(sign @ (')' | ']' | '}')) => {
                let expected = match sign {
                    ')' => '(',
                    ']' => '[',
                    _ => '{',
                };
                if open.pop() != Some(expected) {
                    return Err(format!("has an unmatched {sign:?}"));
                }
            }
            Token::Sign(';') => return Err("has a semicolon".to_owned()),
            Token::Sign(',') if open.is_empty() => {
                return Err("is a list: it has a comma outside of brackets".to_owned());
            }
            Token::Sign('*') if begins_operand(previous) => {
                return Err("has an asterisk that stands for columns; name them".to_owned());
            }
            Token::Word(word) if previous != Some(&Token::Sign('.')) => {
                if word.eq_ignore_ascii_case("select") {
                    return Err("has a subquery; only the current row can be used".to_owned());
                }
                if word.eq_ignore_ascii_case("columns") && next == Some(&Token::Sign('(')) {
                    return Err("uses COLUMNS(); name the columns".to_owned());
                }
                if word.eq_ignore_ascii_case("as") && open.is_empty() {
                    return Err(
                        "gives itself a name with AS; the column's name is the key on its left"
                            .to_owned(),
                    );
                }
            }
            _ => {}
        }
        previous = Some(token);
    }
    match open.last() {
        Some(sign) => Err(format!("has a {sign:?} that is not closed")),
        None => Ok(()),
    }
}

/// Whether an asterisk after this token is not a multiplication.
fn begins_operand(previous: Option<&Token<'_>>) -> bool {
    matches!(previous, None | Some(Token::Sign('(' | '[' | ',' | '.')))
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
    fn unterminated_tokens_are_errors() {
        assert_eq!(tokens("'a").unwrap_err().to_string(), "has a string that does not end");
        assert_eq!(tokens("`a").unwrap_err().to_string(), "has a quoted name that does not end");
        assert_eq!(tokens("/* /* */").unwrap_err().to_string(), "has a comment that does not end");
    }

    #[test]
    fn texts_that_could_leave_their_place_are_refused() {
        for (sql, part) in [
            ("", "is empty"),
            ("-- nothing", "is empty"),
            ("source.a, source.b", "comma"),
            ("f(source.a", "not closed"),
            ("source.a)", "unmatched"),
            ("[source.a)", "unmatched"),
            ("source.a; DROP TABLE x", "semicolon"),
            ("(SELECT 1)", "subquery"),
            ("source.*", "asterisk"),
            ("count(*)", "asterisk"),
            ("COLUMNS('a')", "COLUMNS"),
            ("source.a AS b", "AS"),
            ("'a", "does not end"),
        ] {
            let message = check_text(sql).unwrap_err();
            assert!(message.contains(part), "{sql:?}: {message}");
        }
        for sql in [
            "source.select",
            "source.a * 2",
            "CAST(source.a AS String)",
            "f('a, b;', source.`x,y`)",
            "(source.a, source.b)",
            "2 * (3) * source.a[1] * 4",
        ] {
            assert_eq!(check_text(sql), Ok(()), "{sql:?}");
        }
    }
}
