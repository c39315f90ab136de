//! Reading a type name word by word. Every method moves forward only, so that parsing takes linear
//! time.

use super::error::{Problem, TypeNameErrorKind, shorten};

/// A position in a type name.
pub(super) struct Cursor<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, position: 0 }
    }

    /// The byte offset of what comes next, white space skipped.
    pub(super) fn offset(&mut self) -> usize {
        self.skip_white_space();
        self.position
    }

    /// The next byte that is not white space; it is not consumed.
    pub(super) fn peek(&mut self) -> Option<u8> {
        self.skip_white_space();
        self.byte()
    }

    /// Consumes the next byte that is not white space, if it is the given one.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.position += 1;
        }
        found
    }

    /// Consumes the given byte or fails with the words for what was expected.
    pub(super) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Problem> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    pub(super) fn expect_end(&mut self) -> Result<(), Problem> {
        if self.peek().is_none() { Ok(()) } else { Err(self.unexpected("the end")) }
    }

    /// The problem that something else should stand here.
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

    /// A number with an optional sign, which must lie in the given range.
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
        // A number that does not fit an i64 is outside any range as well.
        match self.since(start).parse() {
            Ok(number) if (minimum..=maximum).contains(&number) => Ok(number),
            _ => Err((start, TypeNameErrorKind::OutOfRange { what, minimum, maximum })),
        }
    }

    /// A text in the given quotes, returned with them and with its escapes as they are: a backslash
    /// protects the byte after it, and a doubled quote stands for one.
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

    /// Arguments that are kept as text: everything up to the parenthesis that closes the current
    /// one, or up to a comma of the same level if `one` argument is wanted. What ends them is not
    /// consumed.
    ///
    /// Runs of white space become one space, and none stays beside a parenthesis: the server prints
    /// the same arguments on one line or on several.
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

    /// The problem that no type has this name.
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

    /// The text from an earlier position up to here. Both lie beside an ASCII byte or at the end of
    /// the text, hence between characters.
    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.position).unwrap_or_default()
    }
}
