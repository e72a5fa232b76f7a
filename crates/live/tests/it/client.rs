//! A client of another make than the server's session: a plain socket, the handshake by hand, frames as JSON.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

/// How long a test waits for something that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Opens a socket with a small buffer, so that a client that does not read is soon one that is not written to.
#[allow(clippy::disallowed_methods, reason = "a client of the hub under test, on loopback")]
pub(crate) async fn tcp(addr: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket.connect(addr).await.unwrap()
}

/// Sends a request to `/live` and gives the status with the open socket.
pub(crate) async fn handshake(addr: SocketAddr, target: &str, headers: &[(&str, &str)]) -> (u16, TcpStream) {
    let mut stream = tcp(addr).await;
    let mut head = format!(
        "GET {target} HTTP/1.1\r\nhost: hub\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        timeout(PATIENCE, stream.read_exact(&mut byte)).await.unwrap().unwrap();
        answer.extend(byte);
    }
    let answer = String::from_utf8(answer).unwrap();
    let status: u16 = answer.split(' ').nth(1).unwrap().parse().unwrap();
    if status == 101 {
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    }
    (status, stream)
}

/// A live connection.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
}

impl Client {
    /// Connects without saying who it is.
    pub(crate) async fn stranger(addr: SocketAddr) -> Self {
        let (status, stream) = handshake(addr, "/live", &[]).await;
        assert_eq!(status, 101);
        Self { socket: WebSocketStream::from_raw_socket(stream, Role::Client, None).await }
    }

    /// Connects and says who it is in the first frame.
    pub(crate) async fn with_token(addr: SocketAddr, token: &str) -> Self {
        let mut client = Self::stranger(addr).await;
        client.send(json!({ "type": "auth", "token": token })).await;
        assert_eq!(client.next().await["type"], "authenticated");
        client
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The next frame that is not a heartbeat.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("a frame comes") {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if frame["type"] != "heartbeat" {
                        return frame;
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no frame: {other:?}"),
            }
        }
    }

    /// Reads to the end; the close code, or 0 where there is none.
    pub(crate) async fn close_code(&mut self) -> u16 {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("the connection ends") {
                Some(Ok(Message::Close(frame))) => return frame.map_or(0, |frame| frame.code.into()),
                Some(Ok(_)) => {}
                _ => return 0,
            }
        }
    }

    /// Joins rooms and gives the answer.
    pub(crate) async fn subscribe(&mut self, rooms: &[&str]) -> Value {
        self.send(json!({ "type": "subscribe", "id": 1, "rooms": rooms })).await;
        self.next().await
    }

    /// Asks whether the connection is there; whatever came before it was not for this client.
    pub(crate) async fn expect_nothing(&mut self) {
        self.send(json!({ "type": "ping", "id": "nothing" })).await;
        let frame = self.next().await;
        assert_eq!(frame["type"], "pong", "{frame}");
    }
}
