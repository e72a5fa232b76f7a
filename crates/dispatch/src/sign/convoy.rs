//! Convoy: `x-convoy-signature`, hexadecimal HMAC-SHA256 with the secret's text as the key.
//!
//! The advanced form is `t=<unix>,v1=<hex>` over `<unix>,<body>`, with one `v1=` for each live secret. The simple form
//! is one `<hex>` over the body; it has room for one signature, so after a change of the secret the new one counts at
//! once.

use http::{HeaderMap, HeaderName};

use super::{Call, put};

const SIGNATURE: HeaderName = HeaderName::from_static("x-convoy-signature");

pub(super) fn write_advanced(headers: &mut HeaderMap, call: &Call<'_>) {
    let mut value = format!("t={}", call.timestamp);
    for hmac in call.hex_hmacs(&[call.timestamp.as_bytes(), b",", call.message.body]) {
        value.push_str(",v1=");
        value.push_str(&hmac);
    }
    put(headers, SIGNATURE, &value);
}

pub(super) fn write_simple(headers: &mut HeaderMap, call: &Call<'_>) {
    let newest = call.hex_hmacs(&[call.message.body]).into_iter().next();
    put(headers, SIGNATURE, &newest.unwrap_or_default());
}
