//! What can be wrong with a type name, and where.

/// A type name that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("type `{shown}`, byte {offset}: {kind}")]
pub struct TypeNameError {
    /// The name, or its beginning if it is long.
    shown: String,
    offset: usize,
    kind: TypeNameErrorKind,
}

/// What is wrong with a type name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypeNameErrorKind {
    /// Something else should stand here.
    #[error("expected {expected}, found {}", describe(*.found))]
    Unexpected {
        /// What should stand here.
        expected: &'static str,
        /// What does, unless the name ends.
        found: Option<char>,
    },
    /// A quote is opened here and never closed.
    #[error("the quote is not closed")]
    UnclosedQuote,
    /// A parenthesis is opened here and never closed.
    #[error("the parenthesis is not closed")]
    UnclosedParenthesis,
    /// No such type is known.
    #[error("unknown type `{0}`")]
    UnknownType(String),
    /// The type is known, but its values carry no length that could be told from the type alone.
    #[error("values of type `{0}` cannot be framed in RowBinary")]
    CannotBeFramed(String),
    /// A number is outside what the type allows.
    #[error("{what} must be between {minimum} and {maximum}")]
    OutOfRange {
        /// What the number is.
        what: &'static str,
        /// The least that is allowed.
        minimum: i64,
        /// The most that is allowed.
        maximum: i64,
    },
    /// Types are nested too deeply.
    #[error("types are nested deeper than {}", super::MAX_NESTING)]
    TooDeep,
}

/// A problem and the byte offset at which it was met.
pub(super) type Problem = (usize, TypeNameErrorKind);

impl TypeNameError {
    pub(super) fn new(type_name: &str, (offset, kind): Problem) -> Self {
        Self { shown: shorten(type_name), offset, kind }
    }

    /// Where in the name the problem is, in bytes from its beginning.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// What the problem is.
    #[must_use]
    pub fn kind(&self) -> &TypeNameErrorKind {
        &self.kind
    }
}

/// A text for a message: at most 200 characters of it.
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
