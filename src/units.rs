//! Numbers, sizes and durations as people read and write them: counts with separators, bytes in
//! binary units, durations in the two largest units.

use std::time::Duration;

/// `1,234,567`
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Parses a whole number such as `250000`, `250_000`, `250,000`, `250k`, `2M` or `1G`.
pub(crate) fn parse_count(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(split)?;
    let factor: u64 = match unit {
        "" => 1,
        "k" | "K" => 1_000,
        "m" | "M" => 1_000_000,
        "g" | "G" => 1_000_000_000,
        _ => return None,
    };
    // The parser would accept a sign.
    let digits = digits.replace(['_', ','], "");
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// Parses a percentage from 1 to 100, such as `50%` or `50`.
pub(crate) fn parse_percent(text: &str) -> Option<u8> {
    let text = text.trim();
    let percent = parse_count(text.strip_suffix('%').unwrap_or(text).trim_end())?;
    u8::try_from(percent).ok().filter(|percent| (1..=100).contains(percent))
}

/// `1 chunk`, `1,960 rows`, `0 batches`, `2 retries`, `2 retries`
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let (stem, ending) = match noun {
        _ if number == 1 => (noun, ""),
        noun if noun.ends_with("ch") => (noun, "es"),
        noun if noun.ends_with("ry") => (noun.trim_end_matches('y'), "ies"),
        _ => (noun, "s"),
    };
    format!("{} {stem}{ending}", count(number))
}

/// `1.5 GiB`
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

/// `82.4 MiB/s`
pub(crate) fn byte_rate(bytes_per_second: f64) -> String {
    format!("{}/s", bytes(whole(bytes_per_second)))
}

/// `832 rows/s`, `78.3 krows/s`, `1.2 Mrows/s`
pub(crate) fn row_rate(rows_per_second: f64) -> String {
    match rows_per_second {
        rate if rate >= 999_950.0 => format!("{:.1} Mrows/s", rate / 1e6),
        rate if rate >= 999.5 => format!("{:.1} krows/s", rate / 1e3),
        rate => format!("{} rows/s", whole(rate)),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people, never negative"
)]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}

/// `1 h 02 min`, `3 min 20 s`, `4.2 s`
pub(crate) fn duration(duration: Duration) -> String {
    // What would be rounded up to a minute is one.
    let seconds = if duration.as_secs_f64() < 59.95 {
        duration.as_secs()
    } else {
        duration.as_secs().max(60)
    };
    match seconds {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// The longest duration that is accepted; anything longer is a mistake.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Parses a whole number with the unit `ms`, `s`, `m` or `h`, or 0.
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

/// Parses a duration as [`parse_duration`] does, but rejects 0.
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
    fn numbers_for_people() {
        assert_eq!(
            [count(0), count(999), count(1000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [bytes(0), bytes(1023), bytes(1536), bytes(5 << 30)],
            ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]
        );
        let seconds = |seconds| duration(Duration::from_secs_f64(seconds));
        assert_eq!(
            [seconds(4.24), seconds(200.0), seconds(3725.0), seconds(90_000.0)],
            ["4.2 s", "3 min 20 s", "1 h 02 min", "1 d 01 h"]
        );
        assert_eq!([seconds(59.94), seconds(59.96)], ["59.9 s", "1 min 00 s"]);
        assert_eq!(
            [row_rate(0.0), row_rate(999.4), row_rate(999.6), row_rate(78_312.0)],
            ["0 rows/s", "999 rows/s", "1.0 krows/s", "78.3 krows/s"]
        );
        assert_eq!([row_rate(999_960.0), byte_rate(86_400_000.0)], ["1.0 Mrows/s", "82.4 MiB/s"]);
        assert_eq!(
            [counted(1, "chunk"), counted(0, "row"), counted(1960, "batch"), counted(2, "retry")],
            ["1 chunk", "0 rows", "1,960 batches", "2 retries"]
        );
    }

    #[test]
    fn numbers_of_people() {
        let counts = ["250000", "250_000", "250,000", "250k", "2M", " 1G "].map(parse_count);
        let expected = [250_000, 250_000, 250_000, 250_000, 2_000_000, 1_000_000_000];
        assert_eq!(counts, expected.map(Some));
        for text in ["", "k", "-1", "+1", "1.5", "1.5k", "10x", "many", "99999999999999999999k"] {
            assert_eq!(parse_count(text), None, "{text}");
        }
        assert_eq!(
            ["50%", "50", "50 %", "1", "100%"].map(parse_percent),
            [50, 50, 50, 1, 100].map(Some)
        );
        for text in ["", "%", "0", "101%", "-5%", "50%%", "0.5%"] {
            assert_eq!(parse_percent(text), None, "{text}");
        }
    }

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
