//! The client protocol of NATS as bytes: what a publisher writes and what it reads. No I/O.
//!
//! **Source**: docs.nats.io, "Client Protocol" and "Headers" (ADR-4).

use bytes::{Buf as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// The longest line a server may send; its greeting is the longest, with an address per server of the cluster.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// The largest message a server may send us: acknowledgements are small.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;
const CRLF: &[u8] = b"\r\n";
const HEADER_VERSION: &[u8] = b"NATS/1.0";

pub(super) const PONG: &[u8] = b"PONG\r\n";

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ServerOp {
    Info(Box<Info>),
    Message(Message),
    Ping,
    Pong,
    Ok,
    Err(String),
}

/// A message to one of our subscriptions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) subject: String,
    /// The status in the headers, 503 when nobody listens.
    pub(super) status: Option<u16>,
    pub(super) payload: Bytes,
}

/// The parts of the server's greeting that matter to a publisher.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(super) struct Info {
    pub(super) max_payload: usize,
    pub(super) headers: bool,
    pub(super) tls_required: bool,
    pub(super) tls_available: bool,
    pub(super) nonce: Option<String>,
    /// Lame duck mode: the server is about to stop.
    pub(super) ldm: bool,
}

/// Our greeting.
#[derive(Serialize)]
pub(super) struct ConnectOptions<'a> {
    pub(super) verbose: bool,
    pub(super) pedantic: bool,
    pub(super) tls_required: bool,
    pub(super) name: &'a str,
    pub(super) lang: &'a str,
    pub(super) version: &'a str,
    pub(super) protocol: u8,
    pub(super) echo: bool,
    pub(super) headers: bool,
    pub(super) no_responders: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pass: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) auth_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nkey: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) jwt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sig: Option<String>,
}

/// Why bytes are not the protocol.
pub(super) type Fault = &'static str;

/// Takes the next complete operation out of what was received.
pub(super) fn next_op(received: &mut BytesMut) -> Result<Option<ServerOp>, Fault> {
    let Some(end) = received.windows(CRLF.len()).position(|pair| pair == CRLF) else {
        return if received.len() > MAX_LINE_BYTES { Err("a line is too long") } else { Ok(None) };
    };
    if end > MAX_LINE_BYTES {
        return Err("a line is too long");
    }
    let line = std::str::from_utf8(&received[..end]).map_err(|_| "a line is not text")?;
    let (verb, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let sizes = match verb.to_ascii_uppercase().as_str() {
        "MSG" => Sizes::of_plain(rest)?,
        "HMSG" => Sizes::of_headed(rest)?,
        verb => {
            let op = lone_op(verb, rest.trim())?;
            received.advance(end + CRLF.len());
            return Ok(Some(op));
        }
    };
    let after_line = end + CRLF.len();
    if received.len() < after_line + sizes.total + CRLF.len() {
        return Ok(None);
    }
    received.advance(after_line);
    let head = received.split_to(sizes.head);
    let payload = received.split_to(sizes.total - sizes.head).freeze();
    if !received.starts_with(CRLF) {
        return Err("a message does not end where it should");
    }
    received.advance(CRLF.len());
    Ok(Some(ServerOp::Message(Message { subject: sizes.subject, status: status(&head), payload })))
}

fn lone_op(verb: &str, rest: &str) -> Result<ServerOp, Fault> {
    match verb {
        "INFO" => {
            let info = serde_json::from_str(rest).map_err(|_| "the greeting is not valid")?;
            Ok(ServerOp::Info(Box::new(info)))
        }
        "PING" => Ok(ServerOp::Ping),
        "PONG" => Ok(ServerOp::Pong),
        "+OK" => Ok(ServerOp::Ok),
        "-ERR" => Ok(ServerOp::Err(rest.trim_matches('\'').to_owned())),
        _ => Err("an unknown operation"),
    }
}

/// What the line before a message says of it.
struct Sizes {
    subject: String,
    head: usize,
    total: usize,
}

impl Sizes {
    /// `subject sid [reply-to] size`
    fn of_plain(rest: &str) -> Result<Self, Fault> {
        let words: Vec<&str> = rest.split_ascii_whitespace().collect();
        match words[..] {
            [subject, _, size] | [subject, _, _, size] => Self::new(subject, "0", size),
            _ => Err("a message line is not valid"),
        }
    }

    /// `subject sid [reply-to] size-of-headers size`
    fn of_headed(rest: &str) -> Result<Self, Fault> {
        let words: Vec<&str> = rest.split_ascii_whitespace().collect();
        match words[..] {
            [subject, _, head, size] | [subject, _, _, head, size] => Self::new(subject, head, size),
            _ => Err("a message line is not valid"),
        }
    }

    fn new(subject: &str, head: &str, total: &str) -> Result<Self, Fault> {
        let number = |text: &str| text.parse::<usize>().map_err(|_| "a message's size is not a number");
        let (head, total) = (number(head)?, number(total)?);
        if total > MAX_MESSAGE_BYTES || head > total {
            return Err("a message's size is out of range");
        }
        Ok(Self { subject: subject.to_owned(), head, total })
    }
}

/// The status in `NATS/1.0 503 …`.
fn status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(HEADER_VERSION)?.strip_prefix(b" ")?;
    std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()
}

