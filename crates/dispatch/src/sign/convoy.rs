//! Convoy: `x-convoy-signature`, hexadecimal HMAC-SHA256 with the secret's text as the key.
//!
//! The advanced form is `t=<unix>,v1=<hex>` over `<unix>,<body>`, with one `v1=` for each live secret. The simple form
//! is one `<hex>` over the body; it has room for one signature, so after a change of the secret the new one counts at
//! once. Convoy lets a project choose the digest and its encoding for it: SHA-256 or SHA-512, hexadecimal or base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderName};
use ring::hmac;

use super::{Call, SigningKey, hex, put};

const SIGNATURE: HeaderName = HeaderName::from_static("x-convoy-signature");

pub(super) fn write_advanced(headers: &mut HeaderMap, call: &Call<'_>) {
    let mut value = format!("t={}", call.timestamp);
    for hmac in call.hex_hmacs(&[call.timestamp.as_bytes(), b",", call.message.body]) {
        value.push_str(",v1=");
        value.push_str(&hmac);
    }
    put(headers, SIGNATURE, &value);
}

/// How the bytes of the simple form are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Encoding {
    Hex,
    Base64,
}

/// The digest is that of the keys.
pub(super) fn write_simple(headers: &mut HeaderMap, call: &Call<'_>, encoding: Encoding) {
    let newest = call.live_keys().find_map(SigningKey::hmac);
    let tag = newest.map(|key| hmac::sign(key, call.message.body));
    let text = tag.map(|tag| match encoding {
        Encoding::Hex => hex(tag.as_ref()),
        Encoding::Base64 => BASE64.encode(tag.as_ref()),
    });
    put(headers, SIGNATURE, &text.unwrap_or_default());
}
