//! Values of flags: rows and sizes.

/// How many at once: a number, or the program's own choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtOnce {
    /// Found while the run goes on.
    Auto,
    /// Always so many.
    Fixed(u16),
}

/// `auto`, or 1 to 256.
pub(crate) fn parse_at_once(text: &str) -> Result<AtOnce, String> {
    match text {
        "auto" => Ok(AtOnce::Auto),
        _ => match text.parse::<u16>() {
            Ok(number @ 1..=256) => Ok(AtOnce::Fixed(number)),
            _ => Err("it must be auto, or a number from 1 to 256".to_owned()),
        },
    }
}

/// A number of rows: at least 1, with separators if one likes.
pub(crate) fn parse_rows(text: &str) -> Result<u64, String> {
    match text.replace(['_', ','], "").parse::<u64>() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(rows) => Ok(rows),
        Err(_) => Err("it must be a whole number of rows, such as 100000".to_owned()),
    }
}

/// A size in memory: a number with `B`, `KiB`, `MiB`, `GiB` or `TiB`; bytes without a unit. At
/// least 64 KiB.
pub(crate) fn parse_memory_size(text: &str) -> Result<u64, String> {
    const SMALLEST: u64 = 64 * 1024;
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(split).unwrap_or((text, ""));
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err("it must be a size such as 128MiB or 2GiB".to_owned()),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    match bytes {
        None => Err("it must be a size such as 128MiB or 2GiB".to_owned()),
        Some(bytes) if bytes < SMALLEST => Err("it must be at least 64KiB".to_owned()),
        Some(bytes) => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        assert_eq!(parse_rows("100_000"), Ok(100_000));
        for text in ["0", "", "-1", "1.5", "many"] {
            assert!(parse_rows(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_at_once() {
        assert_eq!(
            (parse_at_once("auto"), parse_at_once("3")),
            (Ok(AtOnce::Auto), Ok(AtOnce::Fixed(3)))
        );
        for text in ["", "0", "257", "-1", "some"] {
            assert!(parse_at_once(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_memory_size("128MiB"), Ok(128 << 20));
        assert_eq!(parse_memory_size("2 gib"), Ok(2 << 30));
        assert_eq!(parse_memory_size("70000"), Ok(70_000));
        assert_eq!(parse_memory_size("5GB"), Ok(5_000_000_000));
        for text in [
            "",
            "0",
            "1KiB",
            "MiB",
            "12 apples",
            "99999999999999999999GiB",
            "18446744073709551615TiB",
            "1.5GiB",
        ] {
            assert!(parse_memory_size(text).is_err(), "{text}");
        }
    }
}
