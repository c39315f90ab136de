//! The answer to a request in bulk: what its head says, and its body in decoded parts.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, HeaderMap};
use hyper::http::response::Parts;

use super::client_error::from_words;
use super::endpoint::{Endpoint, WireCompression};
use super::error::Error;
use super::exception;
use super::framing::{Damaged, Decoder, Encoding};

/// What ClickHouse's
/// [headers](https://clickhouse.com/docs/interfaces/http#response-headers) say.
pub(super) struct AnswerHead {
    status: u16,
    /// The error's code, if it was known when the head was sent.
    code: Option<String>,
    /// The tag of exceptions in the body, since 25.11.
    pub tag: Option<Vec<u8>>,
    content_encoding: Option<String>,
    /// Whether it bears the id of our query.
    pub is_ours: bool,
    has_summary: bool,
}

impl AnswerHead {
    pub(super) fn of(head: &Parts, query_id: &str) -> Self {
        let headers = &head.headers;
        Self {
            status: head.status.as_u16(),
            code: header(headers, "X-ClickHouse-Exception-Code").map(str::to_owned),
            tag: header(headers, "X-ClickHouse-Exception-Tag").map(|tag| tag.as_bytes().to_vec()),
            content_encoding: header(headers, CONTENT_ENCODING.as_str()).map(str::to_owned),
            is_ours: header(headers, "X-ClickHouse-Query-Id") == Some(query_id),
            has_summary: headers.contains_key("X-ClickHouse-Summary"),
        }
    }

    /// Whether a result follows.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status) && self.code.is_none()
    }

    /// Whether the answer is ClickHouse's, and not a page of a proxy.
    pub(super) fn is_from_clickhouse(&self) -> bool {
        self.is_ours || self.has_summary || self.code.is_some()
    }

    /// What the answer means if it is no success, from the end of its body.
    pub(super) fn refusal(&self, words: &[u8], endpoint: &Endpoint) -> Error {
        let words = exception::at_end(words, self.tag.as_deref()).map_or(words, |found| found.text);
        let from_clickhouse = self.is_ours || self.code.is_some();
        from_words(words, self.status, self.code.as_deref(), from_clickhouse, endpoint)
    }

    /// How the body is encoded where this compression was asked for.
    pub(super) fn encoding(&self, asked: WireCompression) -> Result<Encoding, Damaged> {
        match (self.content_encoding.as_deref().map(str::trim), asked) {
            (Some("zstd"), WireCompression::Zstd) => Ok(Encoding::Zstd),
            (None | Some("identity"), WireCompression::Lz4) => Ok(Encoding::Blocks),
            (None | Some("identity"), _) => Ok(Encoding::Plain),
            (Some(other), _) => Err(Damaged::unknown_encoding(other)),
        }
    }
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The body of an answer.
pub(super) struct AnswerBody {
    incoming: Incoming,
    decoder: Decoder,
}

/// A body that ended early.
pub(super) enum BodyError {
    Lost(hyper::Error),
    Damaged(Damaged),
}

impl From<Damaged> for BodyError {
    fn from(damaged: Damaged) -> Self {
        Self::Damaged(damaged)
    }
}

impl AnswerBody {
    pub(super) fn new(incoming: Incoming, encoding: Encoding) -> Result<Self, Damaged> {
        Ok(Self { incoming, decoder: Decoder::new(encoding)? })
    }

    /// The next part, which is not empty; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            match self.decoder.next()? {
                Some(part) if !part.is_empty() => return Ok(Some(part)),
                Some(_) => continue,
                None => {}
            }
            match self.incoming.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        self.decoder.push(piece);
                    }
                }
                Some(Err(error)) => return Err(BodyError::Lost(error)),
                None => {
                    self.decoder.finish()?;
                    return Ok(None);
                }
            }
        }
    }

    /// What has come and was not decoded.
    pub(super) fn undecoded(&self) -> &[u8] {
        self.decoder.rest()
    }
}

/// The most bytes that are read of the body of an error, as they arrive.
const ERROR_BYTES: usize = 2 << 20;
/// The bytes at the end of an error's body that are kept: rows may precede its text.
const ERROR_END_BYTES: usize = 128 << 10;

/// The end of an error's body. Of a body that does not end, or is cut, what has come.
pub(super) async fn end_of_error(mut body: Incoming, encoding: Encoding) -> Vec<u8> {
    let mut received = Vec::new();
    while received.len() < ERROR_BYTES
        && let Some(Ok(frame)) = body.frame().await
    {
        received.extend_from_slice(frame.data_ref().map_or(&[][..], |piece| piece));
    }
    // An error may be plain whatever was asked for.
    let mut end = decoded_end(&received, encoding).unwrap_or(received);
    end.drain(..end.len().saturating_sub(ERROR_END_BYTES));
    end
}

/// `None` where the bytes are not encoded so.
fn decoded_end(received: &[u8], encoding: Encoding) -> Option<Vec<u8>> {
    let mut decoder = Decoder::new(encoding).ok()?;
    decoder.push(Bytes::copy_from_slice(received));
    let (mut end, mut parts) = (Vec::new(), 0_usize);
    while let Ok(Some(part)) = decoder.next() {
        parts += 1;
        end.extend_from_slice(&part);
        end.drain(..end.len().saturating_sub(ERROR_END_BYTES));
    }
    (parts > 0).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clickhouse::framing::compress;

    #[test]
    fn of_an_error_the_end_is_kept_however_it_is_encoded() {
        let text = [vec![b'x'; 3 << 20], b"the text".to_vec()].concat();
        let end = &text[text.len() - ERROR_END_BYTES..];
        for compression in [WireCompression::Lz4, WireCompression::Zstd] {
            let block = compress(&Bytes::from(text.clone()), compression).unwrap();
            assert!(decoded_end(&block, Encoding::Blocks).as_deref() == Some(end));
        }
        let stream = zstd::encode_all(&*text, 1).unwrap();
        assert!(decoded_end(&stream, Encoding::Zstd).as_deref() == Some(end));
        assert_eq!(decoded_end(b"Code: 516. DB::Exception: no", Encoding::Blocks), None);
        assert_eq!(decoded_end(b"Code: 516. DB::Exception: no", Encoding::Zstd), None);
    }
}
