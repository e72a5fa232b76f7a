//! What an answer or a failure means, and the text that is kept of it. Pure; called by the engine after each attempt.
//!
//! Only a complete answer with a 2xx status is a success. Error classes are stable names, shown in attempts and
//! counted in metrics: `redirect`, `http_1xx`, `http_4xx`, `http_5xx`, the network classes of
//! [`FailureClass`](trunkline_connect::FailureClass), those of [`SinkError`] (`auth`,
//! `refused`, `too_large`, and `rejected` for what can never be taken), `oauth2_failed`, `endpoint_unusable` and `internal`.
//!
//! What follows from a class is one table, [`Standing::of`]. Only 410 and what a broker can never take is permanent: everything else can be mended while
//! the schedule lasts, by the receiver or by whoever runs the hub. That holds for `blocked` and `endpoint_unusable` too,
//! since a name can resolve otherwise, a network be opened and an endpoint be saved again. The receiver's own word, the
//! answer's header `webhook-delivery`, goes before the table.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use http::{StatusCode, Version, header};
use serde::{Deserialize, Serialize};
use trunkline_connect::progress::Progress;
use trunkline_connect::{Opening, OutboundResponse, SendError, TokenFault};
use trunkline_model::{Timestamp, mask};
use trunkline_sinks::{SinkError, SinkReceipt};

use crate::endpoint::{EndpointFault, ExpressionFault};
use crate::retry::parse_retry_after;

/// The most that is kept of a response, in bytes.
pub const MAX_RESPONSE_HEAD: usize = 16 * 1024;
/// How much of a response body is read.
pub const MAX_BODY_HEAD: usize = 8 * 1024;

/// The class of an attempt whose body could not be made. The same expression on the same event fails again, so that
/// delivery is given up.
pub const TRANSFORM_FAILED: &str = "transform_failed";

/// The class of an attempt without the token that the endpoint wants.
pub const OAUTH2_FAILED: &str = "oauth2_failed";
/// The class of a message that a broker or an object store says it can never take.
pub const REJECTED: &str = "rejected";
/// The class of a message that is too large for a broker or an object store.
pub const TOO_LARGE: &str = "too_large";

/// The header by which a receiver has a say.
const DELIVERY_HEADER: &str = "webhook-delivery";

/// What a failed or successful attempt means for its delivery and for its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The endpoint took the delivery.
    Delivered,
    /// Tried again by the schedule; counts against the endpoint.
    Failed,
    /// The same, and the endpoint gets one attempt at a time until it takes something.
    Overloaded,
    /// Never tried again; the endpoint is switched off.
    Gone,
    /// Tried again by the schedule; not the endpoint's fault.
    Internal,
    /// Never tried again: this message can never be taken. Says nothing about the endpoint.
    Rejected,
}

impl Standing {
    /// The table of permanent and transient outcomes.
    pub fn of(error_class: Option<&str>, status: Option<u16>) -> Self {
        match (error_class, status) {
            (None, _) => Self::Delivered,
            (Some("internal" | TRANSFORM_FAILED), _) => Self::Internal,
            (Some(REJECTED | TOO_LARGE), _) => Self::Rejected,
            (Some("http_4xx"), Some(410)) => Self::Gone,
            (Some("http_4xx"), Some(429)) | (Some("http_5xx"), Some(502 | 504)) => Self::Overloaded,
            (Some(_), _) => Self::Failed,
        }
    }
}

/// What a receiver asks for by the header `webhook-delivery`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// `disable`: send nothing more to this endpoint.
    Disable,
    /// `abort-message`: do not try this delivery again.
    Abort,
}

/// The meaning of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The HTTP status, when a response head came.
    pub status: Option<u16>,
    /// Why it failed; `None` on success.
    pub error_class: Option<&'static str>,
    /// What went wrong, for people.
    pub error: Option<String>,
    /// Status line, headers and the beginning of the body.
    pub response_head: Option<String>,
    /// How long the endpoint asked us to wait, with 429, 502, 503 and 504.
    pub retry_after: Option<Duration>,
    /// What the receiver asks for.
    pub ask: Option<Ask>,
    /// Where the time went, as far as it is known.
    pub timing: AttemptTiming,
}

/// Where the time of an attempt went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AttemptTiming {
    /// From the beginning of the call to the head of the answer.
    pub first_byte: Option<Duration>,
    /// How the connection was opened; `None` when it was there before.
    pub connection: Option<Box<ConnectionTiming>>,
}

