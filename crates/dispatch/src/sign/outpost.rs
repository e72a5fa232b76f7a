//! Outpost's default mode: `x-outpost-signature: v0=<hex>[,<hex>]`, HMAC-SHA256 over the body with the secret's text as
//! the key, one for each live secret; besides it the event's id, its topic (the type), and the time as RFC 3339.

use http::{HeaderMap, HeaderName};
use trunkline_model::Timestamp;

use super::{Call, put};

pub(super) fn write(headers: &mut HeaderMap, call: &Call<'_>) {
    let message = &call.message;
    let at = Timestamp::from_secs(message.now.as_secs()).to_rfc3339();
    let signatures = format!("v0={}", call.hex_hmacs(&[message.body]).join(","));
    put(headers, HeaderName::from_static("x-outpost-event-id"), message.id);
    put(headers, HeaderName::from_static("x-outpost-timestamp"), &at);
    put(headers, HeaderName::from_static("x-outpost-topic"), message.event_type);
    put(headers, HeaderName::from_static("x-outpost-signature"), &signatures);
}
