//! Text of at most so many columns.

/// Lines of `plan` are at most so long, where their words allow it.
pub(crate) const WIDTH: usize = 100;

/// The text over several lines: the first behind `head`, the others indented as far as `head` is
/// long.
pub(crate) fn wrapped(head: &str, text: &str) -> String {
    let indentation = head.chars().count();
    let room = WIDTH.saturating_sub(indentation).max(20);
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
    /// Whether it follows the piece before it without a blank.
    joined: bool,
}

/// A word that is longer than the room, divided behind its opening brackets and commas.
fn pieces(word: &str, room: usize) -> Vec<Piece<'_>> {
    if word.chars().count() <= room {
        return vec![Piece { text: word, joined: false }];
    }
    let parts = word.split_inclusive(['(', ',']);
    parts.enumerate().map(|(position, text)| Piece { text, joined: position > 0 }).collect()
}

/// The text up to so many letters.
pub(crate) fn cut(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        text.to_owned()
    } else {
        text.chars().take(letters.saturating_sub(1)).chain(['…']).collect()
    }
}

/// Each line that is too long continues below its value: `  name        value`.
pub(crate) fn wrap_block(text: &str, indentation: usize) -> String {
    let wrap = |line: &str| match line.char_indices().nth(indentation) {
        Some((at, _)) if line.chars().count() > WIDTH => {
            let (head, value) = line.split_at(at);
            wrapped(head, value)
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
        assert_eq!(wrap_block("  a   b c\n", 6), "  a   b c\n");
        assert_eq!(
            wrap_block(&format!("  a   {0} {0}\n", "b".repeat(60)), 6),
            format!("  a   {0}\n      {0}\n", "b".repeat(60))
        );
    }
}