/// Builds a block of headers.
pub(super) struct Headers(Vec<u8>);

impl Headers {
    pub(super) fn new() -> Self {
        Self([HEADER_VERSION, CRLF].concat())
    }

    /// Adds a header; line ends in the value would end the block and are left out.
    pub(super) fn add(&mut self, name: &str, value: &str) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        self.0.extend(value.bytes().filter(|b| !matches!(b, b'\r' | b'\n')));
        self.0.extend_from_slice(CRLF);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.0.extend_from_slice(CRLF);
        self.0
    }
}

/// The line and headers before a body; [`CRLF`] follows the body.
pub(super) fn publish_head(subject: &str, reply_to: &str, headers: &[u8], body_bytes: usize) -> Vec<u8> {
    let gap = if reply_to.is_empty() { "" } else { " " };
    let total = headers.len() + body_bytes;
    let line = format!("HPUB {subject}{gap}{reply_to} {} {total}\r\n", headers.len());
    [line.as_bytes(), headers].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ops(text: &str) -> Result<Vec<ServerOp>, Fault> {
        let mut received = BytesMut::from(text);
        let mut ops = Vec::new();
        while let Some(op) = next_op(&mut received)? {
            ops.push(op);
        }
        Ok(ops)
    }

    fn message(subject: &str, status: Option<u16>, payload: &'static str) -> ServerOp {
        ServerOp::Message(Message {
            subject: subject.to_owned(),
            status,
            payload: Bytes::from_static(payload.as_bytes()),
        })
    }

    #[test]
    fn reads_what_servers_say() {
        let text = "PING\r\npong\r\n+OK\r\n-ERR 'Authorization Violation'\r\n\
                    MSG a.b 1 3\r\nx\r\n\r\nMSG a.b 1 back 0\r\n\r\n\
                    HMSG a.b 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\nHMSG a.b 1 back 12 13\r\nNATS/1.0\r\n\r\ny\r\n";
        let expect = [
            ServerOp::Ping,
            ServerOp::Pong,
            ServerOp::Ok,
            ServerOp::Err("Authorization Violation".to_owned()),
            message("a.b", None, "x\r\n"),
            message("a.b", None, ""),
            message("a.b", Some(503), ""),
            message("a.b", None, "y"),
        ];
        assert_eq!(ops(text).unwrap(), expect);
    }

    #[test]
    fn reads_the_greeting_and_ignores_the_cluster() {
        let text = "INFO {\"max_payload\":1048576,\"headers\":true,\"connect_urls\":[\"10.0.0.1:4222\"],\"nonce\":\"n\"}\r\n";
        let expect =
            Info { max_payload: 1_048_576, headers: true, nonce: Some("n".into()), ..Info::default() };
        assert_eq!(ops(text).unwrap(), [ServerOp::Info(Box::new(expect))]);
    }

    #[test]
    fn waits_for_the_rest() {
        for text in ["", "PIN", "PING\r", "MSG a 1 3\r\nabc", "MSG a 1 3\r\nabc\r"] {
            assert_eq!(ops(text).unwrap(), [], "{text:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_server() {
        for text in [
            "HTTP/1.1 400 Bad Request\r\n",
            "INFO {\r\n",
            "MSG a 1\r\n",
            "MSG a 1 x\r\n",
            "MSG a 1 99999999999\r\n",
            "HMSG a 1 9 3\r\n",
            "MSG a 1 1\r\nabc\r\n",
            "\r\n",
        ] {
            assert!(ops(text).is_err(), "{text:?}");
        }
        assert!(ops(&"x".repeat(MAX_LINE_BYTES + 1)).is_err());
    }

    #[test]
    fn headers_hold_no_line_ends_of_values() {
        let mut headers = Headers::new();
        headers.add("a", "1\r\nb: 2");
        let block = headers.finish();
        assert_eq!(block, b"NATS/1.0\r\na: 1b: 2\r\n\r\n");
        let head = publish_head("s", "r", &block, 5);
        assert!(head.starts_with(b"HPUB s r 22 27\r\nNATS/1.0\r\n"), "{:?}", String::from_utf8_lossy(&head));
        assert!(publish_head("s", "", &block, 0).starts_with(b"HPUB s 22 22\r\n"));
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "((MSG|HMSG|INFO|PING|-ERR)? ?[ -~]{0,20}(\r\n)?){0,8}") {
            drop(ops(&text));
        }
    }
}
