//! The head of a webhook call as text, for the operator's eyes and for judging a call again.
//!
//! ```text
//! POST /in/clinic-portal HTTP/1.1
//! # from 203.0.113.9
//! webhook-id: msg_1
//! authorization: ***
//! ```
//!
//! Header values are exact, so that a signature over them can be checked later; what is a credential is hidden, and so is
//! a query. Bytes outside ASCII become the characters of the same number (Latin-1) and [`parse`] turns them back.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::Version;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use trunkline_model::mask::{MASK, is_credential_header};

/// The longest text that [`render`] makes, in bytes; headers that do not fit are left out whole.
pub const MAX_LEN: usize = 16 * 1024;

/// The longest path that is kept.
const MAX_PATH_LEN: usize = 256;

const FROM: &str = "# from ";

/// Writes request line, caller's address if given, and headers, hiding credentials and the value of `hidden`.
pub fn render(parts: &Parts, hidden: Option<&HeaderName>, from: Option<IpAddr>) -> String {
    let path = parts.uri.path();
    let mut text = String::with_capacity(64 + path.len() + parts.headers.len() * 48);
    text.push_str(parts.method.as_str());
    text.push(' ');
    text.push_str(path.get(..MAX_PATH_LEN).unwrap_or(path));
    if parts.uri.query().is_some() {
        text.push('?');
        text.push_str(MASK);
    }
    text.push_str(match parts.version {
        Version::HTTP_2 => " HTTP/2\r\n",
        Version::HTTP_10 => " HTTP/1.0\r\n",
        _ => " HTTP/1.1\r\n",
    });
    if let Some(from) = from {
        write!(text, "{FROM}{from}\r\n").expect("invariant: writing to memory does not fail");
    }
    for (name, value) in &parts.headers {
        render_header(&mut text, name, value, hidden == Some(name));
    }
    text
}

fn render_header(text: &mut String, name: &HeaderName, value: &HeaderValue, is_hidden: bool) {
    let value = value.as_bytes();
    // A byte outside ASCII takes two in the text.
    if text.len() + name.as_str().len() + 2 * value.len().max(MASK.len()) + 4 > MAX_LEN {
        return;
    }
    text.push_str(name.as_str());
    text.push_str(": ");
    if is_hidden || is_credential_header(name.as_str()) {
        text.push_str(MASK);
    } else if let (true, Ok(ascii)) = (value.is_ascii(), std::str::from_utf8(value)) {
        text.push_str(ascii);
    } else {
        text.extend(value.iter().copied().map(char::from));
    }
    text.push_str("\r\n");
}

/// The caller's address, if [`render`] was given one.
pub fn address(text: &str) -> Option<IpAddr> {
    text.split("\r\n").nth(1)?.strip_prefix(FROM)?.parse().ok()
}

/// The path that [`render`] wrote, without the query, which it hides.
pub fn path(text: &str) -> &str {
    let target = text.split("\r\n").next().unwrap_or("").split(' ').nth(1).unwrap_or("");
    target.split('?').next().unwrap_or("")
}

/// Reads the headers that [`render`] wrote; lines that are no header are skipped.
pub fn parse(text: &str) -> HeaderMap {
    text.split("\r\n")
        .filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let bytes: Option<Vec<u8>> = value.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(&bytes?).ok()?))
        })
        .fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn render_headers(headers: HeaderMap, hidden: Option<&HeaderName>, from: Option<IpAddr>) -> String {
        let (mut parts, ()) =
            http::Request::post("http://hub/in/portal?code=tell-nobody").body(()).unwrap().into_parts();
        parts.headers = headers;
        render(&parts, hidden, from)
    }

    #[test]
    fn credentials_are_hidden() {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", "msg_1".parse().unwrap());
        headers.insert("authorization", "Bearer tell-nobody".parse().unwrap());
        headers.insert("x-portal-token", "tell-nobody".parse().unwrap());
        let hidden = HeaderName::from_static("x-portal-token");
        let from: IpAddr = "2001:db8::7".parse().unwrap();
        let text = render_headers(headers, Some(&hidden), Some(from));
        assert!(!text.contains("tell-nobody"));
        assert_eq!(
            text,
            "POST /in/portal?*** HTTP/1.1\r\n# from 2001:db8::7\r\nwebhook-id: msg_1\r\nauthorization: ***\r\n\
             x-portal-token: ***\r\n"
        );
        assert_eq!(address(&text), Some(from));
        assert_eq!(path(&text), "/in/portal");
        assert_eq!(parse(&text).len(), 3);
        assert_eq!(parse(&text).get("webhook-id").unwrap(), "msg_1");
    }

    #[test]
    fn the_length_is_bounded() {
        let mut headers = HeaderMap::new();
        headers.insert("x-long", HeaderValue::from_bytes(&vec![b'a'; 20_000]).unwrap());
        headers.insert("x-short", "kept".parse().unwrap());
        assert!(render_headers(headers.clone(), None, None).ends_with("HTTP/1.1\r\nx-short: kept\r\n"));
        for n in 0..1000 {
            headers.append("x-many", n.into());
        }
        headers.append("x-bytes", HeaderValue::from_bytes(&[0xff; 8000]).unwrap());
        assert!(render_headers(headers, None, None).len() <= MAX_LEN);
    }

    proptest! {
        #[test]
        fn exact_values_survive(values in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..40), 0..6,
        )) {
            let mut headers = HeaderMap::new();
            for value in values {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    headers.append("x-value", value);
                }
            }
            prop_assert_eq!(parse(&render_headers(headers.clone(), None, None)), headers);
        }

        #[test]
        fn reading_never_panics(text in any::<String>()) {
            drop((parse(&text), address(&text), path(&text)));
        }
    }
}
