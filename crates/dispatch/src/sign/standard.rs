//! Standard Webhooks 1.0.0: `webhook-signature`, versions `v1` and `v1a`, a list with spaces between.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderName};
use ring::hmac;

use super::key::Kind;
use super::{Call, SigningKey, put};

/// One signature over `id.timestamp.body`: `v1,` or `v1a,` and the base64 of the HMAC-SHA256 or ed25519 signature.
pub fn signature(key: &SigningKey, id: &str, timestamp: &str, body: &[u8]) -> String {
    let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    match key.kind() {
        Kind::Hmac(key) => {
            let mut context = hmac::Context::with_key(key);
            for part in parts {
                context.update(part);
            }
            encoded("v1,", context.sign().as_ref())
        }
        Kind::Ed25519(pair) => encoded("v1a,", pair.sign(&parts.concat()).as_ref()),
    }
}

fn encoded(version: &str, bytes: &[u8]) -> String {
    let mut text = String::with_capacity(version.len() + bytes.len().div_ceil(3) * 4);
    text.push_str(version);
    BASE64.encode_string(bytes, &mut text);
    text
}

/// The signatures of all live keys, the newest first.
pub(super) fn signatures(call: &Call<'_>) -> String {
    let mut all = String::new();
    for key in call.live_keys() {
        if !all.is_empty() {
            all.push(' ');
        }
        all.push_str(&signature(key, call.message.id, &call.timestamp, call.message.body));
    }
    all
}

pub(super) fn write(headers: &mut HeaderMap, call: &Call<'_>) {
    put(headers, HeaderName::from_static("webhook-signature"), &signatures(call));
}
