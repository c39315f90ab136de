//! Exceptions in the body of an answer.
//!
//! An exception in the middle of an answer cannot change the status any more, so ClickHouse writes
//! its text behind the rows. Rows may quote such texts; what tells them apart is the place and the
//! form:
//!
//! - Since 25.11 the head of each answer has a random tag
//!   ([X-ClickHouse-Exception-Tag](https://clickhouse.com/docs/interfaces/http#http_response_codes_caveats)),
//!   and the body of an exception repeats it, at the very end.
//! - Before, the text alone ends the body. It counts only at the very end and in its full form, from
//!   the code to the server's version. Streamed rows end with a byte that no such text ends with.

use std::ops::Range;

/// What encloses an exception since 25.11.
const MARK: &[u8] = b"__exception__";

/// Where the exception that ends the bytes of a body begins and what its text is, if there is one.
/// `tag` is that of the answer's head.
pub(super) fn at_end<'a>(body: &'a [u8], tag: Option<&[u8]>) -> Option<Exception<'a>> {
    let text = match tag {
        Some(tag) => tagged(body, tag)?,
        None => untagged(body)?,
    };
    Some(Exception { begin: text.begin, text: body.get(text.words)?.trim_ascii() })
}

/// An exception in the body of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exception<'a> {
    /// Where the rows end.
    pub begin: usize,
    /// Its text.
    pub text: &'a [u8],
}

struct Place {
    begin: usize,
    words: Range<usize>,
}

/// `\r\n__exception__\r\n<tag>\r\n<text>\n<length of the text> <tag>\r\n__exception__\r\n`
fn tagged(body: &[u8], tag: &[u8]) -> Option<Place> {
    let rest = body.strip_suffix(b"\r\n")?.strip_suffix(MARK)?.strip_suffix(b"\r\n")?;
    let rest = rest.strip_suffix(tag)?.strip_suffix(b" ")?;
    let digits = rest.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (text, length) = rest.split_at_checked(rest.len().checked_sub(digits)?)?;
    let length: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
    let words = text.len().checked_sub(length)?..text.len();
    let head = [b"\r\n", MARK, b"\r\n", tag, b"\r\n"].concat();
    let begin = body.get(..words.start)?.strip_suffix(&*head).map_or(words.start, <[u8]>::len);
    Some(Place { begin, words })
}

/// `Code: 241. DB::Exception: … (MEMORY_LIMIT_EXCEEDED) (version 25.3.1.1 (official build))\n`
fn untagged(body: &[u8]) -> Option<Place> {
    const VERSION: &[u8] = b" (version ";
    let text = body.strip_suffix(b"\n")?;
    let version = rfind(text, VERSION)?;
    let rest = text.get(version + VERSION.len()..)?.strip_suffix(b")")?;
    if !is_version(rest) || !text.get(..version)?.ends_with(b")") {
        return None;
    }
    let mut end = version;
    loop {
        let begin = rfind(text.get(..end)?, b"Code: ")?;
        if begins_with_code(text.get(begin..version)?) {
            return Some(Place { begin, words: begin..text.len() });
        }
        end = begin;
    }
}

/// Whether this is as `22.3.1.1` or `25.3.1.1 (official build)`.
fn is_version(text: &[u8]) -> bool {
    let is_word = |text: &[u8], others: &[u8]| {
        text.iter().all(|byte| byte.is_ascii_alphanumeric() || others.contains(byte))
    };
    let end = text.iter().position(|&byte| byte == b' ').unwrap_or(text.len());
    let (number, build) = text.split_at(end);
    let build = build.strip_prefix(b" (").and_then(|build| build.strip_suffix(b")"));
    number.first().is_some_and(u8::is_ascii_digit)
        && is_word(number, b".-_+~")
        && (end == text.len() || build.is_some_and(|build| is_word(build, b" .-_+~")))
}

