//! Lets lapin drive a connection that we opened. Lapin asks its runtime for a stream type, timers and tasks; this is
//! tokio for all but the stream, which is ours, and it never opens a socket.
//!
//! Lapin's thread waits for the peer as long as the stream does, also when nobody waits for lapin any more: for a greeting
//! that does not come, for the answer to its farewell. So the stream hangs on a [`Lifeline`] and ends with it.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_rs::Tokio;
use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::Task;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::Stream;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::sync::oneshot;

use crate::network::Wire;

/// Tokio with our streams.
#[derive(Clone)]
pub(super) struct WireRuntime(Tokio);

impl WireRuntime {
    /// Bound to the runtime of the caller.
    pub(super) fn current() -> Self {
        Self(Tokio::current())
    }
}

impl fmt::Debug for WireRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WireRuntime")
    }
}

impl RuntimeKit for WireRuntime {}

impl Executor for WireRuntime {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, f: F) -> T {
        self.0.block_on(f)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(&self, f: F) -> Task<Self::Task<T>> {
        self.0.spawn(f)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        f: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(f)
    }
}

impl Reactor for WireRuntime {
    type TcpStream = HeldWire;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<Self::TcpStream, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, dur: Duration) -> Self::Sleep {
        self.0.sleep(dur)
    }

    fn interval(&self, dur: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(dur)
    }

    fn tcp_connect_addr(
        &self,
        _: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

/// Holds a connection open; dropping it ends the connection.
pub(super) struct Lifeline(oneshot::Sender<()>);

impl Lifeline {
    /// Lets go after a time, so that a farewell can still be sent.
    pub(super) fn release_after(self, time: Duration) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(time).await;
                drop(self.0);
            });
        }
    }
}

/// A connection under the traits that lapin reads and writes with.
pub(super) struct HeldWire {
    wire: Wire,
    /// `None` once the lifeline is gone.
    held: Option<oneshot::Receiver<()>>,
}

impl HeldWire {
    pub(super) fn new(wire: Wire) -> (Self, Lifeline) {
        let (hold, held) = oneshot::channel();
        (Self { wire, held: Some(held) }, Lifeline(hold))
    }

    fn is_held(&mut self, cx: &mut Context<'_>) -> bool {
        if self.held.as_mut().is_some_and(|held| Pin::new(held).poll(cx).is_ready()) {
            self.held = None;
        }
        self.held.is_some()
    }
}

impl AsyncRead for HeldWire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.is_held(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let mut into = ReadBuf::new(buf);
        ready!(Pin::new(&mut self.wire).poll_read(cx, &mut into))?;
        Poll::Ready(Ok(into.filled().len()))
    }
}

impl AsyncWrite for HeldWire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}
