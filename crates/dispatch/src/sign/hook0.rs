//! Hook0: `x-hook0-signature: t=<unix>,h=<names>,v0=<hex>,v1=<hex>`, HMAC-SHA256 with the secret's text as the key.
//!
//! `h` lists the headers that are signed, in lower case with spaces between; `v1` is over
//! `t.names.values joined by full stops.body`, `v0`, which older receivers check, over `t.body`. There is room for one
//! signature of each, so after a change of the secret the new one counts at once.

use http::{HeaderMap, HeaderName};

use super::{Call, SigningKey, hex_hmac, put};

const SIGNED_NAMES: &[u8] = b"x-event-id x-event-type";

pub(super) fn write(headers: &mut HeaderMap, call: &Call<'_>) {
    let message = &call.message;
    put(headers, HeaderName::from_static("x-event-id"), message.id);
    put(headers, HeaderName::from_static("x-event-type"), message.event_type);
    let Some(key) = call.live_keys().find_map(SigningKey::hmac) else { return };
    let t = call.timestamp.as_bytes();
    let v0 = hex_hmac(key, &[t, b".", message.body]);
    let (id, event_type) = (message.id.as_bytes(), message.event_type.as_bytes());
    let v1 = hex_hmac(key, &[t, b".", SIGNED_NAMES, b".", id, b".", event_type, b".", message.body]);
    let names = String::from_utf8_lossy(SIGNED_NAMES);
    let value = format!("t={},h={names},v0={v0},v1={v1}", call.timestamp);
    put(headers, HeaderName::from_static("x-hook0-signature"), &value);
}
