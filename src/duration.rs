//! How long, as people write it: values of flags and settings.

use std::time::Duration;

/// Anything longer is a mistake.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// A whole number with `ms`, `s`, `m` or `h`, or 0.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "it must be a time such as 30s, 5m or 500ms".to_owned();
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(split).unwrap_or((text, ""));
    let number = digits.parse::<u64>().map_err(|_| wrong())?;
    let milliseconds: u64 = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "" if number == 0 => 0,
        _ => return Err(wrong()),
    };
    match number.checked_mul(milliseconds).map(Duration::from_millis) {
        Some(duration) if duration <= LONGEST => Ok(duration),
        _ => Err("it must be at most 720h".to_owned()),
    }
}

/// The same, but not 0: nothing could ever be in time.
pub(crate) fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("it must be more than 0".to_owned()),
        timeout => Ok(timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("5m"), parse_duration("300 s"));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        for text in [
            "",
            "s",
            "30",
            "1.5s",
            "-1s",
            "1d",
            "721h",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(parse_timeout("0s").is_err());
        assert_eq!(parse_timeout("1ms"), Ok(Duration::from_millis(1)));
    }
}
