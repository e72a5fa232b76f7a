//! What an answer or a failure means, and the text that is kept of it. Pure; called by the engine after each attempt.
//!
//! Only a complete answer with a 2xx status is a success. Error classes are stable names, shown in attempts and
//! counted in metrics: `redirect`, `http_1xx`, `http_4xx`, `http_5xx`, the network classes of
//! [`FailureClass`](trunkline_connect::FailureClass), `endpoint_unusable` and `internal`.

use std::fmt::Write as _;
use std::time::Duration;

use http::{StatusCode, Version, header};
use trunkline_connect::{OutboundResponse, SendError};
use trunkline_model::{Timestamp, mask};

use crate::endpoint::EndpointFault;
use crate::retry::parse_retry_after;

/// The most that is kept of a response, in bytes.
pub const MAX_RESPONSE_HEAD: usize = 16 * 1024;
/// How much of a response body is read.
pub const MAX_BODY_HEAD: usize = 8 * 1024;

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
    /// How long the endpoint asked us to wait, with 429 and 503.
    pub retry_after: Option<Duration>,
}

impl Verdict {
    /// Whether the endpoint took the delivery.
    pub fn is_success(&self) -> bool {
        self.error_class.is_none()
    }

    /// Judges what came of a call.
    pub fn of_call(result: Result<OutboundResponse, SendError>, now: Timestamp) -> Self {
        match result {
            Ok(response) => Self::of_response(&response, now),
            Err(error) => Self {
                status: error.status().map(|status| status.as_u16()),
                error_class: Some(error.class().as_str()),
                error: Some(error.to_string()),
                response_head: None,
                retry_after: None,
            },
        }
    }

    fn of_response(response: &OutboundResponse, now: Timestamp) -> Self {
        let error_class = class_of(response.status);
        let asks = matches!(response.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let retry_after = response.headers.get(header::RETRY_AFTER).filter(|_| asks);
        Self {
            status: Some(response.status.as_u16()),
            error_class,
            error: error_class
                .map(|_| format!("the endpoint answered with status {}", response.status.as_u16())),
            response_head: Some(head_text(response)),
            retry_after: retry_after
                .and_then(|value| value.to_str().ok())
                .and_then(|text| parse_retry_after(text, now)),
        }
    }

    /// The endpoint cannot be sent to as it is stored.
    pub fn unusable(fault: EndpointFault) -> Self {
        let class = match fault {
            EndpointFault::Refused(_) => "blocked",
            EndpointFault::Settings | EndpointFault::Secrets => "endpoint_unusable",
        };
        Self::without_answer(class, fault.to_string())
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
        }
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
            timings: Timings::default(),
            peer: None,
            reused: false,
        }
    }

    fn verdict(response: OutboundResponse) -> Verdict {
        Verdict::of_call(Ok(response), Timestamp::default())
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
        let timeout = Verdict::of_call(Err(SendError::Timeout), Timestamp::default());
        assert_eq!(timeout.error_class, Some("timeout"));
        let late = SendError::BodyTimeout { status: StatusCode::OK };
        let late = Verdict::of_call(Err(late), Timestamp::default());
        assert_eq!((late.status, late.is_success()), (Some(200), false));
    }

    #[test]
    fn retry_after_counts_with_429_and_503_only() {
        let asked = |status| verdict(response(status, &[("retry-after", b"7")], b"")).retry_after;
        let seven = Some(Duration::from_secs(7));
        assert_eq!([asked(429), asked(503), asked(500), asked(200)], [seven, seven, None, None]);
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
