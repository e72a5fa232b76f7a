//! Bounded reading of HTTP bodies. Called by the client for responses and by HTTP edges for requests; nothing else
//! in the workspace collects a body.

use std::error::Error;
use std::pin::pin;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;
use http_body_util::BodyExt;

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The body is longer than the limit.
    #[error("body is longer than {limit_bytes} bytes")]
    TooLong {
        /// The limit.
        limit_bytes: usize,
    },
    /// The body broke off or is malformed.
    #[error("body could not be read")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
}

/// Reads a whole body of at most `limit_bytes`. A body that announces more is refused before a byte is read. Time is
/// the caller's to limit.
///
/// # Errors
/// [`ReadError::TooLong`] beyond the limit, [`ReadError::Broken`] with the body's own error.
pub async fn read_limited<B>(body: B, limit_bytes: usize) -> Result<Bytes, ReadError>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    let too_long = ReadError::TooLong { limit_bytes };
    if body.size_hint().lower() > limit_bytes as u64 {
        return Err(too_long);
    }
    let head = read_head(body, limit_bytes).await.map_err(|error| ReadError::Broken(error.into()))?;
    if head.truncated { Err(too_long) } else { Ok(head.bytes) }
}

pub(crate) struct BodyHead {
    pub(crate) bytes: Bytes,
    pub(crate) truncated: bool,
    pub(crate) trailers: HeaderMap,
}

/// Reads until the body ends or exceeds the limit; the rest is left unread. A body that arrives in one piece is
/// not copied.
pub(crate) async fn read_head<B: Body<Data = Bytes>>(
    body: B,
    limit_bytes: usize,
) -> Result<BodyHead, B::Error> {
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut trailers = HeaderMap::new();
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        let mut data = match frame?.into_data() {
            Ok(data) => data,
            Err(frame) => {
                trailers = frame.into_trailers().unwrap_or_default();
                continue;
            }
        };
        let room = limit_bytes - first.len() - rest.len();
        let truncated = data.len() > room;
        data.truncate(room);
        if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
        if truncated {
            return Ok(BodyHead { bytes: joined(first, &rest), truncated: true, trailers });
        }
    }
    Ok(BodyHead { bytes: joined(first, &rest), truncated: false, trailers })
}

fn joined(first: Bytes, rest: &[u8]) -> Bytes {
    if rest.is_empty() {
        return first;
    }
    let mut whole = BytesMut::with_capacity(first.len() + rest.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(rest);
    whole.freeze()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body::Frame;

    use super::*;

    /// Yields its chunks; counts down what is left, so that unread chunks show.
    struct Chunks(Vec<&'static str>);

    impl Body for Chunks {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let chunk = if self.0.is_empty() { None } else { Some(self.0.remove(0)) };
            Poll::Ready(chunk.map(|chunk| Ok(Frame::data(Bytes::from_static(chunk.as_bytes())))))
        }
    }

    async fn check_head(chunks: &[&'static str], limit: usize, expect: (&str, bool)) {
        let head = read_head(Chunks(chunks.to_vec()), limit).await.unwrap();
        assert_eq!((std::str::from_utf8(&head.bytes).unwrap(), head.truncated), expect, "{chunks:?} {limit}");
    }

    #[tokio::test]
    async fn head_stops_at_the_limit() {
        check_head(&[], 0, ("", false)).await;
        check_head(&["abc"], 3, ("abc", false)).await;
        check_head(&["abc"], 2, ("ab", true)).await;
        check_head(&["abc"], 0, ("", true)).await;
        check_head(&["ab", "cd", "ef"], 6, ("abcdef", false)).await;
        check_head(&["ab", "cd", "ef"], 5, ("abcde", true)).await;
        check_head(&["ab", "cd", "ef"], 4, ("abcd", true)).await;
        check_head(&["", "ab", "", "c"], 9, ("abc", false)).await;
    }

    #[tokio::test]
    async fn limited_refuses_what_does_not_fit() {
        assert_eq!(read_limited(Chunks(vec!["ab", "c"]), 3).await.unwrap(), "abc");
        let error = read_limited(Chunks(vec!["ab", "c"]), 2).await.unwrap_err();
        assert_eq!(error.to_string(), "body is longer than 2 bytes");
        let announced = http_body_util::Full::new(Bytes::from_static(b"abc"));
        assert!(matches!(read_limited(announced, 2).await, Err(ReadError::TooLong { limit_bytes: 2 })));
    }
}
