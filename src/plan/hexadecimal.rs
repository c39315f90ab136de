//! Bytes as hexadecimal text.

use std::fmt::Write;

/// Two lower-case digits for each byte.
pub(super) fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes; `None` where the text is anything else.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        assert_eq!(decode("00FF27"), Some(vec![0, 255, 39]));
        assert_eq!(decode(""), Some(vec![]));
        assert_eq!(encode(&[0, 255, 39]), "00ff27");
        for wrong in ["0g", "1", "123", "é0"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
