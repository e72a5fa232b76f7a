//! NATS: JetStream with its acknowledgement, or core NATS.
//!
//! **Settings**, besides `host`, `port` (4222) and `tls`:
//!
//! | field | meaning | default |
//! |---|---|---|
//! | `mode` | `jetstream`: a stream has stored the message; `core`: the server has taken it, subscribers of the moment get it | `jetstream` |
//! | `subject` | a template | `events.{tenant}.{type}` |
//! | `stream` | the stream that must store it (`Nats-Expected-Stream`), `jetstream` only | any |
//! | `tls_first` | TLS before the server's greeting (`handshake_first` of the server) | false |
//! | `username`, `password` | credentials | none |
//! | `token` | a token instead | none |
//! | `nkey_seed` | a user's seed (`SU…`) instead | none |
//! | `credentials` | the text of a `.creds` file (JWT and seed) instead | none |
//!
//! **Shape**: the body as it is; headers `Nats-Msg-Id`, `content-type`, and each further header.
//!
//! **Repeats**: `Nats-Msg-Id`; within its duplicate window a stream drops them, and the receipt says so.
//!
//! The servers' `connect_urls` are not used. The protocol is spoken here: the official client, async-nats, opens sockets by
//! name and takes no stream (an address in place of the name costs the TLS name), reconnects in the background, buffers
//! whatever a server announces, and tells of refused publishes beside the call. A publisher needs a dozen verbs.

mod client;
mod credentials;
mod handshake;
mod protocol;

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use trunkline_connect::BoxFuture;
use trunkline_model::{Secret, mask};

use self::client::{Client, Reply};
use self::credentials::Login;
use self::handshake::Handshake;
use super::{Kind, Reach};
use crate::SinkError;
use crate::error::broker_text;
use crate::factory::Tools;
use crate::kept::{Connect, Kept};
use crate::message::{SinkMessage, SinkReceipt};
use crate::network::{Dialer, Place};
use crate::settings::{Deliver, Fields, KindSettings, Parsed, Template};

pub(super) const KIND: Kind = Kind {
    name: "nats",
    secrets: &["password", "token", "nkey_seed", "credentials"],
    reach: Reach::Network,
    parse,
};

/// Far below the servers' limit of a control line, 4096 bytes.
const MAX_SUBJECT_BYTES: usize = 1024;
/// JetStream's code for a message beyond the stream's `max_msg_size`.
const MESSAGE_TOO_LARGE: u64 = 10_054;

/// What counts as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    JetStream,
    Core,
}

impl Mode {
    const NAMES: [(&'static str, Self); 2] = [("jetstream", Self::JetStream), ("core", Self::Core)];

    fn as_str(self) -> &'static str {
        match self {
            Self::JetStream => "jetstream",
            Self::Core => "core",
        }
    }
}

fn parse(mut fields: Fields<'_>) -> Parsed {
    let place = fields.place(4222);
    let tls = fields.flag("tls", true);
    let tls_first = fields.flag("tls_first", false);
    if tls_first && !tls {
        fields.fault("tls_first", "invalid", "needs tls");
    }
    let mode = fields.choice("mode", &Mode::NAMES);
    let subject = fields.template("subject", "events.{tenant}.{type}", check_subject);
    let stream = fields.text("stream");
    if stream.is_some() && mode == Mode::Core {
        fields.fault("stream", "invalid", "needs mode jetstream");
    }
    if stream.as_ref().is_some_and(|stream| !stream.bytes().all(|b| b.is_ascii_graphic())) {
        fields.fault("stream", "invalid", "must have visible ASCII characters only");
    }
    let login = Login::parse(&mut fields);
    fields.finish(NatsSettings { place, tls, tls_first, mode, subject, stream, login })
}

/// Subjects are dotted tokens; wildcards are for subscribers.
fn check_subject(subject: &str) -> Result<(), String> {
    if subject.len() > MAX_SUBJECT_BYTES {
        return Err(format!("subject is longer than {MAX_SUBJECT_BYTES} bytes"));
    }
    if subject.split('.').any(str::is_empty) {
        return Err("subject must not have empty tokens".to_owned());
    }
    if subject.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '*' | '>')) {
        return Err("subject must not have spaces or wildcards".to_owned());
    }
    Ok(())
}

#[derive(Clone)]
struct NatsSettings {
    place: Place,
    tls: bool,
    tls_first: bool,
    mode: Mode,
    subject: Template,
    stream: Option<String>,
    login: Login,
}

