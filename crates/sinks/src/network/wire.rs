//! An open connection with a bound on what the peer may send.
//!
//! Client libraries buffer what a server announces. A publisher is owed little: a greeting, then short answers. So every
//! connection starts with an allowance of bytes to receive, each send adds what its answer may need, and a peer that goes
//! beyond gets its connection cut instead of our memory.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What may be received before the first send: greeting, handshake, TLS excluded.
const START_BYTES: u64 = 256 * 1024;
/// What the answer to one send may take, besides what [`Allowance::add`] is told.
const PER_SEND_BYTES: u64 = 4 * 1024;
/// The most that can be saved up.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// How much may still be received.
#[derive(Debug)]
pub(crate) struct Allowance(AtomicU64);

impl Allowance {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(START_BYTES)))
    }

    /// Adds what the answer to one send may take; `echoed_bytes` is what the peer may send back of it.
    pub(crate) fn add(&self, echoed_bytes: usize) {
        let more = PER_SEND_BYTES + echoed_bytes as u64;
        let add = |left: u64| Some(left.saturating_add(more).min(MAX_BYTES.max(more)));
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok();
    }

    fn take(&self, n_bytes: u64) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(n_bytes)).is_ok()
    }
}

/// A stream in both directions.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// An open connection, plain or TLS.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    allowance: Arc<Allowance>,
}

impl Wire {
    pub(super) fn new(stream: impl Stream + 'static, allowance: Arc<Allowance>) -> Self {
        Self { stream: Box::new(stream), allowance }
    }

    pub(super) fn plain(stream: impl Stream + 'static) -> Self {
        Self::new(stream, Allowance::new())
    }

    /// The stream below, to put TLS between; what TLS receives is not counted, what comes out of it is.
    pub(super) fn into_parts(self) -> (Box<dyn Stream>, Arc<Allowance>) {
        (self.stream, self.allowance)
    }

    pub(crate) fn allowance(&self) -> Arc<Allowance> {
        Arc::clone(&self.allowance)
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut wire.stream).poll_read(cx, buf);
        let n_bytes = buf.filled().len() - before;
        if n_bytes > 0 && !wire.allowance.take(n_bytes as u64) {
            buf.set_filled(before);
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_flood_ends_the_connection() {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(async move { while far.write_all(&[0; 4096]).await.is_ok() {} });
        let mut wire = Wire::plain(near);
        let mut seen = 0;
        let mut block = [0; 4096];
        let error = loop {
            match wire.read(&mut block).await {
                Ok(n_bytes) => seen += n_bytes as u64,
                Err(error) => break error,
            }
        };
        assert_eq!((error.kind(), seen), (io::ErrorKind::InvalidData, START_BYTES));
    }

    #[tokio::test]
    async fn each_send_adds_to_the_allowance() {
        let allowance = Allowance::new();
        assert!(allowance.take(START_BYTES) && !allowance.take(1));
        allowance.add(100);
        assert!(allowance.take(PER_SEND_BYTES + 100) && !allowance.take(1));
        for _ in 0..100_000 {
            allowance.add(1 << 20);
        }
        assert!(!allowance.take(MAX_BYTES + 1) && allowance.take(MAX_BYTES));
    }
}
