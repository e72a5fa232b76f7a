//! Receivers of webhooks that misbehave, written on raw sockets: whatever a stranger's server can do to the hub.
//!
//! One receiver shows one kind of [`Misconduct`], on every connection. It reads one request first (unless it is about the
//! connection itself), and stops a flood or a drip when the other side hangs up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

// A certificate for `hooks.test` by an authority that nobody trusts; see the tests of connect's client.
const CERTIFICATE: &[u8] = include_bytes!("../../connect/src/client/fixtures/hooks.test.der");
const KEY: &[u8] = include_bytes!("../../connect/src/client/fixtures/hooks.test.key.der");

/// The pause between the bytes of a drip.
const DRIP: Duration = Duration::from_millis(20);

/// What a receiver does wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misconduct {
    /// Breaks the connection as soon as it is made.
    ResetAtOnce,
    /// Breaks the connection after the request.
    ResetBeforeHead,
    /// Closes the connection properly after the request, without an answer.
    CloseBeforeHead,
    /// Breaks the connection inside the body of a 200.
    ResetInBody,
    /// Takes the request and never answers.
    Silence,
    /// Sends the head of a 200 and nothing else.
    HangAfterHead,
    /// Sends the head byte by byte, for ever.
    SlowHead,
    /// Sends the body byte by byte, for ever.
    SlowBody,
    /// Sends a body without end under this status, as fast as it can.
    EndlessBody(u16),
    /// Sends one header without end.
    EndlessHeader,
    /// Sends 100,000 headers.
    ManyHeaders,
    /// Sends interim answers (103) without end.
    InterimStorm,
    /// Answers something that is not HTTP.
    Garbage,
    /// Announces a longer body than it sends, and closes.
    LengthTooLong,
    /// Announces a shorter body than it sends: the rest looks like another answer.
    LengthTooShort,
    /// Announces two lengths.
    TwoLengths,
    /// Breaks the framing of a chunked body.
    BrokenChunks,
    /// Answers 307 with this place.
    Redirect(String),
    /// Speaks TLS with a certificate that no trusted authority has signed.
    UntrustedTls,
    /// Gives a proper answer: this status and these header lines, each with its line end.
    Answer(u16, String),
}

/// A receiver on a port of its own, on 127.0.0.1.
#[derive(Debug)]
pub struct HostileReceiver {
    address: SocketAddr,
    n_requests: Arc<AtomicUsize>,
    accepting: tokio::task::JoinHandle<()>,
}

impl HostileReceiver {
    /// Starts a receiver that shows one kind of misconduct.
    pub async fn start(misconduct: Misconduct) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("invariant: loopback has free ports");
        let address = listener.local_addr().expect("invariant: a listener has an address");
        let n_requests = Arc::new(AtomicUsize::new(0));
        let (counter, misconduct) = (Arc::clone(&n_requests), Arc::new(misconduct));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection =
                    Connection { misconduct: Arc::clone(&misconduct), n_requests: Arc::clone(&counter) };
                tokio::spawn(connection.serve(stream));
            }
        });
        Self { address, n_requests, accepting }
    }

    /// Where it listens, under a scheme: `http://127.0.0.1:PORT/hook`.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}/hook", self.address)
    }

    /// How many requests it has read to the end.
    pub fn n_requests(&self) -> usize {
        self.n_requests.load(Ordering::SeqCst)
    }
}

impl Drop for HostileReceiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Connection {
    misconduct: Arc<Misconduct>,
    n_requests: Arc<AtomicUsize>,
}

impl Connection {
    /// Serves one connection. Errors mean that the other side has gone, which is what most of this leads to.
    async fn serve(self, stream: TcpStream) {
        let done = match &*self.misconduct {
            Misconduct::ResetAtOnce => stream.set_zero_linger(),
            Misconduct::UntrustedTls => self.speak_tls(stream).await,
            _ => self.speak(stream).await,
        };
        drop(done);
    }

    async fn speak_tls(&self, stream: TcpStream) -> std::io::Result<()> {
        let stream = acceptor().accept(stream).await?;
        self.answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await
    }