impl KindSettings for NatsSettings {
    fn masked(&self) -> Value {
        let masked = |secret: Option<&Secret>| secret.map(|_| mask::MASK);
        json!({
            "host": self.place.host,
            "port": self.place.port,
            "tls": self.tls,
            "tls_first": self.tls_first,
            "mode": self.mode.as_str(),
            "subject": self.subject.as_str(),
            "stream": self.stream,
            "username": self.login.username(),
            "password": masked(self.login.password()),
            "token": masked(self.login.token()),
            "nkey_seed": masked(self.login.nkey_seed()),
            "credentials": masked(self.login.credentials()),
        })
    }

    fn place(&self) -> Option<Place> {
        Some(self.place.clone())
    }

    fn open(&self, tools: &Tools) -> Arc<dyn Deliver> {
        let connect = NatsConnect { settings: self.clone(), dialer: Arc::clone(&tools.dialer) };
        Arc::new(NatsSink { settings: self.clone(), kept: Kept::new(connect, tools.keep) })
    }
}

impl NatsSettings {
    fn headers(&self, message: &SinkMessage) -> Vec<u8> {
        let mut headers = protocol::Headers::new();
        headers.add("Nats-Msg-Id", &message.id);
        if let Some(stream) = &self.stream {
            headers.add("Nats-Expected-Stream", stream);
        }
        headers.add("content-type", message.content_type_text());
        for (name, value) in message.text_headers() {
            headers.add(name, value);
        }
        headers.finish()
    }

    fn judge(&self, reply: &Reply, subject: &str, size_bytes: usize) -> Result<SinkReceipt, SinkError> {
        match reply {
            Reply::Taken => Ok(SinkReceipt::new(format!("taken, subject {subject}"))),
            Reply::NoResponders => {
                Err(SinkError::refused(format!("no stream takes subject {subject} (no responders)")))
            }
            Reply::Payload(payload) => self.judge_ack(payload, size_bytes),
        }
    }

    fn judge_ack(&self, payload: &[u8], size_bytes: usize) -> Result<SinkReceipt, SinkError> {
        let ack: PubAck = serde_json::from_slice(payload)
            .map_err(|_| SinkError::Protocol("the acknowledgement is not that of a stream".to_owned()))?;
        let secrets = self.login.secrets();
        match ack {
            PubAck { error: Some(error), .. } if error.err_code == MESSAGE_TOO_LARGE => {
                Err(SinkError::TooLarge { size_bytes, limit_bytes: None })
            }
            PubAck { error: Some(error), .. } => {
                let said = broker_text(&error.description, &secrets);
                Err(SinkError::refused(format!("the stream answered {} {said}", error.err_code)))
            }
            PubAck { stream: Some(stream), seq: Some(seq), duplicate, .. } => {
                let stream = broker_text(&stream, &secrets);
                let repeat = if duplicate { ", a repeat" } else { "" };
                Ok(SinkReceipt::new(format!("stream {stream} seq {seq}{repeat}")))
            }
            _ => Err(SinkError::Protocol("the acknowledgement names no stream".to_owned())),
        }
    }
}

struct NatsConnect {
    settings: NatsSettings,
    dialer: Arc<Dialer>,
}

impl Connect for NatsConnect {
    type Link = Client;

    fn connect(&self) -> BoxFuture<'_, Result<Client, SinkError>> {
        let NatsSettings { place, tls, tls_first, login, mode, .. } = &self.settings;
        Box::pin(Client::open(Handshake {
            dialer: &self.dialer,
            place,
            tls: *tls,
            tls_first: *tls_first,
            login,
            wants_replies: *mode == Mode::JetStream,
        }))
    }
}

struct NatsSink {
    settings: NatsSettings,
    kept: Kept<NatsConnect>,
}

impl NatsSink {
    async fn publish(&self, message: &SinkMessage, deadline: Instant) -> Result<SinkReceipt, SinkError> {
        let subject = self.settings.subject.render(message);
        check_subject(&subject).map_err(SinkError::never)?;
        let headers = self.settings.headers(message);
        let lease = self.kept.lease(deadline).await?;
        let body = message.body.clone();
        let sent = match self.settings.mode {
            Mode::JetStream => lease.link().request(&subject, &headers, body).await,
            Mode::Core => lease.link().publish(&subject, &headers, body).await,
        };
        let size_bytes = headers.len() + message.body.len();
        let judged = sent.and_then(|reply| self.settings.judge(&reply, &subject, size_bytes));
        lease.settle(judged)
    }
}

impl Deliver for NatsSink {
    fn deliver<'a>(
        &'a self,
        message: &'a SinkMessage,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<SinkReceipt, SinkError>> {
        Box::pin(self.publish(message, deadline))
    }
}

/// JetStream's answer to a publish.
#[derive(Deserialize)]
struct PubAck {
    stream: Option<String>,
    seq: Option<u64>,
    #[serde(default)]
    duplicate: bool,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct ApiError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

#[cfg(test)]
mod tests;
