//! What must hold for any text as a value of a flag, a `.env` or a password file; see `fuzz/`. Not
//! part of the crate's interface.

use std::path::Path;
use std::sync::LazyLock;

use super::args::{
    ConfigFile, bad_line, command, line_of_variable, parse_at_once, parse_memory_size, parse_rows,
    without_mark,
};
use super::config::first_line;
use crate::plan::Partition;
use crate::units::parse_duration;

/// Any text, read as a value, is accepted or rejected with a message; an accepted one survives a round
/// trip.
pub fn values(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(bytes) = parse_memory_size(&text) {
        assert!(
            bytes >= 64 * 1024 && parse_memory_size(&bytes.to_string()) == Ok(bytes),
            "{text:?}"
        );
    }
    if let Ok(rows) = parse_rows(&text) {
        assert!(rows > 0 && parse_rows(&rows.to_string()) == Ok(rows), "{text:?}");
    }
    assert!(
        parse_at_once(&text).is_ok() || parse_at_once(&text).is_err_and(|words| !words.is_empty())
    );
    if let Ok(duration) = parse_duration(&text) {
        assert_eq!(
            parse_duration(&format!("{}ms", duration.as_millis())),
            Ok(duration),
            "{text:?}"
        );
    }
    match text.parse::<Partition>() {
        Ok(partition) => {
            assert!(!partition.id().is_empty());
            assert_eq!(partition.to_string().parse::<Partition>(), Ok(partition));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let password = first_line(&text);
    assert!(without_mark(&text).starts_with(password) && !password.contains('\n'), "{text:?}");
}

/// Any text, as a config file, is read, or one of its lines is named and its password is not shown.
pub fn config_file(data: &[u8]) {
    static PROGRAM: LazyLock<clap::Command> = LazyLock::new(command);
    let text = String::from_utf8_lossy(data);
    let text = without_mark(&text);
    let Err(failure) = ConfigFile::parse(Path::new("c.toml"), text, &PROGRAM) else { return };
    let words = failure.text();
    // Anywhere else it is no password.
    let is_secret = |line: &str| line.starts_with("password = \"Tangerine") && line.ends_with('"');
    let all_secret = !text.contains("\"\"\"")
        && !text.contains("'''")
        && text.lines().filter(|line| line.contains("Tangerine")).all(is_secret);
    assert!(!all_secret || !words.contains("Tangerine"), "{words}");
    let count = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    // The line is at the beginning, or behind a wrong value.
    let named = words.split("c.toml, line ").skip(1).any(|rest| {
        let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next();
        digits
            .and_then(|digits| digits.parse().ok())
            .is_some_and(|line| (1..=count).contains(&line))
    });
    assert!(named, "{words}");
}

/// Any text, as a `.env`, is read, or one of its lines is named and not shown.
pub fn environment_file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let text = without_mark(&text);
    // Finding the line takes the square of their number.
    if text.lines().count() > 200 {
        return;
    }
    for entry in dotenvy::from_read_iter(text.as_bytes()) {
        let Ok((name, _)) = entry else {
            let words = bad_line(text);
            let head = words.split(": ").next().unwrap_or_default();
            let line = head.rsplit(' ').next().and_then(|number| number.parse::<usize>().ok());
            let line = line.unwrap_or_default();
            assert!((1..=text.lines().count()).contains(&line), "{words}");
            // Nothing of the text is shown: another text is refused in the same words.
            assert_eq!(
                words.replacen(&format!("line {line}:"), "line 1:", 1),
                bad_line("another text\n")
            );
            return;
        };
        assert!((1..=text.lines().count()).contains(&line_of_variable(text, &name)), "{name:?}");
    }
}
