//! Words of a command line that a shell reads back.

/// The text as one word of a shell.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_not_plain_are_quoted() {
        assert_eq!(quoted("http://host:8123"), "http://host:8123");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("it's mine"), r"'it'\''s mine'");
    }
}