impl AttemptTiming {
    /// What is known of a call that gave no answer to read it from.
    fn reached(progress: Progress) -> Self {
        let connection = progress.opening.map(|opening| ConnectionTiming::new(&opening, progress.peer));
        Self { first_byte: progress.head, connection: connection.map(Box::new) }
    }
}

/// What opening a connection took, phase by phase, as far as it came.
///
/// **Shape**, as it is stored: `{"dns_us": 310, "connect_us": 8200, "tls_us": 17400, "peer": "192.0.2.1:443"}`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConnectionTiming {
    /// Looking up the name.
    pub dns_us: u64,
    /// TCP; absent when no connection was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<u64>,
    /// The TLS handshake; absent without TLS, and when it did not come to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_us: Option<u64>,
    /// The address connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
}

impl ConnectionTiming {
    fn new(opening: &Opening, peer: Option<SocketAddr>) -> Self {
        Self {
            dns_us: micros(opening.dns),
            connect_us: opening.connect.map(micros),
            tls_us: opening.tls.map(micros),
            peer,
        }
    }

    /// The stored form.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("invariant: figures serialise")
    }

    /// Reads the stored form.
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

impl Verdict {
    /// Whether the endpoint took the delivery.
    pub fn is_success(&self) -> bool {
        self.error_class.is_none()
    }

    /// What it means for the delivery and the endpoint.
    pub fn standing(&self) -> Standing {
        Standing::of(self.error_class, self.status)
    }

    /// Judges what came of a call.
    pub fn of_call(
        (result, reached): (Result<OutboundResponse, SendError>, Progress),
        now: Timestamp,
    ) -> Self {
        match result {
            Ok(response) => Self::of_response(&response, now),
            Err(error) => Self {
                status: error.status().map(|status| status.as_u16()),
                error_class: Some(error.class().as_str()),
                error: Some(error.to_string()),
                response_head: None,
                retry_after: None,
                ask: None,
                timing: AttemptTiming::reached(reached),
            },
        }
    }

    /// Judges what came of a send to a broker or an object store.
    pub fn of_sink((result, reached): (Result<SinkReceipt, SinkError>, Progress)) -> Self {
        let timing = AttemptTiming::reached(reached);
        match result {
            Ok(receipt) => Self {
                status: None,
                error_class: None,
                error: None,
                response_head: Some(storable(receipt.text)),
                retry_after: None,
                ask: None,
                timing,
            },
            Err(error) => {
                let is_rejected = error.is_permanent() && error.class() != TOO_LARGE;
                let class = if is_rejected { REJECTED } else { error.class() };
                Self { timing, ..Self::without_answer(class, storable(error.to_string())) }
            }
        }
    }

    /// There is no token to call the endpoint with.
    pub fn without_token(fault: &TokenFault) -> Self {
        Self::without_answer(OAUTH2_FAILED, fault.to_string())
    }

    fn of_response(response: &OutboundResponse, now: Timestamp) -> Self {
        let error_class = class_of(response.status);
        let may_ask = matches!(response.status.as_u16(), 429 | 502 | 503 | 504);
        let retry_after = response.headers.get(header::RETRY_AFTER).filter(|_| may_ask);
        Self {
            status: Some(response.status.as_u16()),
            error_class,
            error: error_class
                .map(|_| format!("the endpoint answered with status {}", response.status.as_u16())),
            response_head: Some(head_text(response)),
            retry_after: retry_after
                .and_then(|value| value.to_str().ok())
                .and_then(|text| parse_retry_after(text, now)),
            ask: response.headers.get(DELIVERY_HEADER).and_then(|value| ask_of(value.as_bytes())),
            timing: AttemptTiming {
                first_byte: Some(response.timings.head),
                connection: response
                    .opened
                    .map(|opening| Box::new(ConnectionTiming::new(&opening, response.peer))),
            },
        }
    }

    /// The endpoint cannot be sent to as it is stored.
    pub fn unusable(fault: EndpointFault) -> Self {
        let class = match fault {
            EndpointFault::Refused(_) => "blocked",
            EndpointFault::Settings | EndpointFault::Secrets | EndpointFault::Local => "endpoint_unusable",
        };
        Self::without_answer(class, fault.to_string())
    }

    /// The endpoint's transformation gave no body.
    pub fn untransformed(fault: &ExpressionFault) -> Self {
        Self::without_answer(TRANSFORM_FAILED, fault.to_string())
    }

