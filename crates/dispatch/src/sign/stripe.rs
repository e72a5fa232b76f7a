//! Stripe's way: `stripe-signature: t=<unix>,v1=<hex>`, HMAC-SHA256 over `<unix>.<body>` with the secret's text (its
//! prefix included) as the key, and one `v1=` for each live secret.

use http::{HeaderMap, HeaderName};

use super::{Call, put};

pub(super) fn write(headers: &mut HeaderMap, call: &Call<'_>) {
    let mut value = format!("t={}", call.timestamp);
    for hmac in call.hex_hmacs(&[call.timestamp.as_bytes(), b".", call.message.body]) {
        value.push_str(",v1=");
        value.push_str(&hmac);
    }
    put(headers, HeaderName::from_static("stripe-signature"), &value);
}
