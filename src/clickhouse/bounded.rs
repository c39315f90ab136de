//! Connections over which no answer grows beyond a bound.
//!
//! The client crate reads the text of an error to its end, however long it is. A server or a proxy
//! that never ends it would fill the memory, so the crate gets connections that fail instead.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;
use hyper::Uri;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tower_service::Service;

use crate::units::bytes;

/// The most bytes of an answer to a query that is read as a whole.
pub(super) const ANSWER_BYTES: usize = 64 << 20;
/// What the head of an answer and the framing of its body may add.
const FRAMING_BYTES: usize = 4 << 20;
/// The most bytes of any other answer: an error's text, with its head.
const ERROR_BYTES: usize = 1 << 20;
/// The bytes that are read at once.
const STEP_BYTES: usize = 16 << 10;

/// Makes connections whose answers are bounded.
#[derive(Clone)]
pub(super) struct BoundedConnector<C>(pub C);

impl<C> Service<Uri> for BoundedConnector<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
{
    type Response = BoundedIo<C::Response>;
    type Error = C::Error;
    type Future = BoxFuture<'static, Result<Self::Response, C::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            let inner = connecting.await?;
            Ok(BoundedIo { inner, answer: Answer::default() })
        })
    }
}

/// A connection. A request begins a new answer.
pub(super) struct BoundedIo<T> {
    inner: T,
    answer: Answer,
}

/// What has come of an answer.
#[derive(Debug, Default)]
struct Answer {
    bytes: usize,
    /// Whether its status says that it has a result.
    success: bool,
}

impl Answer {
    /// The position of the first digit of the status in `HTTP/1.1 200 OK`.
    const STATUS: usize = 9;

    fn add(&mut self, piece: &[u8]) -> io::Result<()> {
        if let Some(at) = Self::STATUS.checked_sub(self.bytes)
            && let Some(digit) = piece.get(at)
        {
            self.success = *digit == b'2';
        }
        self.bytes += piece.len();
        let limit = if self.success { ANSWER_BYTES + FRAMING_BYTES } else { ERROR_BYTES };
        if self.bytes <= limit {
            return Ok(());
        }
        Err(io::Error::other(format!("the answer has more than {}", bytes(limit as u64))))
    }
}

impl<T: Read + Unpin> Read for BoundedIo<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { inner, answer } = self.get_mut();
        let mut step = [0; STEP_BYTES];
        let room = into.remaining().min(step.len());
        let mut buffer = ReadBuf::new(step.get_mut(..room).unwrap_or_default());
        ready!(Pin::new(inner).poll_read(context, buffer.unfilled()))?;
        answer.add(buffer.filled())?;
        into.put_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }
}

impl<T: Write + Unpin> Write for BoundedIo<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        piece: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { inner, answer } = self.get_mut();
        *answer = Answer::default();
        Pin::new(inner).poll_write(context, piece)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

impl<T: Connection> Connection for BoundedIo<T> {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: impl IntoIterator<Item = Vec<u8>>) -> Option<usize> {
        let mut answer = Answer::default();
        pieces.into_iter().position(|piece| answer.add(&piece).is_err())
    }

    #[test]
    fn errors_have_less_room_than_answers_however_the_head_is_cut() {
        let body = |count: usize| vec![vec![b'x'; 1 << 20]; count];
        for cut in 1..16 {
            let head = |head: &[u8]| vec![head[..cut].to_vec(), head[cut..].to_vec()];
            let error = head(b"HTTP/1.1 500 Internal Server Error\r\n\r\n");
            assert_eq!(read(error.into_iter().chain(body(2))), Some(2), "{cut}");
            let result = head(b"HTTP/1.1 200 OK\r\n\r\n");
            assert_eq!(read(result.into_iter().chain(body(100))), Some(69), "{cut}");
        }
    }
}