/// Whether this begins as `Code: 241. DB::Exception: ` or `Code: 210. DB::NetException: `.
fn begins_with_code(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(b"Code: ") else { return false };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let Some(rest) = rest.get(digits..).and_then(|rest| rest.strip_prefix(b". DB::")) else {
        return false;
    };
    let letters = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    digits > 0
        && rest.get(..letters).is_some_and(|kind| kind.ends_with(b"Exception"))
        && rest.get(letters..).is_some_and(|rest| rest.starts_with(b": "))
}

fn rfind(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).rposition(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &[u8] = b"rnywyenlaeqynhmu";
    const TEXT: &str = "Code: 159. DB::Exception: Timeout exceeded. (TIMEOUT_EXCEEDED) (version 25.12.1.649 (official build))";

    fn block(tag: &str) -> Vec<u8> {
        let text = format!("{TEXT}\n");
        let length = text.len();
        format!("\r\n__exception__\r\n{tag}\r\n{text}{length} {tag}\r\n__exception__\r\n")
            .into_bytes()
    }

    fn text(body: &[u8], tag: Option<&[u8]>) -> Option<(usize, String)> {
        at_end(body, tag)
            .map(|found| (found.begin, String::from_utf8(found.text.to_vec()).unwrap()))
    }

    #[test]
    fn a_tagged_exception_ends_the_body_and_has_the_tag_of_the_head() {
        let tag = std::str::from_utf8(TAG).unwrap();
        let body = [b"rows", &*block(tag)].concat();
        assert_eq!(text(&body, Some(TAG)), Some((4, TEXT.to_owned())));
        // Another tag, in other words a quotation of some exception.
        assert_eq!(text(&[b"rows", &*block("abcdefghijklmnop")].concat(), Some(TAG)), None);
        // Not at the end, or only a part of it.
        assert_eq!(text(&[&*body, b"\0"].concat(), Some(TAG)), None);
        for cut in 4..body.len() {
            assert_eq!(text(&body[..cut], Some(TAG)), None, "{cut}");
        }
        // The text of a server without tags says nothing where there is a tag.
        assert_eq!(text(format!("rows{TEXT}\n").as_bytes(), Some(TAG)), None);
        // A length that cannot be.
        let odd = format!("x\n99999 {tag}\r\n__exception__\r\n");
        assert_eq!(text(odd.as_bytes(), Some(TAG)), None);
    }

    #[test]
    fn without_tags_only_a_full_text_at_the_very_end_is_an_exception() {
        let is_exception = |body: &str| at_end(body.as_bytes(), None).is_some();
        assert_eq!(text(format!("rows{TEXT}\n").as_bytes(), None), Some((4, TEXT.to_owned())));
        let network = "Code: 210. DB::NetException: I/O error: Broken pipe (NETWORK_ERROR) (version 23.8.8.20 (official build))\n";
        assert!(is_exception(network));
        assert!(is_exception("Code: 60. DB::Exception: x (UNKNOWN_TABLE) (version 22.3.1.1)\n"));
        for body in [
            "",
            "\n",
            "f(g(x))\n",
            "Code: 60. DB::Exception: x (UNKNOWN_TABLE) (version 22.3.1.1)",
            "Code: 60. DB::Exception: x (UNKNOWN_TABLE) (version 22.3.1.1)\n\0",
            "Code: 60. DB::Exception: x (UNKNOWN_TABLE) (version 22.3.1.1) and so on (f(x))\n",
            "Code: x. DB::Exception: x (UNKNOWN_TABLE) (version 22.3.1.1)\n",
            "Code: 60. Exception: x (UNKNOWN_TABLE) (version 22.3.1.1)\n",
            "DB::Exception: x (UNKNOWN_TABLE) (version 22.3.1.1)\n",
            "Code: 60. DB::Exception: x (version of something)\n",
        ] {
            assert!(!is_exception(body), "{body:?}");
        }
    }
}
