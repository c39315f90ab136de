//! The parser's words about a wrong command line, in the form that all failures have.

use crate::cli::failure::Failure;

/// The words, with its tips as hints at their end.
pub(crate) fn usage(words: &str) -> Failure {
    let (mut text, mut hints) = (Vec::<&str>::new(), Vec::new());
    for line in words.lines() {
        if let Some(tip) = line.trim_start().strip_prefix("tip: ") {
            hints.push(tip.to_owned());
        } else if line.starts_with("For more information, try") {
            hints.push("`--help` behind the command explains its flags".to_owned());
        } else if !(line.is_empty() && text.last().is_some_and(|last| last.is_empty())) {
            text.push(line);
        }
    }
    hints.into_iter().fold(Failure::usage(text.join("\n").trim_end()), Failure::hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tips_become_hints() {
        let words = "unexpected argument '--partiton' found\n\n  tip: a similar argument exists: '--partition'\n\nUsage: tool run\n\nFor more information, try '--help'.\n";
        let text = "error: unexpected argument '--partiton' found\n\nUsage: tool run\nhint: a similar argument exists: '--partition'\nhint: `--help` behind the command explains its flags\n";
        assert_eq!(usage(words).text(), text);
    }
}