    /// The attempt broke inside the hub.
    pub fn internal() -> Self {
        Self::without_answer("internal", "the attempt failed inside the hub".into())
    }

    fn without_answer(class: &'static str, error: String) -> Self {
        Self {
            status: None,
            error_class: Some(class),
            error: Some(error),
            response_head: None,
            retry_after: None,
            ask: None,
            timing: AttemptTiming::default(),
        }
    }
}

/// Reads the header `webhook-delivery`; words we do not know mean nothing.
fn ask_of(value: &[u8]) -> Option<Ask> {
    let word = value.trim_ascii();
    if word.eq_ignore_ascii_case(b"disable") {
        Some(Ask::Disable)
    } else if word.eq_ignore_ascii_case(b"abort-message") {
        Some(Ask::Abort)
    } else {
        None
    }
}

/// The error class of a status; `None` for success.
fn class_of(status: StatusCode) -> Option<&'static str> {
    match status.as_u16() {
        200..=299 => None,
        300..=399 => Some("redirect"),
        400..=499 => Some("http_4xx"),
        500..=599 => Some("http_5xx"),
        100..=199 => Some("http_1xx"),
        _ => Some("http_other"),
    }
}

/// Status line, headers (credentials hidden), an empty line and the beginning of the body, as storable text.
fn head_text(response: &OutboundResponse) -> String {
    let version = match response.version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    };
    let mut text = String::with_capacity(64 + 48 * response.headers.len() + response.body_head.len());
    let reason = response.status.canonical_reason().unwrap_or("");
    write!(text, "{version} {} {reason}", response.status.as_u16())
        .expect("invariant: writing to a string does not fail");
    text.truncate(text.trim_end().len());
    text.push('\n');
    for (name, value) in &response.headers {
        text.push_str(name.as_str());
        text.push_str(": ");
        if mask::is_credential_header(name.as_str()) {
            text.push_str(mask::MASK);
        } else {
            text.push_str(&String::from_utf8_lossy(value.as_bytes()));
        }
        text.push('\n');
    }
    if !response.body_head.is_empty() {
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(&response.body_head));
    }
    storable(text)
}

