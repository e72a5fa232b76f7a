//! How a connection to a NATS server begins: greeting, TLS, login. And what its errors mean, then and later.

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use trunkline_model::Secret;

use super::credentials::Login;
use super::protocol::{self, Info, ServerOp, next_op};
use crate::SinkError;
use crate::error::broker_text;
use crate::network::{Dialer, Place, Security, Wire};

/// What a handshake needs.
pub(super) struct Handshake<'a> {
    pub(super) dialer: &'a Dialer,
    pub(super) place: &'a Place,
    pub(super) tls: bool,
    pub(super) tls_first: bool,
    pub(super) login: &'a Login,
    /// Whether replies are waited for; a user may lack the right to subscribe to them.
    pub(super) wants_replies: bool,
}

/// A connection during its handshake.
pub(super) struct Session {
    pub(super) wire: Wire,
    /// What came after the login and belongs to the reader.
    pub(super) received: BytesMut,
    pub(super) info: Info,
}

impl Session {
    /// Connects, reads the greeting, encrypts where that is asked for.
    pub(super) async fn start(handshake: &Handshake<'_>) -> Result<Self, SinkError> {
        let Handshake { dialer, place, tls, tls_first, .. } = handshake;
        let security = match (tls, tls_first) {
            (false, _) => Security::Plain,
            (true, true) => Security::Tls,
            (true, false) => Security::TlsAfterGreeting,
        };
        let wire = dialer.dial(place, security).await?;
        let mut session = Self { wire, received: BytesMut::new(), info: Info::default() };
        session.info = match session.next_op().await? {
            ServerOp::Info(info) => *info,
            _ => {
                return Err(SinkError::Protocol(
                    "the server does not greet as a nats server does".to_owned(),
                ));
            }
        };
        if security == Security::Plain && session.info.tls_required {
            return Err(SinkError::refused("the server takes tls connections only; set tls to true"));
        }
        if security == Security::TlsAfterGreeting {
            session = session.encrypt(dialer, place).await?;
        }
        if !session.info.headers {
            return Err(SinkError::refused("the server takes no headers; nats 2.2 or later is needed"));
        }
        Ok(session)
    }

    async fn encrypt(self, dialer: &Dialer, place: &Place) -> Result<Self, SinkError> {
        if !self.info.tls_required && !self.info.tls_available {
            return Err(SinkError::refused("the server offers no tls; set tls to false"));
        }
        if !self.received.is_empty() {
            // Somebody in between could have put it there.
            return Err(SinkError::Protocol("the server sent more than its greeting before tls".to_owned()));
        }
        let wire = dialer.encrypt(place, self.wire).await?;
        Ok(Self { wire, ..self })
    }

    /// Greets, subscribes to the inbox and waits until the server has taken both.
    pub(super) async fn log_in(&mut self, handshake: &Handshake<'_>, inbox: &str) -> Result<(), SinkError> {
        let greeting = handshake.login.greet(&self.info, handshake.tls)?;
        let greeting = serde_json::to_string(&greeting).expect("invariant: plain options serialise");
        let subscription =
            if handshake.wants_replies { format!("SUB {inbox}.* 1\r\n") } else { String::new() };
        let text = format!("CONNECT {greeting}\r\n{subscription}PING\r\n");
        self.wire.write_all(text.as_bytes()).await.map_err(SinkError::of_io)?;
        self.wire.flush().await.map_err(SinkError::of_io)?;
        loop {
            match self.next_op().await? {
                ServerOp::Pong => return Ok(()),
                ServerOp::Ping => self.wire.write_all(protocol::PONG).await.map_err(SinkError::of_io)?,
                ServerOp::Info(info) => self.info = *info,
                ServerOp::Err(text) => return Err(server_error(&text, &handshake.login.secrets())),
                ServerOp::Ok | ServerOp::Message(_) => {}
            }
        }
    }

    async fn next_op(&mut self) -> Result<ServerOp, SinkError> {
        loop {
            if let Some(op) = next_op(&mut self.received).map_err(not_nats)? {
                return Ok(op);
            }
            let n_bytes = self.wire.read_buf(&mut self.received).await.map_err(SinkError::of_io)?;
            if n_bytes == 0 {
                return Err(closed());
            }
        }
    }
}

/// What a server's error means.
pub(super) fn server_error(text: &str, secrets: &[&Secret]) -> SinkError {
    let said = format!("the server answered {}", broker_text(text, secrets));
    let lower = text.to_ascii_lowercase();
    let is = |word: &str| lower.contains(word);
    if is("maximum") {
        SinkError::refused(said)
    } else if is("authorization") || is("authentication") || is("permissions violation") {
        SinkError::Auth(said)
    } else if is("stale connection") || is("slow consumer") || is("server shutdown") {
        SinkError::reset(std::io::Error::other(said))
    } else if is("parser error") || is("unknown protocol") || is("protocol operation") {
        SinkError::Protocol(said)
    } else {
        SinkError::refused(said)
    }
}

pub(super) fn not_nats(fault: protocol::Fault) -> SinkError {
    SinkError::Protocol(format!("the peer does not speak nats as expected: {fault}"))
}

pub(super) fn closed() -> SinkError {
    SinkError::reset(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
}
