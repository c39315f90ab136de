//! Wrapping text to a width.

/// The width of text on stdout; words longer than a line are not cut.
pub(crate) const WIDTH: usize = 100;

/// Wraps a text: the first line follows `head`, the others are indented by its length.
pub(crate) fn wrapped(head: &str, text: &str) -> String {
    wrapped_to(WIDTH, head, text)
}

fn wrapped_to(width: usize, head: &str, text: &str) -> String {
    let indentation = head.chars().count();
    let room = width.saturating_sub(indentation).max(20);
    let mut lines: Vec<String> = Vec::new();
    let mut length = 0;
    for word in text.split_whitespace().flat_map(|word| pieces(word, room)) {
        let (word, joined) = (word.text, word.joined);
        let letters = word.chars().count();
        match lines.last_mut() {
            Some(line) if length + usize::from(!joined) + letters <= room => {
                if !joined {
                    line.push(' ');
                    length += 1;
                }
                line.push_str(word);
                length += letters;
            }
            _ => {
                lines.push(word.to_owned());
                length = letters;
            }
        }
    }
    format!("{head}{}\n", lines.join(&format!("\n{}", " ".repeat(indentation))))
}

/// A word, or a piece of one.
struct Piece<'a> {
    text: &'a str,
    /// Whether no blank is between it and the piece before.
    joined: bool,
}

/// The pieces of a word: one that is longer than the room is divided after its brackets and commas.
fn pieces(word: &str, room: usize) -> Vec<Piece<'_>> {
    if word.chars().count() <= room {
        return vec![Piece { text: word, joined: false }];
    }
    let parts = word.split_inclusive(['(', ',']);
    parts.enumerate().map(|(position, text)| Piece { text, joined: position > 0 }).collect()
}

/// Shortens a text to a number of characters.
pub(crate) fn cut(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        text.to_owned()
    } else {
        text.chars().take(letters.saturating_sub(1)).chain(['…']).collect()
    }
}

/// Wraps the lines of a block, `  name        value`, whose values start at `indentation`.
pub(crate) fn wrap_block(text: &str, indentation: usize, width: usize) -> String {
    let wrap = |line: &str| match line.char_indices().nth(indentation) {
        Some((at, _)) if line.chars().count() > width => {
            let (head, value) = line.split_at(at);
            wrapped_to(width, head, value)
        }
        _ => format!("{line}\n"),
    };
    text.lines().map(wrap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_before_the_width() {
        let text = wrapped("  name  ", &"word ".repeat(40));
        assert!(
            text.lines().count() == 3 && text.lines().all(|line| line.len() <= WIDTH),
            "{text}"
        );
        assert!(text.lines().skip(1).all(|line| line.starts_with("        word")), "{text}");
        assert_eq!(wrapped("  a ", &"x".repeat(200)).lines().count(), 1, "a name is never cut");
        let call = wrapped("  a ", &format!("{}(f(x),{})", "b".repeat(60), "c".repeat(60)));
        assert_eq!(call, format!("  a {}(f(x),\n    {})\n", "b".repeat(60), "c".repeat(60)));
        assert_eq!([cut("äbc", 3), cut("äbcd", 3)], ["äbc", "äb…"]);
        assert_eq!(wrap_block("  a   b c\n", 6, WIDTH), "  a   b c\n");
        assert_eq!(
            wrap_block(&format!("  a   {0} {0}\n", "b".repeat(60)), 6, WIDTH),
            format!("  a   {0}\n      {0}\n", "b".repeat(60))
        );
    }
}