/// Removes NULs, which PostgreSQL's text refuses, and cuts to [`MAX_RESPONSE_HEAD`] at a character.
fn storable(mut text: String) -> String {
    if text.contains('\0') {
        text.retain(|c| c != '\0');
    }
    if text.len() > MAX_RESPONSE_HEAD {
        text.truncate(text.floor_char_boundary(MAX_RESPONSE_HEAD));
    }
    text
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;
    use trunkline_connect::Timings;

    use super::*;

    fn response(status: u16, headers: &[(&'static str, &[u8])], body: &[u8]) -> OutboundResponse {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        OutboundResponse {
            status: StatusCode::from_u16(status).unwrap(),
            version: Version::HTTP_11,
            headers: map,
            body_head: Bytes::copy_from_slice(body),
            truncated: false,
            trailers: HeaderMap::new(),
            timings: Timings::default(),
            peer: None,
            opened: None,
        }
    }

    fn verdict(response: OutboundResponse) -> Verdict {
        Verdict::of_call((Ok(response), Progress::default()), Timestamp::default())
    }

    fn failed(error: SendError) -> Verdict {
        Verdict::of_call((Err(error), Progress::default()), Timestamp::default())
    }

    #[test]
    fn statuses_have_classes() {
        let check = |status, expect| {
            assert_eq!(verdict(response(status, &[], b"")).error_class, expect, "{status}");
        };
        check(200, None);
        check(299, None);
        check(301, Some("redirect"));
        check(410, Some("http_4xx"));
        check(503, Some("http_5xx"));
        check(999, Some("http_other"));
        assert_eq!(failed(SendError::Timeout).error_class, Some("timeout"));
        let late = failed(SendError::BodyTimeout { status: StatusCode::OK });
        assert_eq!((late.status, late.is_success()), (Some(200), false));
    }

    #[test]
    fn phases_of_a_connection_are_told_once_opened() {
        let ms = Duration::from_millis;
        let timings = Timings { head: ms(5), total: ms(9) };
        let warm = verdict(OutboundResponse { timings, ..response(200, &[], b"") }).timing;
        assert_eq!((warm.first_byte, warm.connection), (Some(ms(5)), None));
        let opening = Opening { dns: ms(1), connect: Some(ms(2)), tls: Some(ms(3)) };
        let peer = "192.0.2.1:443".parse().ok();
        let cold = OutboundResponse { timings, opened: Some(opening), peer, ..response(500, &[], b"") };
        let stored = verdict(cold).timing.connection.unwrap().to_json();
        assert_eq!(stored, r#"{"dns_us":1000,"connect_us":2000,"tls_us":3000,"peer":"192.0.2.1:443"}"#);
        assert_eq!(ConnectionTiming::from_json(&stored).unwrap().to_json(), stored);
        assert_eq!(ConnectionTiming::from_json("{"), None);
    }

    #[test]
    fn phases_of_a_failed_call_are_told_as_far_as_it_came() {
        let ms = Duration::from_millis;
        let opening = Opening { dns: ms(1), connect: None, tls: None };
        let reached = Progress { opening: Some(opening), peer: None, head: None };
        let timing = Verdict::of_call((Err(SendError::ConnectTimeout), reached), Timestamp::default()).timing;
        let stored = timing.connection.map(|connection| connection.to_json());
        assert_eq!((timing.first_byte, stored.as_deref()), (None, Some(r#"{"dns_us":1000}"#)));
        let head = Progress { head: Some(ms(7)), ..Progress::default() };
        let late = SendError::BodyTimeout { status: StatusCode::OK };
        let timing = Verdict::of_call((Err(late), head), Timestamp::default()).timing;
        assert_eq!((timing.first_byte, timing.connection), (Some(ms(7)), None));
        let error = SinkError::from(SendError::ConnectTimeout);
        assert_eq!(Verdict::of_sink((Err(error), reached)).timing.connection.unwrap().dns_us, 1000);
    }

    #[test]
    fn retry_after_counts_where_waiting_helps() {
        let asked = |status, text: &'static [u8]| {
            verdict(response(status, &[("retry-after", text)], b"")).retry_after.map(|wait| wait.as_secs())
        };
        assert_eq!([429, 502, 503, 504].map(|status| asked(status, b"7")), [Some(7); 4]);
        assert_eq!([200, 400, 500].map(|status| asked(status, b"7")), [None; 3]);
        assert_eq!(asked(503, b"Thu, 01 Jan 1970 00:02:00 GMT"), Some(120));
        assert_eq!(asked(503, b"\xff"), None);
    }

    #[test]
    fn standings() {
        let check = |status, expect| assert_eq!(verdict(response(status, &[], b"")).standing(), expect);
        check(204, Standing::Delivered);
        check(410, Standing::Gone);
        for status in [429, 502, 504] {
            check(status, Standing::Overloaded);
        }
        for status in [301, 400, 404, 500, 503, 700] {
            check(status, Standing::Failed);
        }
        assert_eq!(Verdict::internal().standing(), Standing::Internal);
        assert_eq!(Verdict::unusable(EndpointFault::Secrets).standing(), Standing::Failed);
        assert_eq!(failed(SendError::Timeout).standing(), Standing::Failed);
    }

    #[test]
    fn receivers_ask_by_a_header() {
        let ask = |text: &'static [u8]| verdict(response(500, &[("webhook-delivery", text)], b"")).ask;
        assert_eq!(ask(b" Disable "), Some(Ask::Disable));
        assert_eq!(ask(b"abort-message"), Some(Ask::Abort));
        for text in [&b""[..], b"abort", b"disable, abort-message", b"\xff"] {
            assert_eq!(ask(text), None);
        }
    }

    #[test]
    fn head_is_text_without_credentials() {
        let headers: [(&str, &[u8]); 3] =
            [("content-type", b"text/plain"), ("set-cookie", b"session=1"), ("x-odd", b"\xff")];
        let head = verdict(response(200, &headers, b"o\0k\xfe")).response_head.unwrap();
        let expect =
            "HTTP/1.1 200 OK\ncontent-type: text/plain\nset-cookie: ***\nx-odd: \u{fffd}\n\nok\u{fffd}";
        assert_eq!(head, expect);
    }

    proptest! {
        #[test]
        fn head_is_bounded(status in 100_u16..1000, body in proptest::collection::vec(any::<u8>(), 0..40_000)) {
            let head = verdict(response(status, &[], &body)).response_head.unwrap();
            prop_assert!(head.len() <= MAX_RESPONSE_HEAD && !head.contains('\0'));
        }
    }
}
