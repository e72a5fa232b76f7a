//! A TCP proxy that can be cut and shut, in place of a database or a broker that restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes connections on to a server.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    upstream: (String, u16),
    n_connections: Arc<AtomicUsize>,
    open: Arc<watch::Sender<usize>>,
    cut: watch::Sender<u64>,
    frozen: watch::Sender<u64>,
    accepting: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy on a port of the system's choice.
    pub async fn start(upstream: (String, u16)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("invariant: loopback has free ports");
        let mut proxy = Self {
            port: listener.local_addr().expect("invariant: a listener has an address").port(),
            upstream,
            n_connections: Arc::default(),
            open: Arc::new(watch::Sender::new(0)),
            cut: watch::Sender::new(0),
            frozen: watch::Sender::new(0),
            accepting: None,
        };
        proxy.accept(listener);
        proxy
    }

    fn accept(&mut self, listener: TcpListener) {
        let (upstream, counter) = (self.upstream.clone(), Arc::clone(&self.n_connections));
        let (open, cut, frozen) = (Arc::clone(&self.open), self.cut.clone(), self.frozen.clone());
        self.accepting = Some(tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                open.send_modify(|n| *n += 1);
                let ends = Ends { cut: cut.subscribe(), frozen: frozen.subscribe() };
                tokio::spawn(pass(near, upstream.clone(), ends, Arc::clone(&open)));
            }
        }));
    }

    /// How many connections were made.
    pub fn count(&self) -> usize {
        self.n_connections.load(Ordering::SeqCst)
    }

    /// Waits until `n` connections are open.
    pub async fn wait_for_open(&self, n: usize) {
        self.open.subscribe().wait_for(|open| *open == n).await.expect("invariant: the sender lives in self");
    }

    /// Ends every connection.
    pub fn cut(&self) {
        self.cut.send_modify(|n| *n += 1);
    }

    /// Keeps every connection open and passes nothing on any more, as a lost route would.
    pub fn freeze(&self) {
        self.frozen.send_modify(|n| *n += 1);
    }

    /// Ends every connection and lets nobody in.
    pub async fn shut(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            drop(accepting.await);
        }
        self.cut();
    }

    /// Lets connections in again, on the same port.
    pub async fn reopen(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await;
        self.accept(listener.expect("invariant: nobody took the port meanwhile"));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
    }
}

/// How the life of a connection ends.
struct Ends {
    cut: watch::Receiver<u64>,
    frozen: watch::Receiver<u64>,
}

#[allow(clippy::disallowed_methods, reason = "passes on to a server that the test chose")]
async fn pass(mut near: TcpStream, upstream: (String, u16), mut ends: Ends, open: Arc<watch::Sender<usize>>) {
    if let Ok(mut far) = TcpStream::connect(upstream).await {
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
            _ = ends.cut.changed() => {}
            _ = ends.frozen.changed() => until_closed(&mut near).await,
        }
    }
    drop(near);
    open.send_modify(|n| *n -= 1);
}

/// Swallows what comes until the other side hangs up.
async fn until_closed(near: &mut TcpStream) {
    tokio::io::copy(near, &mut tokio::io::sink()).await.ok();
}
