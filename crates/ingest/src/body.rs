//! Reads a request body, bounded in bytes and in time. Called by the router only.

use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use http_body_util::BodyExt as _;

/// Why a body could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// More bytes than the limit, announced or sent.
    TooLarge,
    /// It did not end in time.
    TimedOut,
    /// The caller went away or sent nonsense.
    Broken,
}

/// A body up to this size is copied out of the connection's read buffer. A copy costs less than what comes of keeping
/// the buffer alive until the call is stored: the connection would need a new one for its next request.
const COPY_UP_TO: usize = 16 * 1024;

/// Reads all of `body`; a large one that came in one piece is not copied.
pub(crate) async fn read(body: Body, limit_bytes: usize, within: Duration) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > limit_bytes as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut gathering = std::pin::pin!(gather(body, limit_bytes));
    // Most bodies are here already with the head: they need no timer.
    if let Poll::Ready(gathered) = futures_util::poll!(gathering.as_mut()) {
        return gathered;
    }
    tokio::time::timeout(within, gathering).await.unwrap_or(Err(BodyError::TimedOut))
}

async fn gather(mut body: Body, limit_bytes: usize) -> Result<Bytes, BodyError> {
    let Some(first) = next_piece(&mut body, limit_bytes).await? else { return Ok(Bytes::new()) };
    if body.is_end_stream() {
        return Ok(detached(first));
    }
    let Some(second) = next_piece(&mut body, limit_bytes - first.len()).await? else {
        return Ok(detached(first));
    };
    let expected = first.len() + second.len() + body.size_hint().lower().min(limit_bytes as u64) as usize;
    let mut all = Vec::with_capacity(expected);
    all.extend_from_slice(&first);
    all.extend_from_slice(&second);
    while let Some(piece) = next_piece(&mut body, limit_bytes - all.len()).await? {
        all.extend_from_slice(&piece);
    }
    Ok(all.into())
}

fn detached(piece: Bytes) -> Bytes {
    if piece.len() <= COPY_UP_TO { Bytes::copy_from_slice(&piece) } else { piece }
}

/// The next piece with something in it; trailers are skipped.
async fn next_piece(body: &mut Body, room: usize) -> Result<Option<Bytes>, BodyError> {
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        if piece.len() > room {
            return Err(BodyError::TooLarge);
        }
        if !piece.is_empty() {
            return Ok(Some(piece));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    type Piece = Result<&'static str, std::io::Error>;

    async fn check(pieces: Vec<Piece>, expect: Result<&'static str, BodyError>) {
        let body = Body::from_stream(stream::iter(pieces));
        let read = read(body, 10, Duration::from_mins(1)).await;
        assert_eq!(read, expect.map(|text| Bytes::from_static(text.as_bytes())));
    }

    #[tokio::test]
    async fn pieces_are_joined_up_to_the_limit() {
        check(vec![], Ok("")).await;
        check(vec![Ok("one")], Ok("one")).await;
        check(vec![Ok(""), Ok("one"), Ok(""), Ok("two"), Ok("four")], Ok("onetwofour")).await;
        check(vec![Ok("one"), Ok("two"), Ok("three")], Err(BodyError::TooLarge)).await;
        check(vec![Ok("more than ten")], Err(BodyError::TooLarge)).await;
        check(vec![Ok("one"), Err(std::io::Error::other("gone"))], Err(BodyError::Broken)).await;
    }

    #[tokio::test]
    async fn an_announced_length_is_enough_to_refuse() {
        let read = read(Body::from("more than ten"), 10, Duration::from_mins(1)).await;
        assert_eq!(read, Err(BodyError::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_given_up() {
        let body = Body::from_stream(stream::pending::<Piece>());
        assert_eq!(read(body, 10, Duration::from_mins(1)).await, Err(BodyError::TimedOut));
    }
}
