//! Reading a type name word by word, and what can be wrong with it. The cursor only moves forward,
//! so parsing takes linear time.

/// The deepest nesting of types that the parser accepts. The server has a similar limit,
/// `max_parser_depth`; real names stay below ten.
pub(crate) const MAX_NESTING: usize = 100;

/// A type name that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("type `{shown}`, byte {offset}: {kind}")]
pub struct TypeNameError {
    /// The name, shortened if it is long.
    shown: String,
    offset: usize,
    kind: TypeNameErrorKind,
}

/// What is wrong with a type name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypeNameErrorKind {
    /// Something else was expected here.
    #[error("expected {expected}, found {}", describe(*.found))]
    Unexpected {
        /// What was expected.
        expected: &'static str,
        /// The character found instead, or `None` at the end of the name.
        found: Option<char>,
    },
    /// A quote opens here and is never closed.
    #[error("the quote is not closed")]
    UnclosedQuote,
    /// A parenthesis opens here and is never closed.
    #[error("the parenthesis is not closed")]
    UnclosedParenthesis,
    /// There is no such type.
    #[error("unknown type `{0}`")]
    UnknownType(String),
    /// The type exists, but the length of its values does not follow from the type.
    #[error("values of type `{0}` cannot be framed in RowBinary")]
    CannotBeFramed(String),
    /// A number is outside the allowed range.
    #[error("{what} must be between {minimum} and {maximum}")]
    OutOfRange {
        /// What the number is.
        what: &'static str,
        /// The smallest allowed value.
        minimum: i64,
        /// The largest allowed value.
        maximum: i64,
    },
    /// Types are nested too deeply.
    #[error("types are nested deeper than {}", MAX_NESTING)]
    TooDeep,
}

/// A problem and its byte offset in the name.
pub(super) type Problem = (usize, TypeNameErrorKind);

impl TypeNameError {
    pub(super) fn new(type_name: &str, (offset, kind): Problem) -> Self {
        Self { shown: shorten(type_name), offset, kind }
    }

    /// The byte offset of the problem in the name.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The problem.
    #[must_use]
    pub fn kind(&self) -> &TypeNameErrorKind {
        &self.kind
    }
}

/// A position in a type name.
pub(super) struct Cursor<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, position: 0 }
    }

    /// The byte offset of the next byte that is not white space.
    pub(super) fn offset(&mut self) -> usize {
        self.skip_white_space();
        self.position
    }

    /// The next byte that is not white space, without consuming it.
    pub(super) fn peek(&mut self) -> Option<u8> {
        self.skip_white_space();
        self.byte()
    }

    /// Consumes the next byte that is not white space if it is `byte`.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.position += 1;
        }
        found
    }

    /// Consumes `byte`, or fails with `expected` as its description.
    pub(super) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Problem> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    pub(super) fn expect_end(&mut self) -> Result<(), Problem> {
        if self.peek().is_none() { Ok(()) } else { Err(self.unexpected("the end")) }
    }

    /// The problem that something else was expected here.
    pub(super) fn unexpected(&mut self, expected: &'static str) -> Problem {
        let offset = self.offset();
        let found = self.text.get(offset..).and_then(|rest| rest.chars().next());
        (offset, TypeNameErrorKind::Unexpected { expected, found })
    }

    /// A word of ASCII letters, digits and underscores that does not begin with a digit.
    pub(super) fn word(&mut self, expected: &'static str) -> Result<&'a str, Problem> {
        let start = self.offset();
        if self.byte().is_none_or(|byte| byte.is_ascii_digit()) {
            return Err(self.unexpected(expected));
        }
        self.skip_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if self.position == start {
            return Err(self.unexpected(expected));
        }
        Ok(self.since(start))
    }

    /// A number with an optional sign, within the given range.
    pub(super) fn number(
        &mut self,
        what: &'static str,
        minimum: i64,
        maximum: i64,
    ) -> Result<i64, Problem> {
        let start = self.offset();
        self.take(b'-');
        let digits = self.position;
        self.skip_while(|byte| byte.is_ascii_digit());
        if self.position == digits {
            return Err(self.unexpected("a number"));
        }
        // A number that does not fit an i64 is outside every range.
        match self.since(start).parse() {
            Ok(number) if (minimum..=maximum).contains(&number) => Ok(number),
            _ => Err((start, TypeNameErrorKind::OutOfRange { what, minimum, maximum })),
        }
    }

    /// A string in the given quotes, returned with its quotes and escapes. A backslash escapes the
    /// next byte, and a doubled quote is a quote.
    pub(super) fn quoted(&mut self, quote: u8, expected: &'static str) -> Result<&'a str, Problem> {
        let start = self.offset();
        self.expect(quote, expected)?;
        while let Some(byte) = self.byte() {
            self.position += 1;
            if byte == b'\\' {
                self.position += 1;
            } else if byte == quote {
                if self.byte() != Some(quote) {
                    return Ok(self.since(start));
                }
                self.position += 1;
            }
        }
        Err((start, TypeNameErrorKind::UnclosedQuote))
    }

    /// Arguments as text: everything up to the parenthesis that closes the one at `opened`, or up to
    /// a comma of the same level if only `one` argument is wanted. The delimiter is not consumed.
    ///
    /// The server prints the same arguments on one line or on several. To make them equal, runs of
    /// white space become one space, and white space beside a parenthesis is removed.
    pub(super) fn raw_arguments(&mut self, opened: usize, one: bool) -> Result<String, Problem> {
        let mut arguments = String::new();
        let mut open = Vec::new();
        loop {
            let before = self.position;
            let start = self.offset();
            let Some(byte) = self.byte() else {
                let innermost = open.last().copied().unwrap_or(opened);
                return Err((innermost, TypeNameErrorKind::UnclosedParenthesis));
            };
            if open.is_empty() && (byte == b')' || (one && byte == b',')) {
                return Ok(arguments);
            }
            if start > before && byte != b')' && !arguments.is_empty() && !arguments.ends_with('(')
            {
                arguments.push(' ');
            }
            match byte {
                b'\'' | b'`' | b'"' => _ = self.quoted(byte, "a quote")?,
                b'(' => {
                    open.push(start);
                    self.position += 1;
                }
                b')' => {
                    open.pop();
                    self.position += 1;
                }
                _ => self
                    .skip_while(|byte| !byte.is_ascii_whitespace() && !b"'`\"(),".contains(&byte)),
            }
            if self.position == start {
                self.position += 1;
            }
            arguments.push_str(self.since(start));
        }
    }

    /// The problem that there is no type of this name.
    pub(super) fn unknown_type(offset: usize, name: &str) -> Problem {
        (offset, TypeNameErrorKind::UnknownType(shorten(name)))
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn skip_white_space(&mut self) {
        self.skip_while(|byte| byte.is_ascii_whitespace());
    }

    fn skip_while(&mut self, belongs: impl Fn(u8) -> bool) {
        while self.byte().is_some_and(&belongs) {
            self.position += 1;
        }
    }

    /// The text from an earlier position to here. Both positions are next to an ASCII byte or at the
    /// end of the text, so they are character boundaries.
    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.position).unwrap_or_default()
    }
}

/// The first 200 characters of a text, for messages.
pub(super) fn shorten(text: &str) -> String {
    const LONGEST: usize = 200;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn describe(found: Option<char>) -> String {
    found
        .map_or_else(|| "the end".to_owned(), |character| format!("`{}`", character.escape_debug()))
}