    async fn speak(&self, mut stream: TcpStream) -> std::io::Result<()> {
        match &*self.misconduct {
            Misconduct::ResetBeforeHead => {
                self.request(&mut stream).await?;
                stream.set_zero_linger()
            }
            Misconduct::CloseBeforeHead => self.request(&mut stream).await,
            Misconduct::ResetInBody => {
                self.say(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await?;
                stream.set_zero_linger()
            }
            Misconduct::Silence => self.hang(stream, "").await,
            Misconduct::HangAfterHead => {
                self.hang(stream, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n").await
            }
            Misconduct::SlowHead => self.drip(stream, "HTTP/1.1 200 OK\r\nx-slow: ", "a").await,
            Misconduct::SlowBody => self.drip(stream, CHUNKED, "1\r\na\r\n").await,
            Misconduct::EndlessBody(status) => {
                let head = CHUNKED.replace("200 OK", &format!("{status} Status"));
                self.flood(stream, &head, &format!("400\r\n{}\r\n", "x".repeat(0x400))).await
            }
            Misconduct::EndlessHeader => {
                self.flood(stream, "HTTP/1.1 200 OK\r\nx-long: ", &"a".repeat(1024)).await
            }
            Misconduct::ManyHeaders => self.many_headers(stream).await,
            Misconduct::InterimStorm => {
                self.flood(stream, "", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await
            }
            Misconduct::Garbage => self.say(&mut stream, "\0\x01SSH-2.0-OpenSSH_10.0\r\n\r\n").await,
            Misconduct::LengthTooLong => {
                self.say(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await
            }
            Misconduct::LengthTooShort => {
                let surplus = "HTTP/1.1 500 Smuggled\r\ncontent-length: 0\r\n\r\n";
                self.answer(stream, &format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{surplus}")).await
            }
            Misconduct::TwoLengths => {
                self.answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab")
                    .await
            }
            Misconduct::BrokenChunks => self.answer(stream, &format!("{CHUNKED}zz\r\n")).await,
            Misconduct::Redirect(to) => {
                let head = format!("HTTP/1.1 307 Go\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
                self.answer(stream, &head).await
            }
            Misconduct::Answer(status, lines) => {
                let head = format!("HTTP/1.1 {status} Status\r\n{lines}content-length: 0\r\n\r\n");
                self.answer(stream, &head).await
            }
            Misconduct::ResetAtOnce | Misconduct::UntrustedTls => Ok(()),
        }
    }

    /// Reads one request, head and body; an error at the end of the connection.
    async fn request(&self, stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
        let mut seen = Vec::new();
        loop {
            if stream.read_buf(&mut seen).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            // The first byte of a TLS handshake: whoever wants to talk TLS here gets the answer in plain text.
            if seen.first() == Some(&0x16) || is_whole(&seen) {
                self.n_requests.fetch_add(1, Ordering::SeqCst);
                return Ok(());
            }
        }
    }

    async fn say(&self, stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
        self.request(stream).await?;
        stream.write_all(text.as_bytes()).await?;
        stream.flush().await
    }

    /// Gives every request of the connection the same answer.
    async fn answer(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        text: &str,
    ) -> std::io::Result<()> {
        loop {
            self.request(&mut stream).await?;
            stream.write_all(text.as_bytes()).await?;
            stream.flush().await?;
        }
    }

    /// Says something and keeps the connection until the other side closes it.
    async fn hang(&self, mut stream: TcpStream, text: &str) -> std::io::Result<()> {
        self.say(&mut stream, text).await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(drop)
    }

    async fn drip(&self, mut stream: TcpStream, start: &str, drop: &str) -> std::io::Result<()> {
        self.say(&mut stream, start).await?;
        let mut ticks = tokio::time::interval(DRIP);
        loop {
            ticks.tick().await;
            stream.write_all(drop.as_bytes()).await?;
        }
    }

    async fn flood(&self, mut stream: TcpStream, start: &str, more: &str) -> std::io::Result<()> {
        self.say(&mut stream, start).await?;
        let block = more.repeat(64);
        loop {
            stream.write_all(block.as_bytes()).await?;
        }
    }

    async fn many_headers(&self, mut stream: TcpStream) -> std::io::Result<()> {
        self.say(&mut stream, "HTTP/1.1 200 OK\r\n").await?;
        for n in 0..100_000 {
            stream.write_all(format!("x-{n}: a\r\n").as_bytes()).await?;
        }
        stream.write_all(b"\r\n").await
    }
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// Whether a head and the body that it announces are there.
fn is_whole(seen: &[u8]) -> bool {
    let text = String::from_utf8_lossy(seen);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.and_then(|text| text.parse::<usize>().ok()).unwrap_or(0)
}

fn acceptor() -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("invariant: the provider knows the default versions")
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(CERTIFICATE)], PrivatePkcs8KeyDer::from(KEY).into())
        .expect("invariant: the key is the certificate's");
    TlsAcceptor::from(Arc::new(config))
}
