//! Reads a request body, bounded in bytes and in time. Called by the router only.
//!
//! Nobody has proved who they are while a body comes in. One that came with its head fits the connection's read buffer and
//! costs nothing more; what is gathered beyond that counts against a [`BodyBudget`] that all calls share, until the
//! call is verified.

use std::sync::atomic::{AtomicUsize, Ordering};
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
    /// Other calls' bodies hold all the memory there is for them.
    NoRoom,
}

/// The memory that all bodies under way may hold together.
#[derive(Debug)]
pub(crate) struct BodyBudget {
    left: AtomicUsize,
}

impl BodyBudget {
    pub(crate) const fn new(n_bytes: usize) -> Self {
        Self { left: AtomicUsize::new(n_bytes) }
    }
}

/// What one body holds of the budget; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct BodyShare<'b> {
    budget: &'b BodyBudget,
    n_bytes: usize,
}

impl<'b> BodyShare<'b> {
    const fn none(budget: &'b BodyBudget) -> Self {
        Self { budget, n_bytes: 0 }
    }

    fn grow(&mut self, n_bytes: usize) -> Result<(), BodyError> {
        let take = |left: usize| left.checked_sub(n_bytes);
        let taken = self.budget.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map_err(|_| BodyError::NoRoom)?;
        self.n_bytes += n_bytes;
        Ok(())
    }
}

impl Drop for BodyShare<'_> {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.n_bytes, Ordering::Relaxed);
    }
}

/// A body up to this size is copied out of the connection's read buffer. A copy costs less than what comes of keeping
/// the buffer alive until the call is stored: the connection would need a new one for its next request.
const COPY_UP_TO: usize = 16 * 1024;

/// Reads all of `body`; a large one that came in one piece is not copied. The share is to be held until the caller is
/// known.
pub(crate) async fn read(
    body: Body,
    limit_bytes: usize,
    within: Duration,
    budget: &BodyBudget,
) -> Result<(Bytes, BodyShare<'_>), BodyError> {
    if body.size_hint().lower() > limit_bytes as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut gathering = std::pin::pin!(gather(body, limit_bytes, budget));
    // Most bodies are here already with the head: they need no timer.
    if let Poll::Ready(gathered) = futures_util::poll!(gathering.as_mut()) {
        return gathered;
    }
    tokio::time::timeout(within, gathering).await.unwrap_or(Err(BodyError::TimedOut))
}

async fn gather(
    mut body: Body,
    limit_bytes: usize,
    budget: &BodyBudget,
) -> Result<(Bytes, BodyShare<'_>), BodyError> {
    let mut share = BodyShare::none(budget);
    let Some(first) = next_piece(&mut body, limit_bytes).await? else { return Ok((Bytes::new(), share)) };
    if body.is_end_stream() {
        return Ok((detached(first), share));
    }
    share.grow(first.len())?;
    let Some(second) = next_piece(&mut body, limit_bytes - first.len()).await? else {
        return Ok((detached(first), share));
    };
    // What is announced is set aside at once: its memory is taken at once, too.
    let expected = second.len() + body.size_hint().lower().min(limit_bytes as u64) as usize;
    share.grow(expected)?;
    let mut all = Vec::with_capacity(first.len() + expected);
    all.extend_from_slice(&first);
    all.extend_from_slice(&second);
    while let Some(piece) = next_piece(&mut body, limit_bytes - all.len()).await? {
        let beyond = (all.len() + piece.len()).saturating_sub(share.n_bytes);
        share.grow(beyond)?;
        all.extend_from_slice(&piece);
    }
    Ok((all.into(), share))
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
        let budget = BodyBudget::new(20);
        let read = read(body, 10, Duration::from_mins(1), &budget).await.map(|(body, _)| body);
        assert_eq!(read, expect.map(|text| Bytes::from_static(text.as_bytes())));
        assert_eq!(budget.left.into_inner(), 20, "everything is given back");
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
        let budget = BodyBudget::new(99);
        let read = read(Body::from("more than ten"), 10, Duration::from_mins(1), &budget).await;
        assert_eq!(read.unwrap_err(), BodyError::TooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_given_up() {
        let body = Body::from_stream(stream::pending::<Piece>());
        let budget = BodyBudget::new(99);
        let read = read(body, 10, Duration::from_mins(1), &budget).await;
        assert_eq!(read.unwrap_err(), BodyError::TimedOut);
    }

    #[tokio::test]
    async fn bodies_under_way_share_a_budget() {
        let pieces = |pieces: Vec<Piece>| Body::from_stream(stream::iter(pieces));
        let budget = BodyBudget::new(9);
        let within = Duration::from_mins(1);
        let two = || pieces(vec![Ok("one"), Ok("two")]);
        let held = read(two(), 10, within, &budget).await.unwrap();
        assert_eq!(read(two(), 10, within, &budget).await.unwrap_err(), BodyError::NoRoom);
        // One that is here already takes nothing.
        assert!(read(Body::from("whole body"), 10, within, &budget).await.is_ok());
        drop(held);
        assert!(read(two(), 10, within, &budget).await.is_ok());
    }
}
